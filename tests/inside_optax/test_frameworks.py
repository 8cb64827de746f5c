"""Loops of flax NNX and of equinox, as their users write them, with our rules in place of optax's own."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

optax = pytest.importorskip("optax")

import lrtheory.optax as ours  # noqa: E402
from lrtheory import rules  # noqa: E402

X = jax.random.normal(jax.random.key(1), (32, 4))
Y = jnp.sin(X[:, :1])
STEPS = 5
PAIRS: dict[str, tuple[Any, Any]] = {
    "adamw on a schedule": (
        lambda: optax.adamw(optax.cosine_decay_schedule(1e-2, 8), weight_decay=0.1),
        lambda: ours.transformation(rules.adamw(), optax.cosine_decay_schedule(1e-2, 8), weight_decay=0.1),
    ),
    "clipped momentum": (
        lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1, momentum=0.9)),
        lambda: optax.chain(optax.clip_by_global_norm(0.5), ours.transformation(rules.sgd(), 0.1, momentum=0.9)),
    ),
}  # fmt: skip


def alike(theirs: Any, mine: Any) -> None:
    for a, b in zip(jax.tree.leaves(theirs), jax.tree.leaves(mine), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_an_nnx_loop(name):
    nnx = pytest.importorskip("flax.nnx")

    def train(tx: Any) -> Any:
        model = nnx.Sequential(nnx.Linear(4, 8, rngs=nnx.Rngs(0)), jax.nn.tanh, nnx.Linear(8, 1, rngs=nnx.Rngs(1)))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

        @nnx.jit
        def step(model: Any, optimizer: Any) -> None:
            grads = nnx.grad(lambda model: jnp.mean((model(X) - Y) ** 2))(model)
            optimizer.update(model, grads)

        for _ in range(STEPS):
            step(model, optimizer)
        return nnx.state(model, nnx.Param), optimizer.opt_state

    theirs, mine = PAIRS[name]
    (expected, _), (found, state) = train(theirs()), train(mine())
    alike(expected, found)
    lr = optax.tree.get(state, "learning_rate")
    assert 0 < float(jax.tree.leaves(lr)[0]) <= 0.11


@pytest.mark.parametrize(("name", "dtype"), [*((name, "float32") for name in PAIRS), ("clipped momentum", "bfloat16")])
def test_an_equinox_loop(name, dtype):
    """Its ``apply_updates`` adds and does not cast: parameters of half precision stay so."""
    eqx = pytest.importorskip("equinox")
    x, y = X.astype(dtype), Y.astype(dtype)

    def train(tx: Any) -> Any:
        model = eqx.nn.MLP(4, 1, 8, 1, key=jax.random.key(0), dtype=jnp.dtype(dtype))
        state = tx.init(eqx.filter(model, eqx.is_inexact_array))

        @eqx.filter_jit
        def step(model: Any, state: Any) -> Any:
            grads = eqx.filter_grad(lambda model: jnp.mean((jax.vmap(model)(x) - y) ** 2))(model)
            updates, state = tx.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
            return eqx.apply_updates(model, updates), state

        for _ in range(STEPS):
            model, state = step(model, state)
        return eqx.filter(model, eqx.is_inexact_array), state

    theirs, mine = PAIRS[name]
    (expected, _), (found, state) = train(theirs()), train(mine())
    if dtype == "float32":
        alike(expected, found)
    assert all(leaf.dtype == jnp.dtype(dtype) for leaf in jax.tree.leaves(found))
    assert int(optax.tree.get(state, "count", filtering=lambda path, _: "Transformation" in str(path))) == STEPS
