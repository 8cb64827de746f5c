"""Bounds on one coordinate's step."""

from ..law import Law
from .largest import adam_bound, adamax_bound, centered_rmsprop_bound, largest_step, rmsprop_bound
from .weighted import extremal_gradients, weighted_sum_bound

LAWS: tuple[Law, ...] = ()

__all__ = [
    "LAWS",
    "adam_bound",
    "adamax_bound",
    "centered_rmsprop_bound",
    "extremal_gradients",
    "largest_step",
    "rmsprop_bound",
    "weighted_sum_bound",
]
