"""Bounds on one coordinate's step."""

from ..law import Law
from . import box, muon_band, normalised
from .box import box_contraction
from .largest import adam_bound, adamax_bound, centered_rmsprop_bound, largest_step, rmsprop_bound
from .muon_band import singular_value_band
from .weighted import extremal_gradients, weighted_sum_bound

LAWS: tuple[Law, ...] = (*normalised.LAWS, *box.LAWS, *muon_band.LAWS)

__all__ = [
    "LAWS",
    "adam_bound",
    "adamax_bound",
    "box_contraction",
    "centered_rmsprop_bound",
    "extremal_gradients",
    "largest_step",
    "rmsprop_bound",
    "singular_value_band",
    "weighted_sum_bound",
]
