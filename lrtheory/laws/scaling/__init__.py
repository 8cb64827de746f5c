"""Laws of loss scale and parameter scale."""

from ...theory.scaling import rescaled_hyper, rescaled_state

PARTS = ("rows", "exceptions", "floating_point")

__all__ = ["PARTS", "rescaled_hyper", "rescaled_state"]
