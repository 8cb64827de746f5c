"""The mode that sees every ATen operation of a running module, which is what all of torch's functions are made of.

Operations that have no rule are taken apart by torch's own decompositions, the ones that compilers use; so a norm
becomes squares, a sum with its eps and a root, each with a rule that optimizers need too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch._decomp import decomposition_table
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .._jaxpr.operations import Site, transcendental
from .._jaxpr.walk import strange
from .._kernel.equations import Origin
from .._kernel.ledger import Ledger
from .._kernel.value import PURE_VALUE, Value, number
from .functions import TABLE, Call, TorchRule, binary, converted, distance, keep, of_segments
from .mode import UnitsMode, memory
from .numbers import FrameOrigin


class AtenMode(TorchDispatchMode):
    """Runs every operation as it is, and keeps the units of tensors by the memory they share.

    A run without a ledger only writes down which operations there are, so that :meth:`needed` can say which of them a
    result depends on; a second run, with a ledger, makes demands for those alone.
    """

    def __init__(self, ledger: Ledger | None = None, needed: set[int] | None = None) -> None:
        super().__init__()
        self.ledger = ledger
        self.book = UnitsMode(ledger or Ledger(), constants=True)
        self.sizes: dict[Origin, list[tuple[float, float]]] = {}
        self.precision = 0.0  # of the coarsest floats that were computed with
        self._needed, self._count = needed, 0
        self._tape: list[tuple[list[torch.Tensor], list[torch.Tensor]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run the operation, and note what it made."""
        kwargs = dict(kwargs or {})
        name = func._schema.name.partition("::")[2]
        in_place = name.endswith("_") and not name.endswith("__")
        rule = _rule(name.removesuffix("_") if in_place else name)
        if rule is None:
            taken_apart = self._taken_apart(func, args, kwargs)
            if taken_apart is not NotImplemented:
                return taken_apart
            rule = _unknown(name)
        overwritten = args[0] if in_place and args else kwargs.get("out")
        at, self._count = self._count, self._count + 1
        if self.ledger is None:
            result = func(*args, **kwargs)
            self._tape.append((_tensors((args, kwargs)), _tensors((result, overwritten))))
            return result
        if self._needed is not None and at not in self._needed:
            return func(*args, **kwargs)
        before = len(self.ledger.equations)
        if not name.startswith(_MADE_ANEW[0]) and not name.endswith(_MADE_ANEW[1]):
            self.ledger.read.update(self.book.known(x).name for x in _tensors((args, kwargs)))
        value = rule(Call(self.ledger, args, kwargs, self.book.known, in_place))
        for equation in self.ledger.equations[before:]:
            if equation.guard is not None and equation.guard.threshold is not None:
                self.sizes.setdefault(equation.origin, []).append(_size(args, equation.guard.threshold))
        old = self.book.known(overwritten) if isinstance(overwritten, torch.Tensor) else None
        result = func(*args, **kwargs)
        for made in _tensors(result):
            if made.is_floating_point():
                self.precision = max(self.precision, torch.finfo(made.dtype).eps)
        if isinstance(overwritten, torch.Tensor) and old is not None:
            self.book.overwrite(overwritten, old, value if isinstance(value, Value) else value[0])
            return result
        return self.book.note_all(result, value) if isinstance(result, (torch.Tensor, list, tuple)) else result

    def needed(self, result: torch.Tensor) -> set[int]:
        """The operations, by number, on which a result of the run depends."""
        wanted, found = {memory(result)}, set()
        for at, (given, made) in reversed(list(enumerate(self._tape))):
            if not made or wanted.intersection(map(memory, made)):  # a number that Python computes with is needed
                found.add(at)
                wanted.update(map(memory, given))
        return found

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """See operations, and what leaves torch."""
        with _Leaving(self), self:
            yield

    def left(self, tensor: torch.Tensor) -> None:
        """Its numbers are read by what is not torch, and must not change."""
        self._count += 1
        if self.ledger is None:
            self._tape.append(([tensor], []))
        elif tensor.is_floating_point():
            self.ledger.read.add(self.book.known(tensor).name)
            _read_out(Call(self.ledger, [tensor], {}, self.book.known))

    def _taken_apart(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of an operation by way of simpler ones, which are seen again."""
        apart = decomposition_table.get(func)
        with self:
            return apart(*args, **kwargs) if apart is not None else func.decompose(*args, **kwargs)


class _Leaving(TorchFunctionMode):
    """Sees the functions that hand a tensor's memory to another library, which are no operations."""

    def __init__(self, mode: AtenMode) -> None:
        super().__init__()
        self._mode = mode

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Run the call."""
        if getattr(func, "__name__", "") in ("numpy", "__array__", "tolist", "__dlpack__"):
            self._mode.left(args[0])
        return func(*args, **(kwargs or {}))


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [x for x in tree_leaves(tree) if isinstance(x, torch.Tensor)]


def _rule(name: str) -> TorchRule | None:
    return _ATEN.get(name) or (None if name in _APART else TABLE.get(name))


def _unknown(name: str) -> TorchRule:
    def rule(c: Call) -> Value:
        given = [c.known(x) for x in _tensors((tuple(c.args), c.kwargs))]
        return strange(c.ledger, name, FrameOrigin.here(), given)

    return rule


def _size(args: Sequence[Any], bare: float) -> tuple[float, float]:
    """Smallest and median size of the operand that is no bare number."""
    values = [x.detach().abs().double().flatten() for x in args if isinstance(x, torch.Tensor) and x.numel()]
    values = [x for x in values if not torch.allclose(x, x.new_tensor(bare), rtol=1e-3, atol=0.0)] or values
    return (float(values[0].min()), float(values[0].median())) if values else (float("nan"), float("nan"))


def _pure(what: str) -> TorchRule:
    """A function that is no power."""
    operation = transcendental(f"takes the {what} of")

    def rule(c: Call) -> Value:
        value = operation(Site(c.ledger, FrameOrigin.here()), [c.self])
        assert isinstance(value, Value)
        return value

    return rule


def _first(c: Call) -> list[Value]:
    """The first result has the units of the operand, the others are indices and masks."""
    return [keep(c), PURE_VALUE, PURE_VALUE]


def _convolution(c: Call) -> Value:
    product = c.apply("mul", c.self, c.value(1, "weight"))
    bias = c.given(2, "bias")
    return product if bias is None else c.apply("add", product, c.known(bias))


def _attention(c: Call) -> list[Value]:
    """Scores are pure, and what is mixed keeps its units."""
    scores = c.apply("mul", c.self, c.value(1, "key"))
    mask = next(iter(_tensors((c.args[3:], c.kwargs))), None)  # each kernel has its own place and name for it
    if mask is not None:
        scores = c.apply("add", scores, c.known(mask))
    scores = c.apply("exp", scores)
    return [c.apply("mul", scores, c.value(2, "value")).but(constant=None), *[PURE_VALUE] * 8]


def _threshold(c: Call) -> Value:
    """Entries above a threshold, and another value in the place of the rest."""
    above = c.apply("gt", c.self, c.value(1, "threshold"))
    return c.apply("select_n", above, c.value(2, "value"), c.self)


def _prelu(c: Call) -> Value:
    """Positive entries as they are, negative ones times a pure weight."""
    c.ledger.pure(c.value(1, "weight"), "takes as a slope", FrameOrigin.here())
    return keep(c)


def _nll(c: Call) -> list[Value]:
    """A mean with weights does not feel their size, other reductions do."""
    weight, mean = c.given(2, "weight"), c.given(3, "reduction", 1) == 1
    if weight is None:
        return [keep(c), PURE_VALUE]
    return [keep(c) if mean else c.apply("mul", keep(c), c.known(weight)), c.known(weight)]


def _weight_norm(c: Call) -> list[Value]:
    length = c.apply("abs", keep(c))
    return [c.apply("div", c.apply("mul", c.self, c.value(1, "g")), length), length]


def _read_out(c: Call) -> Value:
    """A number that Python computes with from here on must not change."""
    if isinstance(c.args[0], torch.Tensor) and c.args[0].is_floating_point():
        c.ledger.pure(c.self, "hands Python the number of", FrameOrigin.here())
    return PURE_VALUE


_ATEN: dict[str, TorchRule] = {
    **dict.fromkeys(("_unsafe_view", "as_strided", "lift_fresh", "lift_fresh_copy", "lift", "alias", "detach", "clone",
                     "_reshape_alias", "_conj", "positive", "_to_dense", "slice", "view_copy", "expand_copy", "pin_memory"), lambda c: c.self),
    **dict.fromkeys(("index", "_unsafe_index", "embedding", "split_with_sizes", "unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes",
                     "avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "upsample_nearest1d",
                     "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact2d", "upsample_bilinear2d",
                     "upsample_linear1d", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa", "pixel_shuffle",
                     "pixel_unshuffle", "im2col", "col2im", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
                     "replication_pad1d", "replication_pad2d", "replication_pad3d", "channel_shuffle", "leaky_relu",
                     "rrelu_with_noise"), keep),
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d",
                     "fractional_max_pool2d"), _first),
    **dict.fromkeys(("nll_loss_forward", "nll_loss2d_forward"), _nll),
    "_to_copy": converted, "_local_scalar_dense": _read_out, "item": _read_out,
    **dict.fromkeys(("convolution", "_convolution", "convolution_overrideable", "mkldnn_convolution", "_slow_conv2d_forward"), _convolution),
    **dict.fromkeys(("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
                     "_scaled_dot_product_efficient_attention", "_scaled_dot_product_fused_attention_overrideable"), _attention),
    "relu": lambda c: c.apply("max", c.self, number(0.0)), "threshold": _threshold,
    "_prelu_kernel": _prelu, "_weight_norm_interface": _weight_norm,
    "constant_pad_nd": lambda c: c.apply("concatenate", c.self, c.value(2, "value", 0.0)),
    "var_mean": lambda c: [c.apply("square", keep(c)), keep(c)], "linalg_cross": binary("mul"),
    **dict.fromkeys(("index_put", "_unsafe_index_put"), binary("dynamic_update_slice", "values", 2)),
    **dict.fromkeys(("slice_scatter", "select_scatter"), binary("dynamic_update_slice", "src", 1)),
    "_euclidean_dist": binary("sub", "x2"), "_cdist_forward": distance("x2"), "segment_reduce": of_segments,
    "_linalg_svd": lambda c: [PURE_VALUE, keep(c), PURE_VALUE],
    **{name: _pure(text) for name, text in {
        "_softmax": "softmax", "_safe_softmax": "softmax", "_log_softmax": "logarithm of the softmax", "gelu": "gelu", "silu": "silu",
        "mish": "mish", "elu": "elu", "celu": "celu", "selu": "selu", "hardswish": "hardswish", "hardsigmoid": "hardsigmoid",
        "log_sigmoid_forward": "logarithm of the sigmoid", "softplus": "softplus", "logsumexp": "logarithm of the sum of exponentials",
    }.items()},
    "log_sigmoid_forward": lambda c: [c.apply("logistic", c.self), PURE_VALUE],
}  # fmt: skip
#: How names begin and end of operations that take a shape, and no numbers, from a tensor.
_MADE_ANEW = "new_", "_like"
#: Names that mean another thing among torch's functions, or that are better taken apart.
_APART = frozenset(("normalize", "cosine_similarity", "softmax", "hypot", "get", "set"))
