"""The dtypes that runs are made in, and in which each implementation works inside."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

HALF = ("bfloat16", "float16")
DTYPES = ("float64", "float32", *HALF)


def finfo(dtype: Any) -> Any:
    """Machine parameters; NumPy's own know nothing of bfloat16."""
    return ml_dtypes.finfo(np.dtype(dtype))


def numbers_in(dtype: str) -> str:
    """What our rules hold their numbers in and compute in, for parameters of ``dtype``: at least float32."""
    return "float32" if dtype in HALF else dtype


#: Implementation and rule of those that, beside ours, widen half precision to float32 and round once when they store.
ROUNDED_ONCE = {("torch fused", "adam")}


def works_in(dtype: str, implementation: str, rule: str) -> str:
    """The dtype to which an implementation rounds each operation of a run in ``dtype``."""
    once = implementation.startswith("lrtheory") or (implementation, rule) in ROUNDED_ONCE
    return numbers_in(dtype) if once else dtype
