"""Laws of batch size."""

from ..law import Law
from . import exchange, noisy_quadratic, one_step, reduction, sde
from .sde import sde_rule

LAWS: tuple[Law, ...] = (*reduction.LAWS, *exchange.LAWS, *noisy_quadratic.LAWS, *one_step.LAWS, *sde.LAWS)

__all__ = ["LAWS", "sde_rule"]
