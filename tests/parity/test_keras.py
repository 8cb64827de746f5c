"""Keras as one more implementation: where eps and the lr's place play no part, it computes what torch does."""

from __future__ import annotations

import pytest

import parity
from lrtheory.names.keras import NAMES
from parity import Case, LrSchedule
from parity.drivers.in_keras import load_keras

MOVING = LrSchedule("moving")

#: Runs in which no known difference acts: eps far below every √v, lr constant where Keras keeps it in a buffer.
AGREEING = (
    Case("sgd", {"nesterov": True}, {"lr": 0.1, "momentum": 0.9}),
    Case("sgd", {}, {"lr": 0.1}, schedule=MOVING),
    Case("adam", {"amsgrad": True}, {"lr": 0.1, "eps": 1e-30}, schedule=MOVING),
    Case(
        "adam", {"decoupled": True, "maximize": True}, {"lr": 0.1, "eps": 1e-30, "weight_decay": 0.1}, schedule=MOVING
    ),
    Case("rmsprop", {"centered": True}, {"lr": 0.1, "eps": 1e-40, "momentum": 0.5}),
    Case("adagrad", {}, {"lr": 0.1, "eps": 1e-40, "initial_accumulator_value": 0.1}, schedule=MOVING),
    Case("adadelta", {}, {"lr": 0.1}, schedule=MOVING),
    Case("adamax", {}, {"lr": 0.1, "eps": 1e-30}, schedule=MOVING),
    Case("nadam", {}, {"lr": 0.1, "momentum_decay": 1.0}, schedule=MOVING),
    Case("lion", {}, {"lr": 0.1, "weight_decay": 0.1}, schedule=MOVING),
    Case("lamb", {}, {"lr": 0.1}, schedule=MOVING),
    Case("schedule_free_adamw", {}, {"lr": 0.1, "weight_lr_power": 0.0}, schedule=MOVING),
)


@pytest.mark.parametrize("case", AGREEING, ids=lambda case: f"{case.rule}, {case.label}, {case.schedule} lr")
def test_keras_agrees_where_no_known_difference_acts(case: Case) -> None:
    theirs = parity.replay(case, "keras")
    parity.compare(parity.replay(case, "lrtheory"), theirs).require()
    kept = {field for fields in theirs.states[-1].values() for field in fields}
    assert kept == set(NAMES[case.rule].state)


def test_forced_replay_starts_each_step_from_the_reference() -> None:
    case = Case("sgd", {}, {"lr": 0.1}, schedule=MOVING)
    torch = parity.replay(case, "torch")
    forced = parity.replay(case, "keras", "forced", reference=torch)
    parity.compare(forced, torch).require()


@pytest.mark.parametrize(
    ("rule", "options", "numbers", "reason"),
    [
        ("sgd", {}, {"momentum": 0.9, "dampening": 0.4}, "no dampening"),
        ("adam", {}, {"weight_decay": 0.1}, "decoupled in every optimizer"),
        ("radam", {}, {}, "keras has no radam"),
        ("lamb", {}, {"weight_decay": 0.1}, "outside the ratio"),
    ],
)
def test_what_keras_cannot_express_says_why(rule, options, numbers, reason) -> None:
    with pytest.raises(parity.Inexpressible, match=reason):
        parity.replay(Case(rule, options, numbers), "keras")


def test_default_dtype_of_keras_is_as_it_was() -> None:
    keras = load_keras()
    before = keras.config.floatx()
    parity.replay(Case("sgd", {}, {"lr": 0.1}), "keras")
    assert keras.config.floatx() == before
