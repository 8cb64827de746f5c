"""Bounds on one coordinate's step."""

from ...theory.bounds import (
    adam_bound,
    adamax_bound,
    box_contraction,
    centered_rmsprop_bound,
    extremal_gradients,
    largest_step,
    rmsprop_bound,
    singular_value_band,
    weighted_sum_bound,
)

PARTS = ("normalised", "box", "muon_band")

__all__ = [
    "PARTS",
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
