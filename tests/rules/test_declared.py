"""What is declared of every rule and wrapper is what its types, docstring and checks say; schedules: tests/rescaling."""

from __future__ import annotations

import inspect

import jax.numpy as jnp
import numpy as np
import pytest
from drawn import every_rule, params_for

from lrtheory import rules, wrappers
from lrtheory.numbers import NONNEGATIVE, REAL, Number, hyperparameters, with_parameters
from lrtheory.rules import COUNT, ArrayRule, Rule, Slot, state

WRAPPED = {
    "accumulate": wrappers.accumulate(rules.sgd(), every=2),
    "average_weights": wrappers.average_weights(rules.sgd()),
    "clip_by_value": wrappers.clip_by_value(rules.sgd()),
    "clip_by_global_norm": wrappers.clip_by_global_norm(rules.sgd()),
}


@pytest.mark.parametrize("rule", every_rule(), ids=repr)
def test_types_follow_from_the_declarations(rule: Rule) -> None:
    numbers, slots = rule.Hyper._numbers, rule.State._slots  # type: ignore[attr-defined]
    assert tuple(numbers) == rule.Hyper._fields  # type: ignore[attr-defined]
    assert tuple(slots) == rule.State._fields  # type: ignore[attr-defined]
    assert rule.State._fields[0] == "t"  # type: ignore[attr-defined]
    assert tuple(rule.units) == (*numbers, *slots)
    for name, number in numbers.items():
        assert number.default is None or number.allowed.contains(number.default), name
    assert getattr(rules, rule.Hyper.__name__) is rule.Hyper
    assert getattr(rules, rule.State.__name__) is rule.State


@pytest.mark.parametrize("rule", every_rule(), ids=repr)
def test_state_starts_as_its_slots_say(rule: Rule) -> None:
    params = params_for(rule, np.random.default_rng(0), "bfloat16")
    started = rule.init(params)
    for name, slot in rule.State._slots.items():  # type: ignore[attr-defined]
        for key, p in params.items():
            column = getattr(started, name)
            value = None if column is None else column[key]
            if value is None:
                continue
            if slot.kind != "array":
                assert (value.shape, str(value.dtype)) == ((), "int32" if slot.kind == "count" else "float32"), name
            else:
                assert value.dtype == p.dtype
                assert value.ndim == p.ndim


@pytest.mark.parametrize("name", sorted({rule.name for rule in every_rule()}))
def test_docstring_has_every_number_once_with_range_and_units(name: str) -> None:
    factory = rules.get(name)
    text = inspect.getdoc(factory) or ""
    table = text.split("Parameters\n----------\n")[1].split("\n\n")[0]
    for key, number in factory().Hyper._numbers.items():
        lines = [line for line in table.splitlines() if line.startswith(f"{key} : ")]
        assert lines == [number.documented(key).partition("\n")[0]]
    for option in inspect.signature(factory).parameters:
        assert option in table, f"{name}: option {option} is not documented"


@pytest.mark.parametrize("name", WRAPPED)
def test_docstring_of_a_wrapper_states_its_numbers(name: str) -> None:
    text = " ".join((inspect.getdoc(getattr(wrappers, name)) or "").split())
    for key, number in WRAPPED[name].numbers.items():
        assert f"``{key}`` : scalar in {number.allowed}, {number.units}" in text


def test_table_is_made_where_there_is_none_and_goes_on_where_there_is_one() -> None:
    assert with_parameters("Say.\n\nReturns\n-------\nRule", ["lr : 1"]) == (
        "Say.\n\nParameters\n----------\nlr : 1\n\nReturns\n-------\nRule"
    )
    assert with_parameters("Say.", ["lr : 1"]) == "Say.\n\nParameters\n----------\nlr : 1"
    assert "----------\nlr : 1\nfast : option" in with_parameters(
        "Say.\n\nParameters\n----------\nfast : option", ["lr : 1"]
    )


@hyperparameters
class _Hyper:
    lr = Number(0.5, NONNEGATIVE, "[param]^2/[loss]")
    weight_decay = Number(0.25, REAL, "[loss]/[param]^2 coupled, 1/[param] decoupled")


@state
class _State:
    t = COUNT
    last = Slot("[loss]/[param]")


def _rule(coupled: bool, maximize: bool) -> Rule:
    made = ArrayRule(
        Hyper=_Hyper,
        State=_State,
        step=lambda h, p, s, g: (p - h.lr * g, _State(s.t + 1, g)),
        effective_lr=lambda h, s: jnp.full_like(s.last, h.lr),
        direction=lambda h, p, s, g: g,
        coupled=coupled,
        decoupled=not coupled,
    )
    return Rule(made.completed("mine", maximize), {})


def test_sign_and_decay_are_given_to_a_rule_that_says_nothing_of_them() -> None:
    params, grads = {"w": jnp.array([8.0])}, {"w": jnp.array([1.0])}
    for coupled, maximize, step, direction, decay in (
        (True, False, 0.5 * 3, 3.0, 0.0),
        (True, True, 0.5 * 1, 1.0, 0.0),
        (False, True, -0.5, -1.0, 1.0),
    ):
        rule = _rule(coupled, maximize)
        hyper = rule.hyper()
        after, kept = rule.step(hyper, params, rule.init(params), grads)
        assert (params["w"] - after["w"]).item() == step
        assert rule.direction(hyper, params, kept, grads)["w"].item() == direction
        assert rule.decay(hyper, params, kept, grads)["w"].item() == decay
        assert rule.penalty(hyper, params, kept)["w"].item() == (2.0 if coupled else 0.0)
        assert str(rule.units["weight_decay"]) == ("[loss]/[param]²" if coupled else "1/[param]")
