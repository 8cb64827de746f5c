"""A hyperparameter declared once: default, allowed values, units and meaning, and what is said when a value is refused."""

from __future__ import annotations

import inspect
import math
import numbers
import re
import textwrap
from collections import namedtuple
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np
from jax.core import Tracer


class Range(NamedTuple):
    """An interval of allowed values; ``open_high`` leaves the upper end out, ``open_low`` the lower."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def contains(self, value: Any) -> bool:
        """Whether every entry of ``value`` lies inside; nan never does."""
        value = np.asarray(value)
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return bool(np.all(above & below))

    def __str__(self) -> str:
        left = "(" if self.open_low or self.low == -math.inf else "["
        right = ")" if self.open_high or self.high == math.inf else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


REAL = Range()
NONNEGATIVE = Range(0.0)
POSITIVE = Range(0.0, open_low=True)
FRACTION = Range(0.0, 1.0)
DECAY = Range(0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class Number:
    """A hyperparameter of a rule, a wrapper or a schedule.

    Attributes
    ----------
    default : float or None
        ``None`` where the caller must give it.
    allowed : Range
    units : str
        ``"[loss]/[param]"`` and the like; ``"A coupled, B decoupled"`` where they follow the option ``decoupled``. Of a
        schedule's: ``"lr"``, ``"steps"``, ``"per step"`` for a factor of every step, and ``"1"``.
    meaning : str
        What it does, where its name and the formula do not say: lines for the docstring.
    """

    default: float | None
    allowed: Range = NONNEGATIVE
    units: str = "1"
    meaning: str = ""
    kind: ClassVar[str] = "scalar"

    def units_when(self, decoupled: bool) -> str:
        """The units under one value of the option ``decoupled``."""
        for alternative in self.units.split(", "):
            units, _, condition = alternative.partition(" ")
            if condition == ("decoupled" if decoupled else "coupled"):
                return units
        return self.units

    def checked(self, owner: str, name: str, value: Any) -> Any:
        """The value as a real number inside the range, or an error that quotes it."""
        value = as_number(owner, name, value)
        check_range(owner, name, value, self.allowed)
        return value

    def documented(self, name: str) -> str:
        """Its lines in a table of parameters."""
        inside = "" if self.allowed == REAL else f" in {self.allowed}"
        meaning = textwrap.indent(inspect.cleandoc(self.meaning), "    ")
        return f"{name} : {self.kind}{inside}, {self.units}" + (f"\n{meaning}" if meaning else "")


def hyperparameters(cls: type) -> Any:
    """Class decorator: a NamedTuple type of the numbers that the class declares, in their order.

    The declarations stay in its ``_numbers``.
    """
    declared = {name: value for name, value in vars(cls).items() if isinstance(value, Number)}
    defaults = [number.default for number in declared.values() if number.default is not None]
    made: Any = namedtuple(cls.__name__, declared, defaults=defaults, module=cls.__module__)
    made.__doc__, made._numbers = cls.__doc__, declared
    return made


def with_parameters(doc: str | None, lines: Iterable[str]) -> str:
    """A docstring with more entries at the top of its table of parameters, which is made where there is none."""
    doc = inspect.cleandoc(doc or "")
    entries = "\n".join(lines)
    head, rule, rest = doc.partition("Parameters\n----------\n")
    if rule:
        return f"{head}{rule}{entries}\n{rest}"
    section = re.search(r"\n\n(?=(Returns|Raises|Notes|References|Examples)\n---)", doc)
    place = section.start() if section else len(doc)
    return f"{doc[:place]}\n\nParameters\n----------\n{entries}{doc[place:]}"


def is_concrete(value: Any) -> bool:
    """Whether the value is known now, and not only when a compiled program runs."""
    return not isinstance(value, Tracer)


def as_number(owner: str, name: str, value: Any) -> Any:
    """A real scalar (or an array of them, for ``vmap``) as a pytree leaf; plain numbers become ``float``.

    Plain numbers of every kind become ``float`` so that a compiled step is reused whatever type the caller wrote.
    """
    if isinstance(value, bool) or value is None or isinstance(value, (str, bytes)):
        raise TypeError(f"{owner}: {name}={value!r} is not a real number")
    if isinstance(value, (numbers.Real, np.floating, np.integer)):
        try:
            return float(value)
        except OverflowError as error:
            raise ValueError(f"{owner}: {name} is beyond the largest floating-point number, 1.8e308") from error
    try:
        dtype = np.dtype(jax.numpy.result_type(value))
    except TypeError as error:
        raise TypeError(f"{owner}: {name}={value!r} is not a real number") from error
    if not (jax.numpy.issubdtype(dtype, np.floating) or jax.numpy.issubdtype(dtype, np.integer)):
        raise TypeError(f"{owner}: {name} has dtype {dtype}; a real number is needed")
    return value


def check_counts(**counts: Any) -> None:
    """Refuse what is no whole number of 1 or more, by its name."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r} must be a whole number, 1 or more")


def check_rule(who: str, rule: Any) -> None:
    """Refuse what is no rule, and say so of a factory that was not called."""
    if not all(hasattr(rule, part) for part in ("hyper", "init", "step")):
        named = getattr(rule, "__name__", repr(rule))
        ours = str(getattr(rule, "__module__", "")).startswith(f"{__package__}.")
        given = f"the factory {named}: call it, {named}()" if ours and callable(rule) else repr(rule)
        raise TypeError(f"{who} takes a rule such as lrtheory.rules.adam(), not {given}")


def check_hyper(rule: Any, hyper: Any) -> None:
    """Refuse hyperparameters that are another rule's."""
    if not isinstance(hyper, rule.Hyper):
        raise TypeError(f"{rule!r} takes {rule.Hyper.__name__} from its .hyper(...), not {type(hyper).__name__}")


def check_range(owner: str, name: str, value: Any, allowed: Range) -> None:
    """Refuse a value outside its range, quoting it; a traced value cannot be looked at and passes."""
    if is_concrete(value) and not allowed.contains(value):
        raise ValueError(f"{owner}: {name}={value} is outside {allowed}")
