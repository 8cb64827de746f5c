"""A factor for each tensor: the same run bit for bit at powers of two, and refused where tensors are taken together."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import rescale, rules, wrappers
from lrtheory.dims.coupling import coupling

FACTORS = {"q": 4.0, "k": 0.25, "v": 1.0}
RNG = np.random.default_rng(0)
START = {name: RNG.normal(size=(3, 3)) for name in FACTORS}
DATA = RNG.normal(size=(9, 3, 3))

RULES: dict[str, tuple[Any, dict[str, float]]] = {
    "sgd": (rules.sgd(), {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}),
    "adam": (rules.adam(), {"lr": 0.01, "eps": 1e-3, "weight_decay": 0.01}),
    "adamw": (rules.adamw(), {"lr": 0.01, "eps": 1e-3, "weight_decay": 0.1}),
    "lion": (rules.lion(), {"lr": 0.01, "weight_decay": 0.1}),
    "lamb": (rules.lamb(), {"lr": 0.01}),
    "adadelta": (rules.adadelta(), {"lr": 0.5, "eps": 1e-4}),
}


def loss(params: Any, x: Any) -> Any:
    return jnp.mean(jnp.tanh(x @ params["q"] @ params["k"].T) * (x @ params["v"]))


def run(rule: Any, hypers: dict[str, Any], factors: dict[str, float]) -> dict[str, np.ndarray]:
    """Steps of each tensor with hyperparameters of its own."""
    with jax.enable_x64(True):
        slope = jax.jit(jax.grad(lambda p, x: loss({n: p[n] / factors[n] for n in p}, x)))
        step = jax.jit(rule.step)
        params = {n: {n: jnp.asarray(START[n] * factors[n])} for n in factors}
        states = {n: rule.init(params[n]) for n in factors}
        for x in DATA:
            grads = slope({n: params[n][n] for n in factors}, jnp.asarray(x))
            for n in factors:
                params[n], states[n] = step(hypers[n], params[n], states[n], {n: grads[n]})
        return {n: np.asarray(params[n][n]) / factors[n] for n in factors}


@pytest.mark.parametrize("name", RULES)
def test_each_tensor_takes_the_same_steps_bit_for_bit(name):
    rule, numbers = RULES[name]
    hyper = rule.hyper(**numbers)
    found = rescale(rule, hyper, params=FACTORS)
    assert found.exactness == "bitwise"
    plain = run(rule, dict.fromkeys(FACTORS, hyper), dict.fromkeys(FACTORS, 1.0))
    scaled = run(rule, found.hyper, FACTORS)
    kept = run(rule, dict.fromkeys(FACTORS, hyper), FACTORS)
    for tensor in FACTORS:
        np.testing.assert_array_equal(scaled[tensor], plain[tensor])
    assert any(np.any(kept[tensor] != plain[tensor]) for tensor in FACTORS)  # a mutant: hyperparameters as they were


def test_factors_are_those_of_the_theory():
    found = rescale(rules.sgd(), rules.sgd().hyper(lr=1.0, weight_decay=1.0), params={"w": 4.0})
    assert (found.hyper["w"].lr, found.hyper["w"].weight_decay) == (16.0, 1 / 16)
    adamw = rules.adamw()
    found = rescale(adamw, adamw.hyper(lr=1.0, eps=1.0, weight_decay=1.0), params={"w": 4.0, "b": 3.0}, loss=2.0)
    assert (found.hyper["w"].lr, found.hyper["w"].eps, found.hyper["w"].weight_decay) == (4.0, 0.5, 0.25)
    assert found.exactness == "exact"


def test_state_is_that_of_each_tensor():
    adam = rules.adam()
    params = {"layer": {"w": jnp.ones(2), "b": jnp.ones(2)}}
    state = adam.init(params)
    state = state._replace(m={"layer": {"w": jnp.ones(2), "b": jnp.ones(2)}})
    found = rescale(adam, adam.hyper(), params={"layer.w": 4.0})
    new = found.state(state)
    np.testing.assert_array_equal(new.m["layer"]["w"], 0.25 * np.ones(2))
    np.testing.assert_array_equal(new.m["layer"]["b"], np.ones(2))
    with pytest.raises(ValueError, match=r"no tensor .layer\.x."):
        rescale(adam, adam.hyper(), params={"layer.x": 4.0}).state(state)


def test_a_name_is_a_whole_path():
    """``w`` at the top is not the ``w`` of a layer."""
    adam = rules.adam()
    state = adam.init({"w": jnp.ones(2), "layer": {"w": jnp.ones(2)}})
    state = state._replace(m=jax.tree.map(jnp.ones_like, state.m))
    new = rescale(adam, adam.hyper(), params={"w": 4.0}).state(state)
    np.testing.assert_array_equal(new.m["w"], 0.25 * np.ones(2))
    np.testing.assert_array_equal(new.m["layer"]["w"], np.ones(2))


@pytest.mark.parametrize("name", sorted({*rules.names()} - {"adamw"}))
def test_rules_step_each_tensor_by_itself(name):
    assert coupling(rules.get(name)()) is None


def test_a_clipped_global_norm_couples_and_its_line_is_named():
    rule = wrappers.clip_by_global_norm(rules.sgd())
    where = coupling(rule)
    assert where is not None
    assert where.file.endswith("clipping.py")
    with pytest.raises(ValueError, match=r"takes tensors together at .*clipping\.py:\d+"):
        rescale(rule, rule.hyper(lr=0.1, max_norm=1.0), params={"w": 2.0})
    by_value = wrappers.clip_by_value(rules.sgd())
    found = rescale(by_value, by_value.hyper(lr=0.1, clip_value=1.0), params={"w": 2.0})
    assert found.hyper["w"].clip_value == 0.5


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "give a factor"),
        ({"w": 0.0}, r"params\['w'\]"),
        ({"w": -1.0}, r"params\['w'\]"),
        ({"w": np.nan}, r"params\['w'\]"),
    ],
)
def test_factors_that_are_none_are_refused(params, words):
    with pytest.raises(ValueError, match=words):
        rescale(rules.sgd(), rules.sgd().hyper(lr=0.1), params=params)
