"""Laws of batch size."""

from ..law import Law

LAWS: tuple[Law, ...] = ()
