"""Differences by design: where two correct implementations follow other definitions.

Reason and source of an entry are what diagnosis found and wrote down (``parity/differences/found.json``); here stands which
cases meet it. A test runs each: an entry whose difference is gone fails there.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from .cases import Case, LrSchedule


@dataclass(frozen=True)
class KnownDifference:
    """One difference."""

    id: str
    backend: str  # the implementation that differs from torch and from us
    pair: str  # the pair of parity.differences.PAIRS that shows it
    applies: Callable[[Case], bool]  # whether a case meets it
    example: Case  # a run that shows it, by more than at_least of the distance travelled
    at_least: float

    @property
    def reason(self) -> str:
        """The difference in a sentence."""
        return _written()[self.pair]["sentence"]

    @property
    def source(self) -> str:
        """Where it stands."""
        return _written()[self.pair]["source"]


@functools.cache
def _written() -> Mapping[str, Any]:
    text = resources.files("parity").joinpath("differences", "found.json").read_text(encoding="utf-8")
    return {entry["id"]: entry for entry in json.loads(text)}


def _moves(case: Case) -> bool:
    return case.schedule.name != "constant"


def _has_momentum(case: Case) -> bool:
    return case.numbers.get("momentum", 0) != 0


def _unless(number: str, default: float, value: float) -> Callable[[Case], bool]:
    """Whether a number has another value."""
    return lambda case: case.numbers.get(number, default) != value


def _difference(
    id: str,
    pair: str,
    rule: str,
    numbers: Mapping[str, float],
    at_least: float,
    *when: Callable[[Case], bool],
    **options: Any,
) -> KnownDifference:
    """An entry about one rule, where all of these hold; the backend is the first word of its id."""
    example = Case(rule, options, numbers, schedule=LrSchedule("moving" if _moves in when else "constant"))
    about = lambda case: case.rule == rule and all(holds(case) for holds in when)  # noqa: E731
    return KnownDifference(id, id.split("-")[0], pair, about, example, at_least)


KNOWN: tuple[KnownDifference, ...] = (
    _difference("optax-amsgrad-order", "optax-amsgrad", "adam", {"lr": 0.1}, 1e-2,
                lambda case: bool(case.options.get("amsgrad")), amsgrad=True),
    _difference("optax-rmsprop-lr-in-buffer", "optax-rmsprop-momentum", "rmsprop", {"lr": 0.01, "momentum": 0.9}, 1e-2,
                _has_momentum, _moves),
    _difference("keras-adam-eps-before-correction", "keras-adam", "adam", {"lr": 0.1, "eps": 1e-3}, 1e-2),
    _difference("keras-rmsprop-eps-in-root", "keras-rmsprop-momentum", "rmsprop", {"lr": 0.01}, 1e-2),
    _difference("keras-adagrad-eps-in-root", "keras-adagrad", "adagrad", {"lr": 0.1, "eps": 1e-3}, 1e-2),
    _difference("keras-adamax-eps-after-maximum", "keras-adamax", "adamax", {"lr": 0.1, "eps": 1e-2}, 1e-3),
    _difference("keras-sgd-lr-in-buffer", "keras-sgd-momentum", "sgd", {"lr": 0.1, "momentum": 0.9}, 1e-1,
                _has_momentum, _moves),
    _difference("keras-nadam-momentum-schedule", "keras-nadam", "nadam", {"lr": 0.1}, 1e-3,
                _unless("momentum_decay", 4e-3, 1)),
    _difference("keras-adafactor-float32-mean", "keras-adafactor", "adafactor", {"lr": 0.01, "eps1": 1e-30}, 1e-9,
                machine_eps=False),
    _difference("keras-schedule-free-even-weights", "keras-schedule-free-adamw", "schedule_free_adamw", {"lr": 0.1}, 1e-2,
                _moves, _unless("weight_lr_power", 2, 0)),
)  # fmt: skip


def known_difference(case: Case, backend: str) -> KnownDifference | None:
    """The entry that explains why a backend differs on a case, if there is one."""
    return next((entry for entry in KNOWN if entry.backend == backend and entry.applies(case)), None)
