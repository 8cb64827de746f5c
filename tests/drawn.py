"""Rules, options, numbers, parameters and gradients for the tests that hold of every rule."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from lrtheory import effective, rules
from lrtheory.compiling import quickly_compiled
from lrtheory.rules import Rule, SparseGradient
from parity import table

SHAPES = {"w": (3, 2), "b": (2,)}


@functools.cache
def every_rule() -> tuple[Rule, ...]:
    """Every rule with every set of options that is replayed, once."""
    found: dict[Rule, None] = {}
    for name in table.known_rules():
        for options, _ in table.variants(name):
            found[rules.get(name)(**options)] = None
    return tuple(found)


@functools.cache
def each_rule() -> tuple[Rule, ...]:
    """Every rule once, with most options on: for what an option can hardly change."""
    found = []
    for name in table.known_rules():
        sets = [rule for rule in every_rule() if rule.name == name]
        found.append(max(sets, key=lambda rule: sum(value is True for value in rule.options.values())))
    return tuple(found)


def numbers_for(rule: Rule) -> list[dict[str, float]]:
    """The numbers that a rule with these options is replayed with."""
    return [dict(n) for o, n in table.variants(rule.name) if rules.get(rule.name)(**o) is rule]


def shapes_for(rule: Rule) -> dict[str, tuple[int, ...]]:
    """Shapes that the rule takes, by name."""
    tensors = table.row(rule.name).tensors
    return dict(SHAPES if tensors is None or tensors is table.EVERY_RANK else tensors)


def params_for(rule: Rule, rng: np.random.Generator, dtype: Any = None) -> dict[str, Any]:
    """Parameters of those shapes."""
    return {name: jnp.asarray(rng.standard_normal(shape), dtype) for name, shape in shapes_for(rule).items()}


def as_gradients(rule: Rule, dense: dict[str, Any]) -> dict[str, Any]:
    """Dense arrays as the gradients that the rule takes."""
    if not rule.array_rule.sparse:
        return dense
    return {name: None if g is None else _sparse(g) for name, g in dense.items()}


_sparse = jax.jit(SparseGradient.from_dense)


@st.composite
def runs(
    draw: st.DrawFn, steps: int = 9
) -> tuple[Rule, dict[str, float], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A rule, numbers, first parameters and a stream of gradients (float64) that changes sign and size."""
    rule = draw(st.sampled_from(every_rule()))
    numbers = dict(draw(st.sampled_from(numbers_for(rule))))
    numbers["lr"] = draw(st.floats(1e-4, 1.0))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = 10.0 ** draw(st.floats(-4, 4))
    params = {name: rng.standard_normal(shape) for name, shape in shapes_for(rule).items()}
    grads = {name: size * rng.standard_normal((steps, *shape)) for name, shape in shapes_for(rule).items()}
    return rule, numbers, params, grads


def at(grads: dict[str, Any], step: int) -> dict[str, Any]:
    """The gradients of one step."""
    return {name: value[step] for name, value in grads.items()}


@functools.cache
def program(method: Any) -> Any:
    """A method of a rule as a program that all tests share: jax.jit of it once more would trace and lower it again."""
    return quickly_compiled()(method)


@functools.cache
def measured(rule: Any, **options: Any) -> Any:
    """``effective.measure`` of a rule as one program: op by op it is some sixty."""
    return quickly_compiled()(functools.partial(effective.measure, rule, **options))
