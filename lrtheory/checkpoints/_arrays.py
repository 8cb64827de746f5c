"""Arrays of any library as NumPy's, and what is asked of their values."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

#: Coordinates of a tensor that are looked at where not all need be.
SAMPLE = 1 << 16
#: So many different numbers do not fit a narrower dtype by chance: of float32, each fits bfloat16 once in 65,536.
DIFFERENT = 6


def array(value: Any) -> np.ndarray | None:
    """The same numbers, not copied where that can be; ``None`` for what is no array of numbers."""
    if isinstance(value, (bool, str, bytes)) or value is None:
        return None
    if hasattr(value, "detach"):
        from ..adopting.in_torch import to_numpy

        try:
            return to_numpy(value, copy=False)
        except (TypeError, RuntimeError):  # quantised, or on a device without numbers
            return None
    try:
        found = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return found if found.dtype.kind in "biufV" or is_floating(found) else None


def is_floating(value: np.ndarray) -> bool:
    """Whether it has fractions, those of the narrow dtypes among them."""
    try:
        return np.issubdtype(value.dtype, np.floating) or ml_dtypes.finfo(value.dtype).bits <= 16
    except ValueError:
        return False


def scalar(value: Any) -> float | None:
    """The one number that a value is; ``None`` for anything else."""
    found = array(value)
    return float(found.reshape(())) if found is not None and found.size == 1 else None


def sample(value: np.ndarray) -> np.ndarray:
    """Some coordinates, the same ones for arrays of one shape, in float64."""
    flat = value.reshape(-1)
    return flat[:: max(1, flat.size // SAMPLE)].astype(np.float64)


def is_finite(value: np.ndarray) -> bool:
    """Whether all of it is; whole numbers are."""
    return not is_floating(value) or bool(np.all(np.isfinite(value)))


def is_narrowed(values: list[np.ndarray], dtype: Any) -> bool | None:
    """Whether all of these fit a narrower dtype exactly; ``None`` where too few are different to tell."""
    seen: set[float] = set()
    for value in values:
        some = value.reshape(-1)[:: max(1, value.size // SAMPLE)]
        some = some[(some != 0) & np.isfinite(some)]
        with np.errstate(over="ignore"):
            if not np.array_equal(some.astype(dtype).astype(some.dtype), some):
                return False
        seen.update(map(float, some[:64]))
    return True if len(seen) >= DIFFERENT else None
