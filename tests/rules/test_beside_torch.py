"""Rules that torch.optim lacks: against the paper where optax differs from it, and what is no rule at all."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import lrtheory
from lrtheory import rules


def adan_of_the_paper(g: np.ndarray, lr: float, betas: tuple[float, ...], eps: float, decay: float) -> np.ndarray:
    """2208.06677, algorithm 1, with its β = 1 − beta and the bias corrections of its section on implementation."""
    b1, b2, b3 = (1 - beta for beta in betas)
    p, m, v, n, path = np.ones_like(g[0]), 0.0, 0.0, 0.0, []
    for k in range(len(g)):
        change = g[k] - g[k - 1] if k else 0 * g[k]
        m = (1 - b1) * m + b1 * g[k]
        v = (1 - b2) * v + b2 * change
        n = (1 - b3) * n + b3 * (g[k] + (1 - b2) * change) ** 2
        hats = [x / (1 - (1 - b) ** (k + 1)) for x, b in ((m, b1), (v, b2), (n, b3))]
        p = (p - lr * (hats[0] + (1 - b2) * hats[1]) / (np.sqrt(hats[2]) + eps)) / (1 + lr * decay)
        path.append(p)
    return np.stack(path)


def run(rule, numbers, g):  # type: ignore[no-untyped-def]
    hyper = rule.hyper(**numbers)
    params = jnp.ones(g.shape[1])

    def step(carry, now):  # type: ignore[no-untyped-def]
        params, state = rule.step(hyper, carry[0], carry[1], now)
        return (params, state), params

    return jax.lax.scan(step, (params, rule.init(params)), jnp.asarray(g))


def gradients() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.standard_normal((200, 12)) * 10.0 ** rng.uniform(-6, 6, 12)


def test_adan_is_the_papers_and_not_optaxs() -> None:
    """In optax 0.2.8 the differences weigh 1 − b2 = 0.08, in the paper 0.92."""
    g = gradients()
    with jax.enable_x64(True):
        ours = np.asarray(run(rules.adan(), {"lr": 0.01, "weight_decay": 0.1}, g)[1])
        paper = adan_of_the_paper(g, 0.01, (0.98, 0.92, 0.99), 1e-8, 0.1)
        reach = np.maximum(np.abs(paper), np.abs(paper - 1)).max(axis=0)  # as parity measures it
        assert (np.abs(ours - paper).max(axis=0) / reach).max() <= 1e-13
        plain = np.asarray(run(rules.adan(proximal=False), {"lr": 0.01}, g)[1])
        optimizer = optax.adan(0.01, eps_root=0.0)
        params, state, theirs = jnp.ones(12), optimizer.init(jnp.ones(12)), []
        for now in g:
            updates, state = optimizer.update(jnp.asarray(now), state, params)
            params = optax.apply_updates(params, updates)
            theirs.append(params)
        assert np.abs(plain - np.stack(theirs)).max() / np.abs(plain - 1).max() > 0.1


@pytest.mark.parametrize("name", ["schedule_free_sgd", "schedule_free_adamw"])
def test_evaluation_params_are_optaxs_and_the_weighted_mean_of_z(name: str) -> None:
    """Within a few roundings of x, which is read from y and z by a division by beta1."""
    g = gradients()[:40] * 1e-3
    rule = rules.get(name)()
    with jax.enable_x64(True):
        hyper = rule.hyper(lr=0.1)
        (params, state), _ = run(rule, {"lr": 0.1}, g)
        found = np.asarray(rules.evaluation_params(hyper, state, params))
        at, kept, zs = jnp.ones(12), rule.init(jnp.ones(12)), []
        for now in g:
            at, kept = rule.step(hyper, at, kept, jnp.asarray(now))
            zs.append(np.asarray(kept.z))
        np.testing.assert_allclose(found, np.mean(zs, axis=0), rtol=1e-12)
        contributed = getattr(optax.contrib, name)(0.1)
        y, theirs = jnp.ones(12), contributed.init(jnp.ones(12))
        for now in g:
            updates, theirs = contributed.update(jnp.asarray(now), theirs, y)
            y = optax.apply_updates(y, updates)
        np.testing.assert_allclose(found, optax.contrib.schedule_free_eval_params(theirs, y), rtol=1e-11)


def test_evaluation_params_refuse_another_rules_state() -> None:
    rule = rules.adam()
    with pytest.raises(TypeError, match="state of a schedule-free rule, not AdamState"):
        rules.evaluation_params(rule.hyper(), rule.init(jnp.ones(2)), jnp.ones(2))


def test_lr_of_zero_moves_nothing_and_gives_no_nan() -> None:
    """As at the first step of a warm-up from 0."""
    for name in rules.names():
        rule = rules.get(name)()
        if rule.array_rule.sparse:
            continue
        params = jnp.ones((2, 3))
        hyper = rule.hyper(lr=0.0)
        moved, state = rule.step(hyper, params, rule.init(params), 2 * params)
        if name != "rprop":  # its smallest step size is above 0
            assert (moved == params).all(), name
        assert np.isfinite(rule.effective_lr(hyper, state)).all(), name
        assert np.isfinite(rule.direction(hyper, params, state, 2 * params)).all(), name


def test_lbfgs_says_why_it_is_no_rule_wherever_it_is_looked_for() -> None:
    for look in (lambda: rules.get("lbfgs"), lambda: rules.get("LBFGS")):
        with pytest.raises(KeyError, match="LBFGS is no rule of one step"):
            look()
    for name in ("lbfgs", "LBFGS"):
        with pytest.raises(AttributeError, match="LBFGS is no rule of one step"):
            getattr(lrtheory.rules, name)
    with pytest.raises(AttributeError, match="no attribute 'adamm'"):
        _ = lrtheory.rules.adamm
