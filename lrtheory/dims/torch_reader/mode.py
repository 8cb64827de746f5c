"""The mode that sees every torch call of a running optimizer and writes down what it does to units."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from .._kernel.equations import UnknownOperationError
from .._kernel.ledger import Ledger
from .._kernel.value import PURE_VALUE, Value, number
from .functions import TABLE, Call
from .numbers import FrameOrigin, UnitFloat, value_of


class UnitsMode(TorchFunctionMode):
    """Runs every call as it is, and keeps the units of tensors by the memory they share, so that views agree."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.paused = False
        self._known: dict[Any, Value] = {}
        self._alive: dict[Any, Any] = {}  # memory that is kept is not handed out again under the same address

    def paused_while(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """A function whose own calls are no part of the optimizer."""

        def paused() -> Any:
            self.paused = True
            try:
                return function()
            finally:
                self.paused = False

        return paused

    def note(self, tensor: torch.Tensor, value: Value) -> None:
        """Write down what is known of a tensor."""
        key = _memory(tensor)
        self._known[key] = value
        self._alive[key] = tensor

    def known(self, x: Any) -> Value:
        """What is known of a tensor or a Python number."""
        if isinstance(x, torch.Tensor):
            value = self._known.get(_memory(x))
            return _constant(x) if value is None else value
        if isinstance(x, (list, tuple)):
            with_values = [self.known(item) for item in x]
            return with_values[0] if with_values else PURE_VALUE
        if x is None or isinstance(x, (str, torch.dtype, torch.device)):
            return PURE_VALUE
        return number(math.nan) if isinstance(x, complex) else value_of(x)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run the call, and note what it made."""
        kwargs = dict(kwargs or {})
        if self.paused:
            return func(*args, **kwargs)
        name, in_place = _plain_name(func)
        if name.startswith("_foreach_"):
            return self._for_each(func, name.removeprefix("_foreach_"), in_place, args, kwargs)
        if name in ("item", "__float__"):
            result = func(*args, **kwargs)
            value = self.known(args[0])
            if name == "__float__" or not isinstance(result, float):
                return result
            return UnitFloat(result, value, self.ledger)
        rule = TABLE.get(name)
        before = Call(self.ledger, args, kwargs, self.known)
        if rule is None or name == "get":
            result = func(*args, **kwargs)
            self._refuse_unknown(name, result, args)
            return result
        value = rule(before)
        overwritten = args[0] if in_place and args else kwargs.get("out")
        old = self.known(overwritten) if isinstance(overwritten, torch.Tensor) else None
        result = func(*args, **kwargs)
        if isinstance(overwritten, torch.Tensor) and old is not None:
            self._overwrite(overwritten, old, value)
        else:
            self._note_all(result, value)
        return result

    def _overwrite(self, tensor: torch.Tensor, old: Value, new: Value) -> None:
        if not tensor.is_sparse and tensor.numel() * tensor.element_size() < tensor.untyped_storage().nbytes():
            units = self.ledger.same([old, new], "writes into one array", FrameOrigin.here())  # part of an array
            new = new.but(units=units, constant=new.constant if old.constant == new.constant else None)
        self.note(tensor, new)

    def _note_all(self, result: Any, value: Value) -> None:
        if isinstance(result, torch.Tensor):
            if not result.is_floating_point() and value.units is not None:
                value = PURE_VALUE.but(measured=value.measured, rare=value.rare, constant=value.constant)
            self.note(result, value)
        elif isinstance(result, (list, tuple)):
            for item in result:
                self._note_all(item, value)

    def _for_each(self, func: Any, name: str, in_place: bool, args: Any, kwargs: Any) -> Any:
        rule = TABLE.get(name)
        if rule is None:
            raise UnknownOperationError("torch function", f"_foreach_{name}", FrameOrigin.here().location())
        count = len(args[0])
        rows = []
        for row in range(count):
            picked = [a[row] if isinstance(a, (list, tuple)) and len(a) == count else a for a in args]
            rows.append(rule(Call(self.ledger, picked, kwargs, self.known)))
        result = func(*args, **kwargs)
        for tensor, value in zip(args[0] if in_place else result, rows, strict=True):
            self.note(tensor, value)
        return result

    def _refuse_unknown(self, name: str, result: Any, args: Any) -> None:
        """A function outside the table may hand on what it was given; new floating numbers it may not make."""
        made = result if isinstance(result, (list, tuple)) else [result]
        for item in made:
            if isinstance(item, torch.Tensor) and item.is_floating_point() and _memory(item) not in self._known:
                if any(isinstance(a, torch.Tensor) for a in args) and name != "get":
                    raise UnknownOperationError("torch function", name, FrameOrigin.here().location())
                self.note(item, _constant(item))


def _memory(tensor: torch.Tensor) -> Any:
    if tensor.is_sparse or tensor.numel() == 0:
        return id(tensor)
    return tensor.untyped_storage().data_ptr()


def _constant(tensor: torch.Tensor) -> Value:
    """A tensor that no call was seen to make: a constant of the program."""
    if tensor.numel() == 0 or tensor.is_complex() or tensor.is_sparse:
        return PURE_VALUE
    first = float(tensor.flatten()[0])
    return number(first) if bool((tensor == first).all()) else PURE_VALUE


def _plain_name(func: Any) -> tuple[str, bool]:
    """The table's name of a function, and whether it writes into its first argument."""
    name: str = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":
        return "get", False
    if name == "__float__":
        return name, False
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
        if name == "setitem":
            return name, True
        if name.startswith("i") and name[1:] in TABLE and name not in TABLE:
            return name[1:], True
        return name, False
    if name.endswith("_") and not name.startswith("__"):
        return name[:-1], True
    return name, False
