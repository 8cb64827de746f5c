"""torch's L-BFGS on a quadratic at any scale of the loss."""

from __future__ import annotations

import numpy as np
import torch


def path(curvature: np.ndarray, start: np.ndarray, loss: float, steps: int) -> np.ndarray:
    """Points after each inner iteration, (steps, n), of loss·Σ curvature·θ²/2 with tolerances 0 and lr 1, in float64."""
    h, points = torch.tensor(curvature), []
    for iterations in range(1, steps + 1):
        p = torch.nn.Parameter(torch.tensor(start))
        optimizer = torch.optim.LBFGS(
            [p], lr=1.0, max_iter=iterations, max_eval=10**6, tolerance_grad=0.0, tolerance_change=0.0
        )

        def closure(p: torch.nn.Parameter = p, optimizer: torch.optim.LBFGS = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            value = loss * 0.5 * (h * p * p).sum()
            value.backward()
            return value

        optimizer.step(closure)
        points.append(p.detach().numpy().copy())
    return np.stack(points)
