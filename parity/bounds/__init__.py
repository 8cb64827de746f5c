"""How far a correct implementation may be from the truth after one step: derived, step by step and entry by entry."""

from __future__ import annotations

import numpy as np

from ..cases import Case
from ..compare import alike
from ..dtypes import numbers_in, works_in
from ..oracle.judge import held_in, judge, steps_of
from ..oracle.run import Stepper
from ..trajectory import Trajectory
from .bounded import Bounded, Format
from .running_error import RunningError

#: Equivalent forms of one formula: an average as β·m + (1−β)·g or as m + (1−β)·(g − m), decay as p − lr·wd·p or as
#: p·(1 − lr·wd), the lr multiplied in early or late. None has more than three roundings of a term where the
#: definition has one.
FORMS = 3.0

#: Newton-Schulz in bfloat16 against exact arithmetic, in entries of the orthogonalised matrix. Empirical, and no bound of
#: rounding: worst cases grow by a factor of 20 an iteration. Largest found: 0.126 (torch and ours, matrices up to 16×12,
#: six streams of 60 steps, both sets of coefficients).
MUON = 0.25


def bound(case: Case, run: Trajectory, *, reference: Trajectory | None = None) -> dict[str, np.ndarray]:
    """Largest error of the parameters after one step from the run's own state, shape (steps, *shape).

    Running error analysis of the rule's definition, times :data:`FORMS`; with Muon :data:`MUON` besides. An implementation
    that widens half precision inside has the bound of float32 and one rounding when it stores. Infinite where rounding can
    turn a difference of nearly equal numbers below 0 under a root, make a divisor 0 or a number overflow.

    Parameters
    ----------
    case, run
        A case and one implementation's run of it.
    reference : Trajectory, optional
        What the run was forced to.
    """
    working = works_in(case.dtype, run.implementation, case.rule)
    once = working != case.dtype
    if case.rule == "muon":
        working = numbers_in(case.dtype)  # its iteration is in bfloat16 whatever the parameters: MUON is for that
    a = RunningError(working)
    with a.precision():
        stepper = Stepper(case, a, lrs=run.lrs, held_in=held_in(case, run.implementation))
        after = [moved for _, moved in steps_of(stepper, run, reference)]
    limits = {name: FORMS * np.stack([step[name].error for step in after]) for name in run.params}
    if case.rule == "muon":
        for limit in limits.values():
            rows, columns = limit.shape[1:]
            matched = case.options.get("adjust_lr_fn") == "match_rms_adamw"
            ratio = 0.2 * np.sqrt(max(rows, columns)) if matched else np.sqrt(max(1, rows / columns))
            limit += MUON * ratio * np.asarray(run.lrs, float)[:, None, None]
    if working != case.dtype:
        stored = Format.of(case.dtype)
        for name, limit in limits.items():
            value = np.stack([step[name].value for step in after])
            for _ in range(1 if once else round(FORMS)):
                limit = stored.rounding(value, limit)
            limits[name] = limit
    return {name: np.where(np.isnan(limit), np.inf, limit) for name, limit in limits.items()}


def excess(case: Case, run: Trajectory, *, reference: Trajectory | None = None) -> dict[str, np.ndarray]:
    """The error of each step over its bound: at most 1 for a correct implementation.

    The truth is the step for the numbers as the implementation holds them (:func:`parity.oracle.judge`).
    """
    judged = judge(case, run, numbers="held", reference=reference)
    limits = bound(case, run, reference=reference)
    return {
        name: _share(error, limits[name], judged.value[name], judged.truth[name])
        for name, error in judged.error.items()
    }


def _share(error: np.ndarray, limit: np.ndarray, value: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """``abs(error)/limit``: 0 where both are the same infinity or nan, and where there is no limit."""
    value = value.astype(np.float64)
    same = alike(value, truth) | (error == 0)
    with np.errstate(all="ignore"):
        share = np.abs(error) / limit
    return np.where(same | np.isinf(limit), 0.0, np.where(np.isnan(share), np.inf, share))


__all__ = ["FORMS", "MUON", "Bounded", "Format", "RunningError", "bound", "excess"]
