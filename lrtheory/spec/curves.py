"""Schedules in a SPEC: built by their own framework and evaluated; never read by the names of their arguments.

Names say only which arguments are levels and which count steps when a schedule is rescaled, and what comes of that is
compared with the old schedule before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..compiling import quickly_compiled
from ..schedules.cycles import first_phase, lost
from ..words import first_line
from ._formula import Formula
from ._keras_backend import load_keras
from ._names import is_scheduler
from .parts import Part, part
from .text import Spec, SpecError, Unread, inside, is_number, parse, short

LEVELS = frozenset((
    "init_value", "peak_value", "end_value", "value", "lr", "eta_min", "max_lr", "base_lr", "swa_lr", "lr_end",
    "initial_learning_rate", "end_learning_rate", "warmup_target", "values",
))  # fmt: skip
COUNTS = frozenset((
    "transition_steps", "transition_begin", "decay_steps", "warmup_steps", "total_steps", "boundaries",
    "boundaries_and_scales", "T_0", "T_max", "anneal_epochs", "milestones", "stable_steps", "start", "step_size",
    "step_size_down", "step_size_up", "timescale", "total_iters", "steps_per_epoch", "first_decay_steps", "num_warmup_steps",
    "num_stable_steps", "num_decay_steps", "num_training_steps",
))  # fmt: skip
#: Schedules whose ``gamma`` is a factor for each step.
BY_STEP = ("exponential", "cyclic", "ExponentialLR", "CyclicLR")
LONGEST = 1 << 15
UNGIVEN = 1e-3
#: Steps at which a function of the step is looked at.
LOOKED_AT = 1000


class Figure(NamedTuple):
    """An lr, and the step that it first holds at."""

    t: int
    lr: float


@dataclass(frozen=True)
class Curve:
    """An lr over steps.

    Attributes
    ----------
    part : Part
    at : array of steps -> array of lr
    start, peak, end : Figure
        At the first step; the largest; and what it comes to rest at, or where its last count of steps ends.
    rests : bool
        Whether it stays at ``end``.
    lr : float or None
        That of the optimizer, for a scheduler of torch.
    momentum : (at the peak, least, largest) or None
        What a scheduler of torch sets momentum, or the first beta, to; ``None`` where it leaves them alone.
    """

    part: Part
    at: Callable[[Any], np.ndarray]
    start: Figure
    peak: Figure
    end: Figure
    rests: bool
    lr: float | None = None
    momentum: tuple[float, float, float] | None = None

    @property
    def text(self) -> str:
        """As it was written."""
        return self.part.spec.text

    def rescaled(self, levels: float = 1.0, batch: float = 1.0) -> Curve:
        """With levels multiplied and counts of steps divided, after it was compared with the old one.

        Raises
        ------
        ValueError
            If it cannot be brought about by its arguments.
        """
        new: dict[str, Any] = {}
        why = f"{short(self.text)} cannot be rescaled to levels ×{levels:g} and 1/{batch:g} of its steps"
        for p in self.part.all():
            for name in {**p.given, **p.parameters}:
                before = p.value(name)
                if batch != 1 and _functions(before):
                    if p.name != "LambdaLR":
                        raise ValueError(
                            f"{why}: {name} is a function of each step. Nearest: write the new one by hand"
                        )
                    new[p.path + name] = inside(before, lambda f: f.every(batch) if isinstance(f, Formula) else f)
                    continue
                if isinstance(before, (Part, Unread)) or (before is None) or before is p.parameters[name].empty:
                    continue
                after = _changed(p.name, name, before, levels, batch)
                if name == "pct_start" and p.name in ("OneCycleLR", "one_cycle") and batch != 1:
                    after = _same_peak(p, before, batch)
                if after != before:
                    new[p.path + name] = after
        if not new and self.lr is None:
            return self
        text = self.part.write(new)
        try:
            found = curve(parse(text), None if self.lr is None else self.lr * levels)
        except SpecError as error:
            raise ValueError(f"{why}: {error}") from error
        ends = bool(np.isnan(self.at(np.array([self.end.t + 2]))[0]))  # in an error, after one step that means nothing
        reach = max(self.end.t, self.peak.t, 1) * (1.0 if ends else 1.25) / batch
        t = np.unique(np.linspace(0, min(reach, found.end.t) if ends else reach, 500).astype(np.int64))
        wide = int(np.ceil(batch * (1 + len(counts(self.part))))) if batch != 1 else 0
        at = np.rint(t * batch).astype(np.int64)
        near = np.stack([self.at(np.maximum(at + d, 0)) for d in np.unique(np.linspace(-wide, wide, 41).astype(int))])
        lrs, low, high = found.at(t), np.nanmin(near, 0) * levels, np.nanmax(near, 0) * levels
        slack = 1e-6 * abs(self.peak.lr * levels) + 1e-2 * (high - low)
        if not np.all((lrs >= low - slack) & (lrs <= high + slack)):
            raise ValueError(f"{why}: as {short(text)} it is another schedule. Nearest: write the new one by hand")
        here = t <= max(found.end.t, found.peak.t)
        peaks = float(np.max(lrs[here])), float(np.nanmax(self.at(at[here]))) * levels
        if batch > 1 and lost(*peaks):
            raise ValueError(
                f"{why}: of so few steps the largest lr would be {peaks[0]:.3g} and not {peaks[1]:.3g}. Nearest: write the new "
                "one by hand"
            )
        return found


def curve(spec: Spec, lr: float | None = None) -> Curve:
    """Build a schedule and look at it.

    Parameters
    ----------
    lr : float, optional
        That of the optimizer, for a scheduler of torch; without one, 1e-3.

    Raises
    ------
    SpecError
        For what its framework refuses, in its words.
    """
    return of_part(part(spec), lr)


def of_part(made: Part, lr: float | None = None) -> Curve:
    """The curve of a schedule that is part of a SPEC."""
    try:
        at = _evaluated(made, UNGIVEN if lr is None else lr)
        follows = any(_functions(value) for p in made.all() for value in p.given.values())
        horizon = max(int(sum(counts(made))), LOOKED_AT if follows else 1)
        t = _grid(horizon, counts(made))
        lrs = at(t)
    except SpecError as error:
        if made.spec.name in str(error):
            raise
        raise SpecError.of(made.spec, error) from error
    except Exception as error:
        raise SpecError.of(made.spec, first_line(error)) from error
    known = np.isfinite(lrs)
    if lrs.ndim != 1 or not known[0]:
        raise SpecError(f"{short(made.spec.text)} gives no lr at the first step")
    if not known.all():  # a scheduler of torch that ends in an error takes one step past its end
        known = known & (t < t[known][-1])
    t, lrs = t[known], lrs[known]
    best = int(np.argmax(lrs))
    if best not in (0, len(t) - 1) and t[best + 1] - t[best - 1] > 2:  # between points of a coarse grid
        dense = np.unique(np.linspace(t[best - 1], t[best + 1], LONGEST).astype(np.int64))
        peak = int(dense[np.argmax(at(dense))])
    else:
        peak = int(t[best])
    later = at(np.array([2, 10, 100]) * horizon) if len(t) == len(known) else np.full(3, lrs[-1])
    if not follows and np.nanmax(later) > lrs[best] + 1e-3 * abs(lrs[best]):  # a function may come to rest later still
        raise SpecError.of(
            made.spec,
            f"it rises on and on, to {np.nanmax(later):.3g} by step {100 * horizon}, so that it has no largest lr; give the optimizer "
            "alone, at the lr that is meant",
        )
    rests = bool(np.all(later == lrs[-1]))
    moving = np.flatnonzero(lrs != lrs[-1])
    end = (int(t[moving[-1] + 1]) if moving.size else 0) if rests else min(_end(made), int(t[-1]))
    figure = lambda step: Figure(int(step), float(at(np.array([step]))[0]))  # noqa: E731
    momentum = at.momentum(peak) if isinstance(at, _Stepped) else None
    return Curve(made, at, figure(0), figure(peak), figure(end), rests, lr, momentum)


def _end(made: Part) -> int:
    """The step at which a schedule that goes on changing was to end: where it says so, else after all that may count steps."""
    total = made.value("total_steps") or made.value("num_training_steps")
    at = made.value("milestones") or made.value("boundaries")
    last = [p for p in made.inner() if p.path.startswith(f"{made.path}schedule")][-1:]
    if is_number(total):
        return int(total)
    if last and isinstance(at, (list, tuple)):
        return int(at[-1]) + _end(last[0])
    return max(int(sum(counts(made))), 1)


def _functions(value: Any) -> bool:
    """Whether it is a function of the step, or has one in it."""
    found: list[bool] = []
    inside([value], lambda entry: found.append(isinstance(entry, Formula)))
    return any(found)


def _evaluated(made: Part, lr: float) -> Callable[[Any], np.ndarray]:
    if is_scheduler(made.factory):
        return _Stepped(made, lr)
    import jax

    with jax.enable_x64(True):
        schedule: Any = made.make()
    if not callable(schedule):
        raise SpecError(f"{short(made.spec.text)} is {type(schedule).__name__}: it has no closed form to look at")
    if made.spec.name.startswith("keras.") and load_keras().backend.backend() != "jax":
        evaluated: Any = schedule
        return np.vectorize(lambda t: float(evaluated(int(t))), otypes=[float])
    compiled = quickly_compiled()(jax.vmap(schedule))

    def at(t: Any) -> np.ndarray:
        t = np.asarray(t)
        padded = np.zeros(max(1024, 1 << (t.size - 1).bit_length()), t.dtype)  # few shapes to compile for
        padded[: t.size] = t.ravel()
        with jax.enable_x64(True):
            return (np.asarray(compiled(padded), np.float64) * np.ones(padded.shape))[: t.size].reshape(t.shape)

    return at


class _Stepped:
    """A scheduler of torch, stepped along."""

    #: No scheduler would set it by itself.
    OWN = 0.5123

    def __init__(self, made: Part, lr: float) -> None:
        import torch

        if made.name == "ReduceLROnPlateau":
            raise SpecError(
                f"{short(made.spec.text)} follows a metric, so there is no lr of a step to look at; give the optimizer alone"
            )
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=self.OWN)
        self.scheduler: Any = made.make(first=optimizer)
        optimizer.step()
        (self.group,) = optimizer.param_groups
        self.lrs, self.momenta = [float(self.group["lr"])], [float(self.group["momentum"])]

    def __call__(self, t: Any) -> np.ndarray:
        """The lr at an array of steps."""
        t = np.asarray(t)
        last = min(int(t.max()), 2 * LONGEST)
        while len(self.lrs) <= last and not np.isnan(self.lrs[-1]):
            try:
                self.scheduler.step()
                self.lrs.append(float(self.group["lr"]))
                self.momenta.append(float(self.group["momentum"]))
            except SpecError:
                raise
            except ValueError:  # the one-cycle policy has an end
                self.lrs.append(np.nan)
        return np.array([self.lrs[min(i, len(self.lrs) - 1)] for i in t.ravel()]).reshape(t.shape)

    def momentum(self, peak: int) -> tuple[float, float, float] | None:
        """At the peak, and the least and largest that were seen."""
        if all(momentum == self.OWN for momentum in self.momenta):
            return None
        return self.momenta[min(peak, len(self.momenta) - 1)], min(self.momenta), max(self.momenta)


def counts(made: Part) -> list[float]:
    """Numbers that may count steps, keys of dicts and those in functions of the step among them."""
    found: list[float] = []

    def see(value: Any) -> None:
        if isinstance(value, Formula):
            inside([n for n in value.numbers if n <= LONGEST], see)  # no scheduler is stepped much farther than that
        elif is_number(value) and value >= 2 and float(value).is_integer():
            found.append(min(value, 10**9))

    for p in made.all():
        for name, parameter in p.parameters.items():
            given = p.given.get(name, parameter.default)
            inside([given], see)
            if isinstance(given, dict):
                inside(list(given), see)
    return found


def _grid(horizon: int, counts: list[float]) -> np.ndarray:
    if horizon <= LONGEST:
        return np.arange(horizon + 2)
    places = np.cumsum(sorted(counts)).tolist() + list(counts)
    near = [int(c) + d for c in places for d in (-2, -1, 0, 1, 2)]
    coarse = np.linspace(0, horizon + 1, LONGEST // 2).astype(np.int64)
    early = np.geomspace(1, horizon, 4096).astype(np.int64)
    return np.unique([0, *coarse, *early, *(n for n in near if 0 <= n <= horizon + 1)])


def _changed(owner: str, name: str, value: Any, levels: float, batch: float) -> Any:
    """An argument of a schedule, for other levels and fewer steps."""
    if name == "gamma" and owner in BY_STEP and batch != 1:
        return value**batch
    if name in COUNTS and isinstance(value, dict):
        changed = {_count(key, batch): entry for key, entry in value.items()}
        if len(changed) != len(value):
            raise ValueError(
                f"{name}={value} divided by {batch:g} has two boundaries at one step; write the new one by hand"
            )
        return changed
    if isinstance(value, Mapping):
        return {key: _changed(owner, key, entry, levels, batch) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        changed = type(value)(_changed(owner, name, entry, levels, batch) for entry in value)
        if name in ("milestones", "boundaries") and len(set(changed)) < len(set(value)):
            raise ValueError(
                f"{name}={value} divided by {batch:g} has two of them at one step; write the new one by hand"
            )
        return changed
    if not is_number(value):
        return value
    return value * levels if name in LEVELS else _count(value, batch) if name in COUNTS else value


def _same_peak(p: Part, share: float, batch: float) -> float:
    """The share of the steps after which a one-cycle of fewer steps has its peak where it was."""
    if total := p.value("total_steps"):
        return first_phase(share, total, _count(total, batch), 1 / batch)
    epochs, steps = p.value("epochs"), p.value("steps_per_epoch")
    return first_phase(share, epochs * steps, epochs * _count(steps, batch), 1 / batch)


def _count(value: Any, batch: float) -> Any:
    if batch == 1 or not is_number(value):
        return value
    return max(1, round(value / batch)) if isinstance(value, int) and value > 0 else value / batch
