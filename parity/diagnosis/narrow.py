"""The same rules in a narrow dtype: which of their numbers are rounded to it, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from lrtheory.spec.text import SpecError

from ..dtypes import finfo
from .family import ABSENT, SKIPPED, ZEROS, Family, FromZero, left
from .followed import followed

#: In which rules are diagnosed: not in float16, where gradients of every size do not fit.
DIAGNOSED = ("float64", "float32", "bfloat16")

SINGLE = "formed in float32"
DOUBLE = "in double until they are used"
LR, HYPER, POWERS = "dtype of the lr", "hyperparameters", "1 − βᵗ"
TAKEN, KEPT, ARRAYS = "that of the gradient", "float32", "rounded to the dtype, and 1 − β after them"
SWITCHES = {
    LR: (TAKEN, KEPT),
    HYPER: (DOUBLE, ARRAYS),
    POWERS: ("formed in double", SINGLE),
}

#: Families that are written for any dtype.
NARROW = ("sgd", "adam")

#: Roundings of one step of these rules, none of which is grown by another: moments 2 × 3, root, two divisions, eps, two products
#: and the parameter.
ROUNDINGS = 16


PHRASES = {
    (LR, TAKEN): "an lr of the gradient's dtype",
    (LR, KEPT): "an lr that stays in float32, and an update with it",
    (HYPER, DOUBLE): "hyperparameters that stay in double until they are used",
    (HYPER, ARRAYS): "hyperparameters rounded to the dtype, and 1 − β after them",
    (ABSENT, SKIPPED): "a tensor left alone until its first gradient",
    (ABSENT, ZEROS): "zeros for a missing gradient",
}


class _Weak(np.ndarray):
    """An array that Python's numbers are rounded to before they meet it, as in JAX; numpy does so for its own dtypes alone."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **more: Any) -> Any:
        plain = [
            x.view(np.ndarray) if isinstance(x, _Weak) else np.asarray(x, self.dtype) if type(x) is float else x
            for x in inputs
        ]
        result = getattr(ufunc, method)(*plain, **more)
        return result.view(_Weak) if isinstance(result, np.ndarray) else result


@dataclass(frozen=True)
class _NarrowFamily(FromZero):
    """A family that runs in another dtype than float64."""

    def hyper(self, numbers: Mapping[str, float], switches: Mapping[str, str]) -> Any:
        """The numbers as a step has them: Python's, or arrays of the dtype."""
        every = {**self.numbers, **numbers}
        number = np.dtype(self.dtype).type
        arrays = switches[HYPER] == ARRAYS
        n = SimpleNamespace(**{name: (number if arrays else float)(value) for name, value in every.items()}, left=left)
        n.lr = (np.float32 if switches[LR] == KEPT else number)(every["lr"])
        if switches.get(POWERS) == SINGLE and not arrays:
            n.left = lambda beta, t: float(1 - np.float32(beta) ** t)
        return n

    def stored(self, values: np.ndarray) -> np.ndarray:
        return super().stored(values).view(_Weak)


def narrowed(family: Family, dtype: str) -> Family:
    """The family in a dtype.

    Raises SpecError for a dtype that is not known, and for rules that are not written for a narrow one.
    """
    if dtype == "float64":
        return family
    if dtype not in DIAGNOSED:
        raise SpecError(f"dtype {dtype!r}: there are {', '.join(DIAGNOSED)}")
    if family.name == "asgd" and dtype == "float32":
        return followed(family)
    if family.name not in NARROW:
        raise SpecError(
            f"the family of {family.name} is not diagnosed in {dtype}; sgd and adam are in {', '.join(DIAGNOSED)}, asgd in "
            "float64 and float32, all others in float64 alone"
        )
    half = float(finfo(dtype).eps) / 2
    exact = family.name == "sgd" and dtype == "bfloat16"  # two roundings, which are followed
    switches = SWITCHES if family.name == "adam" else {LR: SWITCHES[LR], HYPER: SWITCHES[HYPER]}
    given = {"switches": switches | dict(family.switches), "dtype": dtype}
    return _NarrowFamily(**{**vars(family), **given, "tolerance": lambda switches: 0.0 if exact else ROUNDINGS * half})
