"""Two implementations that were run along one probe, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrtheory.spec import SpecError
from lrtheory.words import listed

from ..compare import Difference, first_beyond
from ..dtypes import finfo
from . import acting
from .family import Family
from .implementation import Implementation
from .probe import Path, Probe, distance, error
from .told import Change, Diagnosis, given

SAME = 1e-9


@dataclass(frozen=True)
class Sides:
    """Two implementations with their paths along one probe."""

    one: Implementation
    other: Implementation
    family: Family
    probe: Probe
    paths: tuple[Path, Path]
    dtype: str

    @property
    def alike(self) -> float:
        """Up to where a difference is none."""
        return max(SAME, self.family.tolerance(self.family.base)) if self.dtype != "float64" else SAME

    @property
    def size(self) -> float:
        """How far they are apart."""
        return distance(*self.paths)

    @property
    def first(self) -> Difference | None:
        """The first step at which they differ."""
        a, b = self.paths
        errors = {name: error(x, b[name]) for name, x in a.items()}
        where = first_beyond(errors, self.alike)
        if where is None:
            return None
        name, at = where
        x, y = float(a[name][at]), float(b[name][at])
        ulp = abs(x - y) / (2.0 ** np.floor(np.log2(max(abs(x), abs(y)))) * float(finfo(self.dtype).eps))
        return Difference(at[0], name, at[1:], x, y, float(errors[name][at]), ulp)

    def unlike(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arguments of each that would have to change for it to be the other; of one factory, those of the first."""
        one, other = self.one, self.other
        back = {} if one.name == other.name else acting.differing(other, one, self.dtype)
        return acting.differing(one, other, self.dtype), back

    def told(
        self,
        outcome: str,
        sentence: str,
        changes: Sequence[Change] = (),
        verified: str | None = None,
        residual: float | None = None,
        unseen: Sequence[str] = (),
    ) -> Diagnosis:
        """What is said of them."""
        size, differ = self.size, outcome in ("settings", "unknown")
        how = verified if verified is not None else "" if outcome == "unknown" else "run"
        left = size if residual is None else residual
        first = self.first if differ else None
        names = self.one.text, self.other.text
        return Diagnosis(*names, outcome, tuple(changes), sentence, size, first, how, left, tuple(unseen))

    def same(self) -> Diagnosis:
        """That they run alike."""
        size = self.size
        ulp = size / float(finfo(self.dtype).eps)
        rounded = self.dtype != "float64" and size
        what = f"no difference beyond {ulp:.2g} ulp of {self.dtype}" if rounded else "no difference"
        return self.told("same", f"{what}: {self.one.text} and {self.other.text} run alike")

    def without(self, why: str) -> str:
        """That no setting makes them agree."""
        return f"no setting makes {self.one.text} and {self.other.text} agree{why}"

    def apart(self, why: str = "", residual: float | None = None) -> Diagnosis:
        """That no setting makes them agree, and where they first differ."""
        sentence = self.without(f"{why}; they first differ at {self.first}")
        return self.told("unknown", sentence, residual=residual)

    def equal_with(self, changes: Sequence[Change]) -> str:
        """That the first equals the second with these changes."""
        expressible = given(merged(self.one, changes))
        lacking = [change.text for change in changes if change.arguments is None]
        sentence = f"{self.one.text} equals {self.other.text} with {listed([*expressible, *lacking])}"
        if lacking:
            what = "which" if len(lacking) == 1 else f"the last {len(lacking)} of which"
            sentence += f", {what if expressible or len(lacking) == 1 else 'which'} {self.one.short} has no option for"
        return sentence


def merged(one: Implementation, changes: Sequence[Change]) -> dict[str, Any]:
    """All arguments of the changes together; two entries of one tuple are two changes of one argument."""
    together: dict[str, Any] = {}
    for change in changes:
        for name, value in (change.arguments or {}).items():
            if isinstance(value, tuple):
                old = one.arguments[name]
                known = together.get(name, old)
                value = tuple(k if v == o else v for k, v, o in zip(known, value, old, strict=True))
            together[name] = value
    return together


def numbers_of(one: Implementation) -> dict[str, float]:
    """The family's numbers that its arguments state; of a stranger only those that are numbers."""
    try:
        return one.numbers()
    except SpecError:
        if not one.family:
            raise
        return {}
