"""Implementations that people port between, in pairs, and what diagnosis found: measured, written down, and read from there."""

from __future__ import annotations

import functools
import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any, NamedTuple

from lrtheory.outputs import plain

from ..diagnosis import diagnose

FILE = "found.json"


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


@dataclass(frozen=True)
class Found:
    """One difference, or that there is none.

    Attributes
    ----------
    id, a, b, source, dtype, missing
        Of the pair.
    outcome, sentence : str
    changes : tuple
        Settings with both values and the arguments that set them, ``None`` where there is no option.
    size : float
        Largest difference over the farthest that a coordinate moves, in the probe of the family.
    first_step : int or None
        The first step at which the two differ.
    verified : str
    residual : float
        What is left with the changes in place.
    """

    id: str
    a: str
    b: str
    source: str
    dtype: str
    missing: bool
    outcome: str
    sentence: str
    changes: tuple[Mapping[str, Any], ...]
    size: float
    first_step: int | None
    verified: str
    residual: float

    @classmethod
    def of(cls, pair: Pair) -> Found:
        """Diagnose a pair now."""
        told = diagnose(pair.a, pair.b, dtype=pair.dtype, missing=pair.missing).as_json()
        first = told["first_difference"]
        return cls(
            *pair,
            told["outcome"],
            told["sentence"],
            tuple(told["changes"]),
            told["size"],
            None if first is None else first["step"],
            told["verified"],
            told["residual"],
        )


@functools.cache
def found() -> Mapping[str, Found]:
    """Every pair as it was last written down, by id."""
    text = resources.files("parity.differences").joinpath(FILE).read_text(encoding="utf-8")
    return {entry["id"]: _read(entry) for entry in json.loads(text)}


def _read(entry: dict[str, Any]) -> Found:
    """JSON has no infinity: it is written as null."""
    endless = {None: math.inf}
    changes = [{**c, "a": endless.get(c["a"], c["a"]), "b": endless.get(c["b"], c["b"])} for c in entry["changes"]]
    return Found(**{**entry, "size": endless.get(entry["size"], entry["size"]), "changes": tuple(changes)})


def measure(progress: Callable[[str, float], None] = lambda text, done: None) -> list[Found]:
    """Every pair, now."""
    result = []
    for done, pair in enumerate(PAIRS):
        progress(pair.id, done / len(PAIRS))
        result.append(Found.of(pair))
    return result


def as_text(entries: list[Found]) -> str:
    """The file."""
    return json.dumps(plain([asdict(entry) for entry in entries]), indent=1, ensure_ascii=False) + "\n"
