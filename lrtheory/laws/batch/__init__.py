"""Laws of batch size."""

from ..law import Law
from . import exchange, noisy_quadratic, one_step, reduction

LAWS: tuple[Law, ...] = (*reduction.LAWS, *exchange.LAWS, *noisy_quadratic.LAWS, *one_step.LAWS)

__all__ = ["LAWS"]
