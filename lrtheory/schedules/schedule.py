"""What every schedule shares: a pytree of numbers that is called with a step count."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import Range, as_number, check_range, is_concrete

POSITIVE = Range(0.0, open_low=True)
NONNEGATIVE = Range(0.0)
FRACTION = Range(0.0, 1.0)
REAL = Range()

_FACTORIES: dict[str, Callable[..., Any]] = {}


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
            Whole steps are kept as integers, so that they stay exact above 2²⁴; fractions of a step are allowed.

        Returns
        -------
        Array
            Of the shape of ``t``, in jax's default float dtype.

        Raises
        ------
        TypeError
            For step counts that are no real numbers.
        ValueError
            For known step counts below 0, or nan.
        """
        return self._over(self.lr_at, t)

    def lr_at(self, t: Array) -> Array:
        """The formula itself, for step counts from :func:`as_count`."""
        raise NotImplementedError

    def factor_at(self, t: Array) -> Array:
        """``lr_at(t)`` over the lr of the schedule, where :meth:`require_factor` passes: what chaining multiplies."""
        raise NotImplementedError

    def require_factor(self) -> None:
        """Refuse a schedule that is no factor of the lr in force."""
        raise TypeError(
            f"chained: {type(self).__name__} does not multiply the lr in force but sets its own, so a chain would "
            "forget what came before it; use sequential, or multiply the values of the schedules yourself"
        )

    def _over(self, formula: Callable[[Array], Array], t: Any) -> Array:
        if isinstance(t, (np.ndarray, np.integer)) and np.issubdtype(t.dtype, np.integer) and t.size:
            largest = jnp.iinfo(jnp.result_type(int))
            if np.max(t) > largest.max:
                raise ValueError(
                    f"{type(self).__name__}: t={np.max(t)} is beyond {largest.dtype}; give float steps, or use jax's x64"
                )
        t = jnp.asarray(t)
        if jnp.issubdtype(t.dtype, jnp.bool_) or jnp.issubdtype(t.dtype, jnp.complexfloating):
            raise TypeError(f"{type(self).__name__}: t has dtype {t.dtype}; step counts are needed")
        if is_concrete(t) and not np.all(np.asarray(t) >= 0):
            raise ValueError(f"{type(self).__name__}: t={t} has steps below 0 or nan; the first lr is that of t=0")
        return jnp.broadcast_to(formula(as_count(t)), t.shape).astype(float_dtype())


S = TypeVar("S")


def float_dtype() -> Any:
    """Jax's default float dtype: float64 under x64, float32 otherwise."""
    return jnp.result_type(float)


def as_float(x: Any) -> Array:
    """A number or a step count in the dtype schedules compute in."""
    return jnp.asarray(x, float_dtype())


def as_count(x: Any) -> Array:
    """A number of steps: whole ones in jax's default integer dtype, in which their differences are exact."""
    dtype = jnp.result_type(x)
    return jnp.asarray(x, jnp.result_type(int) if jnp.issubdtype(dtype, jnp.integer) else float_dtype())


def static(default: Any) -> Any:
    """A field that chooses the formula and is no leaf of the pytree."""
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(static, dataclasses.field))
def pytree(cls: type[S]) -> type[S]:
    """Make a class of fields a frozen dataclass whose numbers are leaves."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, kw_only=True)(cls))


F = TypeVar("F", bound=Callable[..., Any])


def register(write: F) -> F:
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


def whole_number(owner: str, name: str, value: Any, allowed: Range) -> Any:
    """A number of whole steps or cycles, where torch takes nothing else."""
    value = number(owner, name, value, allowed)
    if not jnp.issubdtype(jnp.result_type(value), jnp.integer):
        raise TypeError(f"{owner}: {name}={value} must be an integer")
    return value


def step_counts(owner: str, name: str, values: Any) -> Any:
    """A 1-D array of step counts from any sequence of them, traced ones among them."""
    if not hasattr(values, "ndim"):
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise TypeError(f"{owner}: {name}={values!r} must be a sequence of step counts")
        values = list(values)
        if not all(is_concrete(value) for value in values):
            values = jnp.stack([jnp.asarray(value) for value in values])
        else:
            whole = all(np.issubdtype(np.asarray(value).dtype, np.integer) for value in values)
            values = np.asarray(values, dtype=np.int32 if whole else float)
    if np.ndim(values) != 1:
        raise ValueError(f"{owner}: {name}={values} must be a 1-D sequence of step counts")
    return number(owner, name, values, NONNEGATIVE)


def choice(owner: str, name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """An option that is one of a few words."""
    if value not in allowed:
        raise ValueError(f"{owner}: {name}={value!r} must be one of {', '.join(map(repr, allowed))}")
    return value


def names() -> list[str]:
    """Names of all schedules."""
    return sorted(_FACTORIES)


def get(name: str) -> Callable[..., Any]:
    """The factory of that name."""
    if name not in _FACTORIES:
        raise KeyError(f"no schedule named {name!r}: there are {', '.join(names())}")
    return _FACTORIES[name]
