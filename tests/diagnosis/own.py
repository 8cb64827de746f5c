"""Optimizers of one's own, as a reader of the front page would write them."""

from __future__ import annotations

from typing import Any

import optax
import torch


class EpsInside(torch.optim.Optimizer):
    """Adam with eps inside the root."""

    def __init__(self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                s = self.state[p]
                if not s:
                    s["t"], s["m"], s["v"] = 0, torch.zeros_like(p), torch.zeros_like(p)
                s["t"] += 1
                s["m"].mul_(beta1).add_(p.grad, alpha=1 - beta1)
                s["v"].mul_(beta2).addcmul_(p.grad, p.grad, value=1 - beta2)
                m, v = s["m"] / (1 - beta1 ** s["t"]), s["v"] / (1 - beta2 ** s["t"])
                p.sub_(group["lr"] * m / (v + group["eps"]).sqrt())


class Tenth(torch.optim.SGD):
    """SGD that skips every tenth step if it is told to."""

    def __init__(self, params: Any, lr: float = 0.1, lazy: bool = False, label: str = "a"):
        super().__init__(params, lr=lr)
        self.lazy, self.label, self.taken = lazy, label, 0

    def step(self, closure: Any = None) -> None:
        self.taken += 1
        if not self.lazy or self.taken % 20:
            super().step()


def heavy(learning_rate: float = 0.1, beta: float = 0.9) -> optax.GradientTransformation:
    """Heavy ball by its parts."""
    return optax.chain(optax.trace(decay=beta), optax.scale_by_learning_rate(learning_rate))


def fixed() -> optax.GradientTransformation:
    """Adam whose lr nobody can set."""
    return optax.chain(optax.scale_by_adam(), optax.scale(-0.1))
