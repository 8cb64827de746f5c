"""A question: two implementations that people port between, put beside each other."""

from __future__ import annotations

from typing import NamedTuple


class Pair(NamedTuple):
    """Two SPECs, where their difference, if there is one, stands in source or was reported, and how they are run."""

    id: str
    a: str
    b: str
    source: str = ""
    dtype: str = "float64"
    missing: bool = False
