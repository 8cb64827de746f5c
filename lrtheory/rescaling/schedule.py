"""A schedule for a run of another length: step counts, decays a step, and levels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..numbers import is_concrete
from ..schedules import Schedule, declared
from ..schedules.cycles import first_phase, lost
from ..theory.scaling import check_scale

#: Of how many steps a cycle is looked at: with fewer its peak may fall between two.
FEW = 20


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
        For a scale that is none, a step count that would be rounded to 0, a one-cycle so short that its peak is lost, or a schedule that is a function of one's own.

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
    if schedule.one_length:
        raise ValueError(f"{name} cannot be given another length: {schedule.one_length}")
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
    numbers, changes = declared(schedule), {}
    for field in dataclasses.fields(schedule):  # type: ignore[arg-type]
        value = getattr(schedule, field.name)
        units = numbers[field.name].units if field.name in numbers else None
        if isinstance(value, Schedule):
            changes[field.name] = rescale_schedule(value, length=length, lr=lr)
        elif units == "lr":
            changes[field.name] = value * lr
        elif field.name == "pct_start":
            total = schedule.total_steps  # type: ignore[attr-defined]
            changes[field.name] = first_phase(value, total, _count(name, "total_steps", total, length), length)
        elif units == "steps":
            changes[field.name] = _count(name, field.name, value, length)
        elif units == "per step":
            gamma = (value.high * (1 + value.rest)) ** (1 / length)
            changes[field.name] = numbers[field.name].checked(name, field.name, gamma)
        elif units is None and not field.metadata.get("static") and field.name != "schedules":
            raise TypeError(
                f"{name}: {field.name} is a number that rescale_schedule does not know as a level or a count: declare it "
                "as lrtheory's own schedules do"
            )
    new: Any = dataclasses.replace(schedule, **changes)  # type: ignore[type-var]
    if "pct_start" in changes and length < 1 and is_concrete(new.total_steps) and new.total_steps < FEW:
        peaks = _largest(new, 1.0, new.total_steps), lr * _largest(schedule, 1 / length, new.total_steps)
        if lost(*peaks):
            raise ValueError(
                f"{name}: of so few steps the largest lr would be {peaks[0]:.3g} and not {peaks[1]:.3g}. Nearest: a length of "
                f"at least {length * FEW / new.total_steps:.3g}, or a schedule of your own"
            )
    return new


def _largest(schedule: Any, every: float, count: int) -> float:
    return float(np.nanmax(np.asarray(schedule(np.rint(np.arange(count) * every).astype(int)))))


def _count(owner: str, name: str, value: Any, length: float) -> Any:
    if not is_concrete(value):
        return value * length
    counts = np.asarray(value)
    if not np.issubdtype(counts.dtype, np.integer):
        return value * length
    longest = np.iinfo(np.int32).max  # steps are counted in int32
    if np.max(counts, initial=0) * length > longest:
        raise ValueError(
            f"{owner}: {name}={value} at length={length:g} is more than {longest} steps. Nearest: a length of at most "
            f"{longest / np.max(counts):.3g}"
        )
    new = np.rint(counts * length).astype(counts.dtype)
    if np.any((new == 0) & (counts > 0)):
        raise ValueError(
            f"{owner}: {name}={value} at length={length:g} is less than half a step. Nearest: a length of at least "
            f"{0.5 / np.min(counts[counts > 0]):.3g}, or a schedule without it"
        )
    return int(new) if counts.ndim == 0 else new
