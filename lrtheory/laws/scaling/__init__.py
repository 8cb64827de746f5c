"""Laws of loss scale and parameter scale."""

from ..law import Law
from .transform import rescaled_hyper, rescaled_state

LAWS: tuple[Law, ...] = ()

__all__ = ["LAWS", "rescaled_hyper", "rescaled_state"]
