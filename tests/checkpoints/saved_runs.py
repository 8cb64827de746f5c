"""Small runs of torch, saved as people save them, and what is done to them on the way to a resume."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import torch

STEPS = 120
Saved = dict[str, Any]


def model() -> torch.nn.Sequential:
    return torch.nn.Sequential(
        torch.nn.Linear(12, 16),
        torch.nn.LayerNorm(16),
        torch.nn.Tanh(),
        torch.nn.Linear(16, 16),
        torch.nn.Linear(16, 5),
    )


def two_groups(net: torch.nn.Module, named: bool = True) -> list[dict[str, Any]]:
    """Matrices, which decay, and the others, which do not."""
    matrices = [(n, p) for n, p in net.named_parameters() if p.ndim > 1]
    others = [(n, p) for n, p in net.named_parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0, "lr": 5e-4}]
    return groups if named else [{**g, "params": [p for _, p in g["params"]]} for g in groups]


@functools.cache
def _run(seed: int, steps: int, make: Callable[[torch.nn.Module], Any], batch: int) -> Saved:
    torch.manual_seed(seed)
    net = model()
    optimizer = make(net)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200)
    x, y = torch.randn(64, 12), torch.randint(5, (64,))
    for _ in range(steps):
        rows = torch.randint(64, (batch,))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
        scheduler.step()
    return {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": steps // 8,
        "step": steps,
    }


def adamw(net: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(two_groups(net), lr=1e-3)


def unnamed(net: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(two_groups(net, named=False), lr=1e-3)


def run(seed: int = 0, steps: int = STEPS, make: Callable[[torch.nn.Module], Any] = adamw, batch: int = 8) -> Saved:
    """A checkpoint of its own."""
    return copy.deepcopy(_run(seed, steps, make, batch))
