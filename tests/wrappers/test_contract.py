"""What a rule promises, a wrapped rule promises: identity, direction, compiled structure."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import rules, wrappers
from lrtheory.compiling import quickly_compiled
from lrtheory.rules import compute_dtype

RULES = [
    rules.sgd(),
    rules.adam(amsgrad=True),
    rules.adamw(maximize=True),
    rules.nadam(),
    rules.rmsprop(centered=False),
    rules.adafactor(),
    rules.lion(),
    rules.lars(nesterov=True),
    rules.rprop(),
    rules.asgd(),
    rules.schedule_free_adamw(),
    wrappers.clip_by_value(rules.adam()),
]
WRAPPERS = {
    "value": (wrappers.clip_by_value, {"clip_value": 0.3}),
    "norm": (wrappers.clip_by_norm, {"max_norm": 0.7}),
    "norm-homogeneous": (lambda rule: wrappers.clip_by_norm(rule, homogeneous=True), {"max_norm": 0.7}),
    "global": (wrappers.clip_by_global_norm, {"max_norm": 0.7}),
    "global-max": (lambda rule: wrappers.clip_by_global_norm(rule, norm_type=math.inf), {"max_norm": 0.7}),
    "global-homogeneous": (lambda rule: wrappers.clip_by_global_norm(rule, homogeneous=True), {"max_norm": 0.7}),
    "accumulate": (lambda rule: wrappers.accumulate(rule, every=3), {"examples": 4.0}),
    "average": (wrappers.average_weights, {"ema_decay": 0.9}),
    "flatten": (wrappers.flatten, {}),
}
SHAPES = {"w": (4, 3), "b": ()}


def numbers_of(rule) -> dict[str, float]:  # type: ignore[no-untyped-def]
    found = {"lr": 0.01, "weight_decay": 0.02, "momentum": 0.9, "clip_value": 0.9}
    return {name: value for name, value in found.items() if name in rule.Hyper._fields}


def wrapped(kind: str, rule):  # type: ignore[no-untyped-def]
    wrap, numbers = WRAPPERS[kind]
    if kind == "value" and "clip_value" in rule.Hyper._fields:
        rule = rules.adam()
    return wrap(rule), {**numbers_of(rule), **numbers}


def data(steps: int = 12) -> tuple[dict, dict]:
    rng = np.random.default_rng(0)
    sizes = 10.0 ** rng.uniform(-2, 1.5, steps)
    params = {name: jnp.asarray(rng.standard_normal(shape)) for name, shape in SHAPES.items()}
    grads = {
        name: jnp.asarray(rng.standard_normal((steps, *shape)) * sizes.reshape(-1, *[1] * len(shape)))
        for name, shape in SHAPES.items()
    }
    return params, grads


# Every wrapper around two rules, and every rule in the two kinds of clipping: per entry, which is deep, and per tensor.
PAIRS = [
    pytest.param(
        rule, kind, id=f"{kind}-{rule!r}", marks=[] if rule in RULES[:2] or kind == "global" else pytest.mark.deep
    )
    for kind in WRAPPERS
    for rule in RULES
    if rule in RULES[:2] or kind in ("value", "global")
]


@pytest.mark.parametrize(("rule", "kind"), PAIRS)
def test_step_is_effective_lr_times_direction_plus_decay(rule, kind) -> None:  # type: ignore[no-untyped-def]
    """The bound is the rules' own, with one division and one product more."""
    with jax.enable_x64(True):
        outer, numbers = wrapped(kind, rule)
        hyper = outer.hyper(**numbers)
        params, grads = data()
        state = outer.init(params)

        @quickly_compiled()
        def move(hyper, state, now, params):  # type: ignore[no-untyped-def]
            moved, state = outer.step(hyper, params, state, now)
            parts = (
                outer.effective_lr(hyper, state),
                outer.direction(hyper, params, state, now),
                outer.decay(hyper, params, state, now),
            )
            return moved, state, parts

        moves = 0
        for step in range(12):
            now = {name: g[step] for name, g in grads.items()}
            moved, state, (e, d, decay) = move(hyper._replace(lr=0.01 * (1 + step % 4)), state, now, params)
            for name in params:
                size = jnp.abs(e[name] * d[name]) + jnp.abs(decay[name])
                bound = 25 * 1.2e-16 * size + 2.3e-16 * (jnp.abs(params[name]) + jnp.abs(moved[name]))
                wrong = jnp.abs(moved[name] - params[name] + e[name] * d[name] + decay[name])
                assert (wrong <= bound).all(), (name, step)
                assert e[name].shape == d[name].shape == params[name].shape
            moves += any((moved[name] != params[name]).any() for name in params)
            params = moved
        assert moves == (4 if kind == "accumulate" else 12)


@pytest.mark.parametrize("kind", [kind for kind in WRAPPERS if kind not in ("accumulate", "average", "flatten")])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_direction_is_a_mean_of_the_given_gradients(kind, momentum) -> None:  # type: ignore[no-untyped-def]
    """Gradients c_t·g with changing c_t: d is their mean with the weights of momentum times the clip factors."""
    with jax.enable_x64(True):
        wrap, own = WRAPPERS[kind]
        rule = wrap(rules.sgd())
        hyper = rule.hyper(lr=1.0, momentum=momentum, **own)
        g = {"w": jnp.array([3.0, -0.5])}
        params, state = {"w": jnp.zeros(2)}, None
        state = rule.init(params)
        sizes = [1.0, 20.0, 0.1, 5.0, 1e4, 0.3]
        weight_sum, given_sum = np.zeros(2), np.zeros(2)
        for c in sizes:
            now = {"w": c * g["w"]}
            before = params
            params, state = rule.step(hyper, params, state, now)
            norm = float(jnp.max(jnp.abs(now["w"])) if kind == "global-max" else jnp.linalg.norm(now["w"]))
            if kind == "value":
                factor = np.clip(now["w"], -0.3, 0.3) / np.asarray(now["w"])
            elif kind.endswith("homogeneous"):
                factor = min(1.0, 0.7 / norm) * np.ones(2)
            else:
                factor = min(1.0, 0.7 / (norm + 1e-6)) * np.ones(2)
            weight_sum = momentum * weight_sum + factor
            given_sum = momentum * given_sum + factor * np.asarray(now["w"])
            np.testing.assert_allclose(params["w"] - before["w"], -given_sum, rtol=1e-13)
            np.testing.assert_allclose(rule.effective_lr(hyper, state)["w"], weight_sum, rtol=1e-13)
            np.testing.assert_allclose(
                rule.direction(hyper, before, state, now)["w"], given_sum / weight_sum, rtol=1e-13
            )
        assert (weight_sum < 1).any() or momentum


@pytest.mark.parametrize("kind", WRAPPERS)
def test_runs_under_scan_and_vmap_in_every_dtype(kind) -> None:  # type: ignore[no-untyped-def]
    outer, numbers = wrapped(kind, rules.adam())
    for dtype in ("float32", "bfloat16"):
        params, grads = jax.tree.map(lambda x, dtype=dtype: x.astype(dtype), data())

        def run(lr, params=params, grads=grads):  # type: ignore[no-untyped-def]
            def body(carry, now):  # type: ignore[no-untyped-def]
                params, state = carry
                return outer.step(outer.hyper(**numbers)._replace(lr=lr), params, state, now), None

            return jax.lax.scan(body, (params, outer.init(params)), grads)[0][0]

        last = quickly_compiled()(jax.vmap(run))(jnp.array([0.1, 0.2]))
        assert {x.dtype.name for x in jax.tree.leaves(last)} == {dtype}
        assert compute_dtype(last["w"]) == jnp.float32
        assert (last["w"][0] != last["w"][1]).any()


@pytest.mark.parametrize("kind", [kind for kind in WRAPPERS if kind not in ("accumulate", "flatten")])
def test_parameter_without_gradient_stays_as_it_is(kind) -> None:  # type: ignore[no-untyped-def]
    outer, numbers = wrapped(kind, rules.adam())
    params, _ = data()
    moved, state = outer.step(outer.hyper(**numbers), params, outer.init(params), {**params, "b": None})
    assert (moved["b"] == params["b"]).all()
    assert (moved["w"] != params["w"]).all()
    assert (outer.direction(outer.hyper(**numbers), params, state, {**params, "b": None})["b"] == 0).all()


def test_wrapper_is_the_same_object_for_the_same_rule_and_options() -> None:
    assert wrappers.clip_by_value(rules.adam()) is wrappers.clip_by_value(rules.adam())
    assert wrappers.clip_by_norm(rules.adam(), homogeneous=True) is wrappers.clip_by_norm(
        rules.adam(), homogeneous=True
    )
    assert repr(wrappers.accumulate(rules.adamw(), every=4)) == "accumulate(adam(decoupled=True), every=4)"


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wrappers.clip_by_norm(rules.sgd()).hyper(), TypeError, "needs a value for max_norm"),
        (lambda: wrappers.clip_by_norm(rules.sgd()).hyper(max_norm=-1.0), ValueError, "max_norm=-1.0 is outside"),
        (lambda: wrappers.clip_by_norm(rules.sgd()).hyper(max_norm=1.0, lr=-1.0), ValueError, "lr=-1.0 is outside"),
        (
            lambda: wrappers.clip_by_norm(rules.sgd()).hyper(max_norm=1.0, beta1=0.9),
            TypeError,
            "no hyperparameter 'beta1'",
        ),
        (lambda: wrappers.clip_by_norm(rules.sgd(), norm_type=0), ValueError, "norm_type=0 must be"),
        (lambda: wrappers.clip_by_value(wrappers.clip_by_value(rules.sgd())), ValueError, "'clip_value' already"),
        (lambda: wrappers.accumulate(rules.sgd(), every=0), ValueError, "every=0 must be"),
        (lambda: wrappers.average_weights(rules.sgd()).hyper(ema_decay=1.1), ValueError, "ema_decay=1.1 is outside"),
    ],
)
def test_bad_input_is_refused_by_name(call, error, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=message):
        call()


def test_sparse_gradients_are_refused_by_clipping() -> None:
    rule = wrappers.clip_by_norm(rules.sparse_adam())
    params = {"w": jnp.ones((2, 2))}
    with pytest.raises(TypeError, match=r"give \.todense"):
        rule.step(
            rule.hyper(max_norm=1.0), params, rule.init(params), {"w": rules.SparseGradient.from_dense(params["w"])}
        )
