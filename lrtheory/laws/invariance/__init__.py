"""Laws of scale-invariant weights."""

from ..law import Law

LAWS: tuple[Law, ...] = ()
