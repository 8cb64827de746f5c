"""Loss and parameter scale: what rescale applies is what dims infers, for rules and wrapped rules, state included."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrtheory
from lrtheory import dims, rescale, rules, wrappers
from lrtheory.laws.scaling.bitwise import Transform, apart, drawn, run
from lrtheory.laws.scaling.bitwise import rescaled as rescaled_run
from lrtheory.laws.scaling.subject import of_rule


def homogeneous(rule):
    return wrappers.clip_by_global_norm(rule, homogeneous=True)


WRAPPED = {
    "clip-by-value": wrappers.clip_by_value(rules.rmsprop()),
    "clip-by-norm": wrappers.clip_by_norm(rules.sgd(), homogeneous=True),
    "average of clipped": wrappers.average_weights(homogeneous(rules.adam())),
    "accumulate": wrappers.accumulate(homogeneous(rules.adamw()), every=3),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped_rules_are_rescaled_as_inferred_and_bit_for_bit(name: str) -> None:
    """Numbers and state of wrappers: declared against inferred, and a run from the start against the plain one."""
    rule = WRAPPED[name]
    subject = of_rule(rule)
    loss, params = 2.0**5, 2.0**-3
    found = rescale(rule, rule.hyper(**subject.numbers), loss=loss, params=params)
    assert found.exactness == "bitwise"
    inferred = dims.infer(rule, judge=False)
    ones = jax.tree.map(lambda x: jnp.ones_like(x), rule.init({"w": jnp.ones(2)}))
    leaves, _ = jax.tree_util.tree_flatten_with_path(found.state(ones))
    for keys, leaf in leaves:
        path = jax.tree_util.keystr(keys, simple=True, separator=".").removesuffix(".w")
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            np.testing.assert_array_equal(leaf, inferred.state[path].factor(loss, params), err_msg=path)
    factors = {n: getattr(found.hyper, n) / v for n, v in subject.numbers.items() if v}
    plain = drawn(subject, np.random.default_rng(0))
    path, _ = run(subject, plain)
    other, _ = run(subject, rescaled_run(plain, Transform(factors, {}), loss, params, 0))
    assert apart(other, params * path) == 0


@pytest.mark.parametrize("name", [n for n in rules.names() if n not in ("radam", "adafactor")])
def test_rescale_applies_the_inferred_units(name: str) -> None:
    rule = rules.get(name)()
    numbers = of_rule(rule, (3, 2) if name == "muon" else (4,)).numbers
    found = rescale(rule, rule.hyper(**numbers), loss=8, params=0.5)
    inferred = dims.infer(rule, judge=False)
    for number, value in numbers.items():
        assert getattr(found.hyper, number) == value * inferred.hyper[number].factor(8, 0.5)


def test_exactness_is_that_of_the_scales() -> None:
    rule = rules.adam()
    for scales, exactness in (
        ({"loss": 128}, "bitwise"),
        ({"loss": 0.25, "params": 2}, "bitwise"),
        ({"loss": 10}, "exact"),
    ):
        assert rescale(rule, rule.hyper(), **scales).exactness == exactness
    assert rescale(rule, rule.hyper()).hyper == rule.hyper()


@pytest.mark.parametrize(
    "rule",
    [rules.radam(), rules.adafactor(), wrappers.clip_by_global_norm(rules.sgd()), homogeneous(rules.radam())],
    ids=repr,
)
def test_rules_without_a_law_are_refused_unless_gradients_keep_their_size(rule) -> None:
    hyper = rule.hyper(max_norm=1.0) if "max_norm" in rule.Hyper._fields else rule.hyper()
    with pytest.raises(ValueError, match=r"has no law.*Nearest"):
        rescale(rule, hyper, loss=2)
    found = rescale(rule, hyper, loss=4, params=4)
    inferred = dims.infer(rule, shapes={"vector": (8,)} if rule.name == "adafactor" else None, judge=False)
    assert inferred.status == "broken"
    assert inferred.surviving_direction == (1, 1)
    assert found.hyper.lr == hyper.lr * (1 if rule.name == "adafactor" else rule.units["lr"].factor(4, 4))


def test_rescale_is_a_function_of_the_package() -> None:
    assert lrtheory.rescale is rescale
    assert callable(lrtheory.rescale_schedule)
    assert "rescale" in dir(lrtheory)


@pytest.mark.parametrize("wrap", [wrappers.clip_by_value, homogeneous], ids=["value", "norm"])
@pytest.mark.parametrize(
    "inside",
    [
        rules.schedule_free_sgd(),
        rules.schedule_free_adamw(),
        rules.asgd(),
        rules.sgd(),
        wrappers.average_weights(rules.asgd()),
    ],
    ids=repr,
)
def test_effective_lr_of_a_clipped_rule_is_rescaled_in_mid_run(inside, wrap) -> None:
    """Bit for bit, as the trajectory is: the state of the factors of clipping holds a lr too (C3)."""
    rule = wrap(inside)
    given = {"lr": 0.125, "eps": 0.0, "momentum": 0.9, "max_norm": 1.0, "clip_value": 0.5}
    hyper = rule.hyper(**{name: value for name, value in given.items() if name in rule.Hyper._fields})
    rng = np.random.default_rng(0)
    grads = [{"w": jnp.asarray(g, jnp.float32)} for g in 3 * rng.standard_normal((30, 5))]
    params = {"w": jnp.asarray(rng.standard_normal(5), jnp.float32)}
    state = rule.init(params)
    for g in grads[:20]:
        params, state = rule.step(hyper, params, state, g)
    loss, size = 128.0, 0.5
    found = rescale(rule, hyper, loss=loss, params=size)
    other, other_state = jax.tree.map(lambda p: p * size, params), found.state(state)
    for g in grads[20:]:
        params, state = rule.step(hyper, params, state, g)
        scaled = jax.tree.map(lambda x: x * loss / size, g)
        other, other_state = rule.step(found.hyper, other, other_state, scaled)
        np.testing.assert_array_equal(other["w"], size * params["w"])
        expected = rule.effective_lr(hyper, state)["w"] * size**2 / loss
        np.testing.assert_array_equal(rule.effective_lr(found.hyper, other_state)["w"], expected)
