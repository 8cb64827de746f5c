"""Laws of momentum, gains and time scales."""

from ..law import Law
from . import averaging, bias_correction, constant_gradient, impulse, radam
from .averaging import average_weights, coupled_to_lr
from .bias_correction import smallest_correction, sparse_adam_eps, uncorrected_schedule
from .decay import decay_time_scale
from .gains import gain, steady_effective_lr
from .impulse import impulse_response
from .radam import unnormalised_steps, warmup_period

LAWS: tuple[Law, ...] = (
    *impulse.LAWS,
    *constant_gradient.LAWS,
    *bias_correction.LAWS,
    *radam.LAWS,
    *averaging.LAWS,
)

__all__ = [
    "LAWS",
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
