"""Laws of scale-invariant weights."""

from ...theory.invariance import (
    Equilibrium,
    adamw_schedule,
    angular_lr,
    buffer_seed,
    equilibrium,
    next_square_norm,
    numbers_for_length,
    rotation_per_step,
    sgd_schedule,
)

PARTS = ("length", "schedules", "balance")

__all__ = [
    "PARTS",
    "Equilibrium",
    "adamw_schedule",
    "angular_lr",
    "buffer_seed",
    "equilibrium",
    "next_square_norm",
    "numbers_for_length",
    "rotation_per_step",
    "sgd_schedule",
]
