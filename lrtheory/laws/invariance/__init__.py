"""Laws of scale-invariant weights."""

from ..law import Law
from . import balance, length, schedules
from .balance import Equilibrium, equilibrium, rotation_per_step
from .length import angular_lr, next_square_norm, numbers_for_length
from .schedules import adamw_schedule, buffer_seed, sgd_schedule

LAWS: tuple[Law, ...] = (*length.LAWS, *schedules.LAWS, *balance.LAWS)

__all__ = [
    "LAWS",
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
