"""What every schedule shares: a pytree of numbers that is called with a step count."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..rules.numbers import Range, as_number, check_range, is_concrete

POSITIVE = Range(0.0, open_low=True)
NONNEGATIVE = Range(0.0)
FRACTION = Range(0.0, 1.0)

_FACTORIES: dict[str, Callable[..., Schedule]] = {}


class Schedule:
    """A learning rate as a closed form of the step count.

    Every number is a leaf, so a schedule is an argument of a compiled function and one program serves all
    values. Choices that change the formula are static fields.
    """

    def __call__(self, t: Any) -> Array:
        """The lr in force after ``t`` scheduler steps: ``t = 0`` is the first lr.

        Parameters
        ----------
        t : scalar or array of step counts, ≥ 0

        Returns
        -------
        Array
            Of the shape of ``t``, in jax's default float dtype.
        """
        t = jnp.asarray(t)
        if jnp.issubdtype(t.dtype, jnp.bool_) or jnp.issubdtype(t.dtype, jnp.complexfloating):
            raise TypeError(f"{type(self).__name__}: t has dtype {t.dtype}; step counts are needed")
        if is_concrete(t) and t.size and not bool(jnp.all(t >= 0)):
            raise ValueError(f"{type(self).__name__}: t={t} has steps below 0; the first lr is that of t=0")
        return jnp.broadcast_to(self.lr_at(t), t.shape).astype(float_dtype())

    def lr_at(self, t: Array) -> Array:
        """The formula itself."""
        raise NotImplementedError


S = TypeVar("S", bound=Schedule)


def float_dtype() -> Any:
    """Jax's default float dtype: float64 under x64, float32 otherwise."""
    return jnp.result_type(float)


def as_float(x: Any) -> Array:
    """A number or a step count in the dtype schedules compute in."""
    return jnp.asarray(x, float_dtype())


def static(default: Any) -> Any:
    """A field that chooses the formula and is no leaf of the pytree."""
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static, dataclasses.field))
def pytree(cls: type[S]) -> type[S]:
    """Make a class of fields a frozen dataclass whose numbers are leaves."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, kw_only=True)(cls))


def register(write: Callable[..., S]) -> Callable[..., S]:
    """Make a factory known under its name."""
    name = write.__name__
    if name in _FACTORIES:
        raise ValueError(f"a schedule named {name!r} is already registered")
    _FACTORIES[name] = write
    return write


def number(owner: str, name: str, value: Any, allowed: Range) -> Any:
    """A number of a schedule, refused outside its range when it is known; counts stay integers."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        check_range(owner, name, value, allowed)
        return int(value)
    value = as_number(owner, name, value)
    check_range(owner, name, value, allowed)
    return value


def names() -> list[str]:
    """Names of all schedules."""
    return sorted(_FACTORIES)


def get(name: str) -> Callable[..., Schedule]:
    """The factory of that name."""
    if name not in _FACTORIES:
        raise KeyError(f"no schedule named {name!r}: there are {', '.join(names())}")
    return _FACTORIES[name]
