"""Laws of loss scale and parameter scale."""

from ..law import Law
from . import exceptions, floating_point, lbfgs, radam, sensitivity
from .rows import ROWS, law
from .transform import rescaled_hyper, rescaled_state

LAWS: tuple[Law, ...] = (
    *(law(row) for row in ROWS),
    *radam.LAWS,
    *exceptions.LAWS,
    *lbfgs.LAWS,
    *sensitivity.LAWS,
    *floating_point.LAWS,
)

__all__ = ["LAWS", "rescaled_hyper", "rescaled_state"]
