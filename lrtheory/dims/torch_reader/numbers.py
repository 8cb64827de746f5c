"""Python numbers that carry units: a float and an int, and what stands in for ``math``, NumPy and ``float`` meanwhile."""

from __future__ import annotations

import builtins
import contextlib
import math
import operator
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import numpy as np
import torch

from .._jaxpr.operations import Site
from .._jaxpr.primitives import FOLD, TABLE
from .._jaxpr.source import is_program, locate
from .._kernel.equations import Location, UnknownOperationError
from .._kernel.expression import PURE_EXPRESSION
from .._kernel.ledger import Ledger
from .._kernel.value import Value, number

# The name of what is 1 on the diagonal and 0 elsewhere. A tiny multiple of it counts as the tiny number in sums, and is
# no constant in arithmetic: 0 and t is not t.
EYE = "an identity matrix"
_TORCH = str(torch.__path__[0])
_OPTIMIZERS = str(torch.optim.__path__[0])
_FRAMES_KEPT = 5
_HERE = str(Path(__file__).parent)
# They call the optimizer or the module: who calls them is no matter.
_READERS = frozenset(str(Path(_HERE).parent / name) for name in ("torch_reader/infer.py", "model/_torch.py"))


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
        while frame is not None and len(frames) < _FRAMES_KEPT and frame.f_code.co_filename not in _READERS:
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
    ledger.read.update(v.name for v in values)
    if name in FOLD and all(v.constant is not None and v.name != EYE for v in values):
        with contextlib.suppress(ArithmeticError, ValueError, TypeError):
            return number(FOLD[name](*(v.constant for v in values))).but(origin=site.at)
    result = TABLE[name](site, values)
    value = result if isinstance(result, Value) else result[0]
    ledger.settle(value)  # a later choice is not known to be the same one: tensors are overwritten
    return value.but(origin=site.at, deferred=(), identity=object() if value.identity is None else value.identity)


def went(ledger: Ledger, truth: Value, way: bool) -> None:
    """Note which way a program goes by a truth value that may well be another."""
    if truth.rare is None:
        ledger.ways.setdefault(FrameOrigin.here(), set()).add(way)


def refused(kind: str, name: str) -> UnknownOperationError:
    """The error for what cannot be followed, with the line that is running."""
    return UnknownOperationError(kind, name, FrameOrigin.here().location())


class Carried:
    """A number with units. What the program computes with is the number; its units are written down beside."""

    value: Value
    ledger: Ledger

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a number with units cannot be saved")

    def __bool__(self) -> bool:
        if not self.ledger.checking:
            self.ledger.read.add(self.value.name)
        return plain(self) != 0

    def __neg__(self) -> Any:
        return carry(-plain(self), apply(self.ledger, "neg", self.value), self.ledger)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return carry(abs(plain(self)), apply(self.ledger, "abs", self.value), self.ledger)

    def __floordiv__(self, other: Any) -> Any:
        return _floor(self, self / other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _floor(self, other / self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def _whole(self, compute: Callable[[Any], int]) -> int:
        apply(self.ledger, "floor", self.value)
        return compute(plain(self))

    def __int__(self) -> int:
        return self._whole(int)

    def __trunc__(self) -> int:
        return self._whole(math.trunc)

    def __floor__(self) -> int:
        return self._whole(math.floor)

    def __ceil__(self) -> int:
        return self._whole(math.ceil)

    def __round__(self, digits: int | None = None) -> Any:
        if digits is None:
            return self._whole(round)
        return carry(round(plain(self), digits), apply(self.ledger, "floor", self.value), self.ledger)


class UnitFloat(Carried, float):
    """A float with units."""

    def __new__(cls, x: Any = 0.0) -> Any:
        """What a program makes as another of its kind is a plain float; :func:`carry` makes those with units."""
        return x if isinstance(x, Carried) else builtins.float(x)

    def __hash__(self) -> int:
        return float.__hash__(self)

    def __float__(self) -> float:
        return self._without_units("float")

    def _without_units(self, name: str) -> Any:
        if self.value.or_pure != PURE_EXPRESSION:
            raise refused("function", name)
        self.ledger.read.add(self.value.name)
        return plain(self)

    @property
    def real(self) -> Any:
        """The number itself."""
        return self

    def conjugate(self) -> Any:
        """The number itself."""
        return self

    def is_integer(self) -> bool:
        """Of a pure number."""
        return self._without_units("is_integer").is_integer()

    def as_integer_ratio(self) -> tuple[int, int]:
        """Of a pure number, as ``fractions`` and ``statistics`` ask."""
        return self._without_units("as_integer_ratio").as_integer_ratio()

    def hex(self) -> str:
        """Of a pure number."""
        return self._without_units("hex").hex()


class UnitInt(Carried, int):
    """A whole number with units."""

    def __hash__(self) -> int:
        return int.__hash__(self)


def carry(x: Any, value: Value, ledger: Ledger) -> Any:
    """The number ``x``, with what is known of it."""
    if isinstance(x, (bool, complex)):
        return x
    carried: Any = UnitInt(x) if isinstance(x, int) else builtins.float.__new__(UnitFloat, x)
    carried.value, carried.ledger = value, ledger
    return carried


def plain(x: Any) -> Any:
    """The number alone."""
    return float.__pos__(x) if isinstance(x, UnitFloat) else int.__pos__(x) if isinstance(x, UnitInt) else x


def value_of(x: Any) -> Value:
    """What is known of a Python number."""
    return x.value if isinstance(x, Carried) else number(builtins.float(x))


def _floor(self: Carried, ratio: Any) -> Any:
    if not isinstance(ratio, Carried):
        return NotImplemented
    return carry(math.floor(plain(ratio)), apply(self.ledger, "floor", ratio.value), self.ledger)


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, builtins.float)) and not isinstance(x, torch.Tensor)


def _arithmetic(compute: Callable[[Any, Any], Any], primitive: str, *, mirrored: bool) -> Callable[[Any, Any], Any]:
    def operate(self: Any, other: Any) -> Any:
        if not _is_number(other):
            return NotImplemented
        left, right = (other, self) if mirrored else (self, other)
        result = compute(plain(left), plain(right))
        units = apply(self.ledger, primitive, value_of(left), value_of(right), same=self is other)
        return carry(result, units, self.ledger)

    return operate


def _comparison(compute: Callable[[Any, Any], bool], primitive: str) -> Callable[[Any, Any], Any]:
    def compare(self: Any, other: Any) -> Any:
        if not _is_number(other):
            return NotImplemented
        theirs = value_of(other)
        if not self.ledger.checking or self.value.measured or theirs.measured:
            truth = apply(self.ledger, primitive, self.value, theirs, same=self is other)
            if truth.measured:
                went(self.ledger, truth, compute(plain(self), plain(other)))
        return compute(plain(self), plain(other))

    return compare


for _name, _primitive in {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "pow": "pow",
    "mod": "rem",
}.items():
    setattr(Carried, f"__{_name}__", _arithmetic(getattr(operator, _name), _primitive, mirrored=False))
    setattr(Carried, f"__r{_name}__", _arithmetic(getattr(operator, _name), _primitive, mirrored=True))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    for _class in (UnitFloat, UnitInt):  # each has comparisons of its own to replace
        setattr(_class, f"__{_name}__", _comparison(getattr(operator, _name), _name))


# --- what stands in for math, NumPy and float in the modules of an optimizer ---

# Functions of numbers by the name that math or NumPy has for them.
_FUNCTIONS = {
    **{name: name for name in ("sqrt", "exp", "exp2", "log", "log1p", "expm1", "tanh", "cos", "sin", "tan", "sinh",
                               "cosh", "asin", "acos", "atan", "floor", "ceil", "cbrt", "sign", "square", "pow", "erf",
                               "atan2")},
    "fabs": "abs", "abs": "abs", "absolute": "abs", "log2": "log", "log10": "log", "power": "pow", "trunc": "floor",
    "maximum": "max", "minimum": "min", "fmod": "rem", "mod": "rem", "remainder": "rem", "hypot": "max",
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "negative": "neg",
}  # fmt: skip
# These ask what a number is, whatever its units.
_TESTS = ("isnan", "isinf", "isfinite", "isscalar", "signbit")


def _function(kind: str, name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        args = tuple(x.item() if isinstance(x, torch.Tensor) and x.numel() == 1 else x for x in args)
        with_units = [x for x in (*args, *kwargs.values()) if _carries(x)]
        if not with_units:
            return compute(*args, **kwargs)
        if name in _TESTS:
            return compute(*map(plain, args), **kwargs)
        if name == "clip":
            return _clip(*args, **kwargs)
        if name not in _FUNCTIONS or kwargs or not all(map(_is_number, args)):
            raise refused(f"{kind} function", name)
        ledger = with_units[0].ledger
        result = compute(*map(plain, args))
        values = [value_of(x) for x in (args if _FUNCTIONS[name] != "log" else args[:1])]
        values = [apply(ledger, "abs", v) for v in values] if name == "hypot" else values
        units = apply(ledger, _FUNCTIONS[name], *values)
        return carry(int(result) if isinstance(result, int) else builtins.float(result), units, ledger)

    return function


def _clip(x: Any, a_min: Any = None, a_max: Any = None, **named: Any) -> Any:
    """NumPy's, which takes either bound under two names."""
    low, high = named.pop("min", a_min), named.pop("max", a_max)
    for bound, nearer in ((low, np.maximum), (high, np.minimum)):
        if bound is not None:
            x = _function("NumPy", nearer.__name__, nearer)(x, bound, **named)
    return x


def _carries(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_carries, x))
    return isinstance(x, (Carried, torch.Tensor))


class StandIn:
    """A module whose functions keep units, or refuse numbers that have any."""

    def __init__(self, module: ModuleType, kind: str) -> None:
        self._module, self._kind = module, kind

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if isinstance(found, ModuleType):
            return StandIn(found, f"{self._kind}.{name}")
        if found in (np.float16, np.float32, np.float64):
            return Float
        if isinstance(found, type) or not callable(found):
            return found
        return _function(self._kind, name, found)


class _FloatType(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, builtins.float)


class Float(builtins.float, metaclass=_FloatType):
    """``float`` that leaves the units on what it is given."""

    def __new__(cls, x: Any = 0.0) -> Any:
        """``float(x)``, but a tensor's entry or a number with units comes with its units."""
        if isinstance(x, torch.Tensor):
            return x.item()
        if isinstance(x, UnitFloat):
            return x
        return carry(builtins.float(plain(x)), x.value, x.ledger) if isinstance(x, Carried) else builtins.float(x)


class _TensorType(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, torch.Tensor)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, torch.Tensor)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is torch.Tensor

    def __hash__(cls) -> int:
        return hash(torch.Tensor)

    def __getattr__(cls, name: str) -> Any:
        return getattr(torch.Tensor, name)


class Tensor(metaclass=_TensorType):
    """``torch.Tensor``, whose own constructor no mode sees: what is made of numbers or of sizes is made by a function."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """``torch.tensor(data)`` in the default dtype, or ``torch.empty(*sizes)``."""
        if kwargs or (len(args) == 1 and isinstance(args[0], (torch.Tensor, torch.Size))):
            return torch.Tensor(*args, **kwargs)
        if len(args) == 1 and not isinstance(args[0], int):
            return torch.tensor(args[0], dtype=torch.get_default_dtype())
        return torch.empty(*(args or (0,)))


class _Torch:
    """``torch`` with that constructor."""

    Tensor = Tensor

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def _finfo(dtype: torch.dtype | None = None) -> Any:
    """What floats are like in training, where they are single: an eps of theirs is no tiny number."""
    return _FINFO(torch.float32 if dtype in (None, torch.float64) else dtype)


_FINFO = torch.finfo
_STAND_INS = {id(np): StandIn(np, "NumPy"), id(torch): _Torch()}
_OF_MATH = {
    id(f): _function("math", name, f) for name, f in vars(math).items() if callable(f) and not name.startswith("_")
}


@contextlib.contextmanager
def standing_in(modules: list[ModuleType]) -> Iterator[None]:
    """Let NumPy, functions taken from ``math``, ``float`` and ``torch.Tensor(data)`` keep units in these modules.

    So does ``math`` itself, wherever it is imported. All is put back. Torch's own modules never make a tensor by its type.
    """
    stand_ins = {**_STAND_INS, **_OF_MATH}
    torch.finfo = _finfo
    saved: list[tuple[ModuleType, str, Any, bool]] = []
    try:
        for module in [math, *modules]:
            names = vars(module)
            own = module.__name__.startswith("torch.")
            replacements = {
                name: stand_ins[id(value)]
                for name, value in names.items()
                if id(value) in stand_ins and not (own and value is torch)
            }
            for name, replacement in {**replacements, "float": Float}.items():
                saved.append((module, name, names.get(name), name in names))
                setattr(module, name, replacement)
        yield
    finally:
        torch.finfo = _FINFO
        for module, name, value, there in reversed(saved):
            if there:
                setattr(module, name, value)
            else:
                delattr(module, name)
