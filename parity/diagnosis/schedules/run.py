"""Schedules as black boxes: step counts in, lr and momentum out."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory.spec.text import SpecError

from ...drivers.in_keras import floatx, load_keras
from ..probe import Path, Probe
from .family import as_path

#: Whether a scheduler of torch is read from its closed form in place of being stepped.
CLOSED = "closed_form"
#: What a momentum is before a scheduler touches it.
UNTOUCHED = 0.123456789


def stepped(make: Callable[[Any], Any], lr: Any, probe: Probe, *, closed: bool = False, resumed: bool = False) -> Path:
    """The lr and momentum of a scheduler of torch, ``make(optimizer)``, along a probe."""
    import torch

    # A number with a dtype stands for a Tensor of it: torch steps in the dtype that it finds in the group.
    lr = torch.tensor(lr) if isinstance(lr, np.generic) else lr
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=UNTOUCHED)
    if resumed:  # torch asks a resumed group what its lr was at first
        optimizer.param_groups[0]["initial_lr"] = lr
    scheduler = make(optimizer)
    if not isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler):
        raise SpecError(f"it returns {type(scheduler).__name__}, which is no scheduler of torch")
    if closed:
        return as_path(np.array([_closed(scheduler, t) for t in range(probe.steps)]))
    optimizer.step()  # torch wants one before the scheduler's first; without a gradient it does nothing
    group, lrs, momenta = optimizer.param_groups[0], np.full(probe.steps, np.nan), np.full(probe.steps, np.nan)
    for t in range(probe.steps):
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


def in_jax(make: Callable[[], Any], probe: Probe, *, of_keras: bool) -> Path:
    """A schedule of optax or Keras, ``make()``, along a probe."""
    with jax.enable_x64(True), floatx(load_keras(), "float64") if of_keras else contextlib.nullcontext():
        return as_path(np.asarray(jax.jit(jax.vmap(make()))(jnp.arange(probe.steps))))


def ours(make: Callable[[], Any], probe: Probe) -> Path:
    """The lr and momentum of a schedule of this package, ``make()``, along a probe."""
    with jax.enable_x64(True):
        schedule = make()
        t = np.arange(1 << (probe.steps - 1).bit_length())  # few lengths, and so few programs
        lr, momentum = _programs()
        moved = momentum(schedule, t) if hasattr(schedule, "momentum") else np.full(len(t), np.nan)
        return as_path(np.asarray(lr(schedule, t))[: probe.steps], np.asarray(moved)[: probe.steps])


@functools.cache
def _programs() -> tuple[Any, Any]:
    """Of lr and momentum, one for all numbers of a schedule."""
    return jax.jit(lambda schedule, t: schedule(t)), jax.jit(lambda schedule, t: schedule.momentum(t))
