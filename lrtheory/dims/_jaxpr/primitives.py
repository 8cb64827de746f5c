"""The table: what every primitive without a body does to units, one entry a primitive.

``docs/units.md`` argues for each class of entries that it is sound: if the operands are multiplied by the factors of
their units, and the demands written in the ledger hold, then so are the results.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction

from .._kernel.value import PURE_VALUE, Rare, Value, number
from . import operations as on
from .operations import Operation, Site, Values, extreme, join, keep, logical, power, transcendental

_REAL = {
    "sin": "sine", "cos": "cosine", "tan": "tangent", "asin": "arc sine", "acos": "arc cosine", "atan": "arc tangent",
    "sinh": "hyperbolic sine", "asinh": "inverse hyperbolic sine", "acosh": "inverse hyperbolic cosine",
    "atanh": "inverse hyperbolic tangent", "tanh": "hyperbolic tangent", "log": "logarithm", "log1p": "log1p",
    "expm1": "expm1", "erf": "error function", "erfc": "error function", "erf_inv": "inverse error function",
    "lgamma": "log-gamma function", "digamma": "digamma function",
}  # fmt: skip
_POSITIVE = {"exp": "exponential", "exp2": "exponential", "cosh": "hyperbolic cosine", "logistic": "sigmoid"}

TABLE: dict[str, Operation] = {
    # moved, copied, negated, summed over axes: units stay
    **dict.fromkeys(("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "copy", "copy_p", "stop_gradient",
                     "device_put", "sharding_constraint", "name"), on.broadcast),
    **dict.fromkeys(("transpose", "real", "conj", "reduce_precision", "reduce_max", "reduce_min", "cummax", "cummin",
                     "slice", "rev", "reduce_and", "reduce_or"), lambda site, values: values[0].but(identity=None)),
    "reduce_sum": on.added_up,
    **dict.fromkeys(("cumsum", "dynamic_slice", "reduce_window_sum", "reduce_window_max",
                     "reduce_window_min", "fft", "imag", "psum", "pmax", "pmin", "all_gather", "ppermute"), keep),
    "neg": on.negate,
    "abs": on.magnitude,
    "convert_element_type": on.convert,
    "sort": lambda site, values: [keep(site, [v]) for v in values],  # put in an order that a positive factor does not change
    "top_k": lambda site, values: [keep(site, values), PURE_VALUE],  # the largest entries, and where they were
    **dict.fromkeys(("split", "unstack"), lambda site, values: [keep(site, values) for _ in site.eqn.outvars]),
    "gather": on.gather,
    "optimization_barrier": lambda site, values: list(values),
    # several values, one unit
    "add": on.add,
    "add_any": on.add,
    "sub": on.subtract,
    "max": extreme(lower=True),
    "min": extreme(lower=False),
    "clamp": on.clamp,
    "rem": join("takes the remainder of"),
    "concatenate": join("puts side by side"),
    "stack": join("stacks"),
    "pad": join("puts side by side"),
    "complex": join("joins as real and imaginary part"),
    "dynamic_update_slice": join("writes into one array", slice(2)),
    **dict.fromkeys(("scatter", "scatter-add", "scatter-min", "scatter-max"),
                    join("writes into one array", slice(0, 3, 2))),
    "select_n": on.select,
    "atan2": on.ratio_only("takes the angle of"),
    **{name: on.compare(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{f"{name}_to": on.compare(name) for name in ("eq", "lt", "le")},  # of floats, where nan has a place too
    # products and powers
    "mul": on.multiply,
    "div": on.divide,
    "dot_general": on.contract,
    "conv_general_dilated": on.contract,
    "sqrt": power(Fraction(1, 2), nonnegative=True),
    "rsqrt": power(Fraction(-1, 2), nonnegative=True),
    "cbrt": power(Fraction(1, 3), nonnegative=False),
    "square": power(2, nonnegative=True),
    "integer_pow": on.integer_power,
    "pow": on.general_power,
    "reduce_prod": on.product_of_all,
    # no power: pure numbers only
    **{name: transcendental(f"takes the {text} of") for name, text in _REAL.items()},
    **{name: transcendental(f"takes the {text} of", nonnegative=True) for name, text in _POSITIVE.items()},
    **dict.fromkeys(("floor", "ceil", "round"), transcendental("rounds")),
    "cumprod": transcendental("takes running products of"),
    "cumlogsumexp": transcendental("takes the exponential of"),
    "nextafter": transcendental("takes the neighbouring float of"),
    # blind to a positive factor
    "sign": on.sign,
    **dict.fromkeys(("argmax", "argmin", "reduce_xor", "xor", "shift_left", "shift_right_arithmetic",
                     "shift_right_logical", "population_count", "clz"), on.forget),
    "bitcast_convert_type": transcendental("reads as bits"),
    "is_finite": lambda site, values: PURE_VALUE.but(measured=True, rare=Rare(False, "a tested value is not finite")),
    "and": logical(rare_when=False),
    "or": logical(rare_when=True),
    "not": on.logical_not,
    # linear algebra
    "cholesky": lambda site, values: power(Fraction(1, 2), nonnegative=False)(site, [on.signed(site, values)]),
    # an orthogonal factor and vectors are pure, triangular factors and values have the matrix's units
    "qr": lambda site, values: [PURE_VALUE, *(on.signed(site, values) for _ in site.eqn.outvars[1:])],
    "svd": lambda site, values: [keep(site, values).but(nonnegative=True), *(PURE_VALUE for _ in site.eqn.outvars[1:])],
    "eigh": lambda site, values: [PURE_VALUE if v.aval.ndim == site.eqn.invars[0].aval.ndim else on.signed(site, values)
                                  for v in site.eqn.outvars],
    "triangular_solve": on.triangular_solve,
    # indices and random numbers
    **dict.fromkeys(("iota", "random_bits", "random_seed", "random_split", "random_fold_in", "random_wrap",
                     "random_unwrap", "random_clone", "threefry2x32", "rng_bit_generator", "axis_index", "empty2"),
                    lambda site, values: [PURE_VALUE for _ in site.eqn.outvars]),
}  # fmt: skip

# Where an entry of the result depends on nothing but the same entry of the operands.
ENTRY_BY_ENTRY = frozenset(
    ("add", "add_any", "sub", "mul", "div", "max", "min", "neg", "abs", "sqrt", "rsqrt", "cbrt", "square",
     "integer_pow", "pow", "exp", "log", "log1p", "expm1", "tanh", "sign", "convert_element_type", "clamp", "rem",
     "is_finite", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "select_n", "copy", "stop_gradient")
)  # fmt: skip

# Arithmetic on numbers that are known is done, so that 1e-8**2 or -(0.8) stays a known number.
FOLD: dict[str, Callable[..., float]] = {
    "add": operator.add,
    "add_any": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "max": max,
    "min": min,
    "sqrt": math.sqrt,
    "rsqrt": lambda x: x**-0.5,
    "square": lambda x: x * x,
    "pow": operator.pow,
    "exp": math.exp,
    "log": math.log,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
    "and": lambda x, y: int(x) & int(y),
    "or": lambda x, y: int(x) | int(y),
    "not": lambda x: not x,
    "sign": lambda x: math.copysign(1.0, x) if x else 0.0,
}


def folded(site: Site, values: Values) -> Value | None:
    """The result where all operands are known numbers."""
    name = site.eqn.primitive.name
    if name not in FOLD or len(site.eqn.outvars) != 1 or any(v.constant is None for v in values):
        return None
    dtype = site.eqn.outvars[0].aval.dtype
    if name in ("and", "or", "not") and dtype.kind != "b":
        return None
    try:
        result = FOLD[name](*(v.constant for v in values))
    except (ArithmeticError, ValueError):
        return None
    if name == "div" and dtype.kind in "iu":
        result = math.trunc(result)
    return None if isinstance(result, complex) else number(result)
