"""Random update programs with units known by construction, half of them with an error planted: all must be told apart.

A program is grown from terms of known units, by the operations that the tables allow. A planted error adds two terms
of different units that hold no hyperparameter, so that no choice of units can mend it. That it is an error is checked
in numbers too, and so is every program without one.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from lrtheory.dims._jaxpr.program import Program, infer_program
from lrtheory.units import GRADIENT, PARAM, PURE, Units

HALF = Fraction(1, 2)
Environment = dict[str, Any]


class Term(NamedTuple):
    """A term: its text, its units, whether it is positive, and how it is computed."""

    text: str
    units: Units
    positive: bool
    compute: Callable[[Environment], Any]


LEAVES = [
    Term("g", GRADIENT, False, lambda e: e["g"]),
    Term("p", PARAM, False, lambda e: e["p"]),
    Term("m", GRADIENT, False, lambda e: e["m"]),
    Term("v", GRADIENT.power(2), True, lambda e: e["v"]),
    Term("2.5", PURE, True, lambda e: 2.5 + 0 * jnp.sum(e["g"])),
]

UNARY: list[tuple[str, Callable[[Term], bool], Callable[[Units], Units], bool | None, Callable[[Any], Any]]] = [
    ("abs", lambda t: True, lambda u: u, True, jnp.abs),
    ("neg", lambda t: True, lambda u: u, False, jnp.negative),
    ("square", lambda t: True, lambda u: u.power(2), True, jnp.square),
    ("cube", lambda t: True, lambda u: u.power(3), None, lambda x: x**3),
    ("sqrt", lambda t: t.positive, lambda u: u.power(HALF), True, jnp.sqrt),
    ("sum", lambda t: True, lambda u: u, None, lambda x: jnp.sum(x) + 0 * x),
    ("norm", lambda t: True, lambda u: u, True, lambda x: jnp.linalg.norm(x) + 0 * x),
    ("mean", lambda t: True, lambda u: u, None, lambda x: jnp.mean(x, keepdims=True) + 0 * x),
    ("sign", lambda t: True, lambda u: PURE, False, jnp.sign),
    ("max", lambda t: True, lambda u: u, None, lambda x: jnp.max(x) + 0 * x),
    ("cumsum", lambda t: True, lambda u: u, None, jnp.cumsum),
    ("sort", lambda t: True, lambda u: u, None, jnp.sort),
    ("roll", lambda t: True, lambda u: u, None, lambda x: jnp.roll(x, 1)),
    ("relu", lambda t: True, lambda u: u, False, lambda x: jnp.where(x > 0, x, 0.0)),
    ("tanh", lambda t: t.units.is_pure, lambda u: PURE, False, jnp.tanh),
    ("exp", lambda t: t.units.is_pure, lambda u: PURE, True, lambda x: jnp.exp(jnp.clip(x, -5.0, 5.0))),
    ("log1p", lambda t: t.units.is_pure and t.positive, lambda u: PURE, False, jnp.log1p),
    ("scan", lambda t: True, lambda u: u, None,
     lambda x: jax.lax.scan(lambda c, y: (c * 0.5 + y, c), jnp.zeros(()), x)[1]),
    ("fori", lambda t: True, lambda u: u, None, lambda x: jax.lax.fori_loop(0, 3, lambda i, c: 0.5 * c + x, x)),
    ("jit", lambda t: True, lambda u: u, None, lambda x: jax.jit(lambda y: 2.0 * y)(x)),
    ("cond", lambda t: True, lambda u: u, None, lambda x: jax.lax.cond(jnp.sum(x) > 0, lambda y: y, lambda y: -y, x)),
]  # fmt: skip


@st.composite
def terms(draw: st.DrawFn, depth: int = 3) -> Term:
    if depth == 0 or (draw(st.booleans()) and depth < 3):
        return draw(st.sampled_from(LEAVES))
    kind = draw(st.sampled_from(["unary", "unary", "mul", "div", "add", "maximum", "where"]))
    left = draw(terms(depth - 1))
    if kind == "unary":
        allowed = [u for u in UNARY if u[1](left)]
        name, _, units, positive, compute = draw(st.sampled_from(allowed))
        sign = left.positive if positive is None else positive
        return Term(f"{name}({left.text})", units(left.units), sign, lambda e: compute(_array(left.compute(e), e)))
    right = draw(terms(depth - 1))
    if kind == "mul":
        return _product(left, right)
    if kind == "div":
        # kept away from 0, or the numbers that check the verdict would overflow
        safe = Term(f"safe({right.text})", right.units, True, lambda e: jnp.abs(right.compute(e)) + _size(right, e))
        return Term(f"({left.text}/{safe.text})", left.units.times(right.units.power(-1)), left.positive,
                    lambda e: left.compute(e) / safe.compute(e))  # fmt: skip
    right = _matched(right, left.units)
    join = {"add": jnp.add, "maximum": jnp.maximum, "where": lambda x, y: jnp.where(x > y, x, y)}[kind]
    return Term(f"{kind}({left.text}, {right.text})", left.units, left.positive and right.positive,
                lambda e: join(left.compute(e), right.compute(e)))  # fmt: skip


def _array(x: Any, e: Environment) -> Any:
    return x + 0 * e["ones"]


def _size(term: Term, e: Environment) -> Any:
    return jnp.sqrt(jnp.sum(jnp.square(_array(term.compute(e), e)))) * 0.1


def _product(left: Term, right: Term) -> Term:
    return Term(f"({left.text}*{right.text})", left.units.times(right.units), left.positive and right.positive,
                lambda e: left.compute(e) * right.compute(e))  # fmt: skip


def _matched(term: Term, units: Units) -> Term:
    """A term times norms of g and p to the power that gives it other units."""
    apart = units.times(term.units.power(-1))
    # g^a p^b is in [loss]^a [param]^(b−a)
    a, b = apart.loss, apart.param + apart.loss

    def factor(e: Environment) -> Any:
        return _root(jnp.linalg.norm(e["g"]), a) * _root(jnp.linalg.norm(e["p"]), b)

    return Term(f"({term.text}*|g|^{a}*|p|^{b})", units, term.positive, lambda e: term.compute(e) * factor(e))


def _root(x: Any, exponent: Fraction) -> Any:
    while exponent.denominator % 2 == 0:
        x, exponent = jnp.sqrt(x), exponent * 2
    return x ** int(exponent)


def program(term: Term) -> Program:
    """``p − lr·(term, made an update)``, with averages of g and g² as state."""

    def init(numbers: Any, params: Any) -> Any:
        return {"m": jnp.zeros_like(params["p"]), "v": jnp.zeros_like(params["p"])}

    def step(numbers: Any, state: Any, grads: Any, params: Any, extra: Any) -> Any:
        g, p = grads["p"], params["p"]
        m = 0.9 * state["m"] + 0.1 * g
        v = 0.9 * state["v"] + 0.1 * g * g
        update = numbers["lr"] * term.compute({"g": g, "p": p, "m": m, "v": v, "ones": jnp.ones_like(p)})
        return {"p": update + 0 * p}, {"m": m, "v": v}

    shapes = {"p": jax.ShapeDtypeStruct((5,), jnp.float32)}
    return Program(term.text, init, step, {"lr": 0.1}, shapes)


def gap(term: Term, alpha: float, c: float) -> float:
    """How far the term is from scaling by its units, over its size."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        g, p, m = rng.normal(size=(3, 5)) * np.array([[3.0], [0.5], [2.0]])
        e = {"g": g, "p": p, "m": m, "v": m * m + 1.0, "ones": np.ones(5)}
        units = {"g": GRADIENT, "p": PARAM, "m": GRADIENT, "v": GRADIENT.power(2), "ones": PURE}
        scaled = {name: x * units[name].factor(alpha, c) for name, x in e.items()}
        with np.errstate(all="ignore"):
            before, after = np.asarray(term.compute(e)), np.asarray(term.compute(scaled))
        expected = before * term.units.factor(alpha, c)
        size = np.max(np.abs(expected))
        return float(np.max(np.abs(after - expected)) / size) if size else 0.0


@given(terms())
def test_sound_program_is_proven(term):
    found = infer_program(program(term), judge=False)
    assert found.status in ("proven", "guarded"), f"{term.text}: {found.verdict}"
    # lr makes an update of the term, whatever its units.
    assert found.hyper["lr"] == PARAM.times(term.units.power(-1)), term.text
    for alpha, c in ((16.0, 1.0), (1.0, 4.0)):
        # Roots of roots are not exact at these powers of two.
        assert gap(term, alpha, c) < 1e-9, term.text


JOINS = {"add": jnp.add, "maximum": jnp.maximum, "where": lambda x, y: jnp.where(x > y, x, y)}


@st.composite
def planted(draw: st.DrawFn) -> Term:
    """Two terms of different units, joined as if they had one."""
    left, right = draw(terms(depth=2)), draw(terms(depth=2))
    if left.units == right.units:
        right = _product(right, LEAVES[0])
    kind = draw(st.sampled_from(sorted(JOINS)))
    return Term(f"{kind}({left.text}, {right.text})", left.units, False,
                lambda e: JOINS[kind](_array(left.compute(e), e), _array(right.compute(e), e)))  # fmt: skip


def fails_for_some_input(term: Term) -> bool:
    """Whether inputs are found that no factor on lr can mend: its ratio to the rescaled term is not one number."""
    ratios = {(16.0, 1.0): [], (1.0, 16.0): [], (16.0, 4.0): []}
    with jax.enable_x64(True), np.errstate(all="ignore"):
        for seed in range(300):
            rng = np.random.default_rng(seed)
            g, p, m = rng.normal(size=(3, 5)) * 10.0 ** rng.uniform(-3, 3, size=(3, 1))
            e = {"g": g, "p": p, "m": m, "v": m * m + g * g, "ones": np.ones(5)}
            units = {"g": GRADIENT, "p": PARAM, "m": GRADIENT, "v": GRADIENT.power(2), "ones": PURE}
            before = np.asarray(term.compute(e))
            for (alpha, c), seen in ratios.items():
                after = np.asarray(term.compute({n: x * units[n].factor(alpha, c) for n, x in e.items()}))
                ratio = after / before
                seen.extend(ratio[np.isfinite(ratio) & (before != 0)].tolist())
                if seen and max(seen) - min(seen) > 1e-6 * max(map(abs, seen)):
                    return True
    return False


@given(planted())
def test_program_with_a_planted_error_is_broken(term):
    # max(-|g|, g²) is always g²: two units meet, but only one ever comes out, and numbers find no error in it
    assume(fails_for_some_input(term))
    found = infer_program(program(term), judge=False)
    assert found.status == "broken", f"{term.text}: {found.verdict}"
    (broken, *_) = found.breaks
    assert broken.location is not None
    assert broken.location.file == __file__
