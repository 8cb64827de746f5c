"""How a problem is trained: a rule and a schedule, by the names each framework has for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch

from lrtheory import schedules
from lrtheory.names import entry
from lrtheory.names.torch import NAMES, SCHEDULERS
from lrtheory.rules import Rule


@dataclass(frozen=True)
class NamedSchedule:
    """A schedule by its name in ``lrtheory.schedules``, with the numbers both frameworks give it.

    ``period`` is the number of optimizer steps between two scheduler steps: 1, or the steps of an epoch.
    """

    name: str = "constant"
    numbers: Mapping[str, float] = field(default_factory=lambda: {"factor": 1.0, "total_iters": 0})
    period: int = 1

    def ours(self, lr: float) -> schedules.Schedule:
        """The schedule in lrtheory."""
        return schedules.get(self.name)(**{"max_lr" if self.name == "one_cycle" else "lr": lr}, **self.numbers)

    def torch(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """The scheduler in PyTorch."""
        peak = {"max_lr": optimizer.param_groups[0]["lr"]} if self.name == "one_cycle" else {}
        scheduler = {"constant": "ConstantLR", **SCHEDULERS}[self.name]
        return getattr(torch.optim.lr_scheduler, scheduler)(optimizer, **peak, **self.numbers)


CONSTANT = NamedSchedule()


@dataclass(frozen=True)
class Setup:
    """A rule with its numbers and schedule."""

    label: str
    rule: Rule
    numbers: Mapping[str, float]
    schedule: NamedSchedule = CONSTANT

    @property
    def hyper(self) -> Any:
        """The rule's hyperparameters, defaults among them."""
        return self.rule.hyper(**self.numbers)

    def with_hyper(self, hyper: Any) -> Setup:
        """The same with other hyperparameters."""
        return replace(self, numbers={name: value for name, value in hyper._asdict().items() if value is not None})

    def hypers(self, steps: int) -> Any:
        """Hyperparameters of every step: a NamedTuple of arrays of shape (steps,)."""
        hyper = self.hyper
        schedule = self.schedule.ours(hyper.lr)
        t = np.arange(steps) // self.schedule.period
        moving: dict[str, Any] = {"lr": schedule(t)}
        cycle = getattr(schedule, "momentum", None)
        if cycle is not None:
            moving["momentum" if "momentum" in hyper._fields else "beta1"] = cycle(t)
        fixed = {name: jnp.full(steps, value, float) for name, value in hyper._asdict().items() if value is not None}
        return hyper._replace(**{**fixed, **moving})

    def torch_optimizer(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer in PyTorch."""
        name, options = entry(NAMES, self.rule), self.rule.options
        return getattr(torch.optim, name.class_name(options))(parameters, **name.arguments(options, self.hyper))
