"""The learning rate in force, beside the scheduler's state and the steps taken."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from ... import schedules
from ...names.torch import SCHEDULERS
from .._arrays import scalar
from ..checkpoint import Checkpoint
from ..fault import Fault, Notes, some
from ..identified import Identified

#: Positions that are tried for an lr, and how closely one fits: torch multiplies step by step.
FURTHEST, CLOSE = 1_000_000, 1e-3
#: Numbers of a schedule that say how long it is.
LENGTHS = ("T_max", "total_iters", "total_steps")
#: Steps that may be left out, as a share and besides; steps after which several schedulers a step may be told from a lost count.
SKIPPED, FEW, SETTLED, PROCESSES = 0.05, 2, 20, 64
RESTARTED = "load the scheduler's state too, or make it with last_epoch set to the steps taken"


def lr_explained(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """Each group's lr is what its scheduler last set, at the place where the scheduler is."""
    lrs = [scalar(group.numbers.get("lr")) for group in of.saved.groups]
    for i, lr in enumerate(lrs):
        if lr is not None and lr < 0:
            yield Fault("lr-negative", "proven", f"lr of group {i} is {lr:g}.", "set it as the run was started with")
    own = _schedulers(of, checkpoint)
    if not own:
        scheduled = [g for g in of.saved.groups if "initial_lr" in g.numbers]
        said = (
            f"nothing says of which optimizer {some(list(checkpoint.schedulers))} is"
            if checkpoint.schedulers
            else "its state is not in this checkpoint, and starts again without"
            if scheduled
            else "there is no scheduler here"
        )
        notes.not_judged.append(f"the schedule of the lr: {said}")
        return
    if len(own) > 1:  # they take turns, or each multiplies what the other left
        furthest = max(own, key=lambda path: own[path].get("last_epoch", -1))
        notes.not_judged.append(f"the lr beside {some(list(own))}: more than one scheduler moves it")
        yield from _position(of, checkpoint, furthest, own[furthest], notes)
        return
    for path, scheduler in own.items():
        yield from _beside_groups(of, path, scheduler, lrs)
        yield from _position(of, checkpoint, path, scheduler, notes)
        yield from _formula(of, path, scheduler, lrs, notes)


def _schedulers(of: Identified, checkpoint: Checkpoint) -> dict[str, Mapping[str, Any]]:
    """Those of this optimizer: all of them beside one optimizer, else the one in its place."""
    if len(checkpoint.optimizers) == 1:
        return dict(checkpoint.schedulers)
    place = [o.path for o in checkpoint.optimizers].index(of.saved.path)
    own = list(checkpoint.schedulers.items())
    return dict([own[place]]) if len(own) == len(checkpoint.optimizers) else {}


def _close(a: Any, b: Any) -> bool:
    return bool(np.isclose(float(a), float(b), rtol=CLOSE, atol=1e-12))


def _beside_groups(of: Identified, path: str, scheduler: Mapping[str, Any], lrs: list[float | None]) -> Iterator[Fault]:
    """The lr in force and the first lr, beside what the scheduler holds of them."""
    for key, own, said in (
        ("base_lrs", [scalar(g.numbers.get("initial_lr")) for g in of.saved.groups], "started with"),
        ("_last_lr", lrs, "last set"),
    ):
        theirs = [scalar(value) for value in scheduler.get(key) or ()]
        if not theirs:
            continue
        if len(theirs) != len(own):
            text = f"{path} is of {len(theirs)} groups, and the optimizer has {len(own)}."
            fix = "scheduler and optimizer are of two runs: take both from one checkpoint"
            yield Fault("groups-do-not-fit-schedule", "proven", text, fix)
            return
        wrong = [
            i
            for i, (a, b) in enumerate(zip(own, theirs, strict=True))
            if a is not None and b is not None and not _close(a, b)
        ]
        if not wrong:
            continue
        i, swapped = wrong[0], sorted(map(str, own)) == sorted(map(str, theirs))
        text = f"The groups' lrs are {_listed(own)}, and {path} {said} {_listed(theirs)}: "
        text += f"{'the groups are in another order' if swapped else f'that of group {i} was set by something else, or they are of two moments'}."
        fix = "load optimizer and scheduler of one checkpoint, into groups in the order in which they were saved"
        yield Fault(
            "groups-swapped" if swapped else "lr-not-the-schedules",
            "proven",
            text,
            fix,
            evidence={"lr": own, key: theirs},
        )
        return


def _listed(values: list[float | None]) -> str:
    return ", ".join("none" if v is None else f"{v:.4g}" for v in values)


def _position(
    of: Identified, checkpoint: Checkpoint, path: str, scheduler: Mapping[str, Any], notes: Notes
) -> Iterator[Fault]:
    """Where the scheduler is, beside the steps and epochs of the run."""
    at, steps = scheduler.get("last_epoch"), of.steps
    if not isinstance(at, int):
        notes.not_judged.append(f"where {path} is: it keeps no count")
        return
    counters = {**({"the optimizer's steps": steps} if steps is not None else {}), **checkpoint.counters}
    if at < 0 or not counters:
        notes.not_judged.append(f"whether {path} is where the run is: there is no count of steps or epochs")
        return
    if any(_explains(at, n, "epoch" in name) for name, n in counters.items()):
        notes.looked_at.append(f"{path} is at {at}, as the run is")
        return
    name, n = max(counters.items(), key=lambda item: item[1])
    planned = max((scheduler[key] for key in LENGTHS if isinstance(scheduler.get(key), int)), default=None)
    behind = "it started again, or it is of an earlier checkpoint" if at < n else "it is of a later checkpoint"
    plan = f", of {planned} planned" if planned else ""
    if at == 0 and planned and 2 * planned < n and not any("epoch" in c for c in checkpoint.counters):
        notes.not_judged.append(
            f"whether {path}, at 0{plan}, started again: it may be stepped once an epoch, and this is the first"
        )
        return
    text = f"{path} is at {at}{plan}, and {name} {'are' if name.endswith('s') else 'is'} {n}: {behind}."
    yield Fault(
        "schedule-restarted" if at < n else "schedule-ahead",
        "likely",
        text,
        RESTARTED,
        evidence={"last_epoch": at, **counters},
    )


def _explains(at: int, n: int, epochs: bool) -> bool:
    """Whether a scheduler that is stepped with each step, each epoch, or by each of several processes stands there."""
    if epochs:
        return abs(at - n) <= 1
    if at == 0:
        return n == 0
    if abs(at - n) <= max(FEW, SKIPPED * max(at, n)):
        return True
    return n % at == 0 or (n >= SETTLED and at % n == 0 and at // n <= PROCESSES)


def _formula(
    of: Identified, path: str, scheduler: Mapping[str, Any], lrs: list[float | None], notes: Notes
) -> Iterator[Fault]:
    """The lr in force is on the curve, at the scheduler's place."""
    at, first = scheduler.get("last_epoch"), [scalar(g.numbers.get("initial_lr")) for g in of.saved.groups]
    bases = scheduler.get("base_lrs") or first
    if not isinstance(at, int) or at < 0 or len(bases) != len(lrs):
        notes.not_judged.append(f"whether lr is on the curve of {path}: it keeps no place on one")
        return
    for group, (lr, base) in enumerate(zip(lrs, bases, strict=True)):
        try:
            with jax.enable_x64(True):
                curve = scheduled(scheduler, float(base)) if base is not None else None
                should = None if curve is None else float(curve(at))
        except (KeyError, TypeError, ValueError, OverflowError):
            curve = should = None
        if curve is None or should is None or lr is None or first[group] is None:
            notes.not_judged.append(f"whether lr is on the curve of {path}: its formula is not in the checkpoint")
            return
        if _close(should, lr):
            continue
        upto = np.arange(min(FURTHEST, 4 * max(at, of.steps or 0, 1000)))
        with jax.enable_x64(True):
            fits = upto[np.isclose(np.asarray(curve(upto)), lr, rtol=CLOSE, atol=1e-12)]
        where = f"it is the lr of place {fits[0]}" if len(fits) else "it is the lr of no place"
        text = f"lr of group {group} is {lr:.4g}; {path} is at {at}, where its formula gives {should:.4g}: {where}."
        yield Fault(
            "lr-off-the-schedule",
            "proven" if not len(fits) else "likely",
            text,
            RESTARTED,
            evidence={"lr": lr, "last_epoch": at, "expected": should},
        )
        return
    notes.looked_at.append(f"lr on the curve of {path}")


def scheduled(state: Mapping[str, Any], lr: float) -> Any:
    """Our schedule of a torch scheduler's state, or ``None`` for one whose formula is not known from it."""
    if "_schedulers" in state:
        inner = [scheduled(each, lr) for each in state["_schedulers"]]
        if None in inner or "_milestones" not in state:
            return None
        return schedules.sequential(schedules=inner, milestones=list(state["_milestones"]))
    found: dict[str, Any] = {}
    best = ""
    for name in (*SCHEDULERS, "constant"):
        wanted = [p for p in inspect.signature(schedules.get(name)).parameters if p != "lr"]
        if all(p in state for p in wanted) and len(wanted) > len(found):
            best, found = name, {p: state[p] for p in wanted}
    if not best or "lr_lambdas" in state or "total_size" in state:
        return None
    if "milestones" in found:
        found["milestones"] = (
            sorted(found["milestones"].elements())
            if hasattr(found["milestones"], "elements")
            else sorted(found["milestones"])
        )
    return schedules.get(best)(lr=lr, **found)
