"""Errors of implementations against the truth: per step, tensor and coordinate, in ulp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..cases import Case
from ..drivers import forced_fields
from ..dtypes import finfo, numbers_in
from ..trajectory import Trajectory
from .arithmetic import HighPrecision
from .run import State, Stepper, replay


@dataclass(frozen=True)
class Judged:
    """One implementation beside the truth; all by tensor name, arrays of shape (steps, *shape).

    Attributes
    ----------
    value : dict
        The implementation's parameters after each step.
    truth : dict
        What they should be, as float64.
    error : dict
        ``value − truth``, formed in high precision.
    update : dict
        The exact update, as float64.
    dtype : dtype of the run
    """

    value: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    error: dict[str, np.ndarray]
    update: dict[str, np.ndarray]
    dtype: np.dtype

    def quantiles(self, levels: Sequence[float] = (0.5, 0.99, 1.0)) -> tuple[float, ...]:
        """Quantiles of the error in ulp of the update, over the coordinates and steps that moved."""
        ulp = {name: np.abs(e) / spacing(self.update[name], self.dtype) for name, e in self.error.items()}
        moved = np.concatenate([ulp[name][self.update[name] != 0] for name in ulp])
        return (
            tuple(float(q) for q in np.quantile(moved, levels, method="higher")) if moved.size else (0.0,) * len(levels)
        )


def judge(
    case: Case,
    run: Trajectory,
    mode: Literal["forced", "free"] = "forced",
    *,
    numbers: Literal["given", "held"] = "given",
    reference: Trajectory | None = None,
) -> Judged:
    """One implementation beside the truth.

    Parameters
    ----------
    case, run : Case, Trajectory
        A case and one implementation's run of it.
    mode : "forced" or "free"
        Forced: the error of one step, taken in exact arithmetic from the parameters and state that the implementation
        itself had before it. Free: against the oracle's own run; shows drift.
    numbers : "given" or "held"
        The truth for the numbers as they are given, exact doubles; or for the numbers as the implementation holds
        them (:func:`held_in`).
    reference : Trajectory, optional
        What the run was forced to, where it was: each step then starts from it.

    Raises
    ------
    ValueError
        For a run of another length or an unknown mode.
    """
    if mode not in ("forced", "free"):
        raise ValueError(f"mode={mode!r} must be 'forced' or 'free'")
    if mode == "free" and reference is not None:
        raise ValueError("a free run has no reference: judge a forced run in mode='forced'")
    if run.steps != case.steps:
        raise ValueError(f"{run.implementation} ran {run.steps} steps, the case has {case.steps}")
    held = held_in(case, run.implementation) if numbers == "held" else None
    return _forced(case, run, held, reference) if mode == "forced" else _free(case, run, held)


def held_in(case: Case, implementation: str) -> str | None:
    """The dtype that numbers are rounded to before anything is computed with them, ``None`` where they are not.

    Ours are traced arrays of the dtype that the rule computes in. torch's are Python's doubles, and so are those that
    optax's factories close over and Keras's: what these round on the way to an operation is part of their error.
    """
    return numbers_in(case.dtype) if implementation.startswith("lrtheory") else None


def _forced(case: Case, run: Trajectory, held: str | None, reference: Trajectory | None) -> Judged:
    a = HighPrecision()
    before, after = [], []
    with a.precision():
        stepper = Stepper(case, a, lrs=run.lrs, held_in=held)
        for params, moved in steps_of(stepper, run, reference):
            before.append(params)
            after.append(moved)
        return _judged(run, before, after, a)


def steps_of(stepper: Stepper, run: Trajectory, reference: Trajectory | None = None) -> Any:
    """``(parameters before, after)`` of each step, taken from the state that the run had before it.

    A field that the run does not keep goes on from the step before: it must not depend on data.
    """
    params, state = stepper.first()
    for t in range(1, stepper.case.steps + 1):
        source = run if reference is None else reference
        params = {name: stepper.arithmetic.array(source.params[name][t - 1]) for name in params}
        if t > 1 or reference is not None:
            state = stepper.state_of(state, _kept(stepper.case, run, reference, t - 1))
        after, state = stepper.step(t, params, state)
        yield params, after


def _kept(case: Case, run: Trajectory, reference: Trajectory | None, t: int) -> State:
    own = run.states[t]
    if reference is None:
        return own
    forced = forced_fields(case.rule, run.implementation)
    return {
        tensor: fields | {k: v for k, v in reference.states[t].get(tensor, {}).items() if k in forced}
        for tensor, fields in own.items()
    }


def _free(case: Case, run: Trajectory, held: str | None) -> Judged:
    a = HighPrecision()
    truth = replay(case, held_in=held)
    paths = [{name: path[t] for name, path in truth.params.items()} for t in range(case.steps + 1)]
    with a.precision():
        return _judged(run, paths[:-1], paths[1:], a)


def _judged(run: Trajectory, before: list[dict[str, Any]], after: list[dict[str, Any]], a: HighPrecision) -> Judged:
    value, truth, error, update = {}, {}, {}, {}
    for name in run.params:
        exact = np.stack([step[name] for step in after])
        start = np.stack([step[name] for step in before])
        value[name] = run.params[name][1:]
        truth[name] = exact.astype(np.float64)
        error[name] = (a.array(value[name]) - exact).astype(np.float64)
        update[name] = (exact - start).astype(np.float64)
    return Judged(value, truth, error, update, run.dtype)


def spacing(values: Mapping[str, Any] | Any, dtype: Any) -> np.ndarray:
    """The gap between neighbours of the dtype at each value, and that at the smallest normal number below it."""
    info = finfo(dtype)
    sizes = np.clip(np.abs(np.asarray(values, np.float64)), float(info.smallest_normal), float(info.max))
    # Downwards: a value that rounds up to a power of two still has the finer spacing below it.
    exponent = np.floor(np.log2(sizes))
    exponent = np.where(2.0**exponent > sizes, exponent - 1, exponent)
    return 2.0 ** (exponent - info.nmant)
