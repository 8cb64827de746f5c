"""Reducing the lr when a metric stops improving: the one schedule with a memory."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, REAL, hyperparameters
from ._schedule import add, as_float, check_choice, count, level, pure


@hyperparameters
class PlateauHyper:
    """Hyperparameters of the plateau schedule, with torch's names and defaults."""

    lr = level()
    factor = pure(0.1, DECAY)
    patience = count(10, NONNEGATIVE)
    threshold = pure(1e-4, REAL)
    cooldown = count(0, NONNEGATIVE)
    min_lr = level(0.0)
    eps = level(1e-8)


class PlateauState(NamedTuple):
    """What the plateau schedule remembers.

    Attributes
    ----------
    lr : the lr in force
    best : the best metric so far
    num_bad : metrics in a row that were no improvement
    cooldown_left : metrics for which bad ones are not counted yet
    """

    lr: Array
    best: Array
    num_bad: Array
    cooldown_left: Array


@dataclasses.dataclass(frozen=True)
class Plateau:
    """A pure state machine: ``init`` and ``update`` run under ``jit``, ``vmap`` and ``scan``."""

    mode: str = "min"
    threshold_mode: str = "rel"

    def hyper(self, **numbers: Any) -> PlateauHyper:
        """The hyperparameters as a NamedTuple of scalars; ``lr`` has no default.

        Raises
        ------
        TypeError
            For a name the schedule does not have, or a value that is not a real number.
        ValueError
            For a known value outside its range.
        """
        unknown = [name for name in numbers if name not in PlateauHyper._fields]
        if unknown:
            raise TypeError(
                f"plateau has no hyperparameter {unknown[0]!r}: there are {', '.join(PlateauHyper._fields)}"
            )
        if "lr" not in numbers:
            raise TypeError("plateau needs a value for lr")
        values = {**PlateauHyper._field_defaults, **numbers}
        declared = PlateauHyper._numbers
        return PlateauHyper(**{name: declared[name].checked("plateau", name, value) for name, value in values.items()})

    def init(self, hyper: PlateauHyper) -> PlateauState:
        """State before the first metric: the first lr, and a best metric that anything improves on."""
        shape = jnp.shape(hyper.lr)
        return PlateauState(
            lr=as_float(hyper.lr),
            best=jnp.full(shape, jnp.inf if self.mode == "min" else -jnp.inf, as_float(0).dtype),
            num_bad=jnp.zeros(shape, jnp.int32),
            cooldown_left=jnp.zeros(shape, jnp.int32),
        )

    def update(self, hyper: PlateauHyper, state: PlateauState, metric: Any) -> PlateauState:
        """State after one more metric; a metric that is nan is no improvement."""
        metric = as_float(metric)
        better = self._improves(metric, state.best, as_float(hyper.threshold))
        cooling = state.cooldown_left > 0
        num_bad = jnp.where(better | cooling, 0, state.num_bad + 1)
        reduce = num_bad > hyper.patience
        lower = jnp.maximum(state.lr * as_float(hyper.factor), as_float(hyper.min_lr))
        cooldown_left = jnp.where(cooling, state.cooldown_left - 1, state.cooldown_left)
        return PlateauState(
            lr=jnp.where(reduce & (state.lr - lower > as_float(hyper.eps)), lower, state.lr),
            best=jnp.where(better, metric, state.best),
            num_bad=jnp.where(reduce, 0, num_bad),
            cooldown_left=jnp.where(reduce, jnp.asarray(hyper.cooldown, jnp.int32), cooldown_left),
        )

    def _improves(self, metric: Array, best: Array, threshold: Array) -> Array:
        if self.mode == "min":
            return metric < (best * (1 - threshold) if self.threshold_mode == "rel" else best - threshold)
        return metric > (best * (threshold + 1) if self.threshold_mode == "rel" else best + threshold)


def plateau(*, mode: str = "min", threshold_mode: str = "rel") -> Plateau:
    r"""Multiply the lr by ``factor`` when more than ``patience`` metrics in a row were no improvement.

    A metric improves on the best so far :math:`b` when it is below :math:`b (1 - threshold)` (mode min, threshold
    mode rel), below :math:`b - threshold` (min, abs), above :math:`b (1 + threshold)` (max, rel) or above
    :math:`b + threshold` (max, abs). After a reduction, ``cooldown`` metrics pass uncounted. The lr never falls below
    ``min_lr``, nor by less than ``eps``.

    Parameters
    ----------
    mode : "min" or "max"
    threshold_mode : "rel" or "abs"

    Returns
    -------
    Plateau
        ``.hyper(lr=…, factor=0.1, patience=10, threshold=1e-4, cooldown=0, min_lr=0, eps=1e-8)``, ``.init(hyper)``,
        ``.update(hyper, state, metric)``; the lr in force is ``state.lr``.

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``ReduceLROnPlateau``, which works in double precision: in float32 a metric
    within 1e-7 of the threshold may be judged otherwise, under x64 none.

    Examples
    --------
    >>> schedule = plateau()
    >>> hyper = schedule.hyper(lr=1.0, factor=0.5, patience=1)
    >>> state = schedule.init(hyper)
    >>> for metric in (3.0, 3.0, 3.0):
    ...     state = schedule.update(hyper, state, metric)
    >>> state.lr.item()
    0.5
    """
    for name, value, allowed in (("mode", mode, ("min", "max")), ("threshold_mode", threshold_mode, ("rel", "abs"))):
        check_choice("plateau", name, value, allowed)
    return Plateau(mode=mode, threshold_mode=threshold_mode)


add("plateau", plateau)
