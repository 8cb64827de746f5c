"""Laws of momentum, gains and time scales."""

from ..law import Law
from . import constant_gradient, impulse
from .decay import decay_time_scale
from .gains import gain, steady_effective_lr
from .impulse import impulse_response

LAWS: tuple[Law, ...] = (*impulse.LAWS, *constant_gradient.LAWS)

__all__ = ["LAWS", "decay_time_scale", "gain", "impulse_response", "steady_effective_lr"]
