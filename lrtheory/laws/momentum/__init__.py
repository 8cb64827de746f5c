"""Laws of momentum, gains and time scales."""

from ...theory.momentum import (
    average_weights,
    coupled_to_lr,
    decay_time_scale,
    gain,
    impulse_response,
    smallest_correction,
    sparse_adam_eps,
    steady_effective_lr,
    uncorrected_schedule,
    unnormalised_steps,
    warmup_period,
)

PARTS = ("impulse", "constant_gradient", "bias_correction", "radam", "averaging")

__all__ = [
    "PARTS",
    "average_weights",
    "coupled_to_lr",
    "decay_time_scale",
    "gain",
    "impulse_response",
    "smallest_correction",
    "sparse_adam_eps",
    "steady_effective_lr",
    "uncorrected_schedule",
    "unnormalised_steps",
    "warmup_period",
]
