"""Closed-loop training in PyTorch, as a user writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..drivers.in_torch import single_thread
from .problem import Problem
from .setup import Setup
from .trained import Trained

Observer = Callable[[torch.optim.Optimizer, torch.nn.Module], Any]


def begin(problem: Problem, dtype: str = "float64") -> torch.nn.Module:
    """The problem's model in PyTorch at its first parameters."""
    module = problem.torch_module().to(getattr(torch, dtype))
    module.load_state_dict({name: torch.tensor(value) for name, value in problem.initial.items()})
    return module


def data(problem: Problem, dtype: str = "float64") -> tuple[torch.Tensor, torch.Tensor]:
    """The problem's examples as tensors."""
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    return x.to(getattr(torch, dtype)), y.to(getattr(torch, dtype)) if y.is_floating_point() else y


def values(module: torch.nn.Module) -> dict[str, np.ndarray]:
    """The parameters by name."""
    return {name: p.detach().numpy().copy() for name, p in module.named_parameters()}


def effective_lr(optimizer: torch.optim.Optimizer, module: torch.nn.Module) -> dict[str, np.ndarray]:
    """Effective lr of every coordinate by name, from nothing but PyTorch's own state after the step."""
    group = optimizer.param_groups[0]
    return {name: _effective_lr(group, optimizer.state[p], p) for name, p in module.named_parameters()}


def _effective_lr(group: dict[str, Any], state: dict[str, Any], p: torch.Tensor) -> np.ndarray:
    if "exp_avg_sq" in state:  # Adam
        v_hat = state["exp_avg_sq"] / (1 - group["betas"][1] ** state["step"].item())
        return (group["lr"] / (v_hat.sqrt() + group["eps"])).numpy()
    if "square_avg" in state:  # RMSprop without momentum
        return (group["lr"] / (state["square_avg"].sqrt() + group["eps"])).numpy()
    return torch.full_like(p, group["lr"]).detach().numpy()


def train_torch(
    problem: Problem,
    setup: Setup,
    batches: np.ndarray,
    *,
    dtype: str = "float64",
    loss_scale: float = 1.0,
    observe: Observer | None = None,
) -> Trained:
    """Train with an optimizer and a scheduler of PyTorch on its own gradients; arguments as of ``train_jax``.

    ``observe`` is called after every optimizer step; what it returns is stacked.
    """
    module = begin(problem, dtype)
    x, y = data(problem, dtype)
    optimizer = setup.torch_optimizer(module.parameters())
    scheduler = setup.schedule.in_torch(optimizer)
    losses, lrs, seen, params = [], [], [], [values(module)]
    with single_thread():
        for t, rows in enumerate(torch.from_numpy(batches), start=1):
            optimizer.zero_grad()
            loss = loss_scale * problem.torch_loss(module(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            lrs.append(optimizer.param_groups[0]["lr"])
            params.append(values(module))
            if observe is not None:
                seen.append(observe(optimizer, module))
            if scheduler is not None and t % setup.schedule.period == 0:
                scheduler.step()
    return Trained(np.array(losses), np.array(lrs), _stack(params), _stack(seen) if seen else None)


def _stack(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
