"""In float32 a step after a port is within the bounds derived for both frameworks, step by step."""

from __future__ import annotations

import numpy as np
import pytest

import parity
from lrtheory import port
from parity.bounds import bound

from .proof import CHUNK, OPTIMIZERS, Case

#: With hyperparameters that float32 holds: rounded, they would be other ones in each framework.
CASES = {
    "sgd": ({}, {"lr": 0.125, "momentum": 0.875}, ("torch", "optax", "keras", "lrtheory")),
    "adam": (
        {"decoupled": True},
        {"lr": 2**-7, "beta1": 0.875, "beta2": 1 - 2**-10, "eps": 2**-20, "weight_decay": 0.125},
        ("torch", "optax", "lrtheory"),
    ),
    "adadelta": ({}, {"lr": 1.0, "rho": 0.875, "eps": 2**-20}, ("torch", "keras")),
}


@pytest.mark.parametrize("rule", CASES)
def test_next_step_is_within_both_bounds(rule):
    options, numbers, frameworks = CASES[rule]
    case = parity.Case(rule, options, numbers, dtype="float32", steps=CHUNK + 1)
    params, grads = case.first_params(), case.gradients()
    made = {name: OPTIMIZERS[name](Case(rule, options, numbers), params) for name in frameworks}
    last = {name: g[-1:] for name, g in grads.items()}
    for name, source in made.items():
        limits = bound(case, parity.replay(case, name))
        source.make()  # it was a target, and ran
        source.run({n: g[:-1] for n, g in grads.items()})
        moved = {
            other: port.state(source.source, to=made[other].target, steps=CHUNK) for other in made if other != name
        }
        end = source.run(last)
        for other, there in moved.items():
            assert all(np.asarray(p).dtype == np.float32 for p in there.params.values())
            made[other].make()
            made[other].load(retargeted(there, made[other], source, name))
            path = made[other].run(last)
            for tensor, limit in limits.items():
                gap = np.abs(path[tensor][0].astype(np.float64) - end[tensor][0])
                assert np.all(gap <= 2 * limit[-1]), (name, other, tensor)


def retargeted(there, target, source, name):
    """The same state for an optimizer that was made anew."""
    object.__setattr__(there, "_target", type(there._target)(target.source)) if there.framework in (
        "torch",
        "keras",
    ) else None
    return there
