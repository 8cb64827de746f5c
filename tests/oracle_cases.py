"""The cases that the oracle is held to, one for each set of options of each rule, small and with a moving lr."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import parity
from parity import table
from parity.cases import Case, LrSchedule
from parity.trajectory import Trajectory

SMALL = {"weight": (3, 2), "bias": (2,), "scalar": ()}


#: Numbers under which a term acts that the richest set of numbers hides.
MORE = (
    ("adafactor", {}, {"lr": 0.2, "d": 1000.0}),
    ("adan", {"proximal": False}, {"lr": 0.01, "beta2": 0.5, "eps_root": 1e-3}),
    ("asgd", {}, {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 4.0}),
    ("lamb", {}, {"lr": 0.01, "weight_decay": 0.1}),
    ("sgd", {}, {"lr": 0.1}),
)


def _cases() -> list[Case]:
    found = []
    for rule in table.known_rules():
        richest: dict[str, Case] = {}
        for options, numbers in table.variants(rule):
            if options.get("maximize") and table.row(rule).torch is None:
                continue  # negating the gradient is one decorator for all, and compiling is what takes time
            key = str(sorted(options.items()))
            case = _small(rule, options, numbers)
            if key not in richest or len(numbers) >= len(richest[key].numbers):
                richest[key] = case
        found.extend(richest.values())
    return found + [_small(*more) for more in MORE]


def _small(rule: str, options: Mapping[str, Any], numbers: Mapping[str, float]) -> Case:
    case = Case(rule, options, numbers, schedule=LrSchedule("moving"), steps=14)
    if table.row(rule).tensors is not None:
        return case
    return case.with_(tensors={"weight": (3, 2)} if table.row(rule).torch is None else SMALL)


CASES = _cases()


def case_id(case: Case) -> str:
    """The rule, its options and numbers."""
    return f"{case.rule}({', '.join(f'{k}={v}' for k, v in (dict(case.options) | dict(case.numbers)).items() if v is not False)})"


@functools.cache
def _run(index: int) -> Trajectory:
    case = CASES[index]
    for backend in ("torch", "optax", "lrtheory"):
        try:
            return parity.replay(case, backend)
        except parity.Inexpressible:
            continue
    raise AssertionError(f"nothing runs {case}")


def with_another(case: Case) -> Trajectory:
    """The case in torch, in optax where torch lacks it, in ours where both do; each once."""
    return _run(CASES.index(case))
