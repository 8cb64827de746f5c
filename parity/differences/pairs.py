"""The questions: implementations that people port between, put beside each other; they stand in ``pairs.toml``."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import NamedTuple


class Pair(NamedTuple):
    """Two SPECs, where their difference, if there is one, stands in source or was reported, and how they are run."""

    id: str
    a: str
    b: str
    source: str = ""
    dtype: str = "float64"
    missing: bool = False


PAIRS: tuple[Pair, ...] = tuple(
    Pair(id, **given)
    for id, given in tomllib.loads(
        resources.files("parity.differences").joinpath("pairs.toml").read_text(encoding="utf-8")
    ).items()
)
