"""A linear model with ten features of unequal size, in JAX and in PyTorch."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch
from jax import Array

from .problem import Problem

FEATURES = 10


def predict(params: Any, x: Array) -> Array:
    """Outputs in JAX, shape (examples,)."""
    return x @ params["linear.weight"][0] + params["linear.bias"][0]


def mean_square(params: Any, x: Array, y: Array) -> Array:
    """Mean squared error in JAX."""
    return jnp.mean((predict(params, x) - y) ** 2)


def sum_of_squares(params: Any, x: Array, y: Array) -> Array:
    """Summed squared error in JAX."""
    return jnp.sum((predict(params, x) - y) ** 2)


def module() -> torch.nn.Module:
    """The same model in PyTorch."""
    return torch.nn.Sequential(OrderedDict(linear=torch.nn.Linear(FEATURES, 1)))


def torch_mean_square(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean squared error in PyTorch."""
    return torch.nn.functional.mse_loss(outputs.squeeze(-1), y)


def torch_sum_of_squares(outputs: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Summed squared error in PyTorch."""
    return torch.nn.functional.mse_loss(outputs.squeeze(-1), y, reduction="sum")


def linear_problem(rows: int, seed: int) -> Problem:
    """Targets that are linear in the features, with noise; parameters start at uniform values within 1/√features.

    The features' deviations run from 1/2 to 2, so that curvatures, and with them gradients, differ 16-fold.
    """
    rng = np.random.default_rng([seed, 3])
    x = rng.standard_normal((rows, FEATURES)) * np.geomspace(0.5, 2.0, FEATURES)
    y = x @ rng.standard_normal(FEATURES) + 1.0 + 0.1 * rng.standard_normal(rows)
    bound = FEATURES**-0.5
    initial = {"linear.weight": rng.uniform(-bound, bound, (1, FEATURES)), "linear.bias": rng.uniform(-bound, bound, 1)}
    return Problem("linear regression", initial, x, y, mean_square, module, torch_mean_square)


def largest_curvature(problem: Problem) -> float:
    """Largest eigenvalue of the Hessian of the mean squared error, which is the same everywhere."""
    design = np.column_stack([problem.x, np.ones(len(problem.x))])
    return float(np.linalg.eigvalsh(2 * design.T @ design / len(design))[-1])
