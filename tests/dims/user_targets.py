"""Targets as users write them, good and bad, for ``module:callable``."""

from __future__ import annotations

import random

import optax

calls = 0


def good(learning_rate=1e-3, decay=0.9):
    """A user's own optimizer."""
    return optax.chain(optax.trace(decay=decay), optax.scale_by_learning_rate(learning_rate))


def hidden(learning_rate=1e-3):
    """An eps that nobody can pass."""
    return optax.chain(optax.scale_by_adam(eps=3e-7), optax.scale_by_learning_rate(learning_rate))


def branches(learning_rate=1e-3, weight_decay=0.0):
    """Looks at a number in Python."""
    steps = [optax.scale_by_learning_rate(learning_rate)]
    if weight_decay > 0:
        steps.insert(0, optax.add_decayed_weights(weight_decay))
    return optax.chain(*steps)


def not_an_optimizer(learning_rate=1e-3):
    return 3.0


def prints(learning_rate=1e-3):
    print("hello")
    return optax.sgd(learning_rate)


def counts_calls(learning_rate=1e-3):
    global calls
    calls += 1
    return optax.sgd(learning_rate)


def rolls_dice(learning_rate=1e-3):
    random.random()
    return optax.sgd(learning_rate)


def needs_arguments(learning_rate, power):
    return optax.sgd(learning_rate)


def raises(learning_rate=1e-3):
    raise RuntimeError("out of order")


a_number = 3
