"""Momentum that was built with the lr inside says so: at another lr it would be read as another buffer."""

from __future__ import annotations

import os

import jax.numpy as jnp
import optax
import pytest

import lrtheory

os.environ.setdefault("KERAS_BACKEND", "jax")
PARAMS = {"w": jnp.ones(3)}


@pytest.mark.parametrize(
    ("tx", "inside"),
    [
        (optax.rmsprop(0.1, momentum=0.9, eps_in_sqrt=False), True),
        (optax.rmsprop(0.1, eps_in_sqrt=False), False),
        (optax.sgd(0.1, momentum=0.9), False),
        (optax.adam(0.1), False),
    ],
    ids=["rmsprop with momentum", "rmsprop", "sgd with momentum", "adam"],
)
def test_optax_momentum_with_the_lr_inside_is_told(tx: optax.GradientTransformation, inside: bool) -> None:
    _, state = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    (group,) = lrtheory.adopt(tx, state, PARAMS).groups
    assert any("has the lr inside" in note for note in group.notes) is inside


@pytest.mark.parametrize(("momentum", "inside"), [(0.9, True), (0.0, False)])
def test_keras_momentum_with_the_lr_inside_is_told(momentum: float, inside: bool) -> None:
    keras = pytest.importorskip("keras")
    variable = keras.Variable([1.0, 2.0])
    optimizer = keras.optimizers.SGD(0.1, momentum=momentum)
    optimizer.build([variable])
    optimizer.apply([keras.ops.ones(2)])
    (group,) = lrtheory.adopt(optimizer).groups
    assert any("has the lr inside" in note for note in group.notes) is inside
