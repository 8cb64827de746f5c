"""How far a correct implementation may be from the truth after one step: derived, step by step and entry by entry."""

from __future__ import annotations

import numpy as np

from ..cases import Case
from ..oracle.judge import Judgement, holds_numbers, judge, steps_of
from ..oracle.run import Stepper
from ..trajectory import Trajectory
from .running_error import Bounded, RunningError

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

    Running error analysis of the rule's definition, times :data:`FORMS`; with Muon :data:`MUON` besides. Infinite where rounding can turn a difference
    of nearly equal numbers below 0 under a root.

    Parameters
    ----------
    case, run
        A case and one implementation's run of it.
    reference : Trajectory, optional
        What the run was forced to.
    """
    held = case.dtype if holds_numbers(run.implementation) else None
    a = RunningError(case.dtype)
    with a.precision():
        stepper = Stepper(case, a, lrs=run.lrs, held_in=held)
        after = [moved for _, moved in steps_of(stepper, run, reference)]
    limits = {name: FORMS * np.stack([step[name].error for step in after]) for name in run.params}
    if case.rule == "muon":
        for limit in limits.values():
            rows, columns = limit.shape[1:]
            matched = case.options.get("adjust_lr_fn") == "match_rms_adamw"
            ratio = 0.2 * np.sqrt(max(rows, columns)) if matched else np.sqrt(max(1, rows / columns))
            limit += MUON * ratio * np.asarray(run.lrs, float)[:, None, None]
    return limits


def excess(case: Case, run: Trajectory, *, reference: Trajectory | None = None) -> dict[str, np.ndarray]:
    """The error of each step over its bound: at most 1 for a correct implementation.

    The truth is the step for the numbers as the implementation holds them (:func:`parity.oracle.judge`).
    """
    judgement: Judgement = judge(case, [run], numbers="held", reference=reference)
    errors, limits = judgement.judged[run.implementation].error, bound(case, run, reference=reference)
    with np.errstate(all="ignore"):
        return {name: np.where(error == 0, 0.0, np.abs(error) / limits[name]) for name, error in errors.items()}


__all__ = ["FORMS", "MUON", "Bounded", "RunningError", "bound", "excess"]
