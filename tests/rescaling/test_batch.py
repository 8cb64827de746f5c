"""Batch rules against moments and runs that know nothing of them, and what is refused."""

from __future__ import annotations

import functools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import rescale, rules, wrappers
from lrtheory.laws.batch import sde_rule
from lrtheory.rescaling import EXACTNESS, BatchRuleWarning

KAPPA = 4


# --- SGD: mean and covariance of (θ, buffer) on a noisy parabola, without sampling ---


def moments(lr: float, momentum: float, dampening: float, batch: float, steps: int) -> np.ndarray:
    """Mean and variance of θ after each step, from θ = 1 with an empty buffer; h = 1, noise variance 4/batch."""
    weight = 1 - dampening
    step = np.array([[1 - lr * weight, -lr * momentum], [weight, momentum]])
    noise = np.array([-lr * weight, weight])
    mean, second = np.array([1.0, 0.0]), np.zeros((2, 2))
    path = []
    for _ in range(steps):
        mean = step @ mean
        second = step @ second @ step.T + np.outer(noise, noise) * 4 / batch
        path.append((mean[0], second[0, 0]))
    return np.array(path)


def discrepancy(lr: float, momentum: float, dampening: float, method: str, broken: float = 1.0) -> float:
    """Largest difference in mean and variance at equal numbers of examples, over two memories and a half."""
    rule = rules.sgd()
    hyper = rule.hyper(lr=lr, momentum=momentum, dampening=dampening)
    new = rescale(rule, hyper, batch=KAPPA, method=method).hyper
    steps = KAPPA * round(2.5 / (1 - momentum) / KAPPA) if momentum else KAPPA * round(1 / lr / KAPPA)
    before = moments(lr, momentum, dampening, 1, steps)[KAPPA - 1 :: KAPPA]
    after = moments(new.lr * broken, new.momentum, new.dampening, KAPPA, steps // KAPPA)
    return float(np.max(np.abs(after - before) / np.max(np.abs(before), axis=0)))


@pytest.mark.parametrize(("momentum", "averaging"), [(0.0, False), (0.9, False), (0.9, True)])
def test_sde_of_sgd_is_approached_at_first_order(momentum: float, averaging: bool) -> None:
    """Steps ten times as small, memories ten times as long in steps: a tenth of the difference."""

    def apart(scale: float, broken: float = 1.0) -> float:
        mu = 1 - (1 - momentum) / scale if momentum else 0.0
        # lr/(1 − μ) per step shrinks by the scale too, so that a memory sees the same path.
        lr = 0.02 / scale if averaging or not momentum else 0.002 / scale**2
        return discrepancy(lr, mu, mu if averaging else 0.0, "sde", broken)

    coarse, fine = apart(1), apart(10)
    assert coarse < 1.0
    assert fine < 0.15 * coarse
    for wrong in (1 / KAPPA, 0.8, 1.25, KAPPA):
        assert apart(10, wrong) > 3 * fine


@pytest.mark.parametrize("averaging", [False, True])
def test_sde_of_sgd_goes_on_in_mid_run_where_it_was(averaging: bool) -> None:
    """Under a gradient that has long been the same, the first step of the changed run is κ plain ones: its buffer fits."""
    rule = rules.sgd()
    hyper = rule.hyper(lr=0.25, momentum=0.9, dampening=0.9 if averaging else 0.0)
    params, grads = {"w": jnp.ones(2)}, {"w": jnp.array([1.0, -3.0])}
    state = rule.init(params)
    for _ in range(250):
        params, state = rule.step(hyper, params, state, grads)
    found = rescale(rule, hyper, batch=KAPPA, method="sde")
    plain = rule.step(hyper, {"w": jnp.zeros(2)}, state, grads)[0]["w"]
    changed = rule.step(found.hyper, {"w": jnp.zeros(2)}, found.state(state), grads)[0]["w"]
    np.testing.assert_allclose(changed, KAPPA * plain, rtol=1e-5)


def test_linear_rule_of_sgd_is_off_by_what_its_note_says() -> None:
    """κ steps on a parabola against one: κ(κ−1)/2·(lr·h)² of the start."""
    rule = rules.sgd()
    for lr in (1e-2, 1e-3):
        found = rescale(rule, rule.hyper(lr=lr), batch=KAPPA, reduction="mean")
        assert found.method == "linear"
        small, large = (1 - lr) ** KAPPA, 1 - found.hyper.lr
        assert small - large == pytest.approx(KAPPA * (KAPPA - 1) / 2 * lr**2, rel=2 * lr)
        assert f"{KAPPA * (KAPPA - 1) // 2}·(lr·h)²" in " ".join(found.notes)


# --- adaptive rules: many runs at once, one coordinate each, where noise dominates ---

RUNS, CHUNK, FIRST, THEN = 8_000, 100, 8, 4  # steps in chunks, so that one program runs them all
NOISY = {
    "adam": (rules.adam(), {"lr": 2e-3, "beta1": 0.98, "beta2": 0.99, "eps": 2.0, "weight_decay": 3.0}),
    "adamw": (rules.adamw(), {"lr": 2e-3, "beta1": 0.98, "beta2": 0.99, "eps": 2.0, "weight_decay": 0.5}),
    "rmsprop": (rules.rmsprop(), {"lr": 2e-3, "alpha": 0.99, "eps": 2.0}),
    "rmsprop-momentum": (rules.rmsprop(), {"lr": 1e-4, "alpha": 0.99, "momentum": 0.98, "eps": 2.0}),
    "adagrad": (rules.adagrad(), {"lr": 0.1, "eps": 20.0, "lr_decay": 1e-3}),
}


@functools.partial(jax.jit, static_argnums=0)
def _chunk(rule, hyper, start, batch, key):
    """Parameters and state after steps on θ + 10·ξ/√batch: the drift is a tenth of the noise and less."""

    def body(carry, key):
        params, state = carry
        grads = params + 10 * jax.random.normal(key, params.shape) / jnp.sqrt(batch)
        return rule.step(hyper, params, state, grads), None

    return jax.lax.scan(body, start, jax.random.split(key, CHUNK))[0]


def _run(rule, hyper, start, chunks, batch, seed):
    for key in jax.random.split(jax.random.key(seed), chunks):
        start = _chunk(rule, hyper, start, batch, key)
    return start


@functools.cache
def _base(name: str):
    rule, numbers = NOISY[name]
    hyper, params = rule.hyper(**numbers), jnp.ones(RUNS)
    warmed = _run(rule, hyper, (params, rule.init(params)), FIRST, 1.0, 0)
    return hyper, warmed, _run(rule, hyper, warmed, THEN, 1.0, 1)[0]


def after(name: str, change) -> np.ndarray:
    """Differences of mean and of standard deviation from the plain run at equal examples, over its own."""
    rule = NOISY[name][0]
    hyper, (params, state), plain = _base(name)
    found = rescale(rule, hyper, batch=KAPPA, method="sde", reduction="mean")
    other = _run(rule, change(found.hyper), (params, found.state(state)), THEN // KAPPA, float(KAPPA), 2)[0]
    moved, spread = float(jnp.mean(params) - jnp.mean(plain)), float(jnp.std(plain - params))
    grown = float(jnp.std(other - params))
    return np.array([float(jnp.mean(params) - jnp.mean(other)) / moved - 1, grown / spread - 1])


@pytest.mark.parametrize("name", NOISY)
def test_sde_of_adaptive_rules_keeps_mean_and_spread_per_example(name: str) -> None:
    """8000 runs: spreads to 1 %, means to what 400 steps of noise leave; the rest is the size of the steps."""
    # Mean of the way: spread/√runs over the way, twice; standard deviation: 1/√(2·runs), twice. Four of each.
    _, (params, _), plain = _base(name)
    moved, spread = abs(float(jnp.mean(params) - jnp.mean(plain))), float(jnp.std(plain - params))
    noise = 4 * np.sqrt(2 / RUNS) * np.array([spread / moved, np.sqrt(0.5)])
    # One step of the new run is κ(1 − β) of a memory: half of that, 0.04, for a momentum of 0.98, all for the squares.
    step_size = 0.08
    right = np.abs(after(name, lambda h: h))
    assert (right < noise + step_size).all(), (right, noise)
    for power in (-0.5, 0.5):
        wrong = after(name, lambda h, p=power: h._replace(lr=h.lr * KAPPA**p))
        assert abs(wrong[1]) > 3 * (noise + step_size)[1], wrong


def test_linear_with_adam_warns_and_says_why() -> None:
    rule = rules.adam()
    with pytest.warns(BatchRuleWarning, match="derived for steps that are linear in the gradient"):
        found = rescale(rule, rule.hyper(), batch=4, method="linear")
    assert found.exactness == "heuristic"
    assert found.hyper.lr == pytest.approx(4e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rescale(rule, rule.hyper(), batch=4, method="sde")


@pytest.mark.parametrize(
    ("rule", "numbers", "batch", "words"),
    [
        (rules.adam(), {}, 10.0, ("beta1=0.9", "κ below 10", 'method="sqrt"')),
        (rules.adam(), {"beta1": 0.0}, 1000.0, ("beta2=0.999",)),
        (rules.sgd(), {"momentum": 0.9}, 16, ("momentum=0.9", 'method="linear"')),
        (rules.lamb(), {}, 2, ("not derived", 'method="sqrt"')),
        (rules.lion(), {}, 100, ("beta2=0.99", 'method="sqrt"')),
    ],
)
def test_what_sde_cannot_reach_is_refused_with_the_nearest_thing(rule, numbers, batch, words) -> None:
    with pytest.raises(ValueError, match="Nearest") as error:
        rescale(rule, rule.hyper(**numbers), batch=batch, method="sde")
    assert all(word in str(error.value) for word in words), error.value


def test_a_memory_of_nothing_stays_nothing() -> None:
    rule = rules.adam()
    found = rescale(rule, rule.hyper(beta1=0.0), batch=64, method="sde")
    assert found.hyper.beta1 == 0
    assert found.hyper.beta2 == pytest.approx(1 - 64e-3)


@pytest.mark.parametrize("name", ["radam", "rprop", "adadelta"])
def test_rules_without_a_batch_rule_are_refused(name: str) -> None:
    rule = rules.get(name)()
    with pytest.raises(ValueError, match="Nearest"):
        rescale(rule, rule.hyper(), batch=2)


def test_every_other_rule_has_an_answer() -> None:
    for name in rules.names():
        rule = rules.get(name)()
        numbers = {} if "lr" not in rule.Hyper._fields or "lr" in rule.Hyper._field_defaults else {"lr": 0.1}
        if name in ("radam", "rprop", "adadelta"):
            continue  # refused: see above
        found = rescale(rule, rule.hyper(**numbers), batch=2)
        assert found.exactness in EXACTNESS
        assert found.notes


def test_reduction_is_part_of_the_answer() -> None:
    """The sum over κ times as many examples is κ times as large: batch and loss change together."""
    for name in ("sgd", "adam", "adagrad"):
        rule = rules.get(name)()
        hyper = rule.hyper(lr=0.1)
        assumed = rescale(rule, hyper, batch=4)
        mean = rescale(rule, hyper, batch=4, reduction="mean")
        total = rescale(rule, hyper, batch=4, reduction="sum")
        both = rescale(rule, hyper, batch=4, loss=4, reduction="mean")
        assert assumed.hyper == mean.hyper
        assert total.hyper == both.hyper
        assert any("assumed to be a mean" in note for note in assumed.notes)
        assert not any("assumed to be a mean" in note for note in mean.notes + total.notes)
    sgd = rules.sgd()
    assert rescale(sgd, sgd.hyper(lr=0.1), batch=8, reduction="sum").hyper.lr == pytest.approx(0.1)
    with pytest.raises(ValueError, match="reduction='none'"):
        rescale(sgd, sgd.hyper(lr=0.1), batch=8, reduction="none")


def test_wrappers_are_rescaled_with_the_rule_inside() -> None:
    rule = wrappers.average_weights(wrappers.clip_by_global_norm(rules.adam(), homogeneous=True))
    found = rescale(rule, rule.hyper(lr=1e-3, max_norm=1.0, ema_decay=0.99), batch=4)
    assert found.hyper.lr == pytest.approx(2e-3)
    assert found.hyper.max_norm == pytest.approx(0.5)
    assert found.hyper.ema_decay == pytest.approx(0.99**4)
    assert found.exactness == "heuristic"  # no rule is derived for clipping
    params = {"w": jnp.ones(3)}
    state = found.state(rule.init(params)._replace(count=jnp.int32(8)))
    rule.step(found.hyper, params, state, params)


@pytest.mark.parametrize("scale", ["loss", "params", "batch"])
@pytest.mark.parametrize("value", [0.0, -2.0, float("inf"), float("nan")])
def test_a_scale_that_is_none_is_refused(scale: str, value: float) -> None:
    rule = rules.sgd()
    with pytest.raises(ValueError, match=f"{scale}={value}"):
        rescale(rule, rule.hyper(lr=0.1), **{scale: value})


def test_unknown_method_and_foreign_numbers_are_refused() -> None:
    rule = rules.sgd()
    with pytest.raises(ValueError, match="method='cubic' must be one of linear, sqrt, sde"):
        rescale(rule, rule.hyper(lr=0.1), batch=2, method="cubic")
    with pytest.raises(TypeError, match="takes SGDHyper"):
        rescale(rule, rules.adam().hyper(), batch=2)
    with pytest.raises(TypeError, match="is no Rule"):
        rescale("adam", None, loss=2)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop"])
def test_answer_is_the_law_of_the_catalogue_where_there_is_one(name: str) -> None:
    """laws.batch states the square-root rule of the paper and holds it to many runs; here it is applied."""
    rule = rules.get(name)()
    hyper = rule.hyper(lr=1e-3, weight_decay=0.1)
    found, law = rescale(rule, hyper, batch=3, method="sde").hyper, sde_rule(rule, hyper, 3)
    assert found == pytest.approx(law, rel=1e-14)
