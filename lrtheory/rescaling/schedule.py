"""A schedule for a run of another length: step counts, decays a step, and levels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..numbers import is_concrete
from ..schedules import Schedule
from ..schedules.power import Gamma, gamma_of
from ..theory.scaling import check_scale

# What a schedule's numbers are. Those that are named nowhere are pure: ratios, powers, momenta, numbers of cycles.
LEVELS = ("lr", "eta_min", "max_lr", "base_lr", "swa_lr", "lr_end")
COUNTS = (
    "T_0", "T_max", "anneal_epochs", "decay_steps", "milestones", "stable_steps", "start", "step_size", "step_size_down",
    "step_size_up", "timescale", "total_iters", "total_steps", "warmup_steps",
)  # fmt: skip
GAMMA_PER_STEP = ("Exponential", "Cyclic")
OTHERS = (
    "T_mult", "base_momentum", "div_factor", "end_factor", "factor", "final_div_factor", "gamma", "max_momentum",
    "min_ratio", "num_cycles", "pct_start", "power", "products", "schedules", "start_factor",
)  # fmt: skip
REFUSED = {
    "Lambda": "its factor is a function of the step that cannot be read. Nearest: write it in terms of t·κ",
    "Multiplicative": "its factors are one a step, taken from a function. Nearest: multiply κ of them into one",
}


def rescale_schedule(schedule: Schedule, *, length: float = 1.0, lr: float = 1.0) -> Schedule:
    r"""The schedule of a run with ``length`` times as many steps, its levels multiplied by ``lr``.

    Step counts are multiplied by ``length`` and rounded to whole ones where they were; a decay factor per step becomes
    :math:`gamma^{1/length}`. So the new schedule at step t is ``lr`` times the old one at t/length, up to that rounding, and
    up to the last step of ``one_cycle``, which is at total_steps − 1 in a run of any length: its peak is moved to where it was. For
    a batch κ times as large over the same examples ``length`` is 1/κ.

    Decay rates of an optimizer (betas) are memories in steps. ``rescale(..., batch=κ, method="sde")`` shortens them with the
    schedule; a run that is only made longer keeps them, or lengthens them to the same share of the run.

    Parameters
    ----------
    schedule : Schedule
    length, lr : scale in (0, inf)

    Raises
    ------
    ValueError
        For a scale that is none, a step count that would be rounded to 0, or a schedule that is a function of one's own.

    Examples
    --------
    >>> from lrtheory import schedules
    >>> longer = rescale_schedule(schedules.exponential(lr=1.0, gamma=0.25), length=2, lr=0.5)
    >>> longer([0, 1, 2]).tolist()
    [0.5, 0.25, 0.125]
    """
    check_scale("length", length)
    check_scale("lr", lr)
    if not isinstance(schedule, Schedule):
        raise TypeError(
            f"{type(schedule).__name__} is no schedule of lrtheory.schedules with a closed form; the plateau counts epochs "
            "and is left as it is"
        )
    name = type(schedule).__name__
    if name in REFUSED:
        raise ValueError(f"{name} cannot be given another length: {REFUSED[name]}")
    parts = getattr(schedule, "schedules", None)
    if parts is not None:
        # A chain multiplies what is in force: its levels are those of one part, the first.
        scales = [lr] * len(parts) if hasattr(schedule, "milestones") else [lr] + [1.0] * (len(parts) - 1)
        inside = tuple(rescale_schedule(s, length=length, lr=scale) for s, scale in zip(parts, scales, strict=True))
        schedule = dataclasses.replace(schedule, schedules=inside)  # type: ignore[type-var]
    if getattr(schedule, "scale_fn", None) is not None and getattr(schedule, "scale_mode", "") == "iterations":
        raise ValueError(
            f"{name} cannot be given another length: its scale_fn is a function of the step. Nearest: exp_range"
        )
    changes = {}
    for field in dataclasses.fields(schedule):  # type: ignore[arg-type]
        value = getattr(schedule, field.name)
        if field.name in LEVELS and not (parts is not None and field.name == "lr"):
            changes[field.name] = value * lr
        elif field.name == "pct_start":  # phases end at pct_start·total_steps − 1
            total = schedule.total_steps  # type: ignore[attr-defined]
            changes[field.name] = ((value * total - 1) * length + 1) / _count(name, "total_steps", total, length)
        elif field.name in COUNTS:
            changes[field.name] = _count(name, field.name, value, length)
        elif field.name == "gamma" and name in GAMMA_PER_STEP:
            changes[field.name] = _gamma(name, value, 1 / length)
        elif field.name not in LEVELS + OTHERS and not field.metadata.get("static"):
            raise TypeError(
                f"{name}: {field.name} is a number that rescale_schedule does not know as a level or a count"
            )
    return dataclasses.replace(schedule, **changes)  # type: ignore[type-var]


def _count(owner: str, name: str, value: Any, length: float) -> Any:
    if not is_concrete(value):
        return value * length
    counts = np.asarray(value)
    if not np.issubdtype(counts.dtype, np.integer):
        return value * length
    new = np.rint(counts * length).astype(counts.dtype)
    if np.any((new == 0) & (counts > 0)):
        raise ValueError(
            f"{owner}: {name}={value} at length={length:g} is less than half a step. Nearest: a length of at least "
            f"{0.5 / np.min(counts[counts > 0]):.3g}, or a schedule without it"
        )
    return int(new) if counts.ndim == 0 else new


def _gamma(owner: str, gamma: Gamma, power: float) -> Gamma:
    return gamma_of(owner, "gamma", (gamma.high * (1 + gamma.rest)) ** power)
