"""Closed-loop training of small models in JAX and in PyTorch, step for step on the same numbers."""

from .digits import load_digits
from .jax_loop import observe_effective_lr, train_jax
from .linear import largest_curvature, linear_problem
from .mlp import NORMALISED, PLAIN, Mlp
from .problem import Problem
from .setup import Setup
from .torch_loop import train_torch
from .trained import BEYOND_ROUNDING, Trained, distance

__all__ = [
    "BEYOND_ROUNDING",
    "NORMALISED",
    "PLAIN",
    "Mlp",
    "Problem",
    "Setup",
    "Trained",
    "distance",
    "largest_curvature",
    "linear_problem",
    "load_digits",
    "observe_effective_lr",
    "train_jax",
    "train_torch",
]
