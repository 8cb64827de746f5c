"""Claims people make, decided."""

from ..law import Law

LAWS: tuple[Law, ...] = ()
