"""L-BFGS: no rule of one step, and invariant only while constants in its source do not act. Needs torch to be checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..law import Evidence, Law

STEPS = 6


def first_step(loss: float, l1_norm: float) -> float:
    """The first step over the gradient of the plain loss: torch takes it along −αg with length min(1, 1/‖αg‖₁)."""
    return loss * min(1.0, 1.0 / (loss * l1_norm))


def torch_path(curvature: np.ndarray, start: np.ndarray, loss: float, steps: int) -> np.ndarray:
    """Points after each inner iteration, (steps, n), of loss·Σ curvature·θ²/2 with tolerances 0 and lr 1, in float64."""
    import torch

    h, points = torch.tensor(curvature), []
    for iterations in range(1, steps + 1):
        p = torch.nn.Parameter(torch.tensor(start))
        optimizer = torch.optim.LBFGS(
            [p], lr=1.0, max_iter=iterations, max_eval=10**6, tolerance_grad=0.0, tolerance_change=0.0
        )

        def closure(p: Any = p, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            value = loss * 0.5 * (h * p * p).sum()
            value.backward()
            return value

        optimizer.step(closure)
        points.append(p.detach().numpy().copy())
    return np.stack(points)


def _check(formula: Callable[[float, float], float], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    curvature, direction = 10.0 ** rng.uniform(-0.5, 0.5, 5), rng.normal(size=5)
    figures = {}
    for size, loss in ((10.0, 64.0), (10.0, 0.25), (1e-2, 8.0), (1e-2, 2.0**12)):
        start = direction * size
        gradient = curvature * start
        l1_norm = float(np.abs(gradient).sum())
        plain = torch_path(curvature, start, 1.0, STEPS)
        other = torch_path(curvature, start, loss, STEPS)
        moved = (start - other[0]) / gradient
        name = f"α = {loss:g}, ‖g₀‖₁ = {l1_norm:.3g}"
        figures[f"first step, {name}"] = float(np.max(np.abs(moved / formula(loss, l1_norm) - 1)))
        if formula(loss, l1_norm) == formula(1.0, l1_norm):
            figures[f"path, {name}"] = float(np.max(np.abs(other - plain)) / np.max(np.abs(start)))
    invariant = any(name.startswith("path") for name in figures)
    return Evidence(
        ran=f"torch.optim.LBFGS, {STEPS} iterations on a quadratic in 5 dimensions, float64, tolerances 0, four pairs of α and "
        "size of the first gradient",
        residual=max(figures.values()) if invariant else float("nan"),
        bound=1e-10,
        derivation="first steps to some 1e-14; along the path curvature pairs are differences of points and lose up to four "
        "digits near the minimum: 1e-12, times 100",
        figures=figures,
    )


LAWS = (
    Law(
        id="scaling.lbfgs",
        title="L-BFGS under a loss scale",
        statement=r"\theta'_t = \theta_t \iff \min(1, 1/\|\alpha g_0\|_1)\,\alpha = \min(1, 1/\|g_0\|_1)",
        kind="exact",
        scope="torch.optim.LBFGS with c = 1, tolerances 0 and no line search: while ‖g₀‖₁ ≥ 1, α‖g₀‖₁ ≥ 1 and every yᵀs > "
        "1e-10 (constants in the source); otherwise the first step, or a skipped pair, depends on α. Its check needs torch.",
        source="torch/optim/lbfgs.py (2.13), LBFGS.step; condition derived here",
        formula=first_step,
        check=_check,
        mutants={
            "always normalised": lambda loss, l1_norm: 1.0 / l1_norm,
            "never normalised": lambda loss, l1_norm: loss,
            "the Euclidean norm": lambda loss, l1_norm: loss * min(1.0, 2.0 / (loss * l1_norm)),
        },
    ),
)
