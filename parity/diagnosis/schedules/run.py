"""Schedules as black boxes: step counts in, lr and momentum out."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from lrtheory import schedules, spec
from lrtheory.spec.text import SpecError

from ...drivers.in_keras import floatx, load_keras
from ..probe import Path, Probe
from .family import as_path

TORCH = "torch.optim.lr_scheduler."
#: Whether a scheduler of torch is read from its closed form in place of being stepped.
CLOSED = "closed_form"
#: What a momentum is before a scheduler touches it.
UNTOUCHED = 0.123456789


def run_schedule(name: str, arguments: Mapping[str, Any], probe: Probe) -> Path:
    """The lr and momentum of one schedule along a probe."""
    run = {"torch": _torch, "optax": _in_jax, "keras": _in_jax}.get(name.split(".")[0], _ours)
    return run(name, arguments, probe.steps)


def _torch(name: str, arguments: Mapping[str, Any], steps: int) -> Path:
    import torch

    given = {key: value for key, value in arguments.items() if key not in ("lr", CLOSED)}
    lr = arguments["lr"]
    # A number with a dtype stands for a Tensor of it: torch steps in the dtype that it finds in the group.
    lr = torch.tensor(lr) if isinstance(lr, np.generic) else lr
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=UNTOUCHED)
    if given.get("last_epoch", -1) != -1:  # torch asks a resumed group what its lr was at first
        optimizer.param_groups[0]["initial_lr"] = lr
    scheduler: Any = spec.resolve(spec.parse(name))(optimizer, **given)
    if arguments[CLOSED]:
        return as_path(np.array([_closed(scheduler, t) for t in range(steps)]))
    optimizer.step()  # torch wants one before the scheduler's first; without a gradient it does nothing
    group, lrs, momenta = optimizer.param_groups[0], np.full(steps, np.nan), np.full(steps, np.nan)
    for t in range(steps):
        lrs[t], momenta[t] = float(group["lr"]), float(group["momentum"])
        try:
            scheduler.step()
        except ValueError as error:
            if "total steps" not in str(error):
                raise
            break  # OneCycleLR has come to its end
    left_alone = bool(np.all(momenta[np.isfinite(momenta)] == UNTOUCHED))
    return as_path(lrs, None if left_alone else momenta)


def _closed(scheduler: Any, t: int) -> float:
    """Its lr after ``t`` steps by its formula, which ``step(t)`` uses with a warning."""
    if not hasattr(scheduler, "_get_closed_form_lr"):
        raise SpecError(f"{type(scheduler).__name__} has no closed form: it steps alone")
    scheduler.last_epoch = t
    return float(scheduler._get_closed_form_lr()[0])


def _in_jax(name: str, arguments: Mapping[str, Any], steps: int) -> Path:
    import jax
    import jax.numpy as jnp

    of_keras = name.startswith("keras.")
    with jax.enable_x64(True), floatx(load_keras(), "float64") if of_keras else contextlib.nullcontext():
        schedule = spec.resolve(spec.parse(name))(**arguments)
        return as_path(np.asarray(jax.jit(jax.vmap(schedule))(jnp.arange(steps))))


def _ours(name: str, arguments: Mapping[str, Any], steps: int) -> Path:
    import jax

    with jax.enable_x64(True):
        schedule = schedules.get(name)(**arguments)
        t = np.arange(1 << (steps - 1).bit_length())  # few lengths, and so few programs
        lr, momentum = _programs()
        moved = momentum(schedule, t) if hasattr(schedule, "momentum") else np.full(len(t), np.nan)
        return as_path(np.asarray(lr(schedule, t))[:steps], np.asarray(moved)[:steps])


@functools.cache
def _programs() -> tuple[Any, Any]:
    """Of lr and momentum, one for all numbers of a schedule."""
    import jax

    return jax.jit(lambda schedule, t: schedule(t)), jax.jit(lambda schedule, t: schedule.momentum(t))
