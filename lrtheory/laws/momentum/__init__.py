"""Laws of momentum, gains and time scales."""

from ..law import Law

LAWS: tuple[Law, ...] = ()
