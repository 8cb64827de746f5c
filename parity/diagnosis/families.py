"""Every family, by name."""

from __future__ import annotations

from collections.abc import Mapping

from .averaged import AVERAGED
from .elementwise import ELEMENTWISE
from .family import Family
from .matrices import MATRICES
from .ratios import RATIOS
from .schedules.formulas import FORMULAS

FAMILIES: Mapping[str, Family] = {one.name: one for one in (*ELEMENTWISE, *AVERAGED, *RATIOS, *MATRICES, *FORMULAS)}
