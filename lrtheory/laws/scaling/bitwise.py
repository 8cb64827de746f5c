"""The check of every law of scale: rescaled runs against the plain one, bit for bit, from the start and in mid-run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from ...dims import Dimensions
from ..law import Rng, Shown
from .subject import Subject, scaled_state

STEPS = 12
BITS = "multiplying by a power of two rounds nothing, so equal formulas give equal bits"
FLOORS = {"eps1", "eps2"}


class Transform(NamedTuple):
    """Factors on each number by name, and on each piece of floating state by path."""

    hyper: Mapping[str, float]
    state: Mapping[str, float]


Formula = Callable[[float, float], Transform]


def from_units(dimensions: Callable[[], Dimensions]) -> Formula:
    """The law that inferred units say, for a loss ``loss`` times and parameters ``params`` times as large."""

    def formula(loss: float, params: float) -> Transform:
        found = dimensions()
        if found.status in ("broken", "unknown"):
            raise ValueError(f"{found.target} has no law to apply: {found.verdict}")
        return Transform(
            {name: units.factor(loss, params) for name, units in found.hyper.items()},
            {path: units.factor(loss, params) for path, units in found.state.items()},
        )

    return formula


class Run(NamedTuple):
    """The data of one run: numbers with a value a step, factors, first parameter, gradients."""

    numbers: dict[str, Any]
    on_param: Any
    on_state: dict[str, Any]
    first: Any
    grads: Any


def drawn(subject: Subject, rng: np.random.Generator) -> Run:
    """A plain run: gradients that change sign and size, an lr that moves over a decade, and floors that move over three."""
    numbers = {name: np.full(STEPS, value) for name, value in subject.numbers.items()}
    rate = next(iter(numbers))
    numbers[rate] = numbers[rate] * 10.0 ** rng.uniform(-0.5, 0.5, STEPS)
    for name in FLOORS & set(numbers):  # each acts at some steps and not at others
        numbers[name] = numbers[name] * 10.0 ** rng.permutation(np.linspace(-1.5, 1.5, STEPS))
    sizes = 10.0 ** rng.uniform(-1.5, 1.5, (STEPS, *[1] * len(subject.shape)))
    ones = np.ones(STEPS)
    return Run(
        numbers,
        ones,
        dict.fromkeys(subject.paths(), ones),
        rng.normal(size=subject.shape),
        rng.normal(size=(STEPS, *subject.shape)) * sizes,
    )


def rescaled(plain: Run, transform: Transform, loss: float, params: float, at: int) -> Run:
    """The run for αL(θ/c) from step ``at`` on; from the start if ``at`` is 0."""
    later = np.arange(STEPS) >= at
    moment = (np.arange(STEPS) == at) & (at > 0)

    def factor(value: float, when: Any) -> Any:
        return np.where(when, value, 1.0)

    return Run(
        {name: v * factor(transform.hyper.get(name, 1.0), later) for name, v in plain.numbers.items()},
        factor(params, moment),
        {path: v * factor(transform.state.get(path, 1.0), moment) for path, v in plain.on_state.items()},
        plain.first * (params if at == 0 else 1.0),
        plain.grads * factor(loss / params, later).reshape(-1, *[1] * (plain.grads.ndim - 1)),
    )


def run(subject: Subject, data: Run) -> tuple[Any, Any]:
    """Parameters after each step and the last state, in float64 and in numpy."""
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, subject.compiled(*data))


def apart(found: Any, expected: Any) -> float:
    """Largest difference relative to the largest entry; nan if nothing was compared."""
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return float("nan")
    return float(np.max(np.abs(found - expected)) / (np.max(np.abs(expected)) or 1.0))


def powers_of_two(rng: np.random.Generator) -> tuple[float, float]:
    """α and c between 2⁻⁸ and 2⁸, neither of them 1, nor equal: a scaling by α = c hides mistakes."""
    loss = int(rng.integers(1, 9)) * int(rng.choice([-1, 1]))
    params = int(rng.integers(1, 9)) * int(rng.choice([-1, 1]))
    return 2.0**loss, 2.0 ** (params if params != loss else -params)


def shows(subject: Subject) -> Callable[[Formula, Rng], Shown]:
    """The check of a law of that subject."""

    def shown(formula: Formula, rng: Rng) -> Shown:
        loss, params = powers_of_two(rng)
        at = int(rng.integers(2, STEPS - 2))
        plain = drawn(subject, rng)
        transform = formula(loss, params)
        path, state = run(subject, plain)
        expected = scaled_state(state, transform.state)
        for name, begins in (("from the start", 0), ("in mid-run", at)):
            other, other_state = run(subject, rescaled(plain, transform, loss, params, begins))
            states = zip(jax.tree.leaves(other_state), jax.tree.leaves(expected), strict=True)
            figures = {
                f"parameters {name}": apart(other[begins:], params * path[begins:]),
                f"state {name}": float(np.max([apart(a, b) for a, b in states], initial=0.0)),
            }
            yield list(figures.values())
            yield figures
        if not np.ptp(path, axis=0).min() > 0:
            yield np.nan  # what does not move shows nothing
        yield (
            f"{subject.name}, {STEPS} steps in float64 on one parameter of shape {subject.shape}, gradients and lr "
            f"moving, α = {loss:g}, c = {params:g}: from the start, and changed with the state after step {at}"
        )

    return shown


def left_alone(formula: Formula, name: str) -> Formula:
    """The law without one of its factors."""

    def mutant(loss: float, params: float) -> Transform:
        hyper, state = formula(loss, params)
        return Transform({**hyper, name: 1.0}, state) if name in hyper else Transform(hyper, {**state, name: 1.0})

    return mutant


def another_power(formula: Formula, name: str, *, of: str) -> Formula:
    """The law with an exponent that is one too large."""

    def mutant(loss: float, params: float) -> Transform:
        hyper, state = formula(loss, params)
        return Transform({**hyper, name: hyper[name] * {"loss": loss, "params": params}[of]}, state)

    return mutant
