"""A watched transformation of optax: the same bits, and a summary of its last measured step in its state."""

from __future__ import annotations

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import measured, program
from jax.sharding import Mesh, NamedSharding, PartitionSpec

optax = pytest.importorskip("optax")

import lrtheory.optax as ours  # noqa: E402
from lrtheory import adopt, effective, rules  # noqa: E402
from lrtheory.watching import loggers  # noqa: E402

X = jax.random.normal(jax.random.key(1), (64, 13))
Y = jax.random.normal(jax.random.key(2), (64, 5))


def fresh(dtype="float32"):
    return {"w": jax.random.normal(jax.random.key(0), (13, 5)).astype(dtype), "inner": {"b": jnp.zeros(5, dtype)}}


def loss(params):
    x, y = X.astype(params["w"].dtype), Y.astype(params["w"].dtype)
    return jnp.mean((jnp.tanh(x @ params["w"] + params["inner"]["b"]) - y) ** 2)


gradient = jax.grad(loss)


def stepping(tx):
    def step(carry, _):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    return step


def trained(tx, params, steps=8, scanned=True) -> tuple[Any, Any]:
    step, carry = stepping(tx), (params, tx.init(params))
    if scanned:
        return jax.jit(lambda c: jax.lax.scan(step, c, None, length=steps)[0])(carry)
    step = jax.jit(step)
    for _ in range(steps):
        carry, _ = step(carry, None)
    return carry


def same_bits(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


WATCHED = {
    "sgd": lambda: optax.sgd(0.1, momentum=0.9),
    "adamw on a schedule": lambda: optax.adamw(optax.cosine_decay_schedule(1e-2, 20)),
    "clipped lion": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.lion(1e-3)),
    "partitioned": lambda: optax.partition(
        {"m": optax.rmsprop(1e-2), "v": optax.adam(1e-3)}, lambda tree: jax.tree.map(lambda p: "mv"[p.ndim < 2], tree)
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", WATCHED)
def test_watching_optax_leaves_the_trajectory_as_it_is(name, dtype):
    plain = trained(WATCHED[name](), fresh(dtype))
    for every, scanned in ((1, True), (3, False)):
        params, state = trained(ours.watched(WATCHED[name](), every=every), fresh(dtype), scanned=scanned)
        same_bits(params, plain[0])
        if scanned:
            same_bits(state.inner, plain[1])


def test_the_state_carries_the_last_measured_step():
    params, state = trained(ours.watched(optax.sgd(0.1), every=3), fresh(), steps=8)
    assert (int(state.calls), int(state.measured)) == (8, 6)
    before, _ = trained(optax.sgd(0.1), fresh(), steps=6)
    after, _ = trained(optax.sgd(0.1), fresh(), steps=7)
    expected = effective.realised(0.1, jax.grad(loss)(before), before, after)
    found = ours.summaries(state, params)
    assert list(found) == ["inner.b", "w"]
    assert found["w"].harmonic_mean == np.float32(0.1)
    for name, leaf in (("w", expected["w"]), ("inner.b", expected["inner"]["b"])):
        for figure in ("relative_update", "rotation", "absorbed"):
            np.testing.assert_allclose(getattr(found[name], figure), getattr(leaf, figure), rtol=1e-5)


RULES = {
    "sgd": (lambda lr: optax.sgd(lr), rules.sgd(), {}),
    "momentum": (lambda lr: optax.sgd(lr, momentum=0.9, nesterov=True), rules.sgd(nesterov=True), {"momentum": 0.9}),
    "adam": (lambda lr: optax.adam(lr), rules.adam(), {}),
    "adamw": (lambda lr: optax.adamw(lr, weight_decay=0.1), rules.adam(decoupled=True), {"weight_decay": 0.1}),
    "adamax": (lambda lr: optax.adamax(lr), rules.adamax(), {}),
    "adabelief": (lambda lr: optax.adabelief(lr), rules.adabelief(), {"eps": 1e-16, "eps_root": 1e-16}),
    "lion": (lambda lr: optax.lion(lr), rules.lion(), {"weight_decay": 1e-3}),
    "lamb": (lambda lr: optax.lamb(lr), rules.lamb(), {"eps": 1e-6}),
    "coupled decay": (
        lambda lr: optax.chain(optax.add_decayed_weights(0.1), optax.adam(lr)), rules.adam(), {"weight_decay": 0.1},
    ),
    "injected momentum": (
        lambda lr: optax.inject_hyperparams(optax.sgd)(learning_rate=lr, momentum=0.9), rules.sgd(), {"momentum": 0.9},
    ),
    "injected": (lambda lr: optax.inject_hyperparams(optax.adam)(learning_rate=lr, b1=0.8), rules.adam(), {"beta1": 0.8}),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_what_is_watched_is_what_effective_measures(name):
    """In float64 to 1e-12, with an lr that moves."""
    make, rule, numbers = RULES[name]
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: p.astype("float64") + 0.5, fresh())
        schedule = optax.linear_schedule(0.1, 0.01, 5)  # which computes in float32
        tx = ours.watched(make(schedule), every=4)
        theirs, state = trained(tx, params, steps=5)
        mine, kept = params, rule.init(params)
        for t in range(5):
            before, grads = mine, program(gradient)(mine)
            hyper = rule.hyper(lr=float(jax.jit(schedule)(jnp.int32(t))), **numbers)
            mine, kept = program(rule.step)(hyper, before, kept, grads)
        expected = measured(rule)(hyper, kept, grads, before, mine)
        found = ours.summaries(state, theirs)
        for tensor, leaf in (("w", expected["w"]), ("inner.b", expected["inner"]["b"])):
            for figure in effective.Summary._fields:
                if figure != "rotation":  # of small angles, which have fewer digits
                    np.testing.assert_allclose(
                        getattr(found[tensor], figure), getattr(leaf, figure), rtol=1e-12, atol=1e-15, err_msg=figure
                    )


def test_clipping_and_what_is_none_of_our_rules():
    tx = optax.chain(optax.clip_by_global_norm(1e-3), optax.partition(
        {"ours": optax.adam(1e-2), "other": optax.contrib.cocob()}, lambda tree: {"w": "ours", "inner": "other"},
    ))  # fmt: skip
    params, state = trained(ours.watched(tx, every=1), fresh(), steps=3)
    found = ours.summaries(state, params)
    assert 0 < found["w"].clip_factor < 0.1
    assert found["w"].mean > 0
    assert np.isnan(found["inner.b"].mean)
    assert found["inner.b"].relative_update > 0


def test_the_summary_is_found_wherever_the_transformation_stands():
    tx = optax.chain(
        optax.clip_by_global_norm(1.0), optax.masked(ours.watched(optax.sgd(0.1)), {"w": True, "inner": False})
    )
    _, state = trained(tx, fresh())
    assert optax.tree.get(state, "effective").relative_update.shape == (1,)


def test_steps_that_multi_steps_makes_are_counted():
    tx = optax.MultiSteps(ours.watched(optax.sgd(0.1)), 4)
    _, state = trained(tx, fresh(), steps=8, scanned=False)
    assert int(optax.tree.get(state, "calls")) == 2


def test_a_sharded_step_is_measured_as_a_whole_one():
    if jax.device_count() < 2:
        pytest.skip("one device: nothing is sharded")
    layout = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("x",)), PartitionSpec(None))
    params = fresh()
    params["w"] = jnp.zeros((14, 5)).at[:13].set(params["w"])

    def run(params):
        tx = ours.watched(optax.adam(1e-2), every=1)
        state = tx.init(params)
        grads = jax.tree.map(jnp.ones_like, params)
        return jax.jit(tx.update)(grads, state, params)

    expected = run(params)
    split = NamedSharding(layout.mesh, PartitionSpec("x"))
    updates, state = run({"w": jax.device_put(params["w"], split), "inner": jax.device_put(params["inner"], layout)})
    same_bits(updates, expected[0])
    for a, b in zip(state.effective, expected[1].effective, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("given", [{"every": 0}, {"every": True}, {"sample": 0}, {"every": 2.0}])
def test_what_is_no_interval_is_refused(given):
    with pytest.raises(ValueError, match="must be a whole number"):
        ours.watched(optax.sgd(0.1), **given)


def test_an_update_without_parameters_is_refused():
    tx = ours.watched(optax.sgd(0.1))
    with pytest.raises(ValueError, match=r"tx\.update\(grads, state, params\)"):
        tx.update(fresh(), tx.init(fresh()))


def test_a_state_without_a_summary_is_refused():
    with pytest.raises(KeyError, match="watched"):
        ours.summaries(optax.sgd(0.1).init(fresh()), fresh())


def test_figures_go_to_any_logger(tmp_path):
    params, state = trained(ours.watched(optax.sgd(0.1), every=2), fresh())
    seen = []
    log = loggers.several(
        loggers.jsonl(tmp_path / "new" / "f.jsonl"), lambda figures, step: seen.append((step, figures))
    )
    log(ours.figures(state, params), int(state.measured))
    line = json.loads((tmp_path / "new" / "f.jsonl").read_text())
    assert [(line["step"], line["figures"])] == seen
    assert line["figures"]["relative_update/inner.b"] > 0


LISTS: Any = [(jnp.ones((2, 3)), jnp.ones(3)), (jnp.ones((3, 2)), None, jnp.zeros((0, 2)))]


@pytest.mark.parametrize(
    "make", [lambda: optax.adamw(1e-2), lambda: optax.sgd(1e-2, momentum=0.9)], ids=["adamw", "sgd"]
)
def test_parameters_in_lists_without_entries_and_empty_are_watched(make):
    """``[(w, b), …]`` is how plain JAX has its layers; an empty array has figures that are not known."""
    tx: Any = ours.watched(make(), every=1)
    state = tx.init(LISTS)
    _, state = tx.update(LISTS, state, LISTS)
    found = ours.summaries(state, LISTS)
    assert list(found) == ["0.0", "0.1", "1.0", "1.2"]
    assert found["0.1"].harmonic_mean == pytest.approx(0.01, rel=1e-3)
    assert np.isnan(found["1.2"].harmonic_mean)
    for given in ((make(), state.inner, LISTS), (make(), state.inner)):
        assert [group.names for group in adopt(given).groups] == [("0/0", "0/1", "1/0", "1/2")]
