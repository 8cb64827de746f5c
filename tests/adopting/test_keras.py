"""A Keras optimizer in our terms: its next step, its groups, and what is opaque."""

from __future__ import annotations

import os
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lrtheory
from lrtheory import port
from lrtheory.adopting import Adopted
from parity.drivers.in_keras import floatx, load_keras

os.environ.setdefault("KERAS_BACKEND", "jax")
pytest.importorskip("keras")
keras = load_keras()

SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.9)

#: Optimizers that are our rules.
RULED = {
    "sgd": lambda o: o.SGD(0.1),
    "sgd-momentum": lambda o: o.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda o: o.Adam(SCHEDULE, epsilon=0.1),
    "adam-amsgrad": lambda o: o.Adam(0.1, amsgrad=True, weight_decay=0.1, clipvalue=0.5),
    "adamw": lambda o: o.AdamW(0.1, weight_decay=0.1, global_clipnorm=1.0),
    "rmsprop": lambda o: o.RMSprop(0.1, epsilon=0.0, centered=True, momentum=0.9),
    "adagrad": lambda o: o.Adagrad(0.1, epsilon=0.0),
    "adadelta": lambda o: o.Adadelta(0.1, clipnorm=1.0),
    "adamax": lambda o: o.Adamax(0.1, epsilon=0.0),
    "nadam": lambda o: o.Nadam(0.1),
    "lion": lambda o: o.Lion(0.1, weight_decay=0.1),
    "lamb": lambda o: o.Lamb(0.1),
    "schedule-free": lambda o: o.ScheduleFreeAdamW(0.1),
    "accumulated": lambda o: o.Adam(0.1, gradient_accumulation_steps=4, global_clipnorm=1.0),
}
OPAQUE = {
    "eps inside the root": (lambda o: o.RMSprop(0.1), "inside the root"),
    "eps outside": (lambda o: o.Adamax(0.1), "outside the largest"),
    "decay": (lambda o: o.SGD(0.1, weight_decay=0.1), "decoupled"),
    "no rule": (lambda o: o.Ftrl(0.1), "none of our rules"),
    "scaled": (lambda o: o.Adam(0.1, loss_scale_factor=8.0), "loss_scale_factor"),
    "adafactor": (lambda o: o.Adafactor(0.1), "relative_step"),
}


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    with jax.enable_x64(True), floatx(keras, "float64"):
        yield


class Run:
    """An optimizer under way."""

    def __init__(self, make, steps: int = 3) -> None:
        self.rng, self.optimizer = np.random.default_rng(0), make(keras.optimizers)
        shapes = {"w": (4, 3), "b": (5,)}
        self.variables = [keras.Variable(self.rng.normal(size=s), dtype="float64", name=n) for n, s in shapes.items()]
        self.optimizer.build(self.variables)
        for _ in range(steps):
            self.step(self.drawn())

    def drawn(self) -> list:
        return [jnp.asarray(3 * self.rng.normal(size=v.shape)) for v in self.variables]

    def step(self, grads: list) -> None:
        self.optimizer.apply(grads, self.variables)


def off(found: Adopted, run: Run) -> float:
    grads = run.drawn()
    ours = found.next_params({v.path: g for v, g in zip(run.variables, grads, strict=True)})
    run.step(grads)
    return max(float(np.abs(ours[v.path] - np.asarray(v.value)).max()) for v in run.variables)


@pytest.mark.parametrize("name", RULED)
def test_adopted_keras_takes_the_next_step(name: str) -> None:
    run = Run(RULED[name])
    found = lrtheory.adopt(run.optimizer)
    assert [group.reason for group in found.groups if group.rule is None] == []
    assert off(found, run) < 1e-12


def test_a_state_that_is_swapped_takes_another_step() -> None:
    run = Run(RULED["adam"])
    found = lrtheory.adopt(run.optimizer)
    (group,) = found.groups
    object.__setattr__(group, "state", group.state._replace(m=group.state.v, v=group.state.m))
    assert not off(found, run) < 1e-6


@pytest.mark.parametrize("name", OPAQUE)
def test_what_is_unknown_is_opaque_and_says_why(name: str) -> None:
    make, said = OPAQUE[name]
    groups = lrtheory.adopt(Run(make, 1).optimizer).groups
    assert all(group.rule is None and said in group.reason for group in groups)
    assert groups[0].lr == pytest.approx(0.1)


def test_what_is_left_out_of_decay_is_a_group() -> None:
    def make(o):
        optimizer = o.AdamW(0.1, weight_decay=0.1)
        optimizer.exclude_from_weight_decay(var_names=["b"])
        return optimizer

    run = Run(make)
    decayed, plain = lrtheory.adopt(run.optimizer).groups
    assert (decayed.names, plain.names) == (("w",), ("b",))
    assert (decayed.hyper.weight_decay, plain.hyper.weight_decay) == (0.1, 0.0)
    assert off(lrtheory.adopt(run.optimizer), run) < 1e-12


def test_a_subclass_is_opaque_and_an_unbuilt_one_has_no_parameters() -> None:
    class Mine(keras.optimizers.Adam):
        pass

    (group,) = lrtheory.adopt(Run(lambda o: Mine(0.1)).optimizer).groups
    assert group.rule is None
    assert "Mine" in group.reason
    (group,) = lrtheory.adopt(keras.optimizers.Adam(0.1)).groups
    assert group.rule is lrtheory.rules.adam()
    assert not group.names
    constrained = Run(RULED["adam"])
    constrained.variables[1].constraint = keras.constraints.NonNeg()
    free, held = sorted(lrtheory.adopt(constrained.optimizer).groups, key=lambda g: g.rule is None)
    assert (free.names, held.names) == (("w",), ("b",))
    assert "constraint" in held.reason


def test_loss_scale_is_looked_into() -> None:
    """Keras puts one around the optimizer of a model that computes in float16."""
    make = lambda o: o.AdamW(0.1, weight_decay=0.1)  # noqa: E731
    bare, started = Run(make).optimizer, Run(make, 1).optimizer
    scaled, target = (keras.optimizers.LossScaleOptimizer(inside, initial_scale=8.0) for inside in (bare, started))
    (group,), (inside,) = lrtheory.adopt(scaled).groups, lrtheory.adopt(bare).groups
    assert (group.rule, group.hyper) == (inside.rule, inside.hyper)
    assert "loss scale" in lrtheory.adopt(scaled).notes[-1]
    moved = port.state(scaled, to="torch")
    assert {float(kept["step"]) for kept in moved.state["state"].values()} == {3.0}
    assert any("loss scale" in note for note in moved.notes)
    port.state(moved.optimizer, to=target).load()
    assert int(started.iterations) == 3


def test_optimizer_without_parameters_is_explained_and_not_moved() -> None:
    assert "lr = 0.1" in str(lrtheory.explain(keras.optimizers.Adam(0.1)))
    for to in ("torch", "optax", "lrtheory"):
        with pytest.raises(port.PortError, match=r"has no parameters to move: .* call optimizer.build"):
            port.state(keras.optimizers.Adam(0.1), to=to)
