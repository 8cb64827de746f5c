"""What a transformation of optax is made of, read from its functions: which factory made them, and with which arguments.

A transformation is two closures. Their code objects stand among the constants of the factory that made them, and their cells
hold its arguments by name: what is found so is that factory's, and nothing else is taken for it.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np

from ..spec import Part, Spec, written


class Made(NamedTuple):
    """A transformation: the factory's public name (or "" for none that is known), the factory, and its arguments."""

    name: str
    factory: Any
    cells: dict[str, Any]
    init: Any = None

    @property
    def said(self) -> str:
        """For messages."""
        return f"optax.{self.name}" if self.name else f"{self.cells.get('', 'a function')} (not of optax)"


def opened(update: Any, init: Any = None) -> Made:
    """What made ``update``, with the wrapper taken off that lets it take more arguments."""
    import optax

    cells: dict[str, Any] = {}
    while True:
        if not isinstance(update, FunctionType):
            owner = getattr(update, "__self__", None)
            if isinstance(owner, optax.MultiSteps) and type(owner) is optax.MultiSteps:
                return Made("MultiSteps", optax.MultiSteps, {"": owner})
            return Made("", None, {"": f"{type(update).__module__}.{type(update).__qualname__}"})
        factory = _factory(update)
        if factory is None:
            return Made("", None, {"": f"{update.__module__}.{update.__qualname__}"})
        own = _cells(update)
        if factory.__name__ != "with_extra_args_support":
            if isinstance(init, FunctionType) and init.__module__ == update.__module__:
                cells = _cells(init)
            return Made(factory.__name__, factory, {**cells, **own}, init)
        init, update = own["tx"].init, own["tx"].update


@functools.cache
def _codes(factory: Callable[..., Any]) -> frozenset[CodeType]:
    """All code that stands in a function."""

    def inside(code: CodeType) -> Iterator[CodeType]:
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                yield constant
                yield from inside(constant)

    return frozenset(inside(factory.__code__))


def _factory(made: FunctionType) -> Any:
    """The function of optax whose code holds this one's."""
    module, _, name = made.__module__, None, made.__qualname__.partition(".")[0]
    if not f"{module}.".startswith("optax."):
        return None
    found = getattr(importlib.import_module(module), name, None)
    found = found if isinstance(found, FunctionType) else getattr(found, "__wrapped__", None)
    return found if isinstance(found, FunctionType) and made.__code__ in _codes(found) else None


def _cells(function: FunctionType) -> dict[str, Any]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not filled
            continue
    return found


def as_part(made: Made, **changed: Any) -> Part:
    """The call that would make it, with numbers as Python has them; defaults are left out."""
    parameters = dict(inspect.signature(made.factory).parameters)
    values = {n: number(made.cells[n]) for n in parameters if n in made.cells} | changed
    defaults = {n: p.default for n, p in parameters.items()}
    same = lambda v, default: v is default or (type(v) is type(default) and v == default)  # noqa: E731
    given = {n: v for n, v in values.items() if not same(v, defaults[n])}
    plain = (bool, int, float, str, type(None))
    arguments = ", ".join(f"{n}={written(v) if isinstance(v, plain) else '...'}" for n, v in given.items())
    text = f"optax.{made.name}({arguments})"
    return Part(Spec(text, f"optax.{made.name}", called=True), made.factory, parameters, given)


def number(value: Any) -> Any:
    """A concrete scalar as Python has it; anything else as it is."""
    if isinstance(value, (np.generic, np.ndarray)) or (hasattr(value, "dtype") and hasattr(value, "item")):
        return value.item() if np.shape(value) == () else value
    return value
