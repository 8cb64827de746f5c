"""Measured arrays as the plain values that a report holds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from parity.report.data import Curve

DIGITS = 6
"""Significant digits of a curve: more than a picture shows, and a tenth of the file."""


def curve(values: Iterable[float]) -> Curve:
    """Numbers of a curve; ``None`` where one is not finite."""
    return [float(f"{v:.{DIGITS}g}") if math.isfinite(v) else None for v in map(float, values)]


def finite(value: float) -> float | None:
    """A number with all its digits, or ``None`` if it is not finite."""
    return float(value) if math.isfinite(value) else None


def plain(tree: Any) -> Any:
    """The same lists and dicts with ``None`` for every number that is not finite: JSON has no other word for it."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value) for value in tree]
    return finite(tree) if isinstance(tree, float) else tree
