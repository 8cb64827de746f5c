"""The runs as data: a rule with its options and numbers, a stream of gradients and a moving lr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lrtheory import schedules
from lrtheory.names.torch import SCHEDULERS

from . import table
from .dtypes import DTYPES

#: Two tensors, as a step count is kept for each. Most rules treat a coordinate alike wherever it stands, so that more
#: shapes would only be more to compile; those that do not have shapes of their own.
TENSORS: Mapping[str, tuple[int, ...]] = {"weight": (8, 5), "scalar": ()}

#: How many times its lowest lr a cyclic schedule rises to.
CYCLE = 5.0
#: Schedules that torch's own schedulers step.
TORCH = {"constant": "ConstantLR", **SCHEDULERS}


@dataclass(frozen=True)
class Stream:
    """Gradients that change sign and size: no constant stream can tell one decay rate from another.

    Each coordinate has its own size, spread evenly in the logarithm over ``decades``, and each step another,
    over ``step_decades``. A share of the entries is exactly zero.
    """

    seed: int = 0
    decades: float = 12.0
    step_decades: float = 2.0
    zeros: float = 0.05

    def draw(self, tensors: Mapping[str, tuple[int, ...]], steps: int) -> dict[str, np.ndarray]:
        """Float64 gradients by tensor name, shape ``(steps, *shape)``."""
        rng = np.random.default_rng(self.seed)
        step_size = 10.0 ** rng.uniform(-self.step_decades / 2, self.step_decades / 2, steps)
        gradients = {}
        for name, shape in tensors.items():
            size = 10.0 ** rng.uniform(-self.decades / 2, self.decades / 2, shape)
            noise = rng.standard_normal((steps, *shape)) + 0.3 * rng.standard_normal(shape)
            present = rng.random((steps, *shape)) >= self.zeros
            gradients[name] = noise * present * size * step_size.reshape((steps,) + (1,) * len(shape))
        return gradients


#: The stream of each dtype. Four decades in float16, whose largest number is 65504: so far that squares both vanish and
#: overflow in the state, and that no gradient does.
STREAMS: Mapping[str, Stream] = {dtype: Stream(decades=4.0 if dtype == "float16" else 12.0) for dtype in DTYPES}


@dataclass(frozen=True)
class LrSchedule:
    """How the lr moves: ``constant``, ``moving`` (drawn anew every step) or a schedule's name with its numbers.

    A named schedule is stepped by each framework with its own scheduler, once in ``period`` steps of the optimizer.
    """

    name: str = "constant"
    numbers: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    period: int = 1

    def __str__(self) -> str:
        return self.name

    def drawn(self, lr: float, steps: int) -> np.ndarray:
        """The lr of each step for ``constant`` and ``moving``, over two decades in the latter."""
        if self.name == "constant":
            return np.full(steps, lr)
        if self.name == "moving":
            return lr * 10.0 ** np.random.default_rng(self.seed).uniform(-1, 1, steps)
        raise ValueError(f"the lr of schedule {self.name!r} is not drawn: a backend steps it")

    @property
    def is_drawn(self) -> bool:
        """Whether the lr of each step is part of the data."""
        return self.name == "moving" or (self.name == "constant" and not self.numbers)

    def _given(self, lr: float) -> dict[str, Any]:
        """The numbers, and what one schedule and its scheduler in torch call the lr itself."""
        own = {"one_cycle": {"max_lr": lr}, "cyclic": {"base_lr": lr, "max_lr": CYCLE * lr}}
        return {**own.get(self.name, {}), **self.numbers}

    def ours(self, lr: float) -> schedules.Schedule:
        """A named schedule in lrtheory."""
        given = self._given(lr)
        return schedules.get(self.name)(**({} if "max_lr" in given else {"lr": lr}), **given)

    def moving(self, hyper: Any, steps: int) -> dict[str, Any]:
        """The numbers of a rule that it moves, by name, with one entry a step."""
        if self.is_drawn:
            return {"lr": self.drawn(float(hyper.lr), steps)}
        schedule: Any = self.ours(float(hyper.lr))
        t = np.arange(steps) // self.period
        if not hasattr(schedule, "momentum"):
            return {"lr": schedule(t)}
        cycled = "momentum" if "momentum" in hyper._fields else "beta1"
        return {"lr": schedule(t), cycled: schedule.momentum(t)}

    def in_torch(self, optimizer: Any) -> Any:
        """Torch's scheduler of a named schedule; ``None`` where the lr is drawn.

        Raises
        ------
        Inexpressible
            For a schedule that torch steps no scheduler for.
        """
        import torch

        if self.is_drawn:
            return None
        if self.name not in TORCH:
            raise table.Inexpressible(f"no torch scheduler is stepped for {self.name}: there are {', '.join(TORCH)}")
        given = self._given(optimizer.defaults["lr"])
        return getattr(torch.optim.lr_scheduler, TORCH[self.name])(optimizer, **given)


@dataclass(frozen=True)
class Case:
    """One run of one rule.

    Attributes
    ----------
    rule, options, numbers
        Names and values as :mod:`lrtheory.rules` has them; numbers that are not named have their defaults.
    stream, schedule, steps, dtype, tensors, seed
        Gradients, moving lr, length, one of :data:`~parity.dtypes.DTYPES`, shapes by name, and the seed of the
        first parameters: zero in the first tensor, so that nothing hides a small step, and of size 1 elsewhere.
    loss_scale, param_scale
        α and c: gradients are those of αL(θ/c), α/c times as large, and parameters start c times as far out. The
        numbers are taken as they are given.
    """

    rule: str
    options: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    stream: Stream = Stream()
    schedule: LrSchedule = LrSchedule()
    steps: int = 200
    dtype: str = "float64"
    tensors: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seed: int = 0

    loss_scale: float = 1.0
    param_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(
                f"dtype={self.dtype!r} must be one of {', '.join(DTYPES)}: runs are compared in one of these"
            )
        if not self.tensors:
            object.__setattr__(self, "tensors", dict(table.row(self.rule).tensors or TENSORS))

    def gradients(self) -> dict[str, np.ndarray]:
        """Gradients by tensor name, shape ``(steps, *shape)``, in the run's dtype."""
        scale = self.loss_scale / self.param_scale
        return {k: (scale * v).astype(self.dtype) for k, v in self.stream.draw(self.tensors, self.steps).items()}

    def first_params(self) -> dict[str, np.ndarray]:
        """Parameters before the first step, in the run's dtype."""
        rng = np.random.default_rng(self.seed)
        params = {name: rng.standard_normal(shape) for name, shape in self.tensors.items()}
        first = next(iter(params))
        params[first] = np.zeros_like(params[first])
        return {name: np.asarray(self.param_scale * value, self.dtype) for name, value in params.items()}

    @property
    def label(self) -> str:
        """Options and numbers that differ from the defaults, as text."""
        parts = [k if v is True else f"{k}={v}" for k, v in self.options.items() if v is not False]
        parts += [f"{k}={v:g}" for k, v in self.numbers.items() if k != "lr"]
        return ", ".join(parts) or "defaults"

    def with_(self, **changes: Any) -> Case:
        """The same case with some fields changed."""
        return replace(self, **changes)
