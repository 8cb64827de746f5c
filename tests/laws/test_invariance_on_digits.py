"""Laws of scale-invariant weights on a real network: the digits MLP, whose hidden weights each go into a LayerNorm without eps.

Hidden weights are one group of parameters and all others another, as in ``param_groups``: the laws are about the first.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import rules
from lrtheory.compiling import quickly_compiled
from lrtheory.laws.invariance import buffer_seed, numbers_for_length, rotation_per_step, sgd_schedule
from lrtheory.rules import Rule
from lrtheory.sweep import shuffled
from parity.training import NORMALISED, load_digits

NETWORK = dataclasses.replace(NORMALISED, name="mlp with LayerNorm without eps", norm_eps=0.0)
HIDDEN = tuple(f"hidden{i}.weight" for i in NETWORK.hidden)


BLOCK = 40  # steps of the one program that is compiled


@quickly_compiled(static_argnums=(0, 1))
def _train(network: Any, rule: Rule, hypers: Any, states: Any, groups: Any, x: Any, y: Any, batches: Any) -> Any:
    def step(carry: Any, now: Any) -> Any:
        groups, states = carry
        hyper, rows = now
        grads = jax.grad(lambda groups: network.loss({**groups[0], **groups[1]}, x[rows], y[rows]))(groups)
        stepped = [rule.step(h, p, s, g) for h, s, g, p in zip(hyper, states, grads, groups, strict=True)]
        groups = tuple(p for p, _ in stepped)
        return (groups, tuple(s for _, s in stepped)), groups[0]

    return jax.lax.scan(step, (groups, states), (hypers, batches))


def train(
    rule: Rule, hypers: tuple[Any, Any], steps: int, factor: float = 1.0, seeds: Any = None, network: Any = NETWORK
) -> Any:
    """Hidden weights after each step; ``hypers`` are those of the hidden weights and of the rest."""
    digits = load_digits(0)
    with jax.enable_x64(True):
        initial = jax.tree.map(jnp.asarray, network.initial(0))
        hidden = {name: factor * initial.pop(name) for name in HIDDEN}
        groups = (hidden, initial)
        states = tuple(rule.init(group) for group in groups)
        if seeds is not None:
            begun = states[0]._replace(t=jax.tree.map(jnp.ones_like, states[0].t), buffer=seeds(hidden))
            states = (begun, states[1])
        spread = jax.tree.map(lambda value: jnp.broadcast_to(jnp.asarray(value, float), (steps,)), hypers)
        batches = shuffled(len(digits.train_x), 64, steps, 0)
        seen = [jax.tree.map(lambda w: np.asarray(w)[None], hidden)]
        for start in range(0, steps, BLOCK):
            block = slice(start, start + BLOCK)
            now = jax.tree.map(lambda value, block=block: value[block], spread)
            (groups, states), after = _train(
                network, rule, now, states, groups, digits.train_x, digits.train_y, batches[block]
            )
            seen.append(jax.device_get(after))
        return {name: np.concatenate([part[name] for part in seen]) for name in HIDDEN}


CASES = {
    "sgd": (rules.sgd(), {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "adamw": (rules.adamw(), {"lr": 3e-3, "weight_decay": 0.1, "eps": 1e-6}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_longer_weights_turn_the_same_bit_for_bit(case):
    """Hidden weights eight times as long with numbers by the law, everything else as it was."""
    rule, numbers = case
    hyper = rule.hyper(**numbers)
    plain = train(rule, (hyper, hyper), 40)
    longer = train(rule, (numbers_for_length(rule, hyper, 8.0), hyper), 40, factor=8.0)
    for name in HIDDEN:
        np.testing.assert_array_equal(longer[name] / 8, plain[name])
        assert np.abs(plain[name][-1] - plain[name][0]).max() > 1e-2  # it did train


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_longer_weights_with_the_old_numbers_turn_less(case):
    rule, numbers = case
    hyper = rule.hyper(**numbers)
    plain = train(rule, (hyper, hyper), 40)
    longer = train(rule, (hyper, hyper), 40, factor=8.0)
    for name in HIDDEN:
        assert np.abs(longer[name] / 8 - plain[name]).max() > 1e-2


def test_a_norm_with_eps_is_invariant_up_to_it_only():
    """A default eps of 1e-5 against a variance of about 1: no bit-for-bit law, and 1e-5 in size."""
    network = dataclasses.replace(NETWORK, norm_eps=1e-5)
    rule, numbers = CASES["sgd"]
    hyper = rule.hyper(**numbers)
    plain = train(rule, (hyper, hyper), 40, network=network)
    longer = train(rule, (numbers_for_length(rule, hyper, 8.0), hyper), 40, factor=8.0, network=network)
    apart = max(np.abs(longer[name] / 8 - plain[name]).max() / np.abs(plain[name]).max() for name in HIDDEN)
    assert 1e-9 < apart < 1e-2


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_weight_decay_is_an_exponential_schedule(momentum):
    """40 steps of training with decay, and without it under the schedule: one weight is ρᵗ times the other."""
    sgd, lr, decay, steps = rules.sgd(), 0.1, 0.2, 40
    rest = sgd.hyper(lr=lr, momentum=momentum)
    found = train(sgd, (rest._replace(weight_decay=decay), rest), steps)
    schedule = sgd_schedule(lr, decay, steps, momentum)
    seeds = (
        (lambda hidden: {k: jnp.asarray(buffer_seed(w, lr, decay, momentum)) for k, w in hidden.items()})
        if momentum
        else None
    )
    without = train(sgd, (rest._replace(lr=schedule.lr), rest), steps, seeds=seeds)
    for name in HIDDEN:
        scaled = schedule.rho ** np.arange(steps + 1)[:, None, None] * without[name]
        assert np.abs(found[name] - scaled).max() < 1e-9 * np.abs(found[name]).max()
        assert np.linalg.norm(found[name][-1]) < 0.8 * np.linalg.norm(without[name][-1])


@pytest.mark.parametrize(
    ("rule", "numbers"),
    [
        pytest.param(rules.sgd(), {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.02}, id="sgd"),
        pytest.param(rules.adamw(), {"lr": 0.01, "weight_decay": 1.0, "eps": 1e-12}, id="adamw"),
    ],
)
def test_rotation_of_training_settles_near_the_prediction(rule, numbers):
    """Gradients of training are neither random nor of equal size, so a tenth is allowed, empirically: 3% was measured."""
    hyper = rule.hyper(**numbers)
    rest = rule.hyper(**{**numbers, "weight_decay": 0.0})
    weights = train(rule, (hyper, rest), 800)
    for name in HIDDEN:
        w = weights[name][-300:].reshape(300, -1)
        w = w / np.linalg.norm(w, axis=1, keepdims=True)
        turned = np.sqrt(np.mean(np.sum(np.diff(w, axis=0) ** 2, axis=1)))
        assert turned == pytest.approx(rotation_per_step(rule, hyper), rel=0.1)
