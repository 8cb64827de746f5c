"""What each torch function that optimizers call does to units, in terms of the rules shared with jaxprs.

A rule takes :class:`Call` and gives the value of the result. In-place variants, operators and ``_foreach_`` lists are
led back to the plain name before the table is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .._kernel.expression import PURE_EXPRESSION
from .._kernel.ledger import TINY, Ledger
from .._kernel.value import PURE_VALUE, Rare, Value, number
from .numbers import EYE, FrameOrigin, apply, refused


@dataclass
class Call:
    """One call: its arguments, and how to look up what is known of them."""

    ledger: Ledger
    args: Sequence[Any]
    kwargs: dict[str, Any]
    known: Callable[[Any], Value]
    in_place: bool = False

    def given(self, position: int, name: str, default: Any = None) -> Any:
        """An argument by position or name."""
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name, default)

    def value(self, position: int, name: str, default: Any = None) -> Value:
        """What is known of an argument."""
        return self.known(self.given(position, name, default))

    def apply(self, primitive: str, *values: Value, same: bool = False) -> Value:
        """A shared rule."""
        return apply(self.ledger, primitive, *values, same=same)

    @property
    def self(self) -> Value:
        """What is known of the first argument."""
        return self.known(self.args[0])


TorchRule = Callable[[Call], Value | list[Value]]


def keep(c: Call) -> Value:
    """The first argument's units: a view, a copy, a sum."""
    return c.self if c.self.is_zero else c.self.but(constant=None)


def converted(c: Call) -> Value:
    """Another dtype: rounding to whole numbers wants a pure number."""
    dtype = _dtype(c)
    whole = dtype is not None and not (dtype.is_floating_point or dtype.is_complex or dtype is torch.bool)
    return c.apply("floor", c.self) if whole and c.args[0].is_floating_point() else c.self


#: What is done with the bits of a quantity may break its law, or be a way to round it.
BITS = "reads as bits"


def viewed(c: Call) -> Value:
    """Another shape; another dtype is the same bits, of which a factor makes others."""
    if _dtype(c) is None:
        return c.self
    c.ledger.pure(c.self, BITS, FrameOrigin.here())
    return PURE_VALUE.but(measured=c.self.measured)


def _dtype(c: Call) -> torch.dtype | None:
    """The dtype that is asked for: itself, by a tensor that has it, or by a type of tensors or its name."""
    for x in (*c.args[1:], *c.kwargs.values()):
        if isinstance(x, (torch.dtype, torch.Tensor)):
            return x if isinstance(x, torch.dtype) else x.dtype
        if isinstance(x, type) and isinstance(getattr(x, "dtype", None), torch.dtype):
            return x.dtype
        if isinstance(x, str) and x.endswith("Tensor"):
            return torch.empty(0).type(x).dtype
    return None


def added_up(c: Call) -> Value:
    """A sum of entries, once they have the dtype that is asked for; of floats it is not 0 where some of them are."""
    value = c.self if c.kwargs.get("dtype") is None else converted(c)
    value = value if value.is_zero else value.but(constant=None)
    return value.but(often_zero=value.often_zero and not c.args[0].is_floating_point())


def signed(c: Call) -> Value:
    """The first argument's units; of what is never negative something that may be."""
    return keep(c).but(nonnegative=False)


def unary(primitive: str) -> TorchRule:
    """A shared rule of one operand."""
    return lambda c: c.apply(primitive, c.self)


def binary(primitive: str, name: str = "other", position: int = 1) -> TorchRule:
    """A shared rule of two operands."""

    def rule(c: Call) -> Value:
        other = c.given(position, name)
        return c.apply(primitive, c.self, c.known(other), same=c.args[0] is other)

    return rule


def plus(primitive: str) -> TorchRule:
    """``self ± alpha·other``."""

    def rule(c: Call) -> Value:
        return c.apply(primitive, c.self, _times(c, c.given(2, "alpha", 1), c.value(1, "other")))

    return rule


def times(c: Call) -> Value:
    """``self·other``."""
    other = c.given(1, "other")
    left, right = c.self, c.known(other)
    tiny = _tiny_eye(left, right) or _tiny_eye(right, left)
    return tiny or c.apply("mul", left, right, same=c.args[0] is other)


def _tiny_eye(eye: Value, factor: Value) -> Value | None:
    """A tiny multiple of an identity matrix, as it protects a decomposition."""
    small = factor.constant is not None and factor.units is not None and abs(factor.constant) <= TINY
    return factor.but(name=EYE, identity=None) if eye.name == EYE and eye.constant is None and small else None


def _times(c: Call, factor: Any, value: Value) -> Value:
    """``factor·value``, without asking what a bare factor is."""
    if value.name == EYE and type(factor) is float and factor:
        return _tiny_eye(value, number(factor)) or value
    if type(factor) not in (int, float) or not factor:
        return c.apply("mul", c.known(factor), value)
    known = None if value.constant is None else value.constant * factor
    return value.but(constant=known, nonnegative=value.nonnegative and factor > 0)


def quotient(c: Call) -> Value:
    """``self/other``, rounded where that is asked for."""
    ratio = c.apply("div", c.self, c.value(1, "other"))
    return ratio if c.kwargs.get("rounding_mode") is None else c.apply("floor", ratio)


def swapped(primitive: str, name: str = "other") -> TorchRule:
    """An operator with its operands the other way round."""
    return lambda c: c.apply(primitive, c.value(1, name), c.self)


def of_kept(primitive: str) -> TorchRule:
    """A shared rule of the first argument, whose entries are moved or added up."""
    return lambda c: c.apply(primitive, keep(c))


def length(c: Call) -> Value:
    """Never negative; of order 0 it counts entries."""
    order = c.given(1, "ord", c.kwargs.get("p"))
    return PURE_VALUE if type(order) in (int, float) and order == 0 else c.apply("abs", added_up(c))


def distance(name: str = "other") -> TorchRule:
    """Of two arrays; of order 0 it counts entries that differ."""
    return lambda c: c.apply("eq" if c.given(2, "p") == 0 else "sub", c.self, c.value(1, name))


def largest_side(c: Call) -> Value:
    """``√(self² + other²)``, which is at least the size of either."""
    return c.apply("max", c.apply("abs", c.self), c.apply("abs", c.value(1, "other")))


def differences(c: Call) -> Value:
    """Of neighbours, after what is put before and behind."""
    more = (c.given(3, "prepend"), c.given(4, "append"))
    return c.apply("concatenate", c.self, *(c.known(x) for x in more if x is not None)).but(nonnegative=False)


def addcmul(c: Call) -> Value:
    """``self + value·tensor1·tensor2``."""
    first, second = c.given(1, "tensor1"), c.given(2, "tensor2")
    product = c.apply("mul", c.known(first), c.known(second), same=first is second)
    return c.apply("add", c.self, _times(c, c.given(3, "value", 1), product))


def addcdiv(c: Call) -> Value:
    """``self + value·tensor1/tensor2``."""
    quotient = c.apply("div", c.value(1, "tensor1"), c.value(2, "tensor2"))
    return c.apply("add", c.self, _times(c, c.given(3, "value", 1), quotient))


def lerp(c: Call) -> Value:
    """``self + weight·(end − self)``: the two have one unit and the weight is pure."""
    weight = c.value(2, "weight")
    difference = c.apply("sub", c.value(1, "end"), c.self)
    return c.apply("add", c.self, c.apply("mul", weight, difference))


def addmm(c: Call) -> Value:
    """``beta·self + alpha·(a @ b)``, of matrices or vectors."""
    names = (n for n in c.kwargs if n not in ("input", "beta", "alpha", "out"))
    a, b = (*c.args[1:3], *(c.kwargs[n] for n in names))
    left = _times(c, c.kwargs.get("beta", 1), c.self)
    return c.apply("add", left, _times(c, c.kwargs.get("alpha", 1), c.apply("mul", c.known(a), c.known(b))))


def close(c: Call) -> Value:
    """``|self − other| ≤ atol + rtol·|other|``."""
    other = c.value(1, "other")
    reach = c.apply("mul", c.known(c.given(2, "rtol", 1e-5)), c.apply("abs", other))
    bound = c.apply("add", reach, c.known(c.given(3, "atol", 1e-8)))
    return c.apply("le", c.apply("abs", c.apply("sub", c.self, other)), bound)


def noise(c: Call) -> Value:
    """Random numbers between, or around and as wide as, given ones; standard ones are pure."""
    return _between(c, "draws noise between", [*c.args[1 if c.in_place else 0 :], *c.kwargs.values()])


def spaced(count: int) -> TorchRule:
    """Numbers at equal distances, of which the first so many arguments say where they start, end, and how far apart."""
    return lambda c: _between(
        c, "takes numbers between", [*c.args[:count], *(c.kwargs.get(n) for n in ("start", "end", "step"))]
    )


def _between(c: Call, what: str, numbers: Sequence[Any]) -> Value:
    given = [c.known(x) for x in numbers if _is_quantity(x)]
    units = c.ledger.same(given, what, FrameOrigin.here()) if given else None
    return PURE_VALUE if units is None else Value(units)


def _is_quantity(x: Any) -> bool:
    return isinstance(x, (int, float)) or (hasattr(x, "is_floating_point") and x.is_floating_point())


def cosine(c: Call) -> Value:
    """The cosine of two arrays, with an eps for each length."""
    eps = c.given(3, "eps", 1e-8)
    return c.apply("mul", *(_over_length(c, x, eps) for x in (c.self, c.value(1, "x2"))))


def _over_length(c: Call, value: Value, eps: Any) -> Value:
    return c.apply("div", value, c.apply("max", c.apply("abs", value), c.known(eps)))


def written_at(c: Call) -> Value:
    """Other values in some of the places."""
    return c.apply("dynamic_update_slice", c.self, _written(c))


def _written(c: Call) -> Value:
    return c.value(3, next((n for n in ("src", "source") if n in c.kwargs), "value"))


def added_at(c: Call) -> Value:
    """``alpha`` times other values added in some of the places."""
    return c.apply("add", c.self, _times(c, c.kwargs.get("alpha", 1), _written(c)))


def scattered(c: Call) -> Value:
    """Other values in some of the places, or in all; what is multiplied together must be pure."""
    how = c.given(4, "reduce")
    if how is None and _everywhere(c):
        return _written(c)
    value = written_at(c)
    return c.apply("cumprod", value) if how == "multiply" else value


def _everywhere(c: Call) -> bool:
    """Whether the places along an axis are each one once, so that nothing is left of what was there."""
    axis, places = c.given(1, "dim"), c.given(2, "index")
    if not isinstance(axis, int) or not hasattr(places, "sort") or places.shape != c.args[0].shape or not places.ndim:
        return False
    each = places.sort(dim=axis).values.movedim(axis, -1)
    return bool((each == each.new_tensor(range(each.shape[-1]))).all())


def pure_operands(c: Call) -> Value:
    """Random numbers from pure ones, such as chances."""
    for x in c.args[1 if c.in_place else 0 :]:
        if _is_quantity(x):
            c.ledger.pure(c.known(x), "takes as a chance", FrameOrigin.here())
    return PURE_VALUE


def factors(*pure_at: int) -> TorchRule:
    """A decomposition: orthogonal factors are pure, the others have the matrix's units."""
    return lambda c: [PURE_VALUE if position in pure_at else signed(c) for position in range(3)]


def solve_triangular(right: int, left: int, name: str) -> TorchRule:
    """``A⁻¹·B``; where the diagonal is taken for ones, A cannot have units."""

    def rule(c: Call) -> list[Value]:
        matrix, other = c.value(left, name), c.value(right, "B")
        if c.kwargs.get("unitriangular", any(x is True for x in c.args[4:5])):
            c.ledger.pure(matrix, "takes for ones the diagonal of", FrameOrigin.here())
        return [c.apply("div", other, matrix.but(nonnegative=False)), matrix]

    return rule


def solve_factored(c: Call) -> Value:
    """``L·U`` in one array: of the two only U has the matrix's units, so that what is not pure has none."""
    factored = c.known(next(x for x in (*c.args, *c.kwargs.values()) if _is_quantity(x)))
    if factored.or_pure != PURE_EXPRESSION:
        raise refused("torch function", "lu_solve, of factors that have units,")
    return c.value(2, "B")


def inverse(c: Call) -> Value:
    """One over the matrix, of which singular values below a bound may be left out."""
    if c.kwargs.get("atol") is not None:
        c.apply("lt", c.self, c.value(9, "atol"))
    return c.apply("div", number(1.0), signed(c))


def determinant(c: Call) -> Value:
    """A product of as many entries as there are rows."""
    return Value(c.ledger.power(c.self, c.args[0].shape[-1]))


def matrix_power(c: Call) -> Value:
    """A product of so many times the same."""
    return Value(c.ledger.power(c.self, int(c.given(1, "n"))))


def sign_and_logarithm(c: Call) -> list[Value]:
    """Of a determinant."""
    return [PURE_VALUE, c.apply("log", determinant(c))]


def product(c: Call) -> Value:
    """Of the matrices in a list, or of all operands."""
    operands = c.args[0] if isinstance(c.args[0], (list, tuple)) else c.args
    result = c.known(operands[0])
    for x in operands[1:]:
        result = c.apply("mul", result, c.known(x))
    return result


def reduced_into(c: Call) -> Value:
    """Sums, means or extremes of entries that belong together; of products, pure ones only."""
    value = c.apply("dynamic_update_slice", c.self, c.value(3, "src"))
    return c.apply("cumprod", value) if c.given(4, "reduce") == "prod" else value


def of_segments(c: Call) -> Value:
    """Sums, means or extremes of neighbours, from a number on; of products, pure ones only."""
    start = c.kwargs.get("initial")
    value = keep(c) if start is None else c.apply("concatenate", c.self, c.known(start))
    return c.apply("cumprod", value) if c.given(1, "reduce") == "prod" else value


def least_squares(c: Call) -> list[Value]:
    """The solution, squares of what is left, the rank, and singular values."""
    right = c.value(1, "B")
    return [c.apply("div", right, signed(c)), c.apply("square", right), PURE_VALUE, keep(c)]


def scaled_by_power(c: Call) -> Value:
    """``self·2^other``."""
    return c.apply("mul", c.self, c.apply("exp2", c.value(1, "other")))


def softplus(c: Call) -> Value:
    """``log(1 + exp(beta·self)) / beta``."""
    beta = c.value(1, "beta", 1)
    return c.apply("div", c.apply("log1p", c.apply("exp", c.apply("mul", c.self, beta))), beta)


def step_function(c: Call) -> Value:
    """0 or 1, and at 0 another value."""
    c.ledger.pure(c.value(1, "values"), "puts beside 0 and 1", FrameOrigin.here())
    return PURE_VALUE


def without_nan(c: Call) -> Value:
    """Another value in the place of nan and inf."""
    finite = PURE_VALUE.but(measured=True, rare=Rare(False, "a tested value is not finite"), identity=object())
    value = c.self
    for position, name in enumerate(("nan", "posinf", "neginf"), start=1):
        if c.given(position, name) is not None:
            value = c.apply("select_n", finite, c.value(position, name), value)
    return value


def einsum(c: Call) -> Value:
    """A sum of products of all operands."""
    operands = c.args[1] if len(c.args) == 2 and isinstance(c.args[1], (list, tuple)) else c.args[1:]
    product = c.known(operands[0])
    for x in operands[1:]:
        product = c.apply("mul", product, c.known(x))
    return product.but(constant=None) if not product.is_zero else product


def clamp(c: Call) -> Value:
    """Between two bounds, either of which may be left out."""
    value = c.self
    for position, name, primitive in ((1, "min", "max"), (2, "max", "min")):
        bound = c.given(position, name)
        if bound is not None:
            value = c.apply(primitive, value, c.known(bound))
    return value


def extreme(primitive: str) -> TorchRule:
    """Of two tensors entry by entry, or of one along its axes."""

    def rule(c: Call) -> Value:
        other = c.given(1, "other")
        return c.apply(primitive, c.self, c.known(other)) if hasattr(other, "dtype") else keep(c)

    return rule


def where(c: Call) -> Value:
    """A choice, entry by entry; of a condition alone, the places where it holds."""
    chosen = c.given(1, "input", c.kwargs.get("self"))
    return PURE_VALUE if chosen is None else c.apply("select_n", c.self, c.value(2, "other"), c.known(chosen))


def derivative(c: Call) -> list[Value]:
    """Derivatives of outputs, times vectors of pure numbers unless given: what scales as u of what scales as v is u/v."""
    outputs, inputs, along = (
        list(x) if isinstance(x, (list, tuple)) else [x]
        for x in (c.args[0], c.given(1, "inputs"), c.given(2, "grad_outputs"))
    )
    terms = [
        c.known(x) if v is None else c.apply("mul", c.known(x), c.known(v))
        for x, v in zip(outputs, along * len(outputs) if along == [None] else along, strict=True)
    ]
    total = Value(c.ledger.same(terms, "differentiates the sum of", FrameOrigin.here()))
    return [c.apply("div", total, c.known(x)).but(constant=None, nonnegative=False) for x in inputs]


def resized(c: Call) -> Value:
    """Another shape: what had entries keeps its units, the others are anything."""
    return c.self if c.args[0].numel() else number(math.nan)


def argument(position: int, name: str) -> TorchRule:
    """Another argument's units, whatever the first one's."""
    return lambda c: c.value(position, name)


def constant(x: float) -> TorchRule:
    """A tensor full of a number that the function's name says."""
    return lambda c: number(x)


def given_data(c: Call) -> Value:
    """A tensor made of Python numbers, all of one unit."""
    return puts_together(c, c.args[0])


def puts_together(c: Call, data: Any) -> Value:
    """Numbers in lists, all of one unit."""
    flat: list[Any] = []

    def collect(data: Any) -> None:
        if isinstance(data, (list, tuple)):
            for item in data:
                collect(item)
        else:
            flat.append(data)

    collect(data)
    values = [c.known(x) for x in flat]
    return values[0] if len(values) == 1 else Value(c.ledger.same(values, "puts side by side", FrameOrigin.here()))


def product_of_all(c: Call) -> Value:
    """A product of all entries."""
    if c.given(1, "dim") is not None:
        return c.apply("cumprod", c.self)
    return Value(c.ledger.power(c.self, c.args[0].numel()), None, c.self.nonnegative, c.self.measured)


def pure(c: Call) -> Value:
    """An index, a truth value: blind to a positive factor."""
    return PURE_VALUE.but(measured=bool(c.args) and hasattr(c.args[0], "dtype") and c.self.measured, often_zero=True)


def truth(outcome: bool, condition: str) -> TorchRule:
    """A truth value with a rare outcome."""
    return lambda c: PURE_VALUE.but(measured=True, rare=Rare(outcome, condition))


TABLE: dict[str, TorchRule] = {
    # moved, copied, summed over axes
    **dict.fromkeys(("clone", "detach", "view_as", "reshape", "reshape_as", "flatten", "contiguous", "float", "double",
                     "half", "bfloat16", "cpu", "t", "transpose", "permute", "squeeze", "unsqueeze",
                     "expand", "expand_as", "real", "view_as_real", "view_as_complex", "requires_grad", "coalesce",
                     "_values", "sparse_mask", "to_dense", "to_sparse", "resolve_conj", "resolve_neg", "alias", "deepcopy", "moveaxis",
                     "movedim", "swapaxes", "swapdims", "ravel", "unflatten", "atleast_1d", "atleast_2d", "tile", "repeat",
                     "repeat_interleave", "broadcast_to", "conj", "adjoint", "rot90", "tolist", "any", "all"), lambda c: c.self),
    **dict.fromkeys(("sum", "nansum", "mean"), added_up),
    **dict.fromkeys(("cumsum", "getitem", "index_select", "gather", "take", "select", "narrow",
                     "roll", "flip", "diag", "diagonal", "trace", "amax", "amin", "median", "imag", "triu", "tril",
                     "masked_select", "unbind", "split", "chunk", "tensor_split", "unfold", "sort", "topk", "kthvalue", "msort",
                     "quantile", "nanquantile", "nanmean", "nanmedian", "mode", "cummax", "cummin",
                     "fliplr", "flipud", "take_along_dim", "sum_to_size", "hsplit", "vsplit", "dsplit",
                     "diag_embed", "aminmax"), keep),
    **dict.fromkeys((*(f"fft_{name}" for name in ("fft", "ifft", "rfft", "irfft", "fft2", "ifft2", "fftn", "ifftn")),
                     "copysign", "linalg_eigvalsh", "linalg_eigvals"), signed),
    **dict.fromkeys(("to", "type", "type_as"), converted), "view": viewed,
    # one unit
    "add": plus("add"), "sub": plus("sub"), "subtract": plus("sub"), "radd": plus("add"), "rsub": swapped("sub"),
    "maximum": binary("max"), "minimum": binary("min"), "max": extreme("max"), "min": extreme("min"),
    "fmax": binary("max"), "fmin": binary("min"),
    "clamp": clamp, "clip": clamp, "clamp_min": binary("max", "min"), "clamp_max": binary("min", "max"),
    "lerp": lerp, "addcmul": addcmul, "addcdiv": addcdiv,
    **dict.fromkeys(("addmm", "addmv", "addr", "addbmm", "baddbmm"), addmm), "nan_to_num": without_nan,
    "where": where, "setitem": binary("dynamic_update_slice", "value", 2),
    "masked_fill": lambda c: c.apply("select_n", c.value(1, "mask"), c.self, c.value(2, "value")),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack", "block_diag"),
                    lambda c: c.apply("concatenate", *(c.known(t) for t in c.args[0]))),
    "remainder": binary("rem"), "fmod": binary("rem"), "hypot": largest_side, "diff": differences, "index_add": added_at,
    **dict.fromkeys(("select_scatter", "slice_scatter", "diagonal_scatter"), binary("dynamic_update_slice", "src", 1)),
    "index_put": binary("dynamic_update_slice", "values", 2), "masked_scatter": binary("dynamic_update_slice", "source", 2),
    "scatter_reduce": reduced_into, "complex": lambda c: c.apply("concatenate", c.self, c.value(1, "imag")),
    "searchsorted": binary("lt", "input"), "bucketize": binary("lt", "boundaries"), "cdist": distance("x2"),
    "relu": lambda c: c.apply("max", c.self, number(0.0)), "heaviside": step_function,
    "scatter": scattered, **dict.fromkeys(("scatter_add", "index_copy", "index_fill"), written_at),
    "normalize": lambda c: _over_length(c, c.self, c.given(3, "eps", 1e-12)), "cosine_similarity": cosine,
    "std_mean": lambda c: [c.apply("abs", keep(c)), keep(c)],
    "constant": argument(1, "val"),
    # products and powers
    "mul": times, "multiply": times, "rmul": times, "div": quotient, "divide": quotient,
    **dict.fromkeys(("floor_divide", "floordiv"), lambda c: c.apply("floor", quotient(c))),
    "rfloordiv": lambda c: c.apply("floor", c.apply("div", c.value(1, "other"), c.self)), "true_divide": binary("div"), "truediv": binary("div"), "rdiv": swapped("div"),
    "rtruediv": swapped("div"),
    **dict.fromkeys(("mm", "matmul", "bmm", "mv", "dot", "vdot", "inner", "outer", "ger",
                     "kron", "tensordot", "linalg_matmul", "linalg_vecdot"), binary("mul")),
    "rmatmul": swapped("mul"), "linalg_cross": binary("mul"), "cross": binary("mul"),
    **dict.fromkeys(("linalg_multi_dot", "chain_matmul"), product), "ldexp": scaled_by_power, "float_power": binary("pow", "exponent"),
    "sqrt": unary("sqrt"), "rsqrt": unary("rsqrt"), "square": unary("square"),
    "reciprocal": lambda c: c.apply("div", number(1.0), c.self), "pow": binary("pow", "exponent"), "rpow": swapped("pow"),
    **dict.fromkeys(("norm", "linalg_vector_norm", "vector_norm", "linalg_norm", "linalg_matrix_norm"), length),
    "std": of_kept("abs"),
    "dist": distance(), "var": of_kept("square"), "prod": product_of_all,
    "neg": unary("neg"), "negative": unary("neg"), "abs": unary("abs"), "absolute": unary("abs"),
    # no power: pure numbers only
    **{name: unary(name) for name in ("exp", "exp2", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "erf",
                                      "floor", "ceil", "round", "lgamma", "digamma", "sinh", "cosh", "asin", "acos",
                                      "atan", "asinh", "acosh", "atanh", "erfc")},
    "sigmoid": unary("logistic"), "cumprod": unary("cumprod"), "softmax": unary("exp"), "frac": unary("floor"),
    "int": unary("floor"), "long": unary("floor"), "trunc": unary("floor"), "log2": unary("log"),
    "log10": unary("log"), "logsumexp": unary("exp"), "softplus": softplus,
    "leaky_relu": lambda c: c.apply("max", c.self, c.apply("mul", c.self, c.known(c.given(1, "negative_slope", 0.01)))),
    # comparisons, signs and truth values
    **{name: binary(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "equal": binary("eq"), "atan2": binary("atan2"), "isclose": close, "allclose": close,
    "isfinite": truth(False, "a tested value is not finite"), "isnan": truth(True, "a tested value is nan"),
    "isinf": truth(True, "a tested value is not finite"),
    "logical_and": binary("and"), "bitwise_and": binary("and"), "and": binary("and"),
    "logical_or": binary("or"), "bitwise_or": binary("or"), "or": binary("or"),
    **dict.fromkeys(("logical_xor", "xor", "bitwise_xor"), pure), "logical_not": unary("not"), "bitwise_not": unary("not"), "invert": unary("not"),
    **dict.fromkeys(("sign", "sgn"), unary("sign")),
    **dict.fromkeys(("signbit", "argmax", "argmin", "argsort", "nonzero", "count_nonzero", "numel",
                     "_indices", "indices", "bool", "is_nonzero"), pure),
    "bincount": lambda c: PURE_VALUE if c.given(1, "weights") is None else c.value(1, "weights").but(constant=None),
    # made anew
    **dict.fromkeys(("zeros", "zeros_like", "new_zeros", "zero"), constant(0.0)),
    **dict.fromkeys(("empty", "empty_like", "new_empty", "empty_strided"), constant(math.nan)),
    **dict.fromkeys(("ones", "ones_like", "new_ones"), constant(1.0)),
    "full": argument(1, "fill_value"), "full_like": argument(1, "fill_value"), "new_full": argument(2, "fill_value"),
    "fill": argument(1, "value"), "copy": argument(1, "src"), "tensor": given_data, "as_tensor": given_data, "asarray": given_data,
    "scalar_tensor": given_data, "new_tensor": lambda c: puts_together(c, c.given(1, "data")), "sparse_coo_tensor": argument(1, "values"),
    "new": lambda c: puts_together(c, c.args[1]) if isinstance(c.given(1, "data"), list) else c.value(2, "values"),
    "normal": noise, "uniform": noise, "trunc_normal": noise,
    "exponential": lambda c: c.apply("div", number(1.0), c.value(1, "lambd", 1.0)),  # as wide as one over its rate
    **dict.fromkeys(("bernoulli", "geometric", "log_normal"), pure_operands),
    **dict.fromkeys(("rand", "randn", "rand_like", "randn_like", "randint", "randint_like", "randperm", "random"),
                    lambda c: PURE_VALUE),
    "linspace": spaced(2), "arange": spaced(3), "range": spaced(3),
    **dict.fromkeys(("resize", "resize_as"), resized),
    "eye": lambda c: PURE_VALUE.but(name=EYE),
    "grad": derivative,
    # matrices taken apart
    "svd": factors(0, 2), "linalg_svd": factors(0, 2), "qr": factors(0), "linalg_qr": factors(0),
    "linalg_eigh": factors(1), "symeig": factors(1), "svd_lowrank": factors(0, 2),
    "linalg_svdvals": keep, "linalg_solve": lambda c: c.apply("div", c.value(1, "B"), signed(c)),
    **dict.fromkeys(("inverse", "linalg_inv", "pinverse", "linalg_pinv"), inverse),
    **dict.fromkeys(("linalg_solve_triangular",), solve_triangular(1, 0, "A")), "triangular_solve": solve_triangular(0, 1, "A"),
    "linalg_lu_solve": solve_factored, "cholesky_solve": lambda c: c.apply("div", c.self, c.apply("square", c.value(1, "L"))).but(nonnegative=False),
    "cholesky_inverse": lambda c: c.apply("div", number(1.0), c.apply("square", keep(c))).but(nonnegative=False),
    **dict.fromkeys(("linalg_eig", "eig"), factors(1)), "linalg_lstsq": least_squares,
    **dict.fromkeys(("det", "linalg_det"), determinant), **dict.fromkeys(("matrix_power", "linalg_matrix_power"), matrix_power),
    **dict.fromkeys(("slogdet", "linalg_slogdet"), sign_and_logarithm), "logdet": lambda c: sign_and_logarithm(c)[1],
    "cov": lambda c: c.apply("square", keep(c)).but(nonnegative=False), "corrcoef": pure, "linalg_cond": pure,
    **dict.fromkeys(("cholesky", "linalg_cholesky"), lambda c: c.apply("cholesky", signed(c))), "einsum": einsum,
}  # fmt: skip
