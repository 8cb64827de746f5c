"""Every entry of the table against numbers: a function of scaled operands is its result scaled by the inferred units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.ad_checkpoint
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from lrtheory.dims._jaxpr.primitives import TABLE
from lrtheory.dims._jaxpr.walk import BODIES, walk
from lrtheory.dims._kernel.equations import UnknownOperationError
from lrtheory.dims._kernel.expression import Expression
from lrtheory.dims._kernel.ledger import Ledger
from lrtheory.dims._kernel.value import Value
from lrtheory.dims._verdict import diagnose
from lrtheory.units import GRADIENT, PARAM, PURE, Units

G, P = GRADIENT, PARAM
X = np.array([[0.7, -1.3, 2.1], [0.4, 3.2, -0.6], [-2.2, 0.9, 1.7]])
Y = np.array([[1.1, 0.3, -0.8], [2.4, -1.5, 0.2], [0.6, 1.9, -0.4]])
S = X @ X.T + np.eye(3)  # symmetric and positive
U = np.abs(X) / 10 + 0.1

Case = tuple[str, Callable[..., Any], list[Any], list[Units], list[Units]]

# primitive, function, operands, their units, the units of the results
CASES: list[Case] = [
    ("reshape", lambda x: x.reshape(9), [X], [G], [G]),
    ("transpose", lambda x: x.T, [X], [G], [G]),
    ("broadcast_in_dim", lambda x: jnp.broadcast_to(x, (2, 3, 3)), [X], [G], [G]),
    ("squeeze", lambda x: x[:1].squeeze(0), [X], [G], [G]),
    ("slice", lambda x: lax.slice(x, (0, 1), (2, 3)), [X], [G], [G]),
    ("rev", lambda x: x[::-1], [X], [G], [G]),
    ("copy", jnp.copy, [X], [G], [G]),
    ("real", lambda x: jnp.real(lax.complex(x, x)), [X], [G], [G]),
    ("imag", lambda x: jnp.imag(lax.complex(x, 2 * x)), [X], [G], [G]),
    ("conj", lambda x: jnp.real(jnp.conj(lax.complex(x, x))), [X], [G], [G]),
    ("complex", lambda x, y: jnp.abs(lax.complex(x, y)), [X, Y], [G, G], [G]),
    ("reduce_precision", lambda x: lax.reduce_precision(x, 8, 7), [X], [G], [G]),
    ("optimization_barrier", lambda x: lax.optimization_barrier((x, x))[0], [X], [G], [G]),
    ("name", lambda x: jax.ad_checkpoint.checkpoint_name(x, "x"), [X], [G], [G]),
    ("reduce_max", lambda x: jnp.max(x, axis=0), [X], [G], [G]),
    ("reduce_min", lambda x: jnp.min(x, axis=0), [X], [G], [G]),
    ("reduce_sum", lambda x: jnp.sum(x, axis=0), [X], [G], [G]),
    ("cumsum", lambda x: jnp.cumsum(x, axis=0), [X], [G], [G]),
    ("cummax", lambda x: lax.cummax(x, axis=0), [X], [G], [G]),
    ("cummin", lambda x: lax.cummin(x, axis=0), [X], [G], [G]),
    ("gather", lambda x: x[jnp.array([2, 0])], [X], [G], [G]),
    ("dynamic_slice", lambda x: lax.dynamic_slice(x, (1, 0), (2, 2)), [X], [G], [G]),
    ("split", lambda x: jnp.split(x, [1])[1], [X], [G], [G]),
    ("sort", lambda x: jnp.sort(x, axis=0), [X], [G], [G]),
    ("top_k", lambda x: lax.top_k(x, 2)[0], [X], [G], [G]),
    ("reduce_window_sum", lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "VALID"), [X], [G], [G]),
    ("reduce_window_max", lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (1, 1), "VALID"), [X], [G], [G]),
    ("reduce_window_min", lambda x: lax.reduce_window(x, jnp.inf, lax.min, (2, 2), (1, 1), "VALID"), [X], [G], [G]),
    ("fft", lambda x: jnp.abs(jnp.fft.fft(x)), [X], [G], [G]),
    ("neg", lambda x: -x, [X], [G], [G]),
    ("abs", jnp.abs, [X], [G], [G]),
    ("convert_element_type", lambda x: x.astype(jnp.float32), [X], [G], [G]),
    ("add", lambda x, y: x + y, [X, Y], [G, G], [G]),
    ("sub", lambda x, y: x - y, [X, Y], [G, G], [G]),
    ("max", jnp.maximum, [X, Y], [G, G], [G]),
    ("min", jnp.minimum, [X, Y], [G, G], [G]),
    ("clamp", lambda x, y: lax.clamp(-jnp.abs(y), x, jnp.abs(y)), [X, Y], [G, G], [G]),
    ("rem", lax.rem, [X, Y], [G, G], [G]),
    ("concatenate", lambda x, y: jnp.concatenate([x, y]), [X, Y], [G, G], [G]),
    ("stack", lambda x, y: jnp.stack([x, y]), [X, Y], [G, G], [G]),
    ("pad", lambda x: jnp.pad(x, 1), [X], [G], [G]),
    ("dynamic_update_slice", lambda x, y: lax.dynamic_update_slice(x, y[:1], (1, 0)), [X, Y], [G, G], [G]),
    ("scatter", lambda x, y: x.at[1].set(y[0]), [X, Y], [G, G], [G]),
    ("scatter-add", lambda x, y: x.at[1].add(y[0]), [X, Y], [G, G], [G]),
    ("scatter-min", lambda x, y: x.at[1].min(y[0]), [X, Y], [G, G], [G]),
    ("scatter-max", lambda x, y: x.at[1].max(y[0]), [X, Y], [G, G], [G]),
    ("select_n", lambda x, y: jnp.where(x > y, x, 2 * y), [X, Y], [G, G], [G]),
    ("atan2", jnp.arctan2, [X, Y], [G, G], [PURE]),
    *((name, lambda x, y, f=f: f(x, y).astype(x.dtype), [X, Y], [G, G], [PURE])
      for name, f in (("eq", jnp.equal), ("ne", jnp.not_equal), ("lt", jnp.less), ("le", jnp.less_equal),
                      ("gt", jnp.greater), ("ge", jnp.greater_equal),
                      *((name, getattr(lax, f"{name}_p").bind) for name in ("eq_to", "lt_to", "le_to")))),
    ("mul", lambda x, y: x * y, [X, Y], [G, P], [G.times(P)]),
    ("div", lambda x, y: x / y, [X, Y], [G, P], [G.times(P.power(-1))]),
    ("dot_general", lambda x, y: x @ y, [X, Y], [G, P], [G.times(P)]),
    ("conv_general_dilated", lambda x, y: jnp.convolve(x[0], y[0]), [X, Y], [G, P], [G.times(P)]),
    ("sqrt", jnp.sqrt, [U], [G.power(2)], [G]),
    ("rsqrt", lax.rsqrt, [U], [G.power(2)], [G.power(-1)]),
    ("cbrt", jnp.cbrt, [X], [G.power(3)], [G]),
    ("square", jnp.square, [X], [G], [G.power(2)]),
    ("integer_pow", lambda x: x**3, [X], [G], [G.power(3)]),
    ("pow", lambda x: x**1.5, [U], [G.power(2)], [G.power(3)]),
    ("pow", lambda x, y: x**y, [U, U], [PURE, PURE], [PURE]),
    ("reduce_prod", lambda x: jnp.prod(x, axis=0), [X], [G], [G.power(3)]),
    *((name, f, [U], [PURE], [PURE]) for name, f in (
        ("exp", jnp.exp), ("exp2", jnp.exp2), ("log", jnp.log), ("log1p", jnp.log1p), ("expm1", jnp.expm1),
        ("sin", jnp.sin), ("cos", jnp.cos), ("tan", jnp.tan), ("asin", jnp.arcsin), ("acos", jnp.arccos),
        ("atan", jnp.arctan), ("sinh", jnp.sinh), ("cosh", jnp.cosh), ("asinh", jnp.arcsinh), ("atanh", jnp.arctanh),
        ("acosh", lambda x: jnp.arccosh(x + 1)), ("tanh", jnp.tanh), ("logistic", jax.nn.sigmoid), ("erf", lax.erf),
        ("erfc", lax.erfc), ("erf_inv", lax.erf_inv), ("lgamma", lax.lgamma), ("digamma", lax.digamma),
        ("floor", jnp.floor), ("ceil", jnp.ceil), ("round", jnp.round), ("cumprod", lambda x: jnp.cumprod(x, axis=0)),
        ("cumlogsumexp", lambda x: lax.cumlogsumexp(x, axis=0)), ("nextafter", lambda x: lax.nextafter(x, x + 1)),
    )),
    ("sign", jnp.sign, [X], [G], [PURE]),
    ("argmax", lambda x: jnp.argmax(x, axis=0).astype(x.dtype), [X], [G], [PURE]),
    ("argmin", lambda x: jnp.argmin(x, axis=0).astype(x.dtype), [X], [G], [PURE]),
    ("is_finite", lambda x: jnp.isfinite(x).astype(x.dtype), [X], [G], [PURE]),
    ("and", lambda x: ((x > 0) & (x < x * 2)).astype(x.dtype), [X], [G], [PURE]),
    ("or", lambda x: ((x > 0) | (x < x * 2)).astype(x.dtype), [X], [G], [PURE]),
    ("xor", lambda x: ((x > 0) ^ (x < x * 2)).astype(x.dtype), [X], [G], [PURE]),
    ("not", lambda x: (~(x > 0)).astype(x.dtype), [X], [G], [PURE]),
    ("reduce_and", lambda x: jnp.all(x > 0).astype(x.dtype), [X], [G], [PURE]),
    ("reduce_or", lambda x: jnp.any(x > 0).astype(x.dtype), [X], [G], [PURE]),
    ("cholesky", jnp.linalg.cholesky, [S], [G.power(2)], [G]),
    ("qr", lambda x: jnp.linalg.qr(x)[1], [X], [G], [G]),
    ("svd", lambda x: jnp.linalg.svd(x)[1], [X], [G], [G]),
    ("svd", lambda x: jnp.linalg.svd(x, full_matrices=False)[0] ** 2, [X], [G], [PURE]),
    ("eigh", lambda x: jnp.linalg.eigh(x)[0], [S], [G], [G]),
    ("eigh", lambda x: jnp.linalg.eigh(x)[1] ** 2, [S], [G], [PURE]),
    ("triangular_solve", lambda x, y: jax.scipy.linalg.solve_triangular(x, y, lower=True), [S, Y], [G, P],
     [P.times(G.power(-1))]),
    # with a body
    ("jit", lambda x: jax.jit(jnp.sum)(x), [X], [G], [G]),
    ("remat2", lambda x: jax.checkpoint(lambda y: y * y)(x), [X], [G], [G.power(2)]),
    ("custom_jvp_call", jax.nn.relu, [X], [G], [G]),
    ("custom_vjp_call", lambda x: _doubled(x), [X], [G], [G]),
    ("cond", lambda x: lax.cond(x[0, 0] > x[0, 1], lambda y: y, lambda y: 3 * y, x), [X], [G], [G]),
    ("scan", lambda x: lax.scan(lambda c, y: (0.5 * c + y, c), jnp.zeros(3), x)[1], [X], [G], [G]),
    ("scan", lambda x, y: lax.scan(lambda c, z: (0.5 * c + z * y[0], (c, jnp.sum(z))), jnp.zeros(3), x)[1][0], [X, Y],
     [G, PURE], [G]),
    ("scan", lambda x: lax.scan(lambda c, _: ((0.5 * c[0], c[0] + c[1]), None), (x, x), None, length=3)[0][1], [X], [G], [G]),
    ("scan", lambda x: lax.scan(lambda c, z: (c, z * z), (), x)[1], [X], [G], [G.power(2)]),
    ("unstack", lambda x: sum(jnp.unstack(x)), [X], [G], [G]),
    ("scan", lambda x: lax.fori_loop(0, 3, lambda i, c: 0.5 * c + x, x), [X], [G], [G]),
    ("while", lambda x: lax.while_loop(lambda c: jnp.sum(c**2) > jnp.sum(x**2), lambda c: c / 2, 5 * x), [X], [G], [G]),
]  # fmt: skip


@jax.custom_vjp
def _doubled(x):
    return 2 * x


_doubled.defvjp(lambda x: (2 * x, None), lambda _, ct: (2 * ct,))


def inferred(
    function: Callable[..., Any], operands: list[Any], units: list[Units]
) -> tuple[list[Units], Any, set[str]]:
    ledger = Ledger()
    closed = jax.make_jaxpr(function)(*operands)
    values = [Value(Expression(u), measured=True, identity=object()) for u in units]
    results = walk(ledger, closed, values)
    for value in results:
        ledger.settle(value)
    found = diagnose(ledger)
    return [found.solver.residual(v.or_pure)[0] for v in results], found, _primitives(closed.jaxpr)


def _primitives(jaxpr: Any) -> set[str]:
    names = set()
    for eqn in jaxpr.eqns:
        names.add(eqn.primitive.name)
        for value in eqn.params.values():
            for inner in value if isinstance(value, tuple) else [value]:
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    names |= _primitives(inner)
    return names


@pytest.mark.parametrize(("name", "function", "operands", "units", "expected"), CASES, ids=[c[0] for c in CASES])
def test_primitive_scales_by_its_inferred_units(name, function, operands, units, expected):
    with jax.enable_x64(True):
        found, diagnosis, primitives = inferred(function, operands, units)
        assert name in primitives, f"{sorted(primitives)} does not use {name}"
        assert not diagnosis.breaks
        assert found == expected
        for alpha, c in ((8.0, 1.0), (1.0, 5.0), (3.0, 0.25)):
            scaled = [x * u.factor(alpha, c) for x, u in zip(operands, units, strict=True)]
            before, after = (
                jax.tree.leaves(function(*map(jnp.asarray, operands))),
                jax.tree.leaves(function(*map(jnp.asarray, scaled))),
            )
            for b, a, u in zip(before, after, expected, strict=True):
                # Thirds of powers, and matrix factorisations, round; fewer bits round more.
                loose = {"reduce_precision": 1e-2, "convert_element_type": 1e-6}.get(name, 1e-9)
                np.testing.assert_allclose(a, np.asarray(b) * u.factor(alpha, c), rtol=loose, atol=1e-12)


# Operands of these units must be refused, each at the equation itself.
REFUSED: list[tuple[str, Callable[..., Any], list[Any], list[Units]]] = [
    *((name, f, o, [PURE if u.is_pure else P for u in us[:1]] + [P.power(3)] * (len(us) - 1))
      for name, f, o, us, _ in CASES if len(us) == 2 and us[0] == us[1] == G),
    *((name, f, o, [G] * len(us)) for name, f, o, us, _ in CASES if all(u.is_pure for u in us)),
    ("literal", lambda x: x + 1.5, [X], [G]),
    ("rounds", lambda x: x.astype(jnp.int32).astype(x.dtype), [X], [G]),
    ("carry", lambda x: lax.fori_loop(0, 3, lambda i, c: c * x, x), [X], [G]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function", "operands", "units"), REFUSED, ids=[c[0] for c in REFUSED])
def test_primitive_refuses_what_has_no_units(name, function, operands, units):
    with jax.enable_x64(True):
        _, diagnosis, _ = inferred(function, operands, units)
    assert diagnosis.breaks, f"{name} of {[str(u) for u in units]} was accepted"


# No test calls these: collectives and device placement need a mesh, the others only stand where numbers are pure.
NOT_CALLED = {
    "psum", "pmax", "pmin", "all_gather", "ppermute", "axis_index", "device_put", "sharding_constraint", "copy_p",
    "expand_dims", "stop_gradient", "add_any", "reduce_xor", "shift_left", "shift_right_arithmetic",
    "shift_right_logical", "population_count", "clz", "bitcast_convert_type", "iota", "random_bits", "random_seed",
    "random_split", "random_fold_in", "random_wrap", "random_unwrap", "random_clone", "threefry2x32",
    "rng_bit_generator", "empty2", "loss_value", "loss_gradient", "loss_curvature",
}  # fmt: skip


def test_every_entry_of_the_table_is_checked():
    assert {c[0] for c in CASES} | NOT_CALLED >= set(TABLE)
    assert {c[0] for c in CASES} >= set(BODIES) - {
        "pjit",
        "closed_call",
        "core_call",
        "call",
        "checkpoint",
        "custom_vjp_call_jaxpr",
    }


def test_unknown_primitive_is_refused_by_name_and_line():
    with pytest.raises(UnknownOperationError, match=r"'lu'.*test_primitives\.py"):
        inferred(lambda x: jax.scipy.linalg.lu_factor(x)[0], [S], [G])
