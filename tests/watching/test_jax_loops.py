"""Loops of flax NNX and of equinox, as their users write them, with a watched transformation in place of their own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

optax = pytest.importorskip("optax")

import lrtheory.optax  # noqa: E402

X = jax.random.normal(jax.random.key(1), (32, 4))
Y = jnp.sin(X[:, :1])


def test_an_nnx_loop_is_watched_to_the_last_digit():
    """XLA on CPU rounds a fused gradient of this loop otherwise beside a measurement, by one float32 ulp."""
    nnx = pytest.importorskip("flax.nnx")

    def train(tx):
        model = nnx.Sequential(nnx.Linear(4, 8, rngs=nnx.Rngs(0)), jax.nn.tanh, nnx.Linear(8, 1, rngs=nnx.Rngs(1)))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

        @nnx.jit
        def step(model, optimizer):
            grads = nnx.grad(lambda model: jnp.mean((model(X) - Y) ** 2))(model)
            optimizer.update(model, grads)

        for _ in range(5):
            step(model, optimizer)
        return nnx.state(model, nnx.Param), optimizer.opt_state

    plain, _ = train(optax.adamw(1e-2))
    params, state = train(lrtheory.optax.watched(optax.adamw(1e-2), every=2))
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-6)
    figures = lrtheory.optax.figures(state, params)
    assert figures["effective_lr/layers.0.kernel"] > 0
    assert 0 < figures["relative_update/layers.2.bias"] < 1


def test_an_equinox_loop_is_watched_and_left_as_it_is():
    eqx = pytest.importorskip("equinox")

    def train(tx):
        model = eqx.nn.MLP(4, 1, 8, 1, key=jax.random.key(0))
        state = tx.init(eqx.filter(model, eqx.is_inexact_array))

        @eqx.filter_jit
        def step(model, state):
            grads = eqx.filter_grad(lambda model: jnp.mean((jax.vmap(model)(X) - Y) ** 2))(model)
            updates, state = tx.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
            return eqx.apply_updates(model, updates), state

        for _ in range(5):
            model, state = step(model, state)
        return eqx.filter(model, eqx.is_inexact_array), state

    plain, _ = train(optax.adamw(1e-2))
    params, state = train(lrtheory.optax.watched(optax.adamw(1e-2), every=2))
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(params), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    figures = lrtheory.optax.figures(state, params)
    assert figures["effective_lr/layers.0.weight"] > 0
