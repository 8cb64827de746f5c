"""How a problem is trained: a rule and a schedule, by the names each framework has for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import torch

from lrtheory.names import entry
from lrtheory.names.torch import NAMES
from lrtheory.rules import Rule

from ..cases import LrSchedule


@dataclass(frozen=True)
class Setup:
    """A rule with its numbers and schedule."""

    label: str
    rule: Rule
    numbers: Mapping[str, float]
    schedule: LrSchedule = field(default_factory=LrSchedule)

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
        fixed = {name: jnp.full(steps, value, float) for name, value in hyper._asdict().items() if value is not None}
        return hyper._replace(**{**fixed, **self.schedule.moving(hyper, steps)})

    def torch_optimizer(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer in PyTorch."""
        name, options = entry(NAMES, self.rule), self.rule.options
        return getattr(torch.optim, name.class_name(options))(parameters, **name.arguments(options, self.hyper))
