"""Laws of batch size."""

from ..law import Law
from . import exchange, reduction

LAWS: tuple[Law, ...] = (*reduction.LAWS, *exchange.LAWS)

__all__ = ["LAWS"]
