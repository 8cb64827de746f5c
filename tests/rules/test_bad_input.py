"""Bad input is refused by name, with the value quoted, and never gives a silent number."""

from __future__ import annotations

import re
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from lrtheory import effective, in_place, rules, sharding, wrappers
from lrtheory.units import Units

PARAMS = {"w": jnp.array([1.0, 2.0]), "b": jnp.array([0.5])}


@pytest.mark.parametrize(
    ("rule", "numbers", "message"),
    [
        (rules.sgd(), {"lr": -0.1}, r"lr=-0.1 is outside \[0, inf\)"),
        (rules.sgd(), {"momentum": -1.0}, r"momentum=-1.0"),
        (rules.sgd(), {"weight_decay": -1e-3}, r"weight_decay=-0.001"),
        (rules.adam(), {"eps": -1e-8}, r"eps=-1e-08"),
        (rules.adam(), {"beta1": 1.0}, r"beta1=1.0 is outside \[0, 1\)"),
        (rules.adam(), {"beta2": -0.1}, r"beta2=-0.1"),
        (rules.adam(), {"beta2": float("nan")}, r"beta2=nan"),
        (rules.rmsprop(), {"alpha": -0.5}, r"alpha=-0.5"),
        (rules.sgd(nesterov=True), {}, "momentum=0.0, but Nesterov needs momentum above 0"),
        (rules.sgd(nesterov=True), {"momentum": 0.9, "dampening": 0.1}, "dampening=0.1, but Nesterov"),
    ],
    ids=lambda value: str(value),
)
def test_value_out_of_range_is_refused_and_quoted(rule, numbers, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        rule.hyper(**numbers)


@pytest.mark.parametrize(
    ("optimizer", "rule", "arguments", "numbers"),
    [
        ("SGD", rules.sgd(), {"lr": -1.0}, {"lr": -1.0}),
        ("SGD", rules.sgd(), {"momentum": -1.0}, {"momentum": -1.0}),
        ("Adam", rules.adam(), {"betas": (1.0, 0.9)}, {"beta1": 1.0, "beta2": 0.9}),
        ("Adam", rules.adam(), {"eps": -1.0}, {"eps": -1.0}),
        ("AdamW", rules.adamw(), {"weight_decay": -1.0}, {"weight_decay": -1.0}),
        ("RMSprop", rules.rmsprop(), {"momentum": -1.0}, {"momentum": -1.0}),
        ("RMSprop", rules.rmsprop(), {"alpha": -1.0}, {"alpha": -1.0}),
    ],
    ids=lambda value: str(value),
)
def test_what_torch_refuses_is_refused(optimizer, rule, arguments, numbers) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="Invalid"):
        getattr(torch.optim, optimizer)([torch.nn.Parameter(torch.ones(1))], **arguments)
    with pytest.raises(ValueError, match="outside"):
        rule.hyper(**numbers)


def test_an_array_of_values_is_checked_whole() -> None:
    with pytest.raises(ValueError, match="lr="):
        rules.adam().hyper(lr=jnp.array([0.1, -0.1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: rules.adam(nesterov=True),
            "adam has no option 'nesterov': its options are amsgrad, decoupled, maximize",
        ),
        (lambda: rules.adam(lr=0.1), r"lr is a hyperparameter: give it to adam\(...\).hyper\(lr=...\)"),
        (lambda: rules.adam(True), "options by keyword only"),
        (lambda: rules.adam(amsgrad=1), "amsgrad=1 must be True or False"),
        (lambda: rules.adam().hyper(learning_rate=0.1), "no hyperparameter 'learning_rate': it has lr, beta1"),
        (lambda: rules.adam().hyper(betas=(0.9, 0.99)), "Give beta1= and beta2="),
        (lambda: rules.adam().hyper(amsgrad=True), "amsgrad is an option"),
        (lambda: rules.adam().hyper(lr="fast"), "lr='fast' is not a real number"),
        (lambda: rules.adam().hyper(lr=True), "lr=True is not a real number"),
        (lambda: rules.adam().hyper(lr=None), "lr=None is not a real number"),
        (lambda: rules.adam().hyper(lr=1j), "lr"),
        (lambda: rules.rmsprop(momentum_buffer=False).hyper(momentum=0.9), "switched it off"),
    ],
)
def test_unknown_names_and_types_are_refused_by_name(call, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError, match=message):
        call()


def test_whole_number_beyond_floats_is_refused() -> None:
    """A whole number of 400 digits (C5): an error of one line, not an overflow."""
    with pytest.raises(ValueError, match=r"adam\(\): lr is beyond the largest floating-point number"):
        rules.adam().hyper(lr=10**400)


@pytest.mark.parametrize(
    ("units", "loss", "params"), [("[loss]^2", 1e200, 1.0), ("1/[param]^2", 1.0, 1e-300), ("[loss]", 0.0, 1.0)]
)
def test_scale_beyond_floats_is_refused(units: str, loss: float, params: float) -> None:
    with pytest.raises(ValueError, match="beyond floating-point numbers: give a scale nearer 1"):
        Units.parse(units).factor(loss, params)
    with pytest.raises(ValueError, match="beyond floating-point numbers: give a scale nearer 1"):
        Units.parse(units).rescaled(0.1, loss, params)


def test_unknown_rule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"no rule named 'adamm': there are .*adam, adamax"):
        rules.get("adamm")


def stepped(grads=None, params=None, state=None, hyper=None, rule=None):  # type: ignore[no-untyped-def]
    rule = rule or rules.adam()
    return rule.step(
        hyper or rule.hyper(),
        PARAMS if params is None else params,
        state if state is not None else rule.init(PARAMS),
        PARAMS if grads is None else grads,
    )


def test_mismatched_tree_is_refused_with_both_structures() -> None:
    with pytest.raises(ValueError, match=r"grads do not have the structure of params\n.*'b'.*'w'"):
        stepped(grads={"w": PARAMS["w"]})


def test_mismatched_shape_is_refused_instead_of_broadcast() -> None:
    with pytest.raises(ValueError, match=r"grads\['w'\] has shape \(1,\) but params\['w'\] has \(2,\)"):
        stepped(grads={"w": jnp.ones(1), "b": jnp.ones(1)})


def test_state_of_another_rule_shape_or_option_is_refused() -> None:
    with pytest.raises(TypeError, match=r"takes AdamState from its \.init"):
        stepped(state=rules.sgd().init(PARAMS))
    with pytest.raises(ValueError, match=r"state.m has shape \(3,\)"):
        stepped(state=rules.adam().init({"w": jnp.ones(3), "b": jnp.ones(1)}))
    with pytest.raises(ValueError, match="this state was made with other options"):
        stepped(rule=rules.adam(amsgrad=True), state=rules.adam().init(PARAMS))


def test_numbers_of_another_rule_or_options_are_refused() -> None:
    with pytest.raises(TypeError, match=r"takes AdamHyper from its \.hyper"):
        stepped(hyper=rules.sgd().hyper())
    plain = rules.rmsprop(momentum_buffer=False)
    with pytest.raises(TypeError, match=r"momentum=0\.9 does not fit its options"):
        plain.step(plain.hyper()._replace(momentum=0.9), PARAMS, plain.init(PARAMS), PARAMS)


def test_array_where_a_number_belongs_names_vmap() -> None:
    with pytest.raises(ValueError, match=r"lr has shape \(2,\).*jax.vmap"):
        stepped(hyper=rules.adam().hyper(lr=jnp.array([0.1, 0.2])))


@pytest.mark.parametrize("value", [jnp.array([1, 2]), jnp.array([1j, 2.0]), np.array([True, False])])
def test_integer_complex_and_boolean_parameters_are_refused(value) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError, match=rf"params\['w'\] has dtype {value.dtype}"):
        rules.adam().init({"w": value})


def test_text_where_an_array_belongs_is_refused() -> None:
    with pytest.raises(TypeError, match=r"params\['w'\] is str, not an array"):
        rules.adam().init({"w": "weights"})


def test_traced_values_cannot_be_looked_at_but_still_run() -> None:
    rule = rules.adam()
    moved, _ = jax.jit(lambda lr: rule.step(rule.hyper(lr=lr), PARAMS, rule.init(PARAMS), PARAMS))(0.1)
    assert np.isfinite(moved["w"]).all()


def test_no_parameters_at_all_is_no_error() -> None:
    rule = rules.adam()
    moved, state = rule.step(rule.hyper(), {}, rule.init({}), {})
    assert moved == {}
    assert state.t == {}


DOORS = {
    "accumulate": lambda rule: wrappers.accumulate(rule, every=2),
    "average_weights": wrappers.average_weights,
    "clip_by_norm": wrappers.clip_by_norm,
    "flatten": wrappers.flatten,
    "in_place.init": lambda rule: in_place.init(rule, {}),
    "in_place.step": in_place.step,
    "effective": lambda rule: effective.measure(rule, None, None, {}, {}, {}),
    "sharding.state_specs": lambda rule: sharding.state_specs(rule, {}, {}),
}


@pytest.mark.parametrize("door", DOORS)
def test_factory_that_was_not_called_is_told_and_so_is_what_is_no_rule(door):
    with pytest.raises(
        TypeError,
        match=rf"{door} takes a rule such as lrtheory.rules.adam\(\), not the factory lion: call it, lion\(\)",
    ):
        DOORS[door](rules.lion)
    for other in ("adam", None, Fraction(1, 2)):
        with pytest.raises(
            TypeError, match=re.escape(f"{door} takes a rule such as lrtheory.rules.adam(), not {other!r}")
        ):
            DOORS[door](other)
