"""Python numbers that carry units: a float subclass, and what stands in for ``math`` and ``float`` while it is used."""

from __future__ import annotations

import builtins
import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any

import torch

from .._jaxpr.operations import Site
from .._jaxpr.primitives import TABLE
from .._jaxpr.source import is_program, locate
from .._kernel.equations import Location
from .._kernel.ledger import Ledger
from .._kernel.value import Value, number

_TORCH = str(torch.__path__[0])
_OPTIMIZERS = str(torch.optim.__path__[0])
_FRAMES_KEPT = 5
_HERE = str(Path(__file__).parent)
_READER = str(Path(__file__).with_name("infer.py"))  # it calls the optimizer: who calls it is no matter


def is_optimizer_code(file: str) -> bool:
    """Whether a file is the program looked at: anything but torch itself, of which only the optimizers are."""
    if file.startswith(_OPTIMIZERS):
        return not file.endswith("optimizer.py")
    return not file.startswith(_TORCH) and not file.startswith(_HERE) and is_program(file)


@dataclass(frozen=True)
class FrameOrigin:
    """A line of running Python, innermost frame first."""

    frames: tuple[tuple[str, int, str], ...]

    @classmethod
    def here(cls) -> FrameOrigin:
        """The line of the optimizer that is running now."""
        frames = []
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and len(frames) < _FRAMES_KEPT and frame.f_code.co_filename != _READER:
            if is_optimizer_code(frame.f_code.co_filename):
                frames.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
            frame = frame.f_back
        return cls(tuple(frames))

    def location(self) -> Location | None:
        """The line with its source."""
        return locate(self.frames, keep=lambda file: True)


def apply(ledger: Ledger, name: str, *values: Value, same: bool = False) -> Value:
    """A shared rule, by the name of its primitive, at the line that is running."""
    site = Site(ledger, FrameOrigin.here(), same)
    result = TABLE[name](site, values)
    value = result if isinstance(result, Value) else result[0]
    ledger.settle(value)  # a later choice is not known to be the same one: tensors are overwritten
    return value.but(origin=site.at, deferred=(), identity=object() if value.identity is None else value.identity)


class UnitFloat(float):
    """A float with units. Its value is what the program computes with; its units are written down beside."""

    value: Value
    ledger: Ledger

    def __new__(cls, x: float, value: Value, ledger: Ledger) -> UnitFloat:
        """The number ``x``, with what is known of it."""
        self = super().__new__(cls, x)
        self.value, self.ledger = value, ledger
        return self

    def __copy__(self) -> UnitFloat:
        return self

    def __deepcopy__(self, memo: Any) -> UnitFloat:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a number with units cannot be saved")

    def __hash__(self) -> int:
        return super().__hash__()

    def __bool__(self) -> bool:
        return float.__ne__(self, 0.0)

    def __neg__(self) -> UnitFloat:
        return UnitFloat(float.__neg__(self), apply(self.ledger, "neg", self.value), self.ledger)

    def __pos__(self) -> UnitFloat:
        return self

    def __abs__(self) -> UnitFloat:
        return UnitFloat(float.__abs__(self), apply(self.ledger, "abs", self.value), self.ledger)


def value_of(x: Any) -> Value:
    """What is known of a Python number."""
    if isinstance(x, UnitFloat):
        return x.value
    return number(builtins.float(x))


def _arithmetic(method: str, primitive: str, *, mirrored: bool) -> Callable[[UnitFloat, Any], Any]:
    compute = getattr(builtins.float, method)

    def operate(self: UnitFloat, other: Any) -> Any:
        if isinstance(other, torch.Tensor) or not isinstance(other, (int, builtins.float)):
            return NotImplemented
        result = compute(self, other)
        if result is NotImplemented or isinstance(result, complex):
            return result
        operands = (self.value, value_of(other))
        left, right = operands[::-1] if mirrored else operands
        return UnitFloat(result, apply(self.ledger, primitive, left, right, same=self is other), self.ledger)

    return operate


def _comparison(method: str, primitive: str) -> Callable[[UnitFloat, Any], Any]:
    compute = getattr(builtins.float, method)

    def compare(self: UnitFloat, other: Any) -> Any:
        if isinstance(other, torch.Tensor) or not isinstance(other, (int, builtins.float)):
            return NotImplemented
        apply(self.ledger, primitive, self.value, value_of(other), same=self is other)
        return compute(self, other)

    return compare


for _name, _primitive in {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "pow": "pow",
    "mod": "rem",
}.items():
    setattr(UnitFloat, f"__{_name}__", _arithmetic(f"__{_name}__", _primitive, mirrored=False))
    setattr(UnitFloat, f"__r{_name}__", _arithmetic(f"__r{_name}__", _primitive, mirrored=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(UnitFloat, f"__{_name}__", _comparison(f"__{_name}__", _name))


# --- what stands in for math and float in the modules of an optimizer ---

_MATH = {"sqrt": "sqrt", "exp": "exp", "log": "log", "log1p": "log1p", "expm1": "expm1", "tanh": "tanh", "cos": "cos",
         "sin": "sin", "fabs": "abs", "floor": "floor", "ceil": "ceil"}  # fmt: skip


def _math_function(name: str, primitive: str) -> Callable[..., Any]:
    compute = getattr(math, name)

    def function(x: Any, *rest: Any) -> Any:
        if isinstance(x, torch.Tensor):
            x = x.item()
        if not isinstance(x, UnitFloat):
            return compute(x, *rest)
        result = compute(builtins.float(x), *rest)
        return UnitFloat(result, apply(x.ledger, primitive, x.value), x.ledger)

    return function


def _math_pow(x: Any, y: Any) -> Any:
    return x**y if isinstance(x, UnitFloat) or isinstance(y, UnitFloat) else math.pow(x, y)


MATH = SimpleNamespace(
    **{name: getattr(math, name) for name in dir(math) if not name.startswith("_")}
    | {name: _math_function(name, primitive) for name, primitive in _MATH.items()}
    | {"pow": _math_pow}
)


class _FloatType(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, builtins.float)


class Float(builtins.float, metaclass=_FloatType):
    """``float`` that leaves the units on what it is given."""

    def __new__(cls, x: Any = 0.0) -> Any:
        """``float(x)``, but a tensor's entry or a number with units comes with its units."""
        if isinstance(x, torch.Tensor):
            return x.item()
        return x if isinstance(x, UnitFloat) else builtins.float(x)


@contextlib.contextmanager
def standing_in(modules: list[ModuleType]) -> Iterator[None]:
    """Let ``math``, functions taken from it, and ``float`` keep units in these modules, and put all back after."""
    of_math = {id(getattr(math, name)): getattr(MATH, name) for name in [*_MATH, "pow"]}
    saved: list[tuple[ModuleType, str, Any, bool]] = []
    try:
        for module in modules:
            replacements: dict[str, Any] = {
                name: MATH if value is math else of_math[id(value)]
                for name, value in vars(module).items()
                if value is math or id(value) in of_math
            }
            replacements["float"] = Float
            for name, replacement in replacements.items():
                saved.append((module, name, vars(module).get(name), name in vars(module)))
                setattr(module, name, replacement)
        yield
    finally:
        for module, name, value, there in reversed(saved):
            if there:
                setattr(module, name, value)
            else:
                delattr(module, name)
