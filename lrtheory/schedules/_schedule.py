"""What every schedule shares: a pytree of numbers that is called with a step count, and the factory made from it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import NONNEGATIVE, POSITIVE, Number, Range, check_range, is_concrete, with_parameters

_FACTORIES: dict[str, Callable[..., Any]] = {}
S = TypeVar("S")


@dataclasses.dataclass(frozen=True)
class Scalar(Number):
    """A number of a schedule: its units are ``"lr"``, ``"steps"``, ``"per step"`` or ``"1"``; whole ones stay integers."""

    kind = "scalar"

    def checked(self, owner: str, name: str, value: Any) -> Any:
        """The value inside its range, or an error that quotes it."""
        if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
            check_range(owner, name, value, self.allowed)
            return int(value)
        return super().checked(owner, name, value)


@dataclasses.dataclass(frozen=True)
class Whole(Scalar):
    """A number of whole steps or cycles, where torch takes nothing else."""

    kind = "integer"

    def checked(self, owner: str, name: str, value: Any) -> Any:
        """The value as an integer."""
        value = super().checked(owner, name, value)
        if not jnp.issubdtype(jnp.result_type(value), jnp.integer):
            raise TypeError(f"{owner}: {name}={value} must be an integer")
        return value


@dataclasses.dataclass(frozen=True)
class Counts(Scalar):
    """Step counts."""

    kind = "1-D sequence or array of step counts"

    def checked(self, owner: str, name: str, value: Any) -> Any:
        """A 1-D array from any sequence of them, traced ones among them."""
        if not hasattr(value, "ndim"):
            if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
                raise TypeError(f"{owner}: {name}={value!r} must be a sequence of step counts")
            value = list(value)
            if not all(is_concrete(entry) for entry in value):
                value = jnp.stack([jnp.asarray(entry) for entry in value])
            else:
                whole = all(np.issubdtype(np.asarray(entry).dtype, np.integer) for entry in value)
                value = np.asarray(value, dtype=np.int32 if whole else float)
        if np.ndim(value) != 1:
            raise ValueError(f"{owner}: {name}={value} must be a 1-D sequence of step counts")
        return super().checked(owner, name, value)


def level(default: float | None = None, allowed: Range = NONNEGATIVE, meaning: str = "") -> Any:
    """A field that is a learning rate."""
    return Scalar(default, allowed, "lr", meaning)


def count(default: float | None = None, allowed: Range = POSITIVE, meaning: str = "") -> Any:
    """A field that counts steps."""
    return Scalar(default, allowed, "steps", meaning)


def pure(default: float | None = None, allowed: Range = NONNEGATIVE, meaning: str = "") -> Any:
    """A field that neither another lr nor another length changes."""
    return Scalar(default, allowed, "1", meaning)


def optional(number: Number) -> Any:
    """A field that :meth:`Schedule.prepared` fills in where it is not given."""
    return dataclasses.field(default=None, metadata={"number": number})


def option(default: Any, *allowed: Any) -> Any:
    """A field that chooses the formula, one of a few values, and is no leaf of the pytree."""
    return dataclasses.field(default=default, metadata={"static": True, "allowed": allowed})


class Schedule:
    """A learning rate as a closed form of the step count.

    Every number is a leaf, so a schedule is an argument of a compiled function and one program serves all
    values. Choices that change the formula are static fields.
    """

    #: Why there is no such schedule for a run of another length, where that cannot be read from the numbers.
    one_length = ""

    @classmethod
    def prepared(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments with defaults that depend on others, before each is checked."""
        return given

    def check(self) -> None:
        """Refuse combinations that no single range can express."""

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


class Factor(Schedule):
    """``lr·factor(t)``: what torch steps by multiplying the lr in force, and what can be chained."""

    lr: Any

    def require_factor(self) -> None:
        """Pass."""

    def lr_at(self, t: Array) -> Array:
        """The factor times the lr."""
        return as_float(self.lr) * self.factor_at(t)


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


@dataclass_transform(frozen_default=True, kw_only_default=True)
def pytree(cls: type[S]) -> type[S]:
    """Make a class of fields a frozen dataclass whose numbers are leaves; a field keeps its declaration."""
    for name, number in list(vars(cls).items()):
        if isinstance(number, Number):
            default = dataclasses.MISSING if number.default is None else number.default
            setattr(cls, name, dataclasses.field(default=default, metadata={"number": number}))
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True, kw_only=True)(cls))


def declared(schedule: Any) -> dict[str, Number]:
    """The numbers of a schedule by the names of their fields."""
    return {
        field.name: field.metadata["number"] for field in dataclasses.fields(schedule) if "number" in field.metadata
    }


def register(name: str, cls: type[S]) -> Callable[..., S]:
    """The factory of a class of schedules, known under its name: signature, checks and docstring are those of the fields."""
    fields: dict[str, Any] = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    missing = dataclasses.MISSING
    signature = inspect.Signature(
        [
            inspect.Parameter(
                key,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is missing else field.default,
            )
            for key, field in fields.items()
        ],
        return_annotation=cls.__name__,
    )

    def factory(*args: Any, **numbers: Any) -> S:
        try:
            bound = signature.bind(*args, **numbers)
        except TypeError as error:
            raise TypeError(f"{name}: {error}; it takes {', '.join(fields)} by keyword") from None
        bound.apply_defaults()
        values = cls.prepared(bound.arguments)  # type: ignore[attr-defined]
        made = cls(**{key: _checked(name, fields[key], value) for key, value in values.items()})
        made.check()  # type: ignore[attr-defined]
        return made

    entries = [number.documented(key) for key, number in declared(cls).items()]
    factory.__doc__, cls.__doc__ = with_parameters(cls.__doc__, entries), f"Made by :func:`{name}`."
    factory.__name__ = factory.__qualname__ = name
    factory.__module__ = cls.__module__
    factory.__signature__ = signature  # type: ignore[attr-defined]
    add(name, factory)
    return factory


def _checked(owner: str, field: Any, value: Any) -> Any:
    allowed = field.metadata.get("allowed", ())
    if isinstance(field.default, bool):
        if not isinstance(value, bool):
            raise TypeError(f"{owner}: {field.name}={value!r} must be True or False")
    elif allowed:
        check_choice(owner, field.name, value, allowed)
    if "number" in field.metadata:
        return field.metadata["number"].checked(owner, field.name, value)
    return value


def check_choice(owner: str, name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Refuse an option that is none of a few words."""
    if value not in allowed:
        raise ValueError(f"{owner}: {name}={value!r} must be one of {', '.join(map(repr, allowed))}")


def add(name: str, factory: Callable[..., Any]) -> None:
    """Make a factory known under its name."""
    if name in _FACTORIES:
        raise ValueError(f"a schedule named {name!r} is already registered")
    _FACTORIES[name] = factory


def names() -> list[str]:
    """Names of all schedules."""
    return sorted(_FACTORIES)


def get(name: str) -> Callable[..., Any]:
    """The factory of that name."""
    if name not in _FACTORIES:
        raise KeyError(f"no schedule named {name!r}: there are {', '.join(names())}")
    return _FACTORIES[name]
