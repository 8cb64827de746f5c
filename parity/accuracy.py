"""How near the truth float32 implementations are: one step from the same state, and a run of two hundred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lrtheory import rules

from . import oracle, table
from .cases import Case, LrSchedule, Stream
from .drivers import replay
from .trajectory import Trajectory

IMPLEMENTATIONS = ("lrtheory", "torch", "torch-foreach", "torch-fused", "optax")
LEVELS = (0.5, 0.99, 1.0)
STEPS = 200
TENSOR = {"weight": (10, 10)}

#: Numbers other than a rule's defaults: torch keeps no buffer at momentum 0; optax's Adan is another above and below.
NUMBERS: Mapping[str, Mapping[str, float]] = {
    "sgd": {"lr": 0.1, "momentum": 0.9},
    "adan": {"beta2": 0.5, "eps_root": 0.0},
}
OPTIONS: Mapping[str, Mapping[str, bool]] = {"adan": {"proximal": False}}

#: Rules whose step is proportional to the parameters: they need some, and steps that are large beside them.
PROPORTIONAL = ("lamb", "lars")
SMALL, LARGE = 2.0**-14, 2.0**16


@dataclass(frozen=True)
class Accuracy:
    """One implementation of one rule."""

    rule: str
    implementation: str
    # median, 99 % and largest error of a step in ulp of the exact update. Every implementation starts every step from
    # the same float32 state, with numbers that float32 holds exactly, so that the truth is one. Parameters are 0 before
    # the step, and so are the update after it
    step: tuple[float, ...]
    # the same of the parameters along a free run with the numbers as they are given, in ulp of the farthest that a
    # coordinate has been; the truth has the numbers as exact doubles
    run: tuple[float, ...]


def rows(rule: str) -> list[Accuracy]:
    """Every implementation of a rule, ours first."""
    given = case_of(rule)
    held = given.with_(numbers=_held(given))
    start = same_start(held)
    one_step = held.with_(numbers={**held.numbers, "lr": LARGE}) if rule in PROPORTIONAL else held
    return [
        Accuracy(rule, name, *measured)
        for name in IMPLEMENTATIONS
        if (measured := _measured(given, one_step, start, name)) is not None
    ]


def case_of(rule: str) -> Case:
    """The run of a rule: its defaults, at a constant lr, over matrices where it needs them."""
    options = {**table.variants(rule)[0][0], **OPTIONS.get(rule, {})}
    numbers = {**table.variants(rule)[0][1], **NUMBERS.get(rule, {})}
    # A matrix has one norm: where each coordinate's step is over it, twelve decades would drown the small ones.
    stream = Stream(decades=2.0) if rule == "lars" else Stream()
    case = Case(rule, options, numbers, stream, LrSchedule("constant"), STEPS, "float32")
    return case if table.row(rule).tensors is not None else case.with_(tensors=TENSOR)


def _held(case: Case) -> dict[str, float]:
    hyper = rules.get(case.rule)(**case.options).hyper(**case.numbers)
    return {name: float(np.float32(value)) for name, value in hyper._asdict().items() if value is not None}


def same_start(case: Case) -> Trajectory:
    """Where each step starts: the state of the exact run, rounded once, and parameters that hide no update."""
    near = oracle.replay(case).rounded()
    rng = np.random.default_rng(0)
    scale = np.float32(SMALL if case.rule in PROPORTIONAL else 0)
    params = {name: scale * rng.standard_normal(p.shape).astype(np.float32) for name, p in near.params.items()}
    states = [
        {
            tensor: {k: np.zeros_like(v) if k == "z" else v for k, v in fields.items()}
            for tensor, fields in state.items()
        }
        for state in near.states
    ]
    return Trajectory("the same state", params, states, near.lrs)


def _measured(given: Case, one_step: Case, start: Trajectory, name: str) -> tuple[tuple[float, ...], ...] | None:
    try:
        forced = replay(one_step, name, "forced", reference=start)
        free = replay(given, name)
    except table.Inexpressible:
        return None
    step = oracle.judge(one_step, forced, reference=start).quantiles(LEVELS)
    along = oracle.judge(given, free, "free")
    ulp = np.concatenate(
        [
            (np.abs(error) / oracle.spacing(np.maximum.accumulate(np.abs(along.truth[tensor])), along.dtype)).ravel()
            for tensor, error in along.error.items()
        ]
    )
    return step, tuple(float(q) for q in np.quantile(ulp, LEVELS, method="higher"))
