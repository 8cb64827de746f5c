"""The mode that sees every torch call of a running optimizer and writes down what it does to units."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from .._kernel.expression import PURE_EXPRESSION
from .._kernel.ledger import Ledger
from .._kernel.value import PURE_VALUE, Value, number
from .functions import TABLE, Call
from .numbers import Carried, FrameOrigin, apply, carry, refused, value_of, went

# Outside the table, and without a say in what the numbers are: shapes and places in memory, names, hooks.
HARMLESS = frozenset(
    ("size", "dim", "ndimension", "nelement", "stride", "is_floating_point", "is_complex", "is_contiguous", "len",
     "element_size", "storage_offset", "data_ptr", "hash", "repr", "format", "str", "get", "set", "delete", "get_device",
     "dense_dim", "sparse_dim", "_nnz", "is_coalesced", "is_same_size", "is_set_to", "is_signed", "is_inference", "iter",
     "requires_grad_", "retain_grad", "has_names", "untyped_storage", "result_type", "index",
     "broadcast_tensors", "share_memory_", "detach_", "is_shared", "is_pinned", "record_stream", "_is_view", "dir",
     "is_nonzero", "is_neg", "is_conj", "promote_types", "is_tensor", "is_sparse",
     "_version", "squeeze_", "unsqueeze_", "t_", "transpose_", "swapaxes_")
)  # fmt: skip


#: What a first argument may be called.
_FIRST = ("input", "self", "tensors", "condition", "sorted_sequence", "data", "A", "tensor")
_HOOKS = ("register_hook", "register_post_accumulate_grad_hook")
#: Signs of a number of which a comparison with 0 is true.
_SIGNS = {"gt": {1}, "lt": {-1}, "ge": {0, 1}, "le": {-1, 0}, "eq": {0}, "ne": {-1, 1}}
_ALL_SIGNS = {-1, 0, 1}
#: What becomes of a sum over processes has the units of the summands; a product, or bits put together, has not.
_KEEP_UNITS = ("SUM", "AVG", "MIN", "MAX")


_OF_PROCESSES = "torch.distributed.distributed_c10d"


@dataclass
class _Partly:
    """A tensor of which some places were written, each with a value of its own."""

    before: Value
    covered: torch.Tensor
    written: list[Value] = field(default_factory=list)
    signs: dict[Any, set[int]] = field(default_factory=dict)  # of what was compared, those in whose places is written
    origin: FrameOrigin = field(default_factory=lambda: FrameOrigin(()))

    @property
    def all_gone(self) -> bool:
        """Whether nothing is left of what was there, whatever the data: it is written in the places of every sign."""
        return _ALL_SIGNS in self.signs.values() and bool(self.covered.all())

    def beside_the_rest(self, ledger: Ledger) -> Value:
        """What is known of it when it is read while something is left of what was there."""
        units = ledger.same([self.before, *self.written], "writes into one array", self.origin)
        zeros = any(v.is_zero or v.often_zero for v in self.written)
        return self.before.but(units=units, constant=None, identity=object(), origin=self.origin, often_zero=zeros)


class UnitsMode(TorchFunctionMode):
    """Runs every call as it is, and keeps the units of tensors by the memory they share, so that views agree.

    With ``constants`` a tensor that no call was seen to make is a constant of the program.
    """

    def __init__(self, ledger: Ledger, *, constants: bool = False) -> None:
        super().__init__()
        self.constants = constants
        self.ledger = ledger
        self.calls = self._hooks_called = 0
        self._slopes: list[tuple[torch.Tensor, Value]] = []  # of what is differentiated at this moment
        self._written: list[int] = []  # their versions, if only what is seen writes into them
        self.paused = False
        self._known: dict[Any, Value] = {}
        self._partly: dict[Any, _Partly] = {}
        self._signs: dict[Any, tuple[Any, set[int]]] = {}  # of a comparison with 0: what of, and where it is true
        self._only_signs = False
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
        key = memory(tensor)
        self._partly.pop(key, None)
        self._signs.pop(key, None)
        self._known[key] = value.but(nonnegative=False) if tensor.is_complex() else value
        self._alive[key] = tensor

    def known(self, x: Any) -> Value:
        """What is known of a tensor or a Python number."""
        if isinstance(x, torch.Tensor):
            key = memory(x)
            if key in self._partly and not self._only_signs:
                self._known[key] = self._partly.pop(key).beside_the_rest(self.ledger)
            value = self._known.get(key)
            if value is not None:
                return value
            if self.constants:
                return _constant(x) if x.numel() else number(0.0)  # what has no entries fits anything
            if _has_numbers(x) and x.numel():
                raise refused("tensor that no call was seen to make, of shape", str(tuple(x.shape)))
            return PURE_VALUE
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
        self.calls += 1
        self.ledger.read.update(x.value.name for x in _numbers((*args, *kwargs.values())))
        if not args and (first := next(iter(kwargs), None)) in _FIRST:  # rules look for it by its place
            args = (kwargs.pop(first),)
        name, in_place = _plain_name(func)
        if name.startswith("_foreach_"):
            return self._for_each(func, name.removeprefix("_foreach_"), in_place, args, kwargs)
        if name == "item":
            return self._carried(func(*args, **kwargs), self.known(args[0]))
        if getattr(func, "__module__", None) == _OF_PROCESSES:
            return self._between_processes(func, args, kwargs)
        if name == "backward":
            return self._backward(func, args, kwargs)
        if name in _HOOKS and len(args) == 2:
            return func(args[0], self._seen(*args))
        rule = TABLE.get(name)
        raw = getattr(func, "__name__", type(func).__name__)
        harmless = raw in HARMLESS or (raw.startswith("__") and raw[2:-2] in HARMLESS)
        if rule is None or harmless:
            given = [t for t in _tensors([*args, *kwargs.values()]) if _has_numbers(t)]
            before = [t._version for t in given]
            result = func(*args, **kwargs)
            if not harmless:
                numbers = [x for x in (*args, *kwargs.values()) if isinstance(x, Carried)]
                self._refuse_unknown(raw, result, [*given, *numbers], before != [t._version for t in given])
            return result
        if name == "setitem" and _is_mask(args[1], args[0]):
            return self._write_where(func, *args)
        with_zero = name in _SIGNS and len(args) == 2 and type(args[1]) in (int, float) and args[1] == 0
        self._only_signs = with_zero  # what is said of signs does not depend on units
        value = rule(Call(self.ledger, args, kwargs, self.known, in_place))
        self._only_signs = False
        overwritten = args[0] if in_place and args else kwargs.get("out")
        old = self.known(overwritten) if isinstance(overwritten, torch.Tensor) else None
        result = func(*args, **kwargs)
        if isinstance(overwritten, torch.Tensor) and old is not None and isinstance(value, Value):
            self.overwrite(overwritten, old, value)
            return result
        if name == "bool" and type(result) is bool and not self.ledger.checking:
            went(self.ledger, self.known(args[0]), result)
        result = self.note_all(result, value)
        if with_zero and isinstance(result, torch.Tensor):
            self._signs[memory(result)] = memory(args[0]), _SIGNS[name]
        elif name in ("invert", "logical_not", "bitwise_not") and memory(args[0]) in self._signs:
            of, signs = self._signs[memory(args[0])]
            self._signs[memory(result)] = of, _ALL_SIGNS - signs
        return result

    def _carried(self, result: Any, value: Value) -> Any:
        """Python's floats, also those in lists, with their units."""
        if isinstance(result, list):
            return [self._carried(item, value) for item in result]
        return carry(result, value, self.ledger) if type(result) is float else result

    def overwrite(self, tensor: torch.Tensor, old: Value, new: Value) -> None:
        """Write down what was written into a tensor, or into a part of its memory."""
        new = self._whole(tensor, new)
        if not tensor.is_sparse and tensor.numel() * tensor.element_size() < tensor.untyped_storage().nbytes():
            units = self.ledger.same([old, new], "writes into one array", FrameOrigin.here())  # part of an array
            new = new.but(units=units, constant=new.constant if old.constant == new.constant else None)
        self.note(tensor, new)

    def note_all(self, result: Any, value: Value | Sequence[Value]) -> Any:
        """Write down what is known of every tensor in a result, and give Python's floats their units."""
        if isinstance(result, torch.Tensor):
            one = self._whole(result, value if isinstance(value, Value) else value[0])
            if not _has_numbers(result) and one.units is not None:
                one = PURE_VALUE.but(
                    measured=one.measured, rare=one.rare, constant=one.constant, often_zero=one.often_zero
                )
            self.note(result, one)
        elif isinstance(result, (list, tuple)) and any(isinstance(item, torch.Tensor) for item in result):
            each = _beside_indices(result, value) if isinstance(value, Value) else value
            for item, one in zip(result, each, strict=False):
                self.note_all(item, one)
        elif isinstance(value, Value):
            return self._carried(result, value)
        return result

    def _whole(self, tensor: torch.Tensor, value: Value) -> Value:
        """What is known of a value as the dtype of a tensor has it: of whole numbers, rounded."""
        if value.units is None or _has_numbers(tensor) or tensor.dtype is torch.bool:
            return value
        if value.units != PURE_EXPRESSION:
            return apply(self.ledger, "floor", value)
        return value.but(often_zero=True, identity=object()) if value.measured and value.rare is None else value

    def _for_each(self, func: Any, name: str, in_place: bool, args: Any, kwargs: Any) -> Any:
        rule = TABLE.get(name)
        if rule is None:
            raise refused("torch function", f"_foreach_{name}")
        count = next(len(a) for a in args if isinstance(a, (list, tuple)))

        def picked(a: Any, row: int) -> Any:
            return a[row] if isinstance(a, (list, tuple)) and len(a) == count else a

        rows = []
        for row in range(count):
            named = {key: picked(a, row) for key, a in kwargs.items()}
            rows.append(rule(Call(self.ledger, [picked(a, row) for a in args], named, self.known, in_place)))
        result = func(*args, **kwargs)
        for tensor, value in zip(args[0] if in_place else result, rows, strict=True):
            if in_place:
                self.overwrite(tensor, self.known(tensor), value)
            else:
                self.note_all(tensor, value)
        return result

    def _write_where(self, func: Any, tensor: torch.Tensor, mask: torch.Tensor, written: Any) -> Any:
        """Write in the places of a mask; once masks cover all places, nothing is left of what was there."""
        key = memory(tensor)
        if key not in self._partly:
            self._partly[key] = _Partly(self.known(tensor), torch.zeros_like(mask))
        partly = self._partly[key]
        partly.written.append(self._whole(tensor, self.known(written)))
        partly.origin = FrameOrigin.here()
        partly.covered |= mask
        of, signs = self._signs.get(memory(mask), (None, set[int]()))
        partly.signs[of] = partly.signs.get(of, set()) | signs
        if partly.all_gone:
            units = self.ledger.same(partly.written, "writes into one array", partly.origin)
            self.note(tensor, PURE_VALUE.but(units=units, origin=partly.origin, identity=object()))
        return func(tensor, mask, written)

    def _between_processes(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Other processes' tensors are like the one of this, though their entries are others."""
        call, name = Call(self.ledger, args, kwargs, self.known), func.__name__
        gathers = name == "all_gather"
        if name == "all_reduce":
            op = call.given(1, "op") or torch.distributed.ReduceOp.SUM
            if not any(op == getattr(torch.distributed.ReduceOp, kept) for kept in _KEEP_UNITS):
                raise refused("torch function", f"all_reduce with {op}")
        elif name not in ("all_gather", "broadcast", "barrier"):
            raise refused("torch function", name)
        if name == "barrier":
            return func(*args, **kwargs)
        value = call.value(1, "tensor") if gathers else call.self
        value = value if value.is_zero else value.but(constant=None, identity=object())
        result = func(*args, **kwargs)
        for tensor in call.given(0, "tensor_list") if gathers else [call.given(0, "tensor")]:
            self.overwrite(tensor, self.known(tensor), value)
        return result

    def _backward(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Adds to the gradients of all that a loss was computed from, and calls their hooks."""
        leaves = _leaves(args[0])
        hooks, versions = self._hooks_called, [leaf._version for leaf in leaves]
        before = [leaf.grad for leaf in leaves]
        call = Call(self.ledger, args, kwargs, self.known)
        along = call.given(1, "gradient")
        loss = call.self if along is None else call.apply("mul", call.self, self.known(along))
        slopes = [call.apply("div", loss, self.known(leaf)).but(constant=None) for leaf in leaves]
        slopes = [s if g is None else call.apply("add", self.known(g), s) for g, s in zip(before, slopes, strict=True)]
        outer = self._slopes, self._written  # of a pass in a hook of another
        self._slopes, self._written = list(zip(leaves, slopes, strict=True)), list(versions)
        result = func(*args, **kwargs)
        if self._written != [leaf._version for leaf in leaves]:  # by more than what hooks were seen to do
            raise refused("torch function", "backward, which changes parameters,")
        self._note_slopes(again=hooks == self._hooks_called)
        self._slopes, self._written = outer
        return result

    def _note_slopes(self, *, again: bool = False) -> None:
        for leaf, slope in self._slopes:
            if leaf.grad is not None and (again or memory(leaf.grad) not in self._known):
                self.note(leaf.grad, slope)

    def _seen(self, tensor: torch.Tensor, hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A hook, which is called amid a pass backward, where no mode sees calls; it may not change the gradient on its way."""

        def seen(x: Any) -> Any:
            self._hooks_called += 1
            self._note_slopes()
            for slope in [slope for leaf, slope in self._slopes if leaf is tensor and x is not tensor]:
                self.note(x, slope)
            before = self._known.get(memory(x))
            leaves, written = [leaf for leaf, _ in self._slopes], self._written
            versions = [leaf._version for leaf in leaves]
            with self:
                result = hook(x)
            written[:] = [w + leaf._version - v for w, leaf, v in zip(written, leaves, versions, strict=True)]
            if x is not tensor and (self._known.get(memory(x)) is not before or not (result is None or result is x)):
                raise refused("hook", "that changes a gradient")
            return result

        return seen

    def _refuse_unknown(self, name: str, result: Any, given: Sequence[Any], writes: bool) -> None:
        """A function outside the table may look at what is no float, and hand on tensors that were there before."""
        made = _tensors(result)
        if not given:
            for item in made:
                self.note(item, _constant(item))
            return
        writes = writes or (name.endswith("_") and not name.startswith("__")) or name.startswith("__i")
        if not writes and all(self.known(t).or_pure == PURE_EXPRESSION for t in given):
            for item in made:
                if memory(item) not in self._known:  # of a view, what is known stays: zeros fit any units
                    self.note(item, PURE_VALUE)
        elif writes or not made or any(memory(item) not in self._known for item in made):
            raise refused("torch function", name)


def _has_numbers(tensor: torch.Tensor) -> bool:
    """Whether its entries may have units: they are no indices and no truth values."""
    return tensor.is_floating_point() or tensor.is_complex()


def _beside_indices(results: Sequence[Any], value: Value) -> list[Value]:
    """The same value for all, but for indices beside the entries that they are of."""
    index = [isinstance(item, torch.Tensor) and not _has_numbers(item) for item in results]
    indices = value if index[0] or value.units is None else value.but(units=PURE_EXPRESSION)
    return [indices if is_index else value for is_index in index]


def _tensors(x: Any) -> list[torch.Tensor]:
    if isinstance(x, torch.Tensor):
        return [x]
    return [t for item in x for t in _tensors(item)] if isinstance(x, (list, tuple)) else []


def _numbers(x: Any) -> Iterator[Carried]:
    for item in x:
        if isinstance(item, Carried):
            yield item
        elif isinstance(item, (list, tuple)):
            yield from _numbers(item)


def memory(tensor: torch.Tensor) -> Any:
    """Where a tensor's entries are: the same for views."""
    if tensor.is_sparse or tensor.numel() == 0:
        return id(tensor)
    try:
        return tensor.untyped_storage().data_ptr()
    except NotImplementedError:
        raise refused("tensor inside", "torch.func") from None


def _is_mask(places: Any, tensor: torch.Tensor) -> bool:
    """Whether places are given by truth values for each entry of a tensor that is no part of another."""
    if not (isinstance(places, torch.Tensor) and places.dtype is torch.bool and places.shape == tensor.shape):
        return False
    return not tensor.is_sparse and tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


def _leaves(output: torch.Tensor) -> list[torch.Tensor]:
    """What gradients are asked for among all that a tensor was computed from."""
    found: list[torch.Tensor] = []
    seen: set[Any] = {None}
    left: list[Any] = [output.grad_fn]
    while left:
        node = left.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        left.extend(following for following, _ in node.next_functions)
    return found


def _constant(tensor: torch.Tensor) -> Value:
    """A tensor that no call was seen to make: a constant of the program."""
    if tensor.numel() == 0 or tensor.is_complex() or tensor.is_sparse:
        return PURE_VALUE
    first = float(tensor.flatten()[0])
    return number(first) if bool((tensor == first).all()) else PURE_VALUE


def _plain_name(func: Any) -> tuple[str, bool]:
    """The table's name of a function, and whether it writes into its first argument."""
    name: str = getattr(func, "__name__", type(func).__name__).partition(".")[0]  # "add.Tensor": one of several
    if name == "__get__":
        return "get", False
    if name == "__float__":  # not the method of that name
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
