"""Every rule lowers for every platform, on a machine that has none of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax import export

from lrtheory import effective, in_place, rules, wrappers
from lrtheory.rules import SparseGradient
from parity import table

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
RULES = {
    **{name: rules.get(name)() for name in table.known_rules()},
    "adam-amsgrad-decoupled": rules.adam(amsgrad=True, decoupled=True),
    "rmsprop-centered": rules.rmsprop(centered=True),
    "sgd-nesterov": rules.sgd(nesterov=True),
    "clip-by-value": wrappers.clip_by_value(rules.adam()),
    "clip-by-norm": wrappers.clip_by_norm(rules.adam()),
    "clip-by-global-norm": wrappers.clip_by_global_norm(rules.adam(), homogeneous=True),
    "accumulate": wrappers.accumulate(rules.adam(), every=4),
    "average-weights": wrappers.average_weights(rules.adam()),
}
GIVEN = {
    "clip-by-value": {"clip_value": 1.0},
    "clip-by-norm": {"max_norm": 1.0},
    "clip-by-global-norm": {"max_norm": 1.0},
    "sgd-nesterov": {"momentum": 0.9},
}


# bfloat16 is computed in float32, so that its program has the operations of both: the others are deep.
@pytest.mark.parametrize(
    "dtype", ["bfloat16", *(pytest.param(d, marks=pytest.mark.deep) for d in ("float32", "float64"))]
)
@pytest.mark.parametrize("name", RULES)
def test_step_lowers_for_every_platform(name: str, dtype: str) -> None:
    """Step, effective lr, direction and decay, with every number traced."""
    rule = RULES[name]

    def run(hyper, params, state, grads):  # type: ignore[no-untyped-def]
        moved, after = rule.step(hyper, params, state, grads)
        parts = rule.effective_lr(hyper, after), rule.direction(hyper, params, after, grads)
        return moved, after, parts, rule.decay(hyper, params, after, grads)

    with jax.enable_x64(dtype == "float64"):
        numbers = GIVEN.get(name, {})
        params = {"w": jnp.ones((4, 3), dtype)}
        sparse = isinstance(rule, rules.Rule) and rule.array_rule.sparse
        grads = {"w": SparseGradient.from_dense(params["w"])} if sparse else params
        arguments = jax.tree.map(jnp.asarray, (rule.hyper(**numbers), params, rule.init(params), grads))
        lowered = export.export(jax.jit(run), platforms=PLATFORMS)(*arguments)
    assert lowered.platforms == PLATFORMS
    assert len(lowered.mlir_module()) > 1000


@pytest.mark.parametrize("name", ["adam-amsgrad-decoupled", "rmsprop-centered", "muon", "clip-by-global-norm"])
def test_measurement_lowers_for_every_platform(name: str) -> None:
    """A step in place, and what measures it: all coordinates, a sample, and one step in many."""
    rule = RULES[name]

    def run(t, hyper, state, grads, params):  # type: ignore[no-untyped-def]
        after, state = in_place.step(rule)(hyper, params, state, grads)
        made = (rule, hyper, state, grads, params, after)
        whole = effective.measure(*made)
        return after, state, whole, effective.measure(*made, exact=False, sample=8), effective.measure_every(t, *made)

    params = {"w": jnp.ones((4, 3))}
    arguments = jax.tree.map(jnp.asarray, (0, rule.hyper(**GIVEN.get(name, {})), rule.init(params), params, params))
    lowered = export.export(jax.jit(run), platforms=PLATFORMS)(*arguments)
    assert lowered.platforms == PLATFORMS
