"""A transformation of optax read as one of our rules, or refused with the reason."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

optax = pytest.importorskip("optax")

import lrtheory.optax as ours  # noqa: E402
from lrtheory import rules, wrappers  # noqa: E402
from lrtheory.adopting import AdoptError  # noqa: E402

READ: dict[str, tuple[Any, Any, dict[str, float]]] = {
    "adamw": (
        lambda: optax.adamw(1e-3, b2=0.95), rules.adamw(),
        {"lr": 1e-3, "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "weight_decay": 1e-4},
    ),
    "clipped": (
        lambda: optax.chain(optax.clip_by_global_norm(0.5), optax.lion(1e-3)),
        wrappers.clip_by_global_norm(rules.lion(), homogeneous=True), {"lr": 1e-3, "max_norm": 0.5, "beta1": 0.9},
    ),
    "gathered": (
        lambda: optax.MultiSteps(optax.sgd(0.1, momentum=0.9, nesterov=True), 4),
        wrappers.accumulate(rules.sgd(nesterov=True), every=4), {"lr": 0.1, "momentum": 0.9},
    ),
    "on a schedule": (lambda: optax.sgd(optax.linear_schedule(0.5, 0.0, 4)), rules.sgd(), {"lr": 0.5}),
    "masked": (lambda: optax.masked(optax.sgd(0.5), {"w": True}), rules.sgd(), {"lr": 0.5}),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_transformation_is_read_as_a_rule(name):
    make, rule, numbers = READ[name]
    tx = make()
    assert ours.rule(tx) is rule
    hyper = ours.hyper(tx)
    assert type(hyper) is rule.Hyper
    for number, value in numbers.items():
        assert getattr(hyper, number) == pytest.approx(value, rel=1e-6), number


def test_there_and_back_is_the_same_rule():
    for rule in (rules.adam(amsgrad=True), wrappers.clip_by_value(rules.sgd(maximize=True))):
        numbers = {"clip_value": 0.5} if rule is not rules.adam(amsgrad=True) else {}
        tx = ours.transformation(rule, lambda count: 0.1 / (1 + count), **numbers)
        assert ours.rule(tx) is rule
        assert ours.rule(optax.with_extra_args_support(tx)) is rule
        assert ours.hyper(tx) == rule.hyper(lr=jnp.float32(0.1), **numbers)


REFUSED = {
    "none of ours": (lambda: optax.contrib.cocob(), AdoptError, "scale_by_cocob"),
    "another order": (
        lambda: optax.chain(optax.scale_by_adam(), optax.clip(1.0), optax.scale(-0.1)), AdoptError, "optax.clip",
    ),
    "nothing": (lambda: optax.identity(), AdoptError, "what is added is the gradient itself"),
    "other parameters": (lambda: optax.masked(optax.sgd(0.1), {"v": True}), AdoptError, "give its params"),
    "no transformation": (lambda: rules.adam(), TypeError, "not Rule"),
    "a number": (lambda: 3, TypeError, "not int"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_rule_is_refused_with_the_reason(what):
    make, error, said = REFUSED[what]
    with pytest.raises(error, match=said):
        ours.rule(make())


def test_partitions_and_masks_are_groups():
    params = {"a": jnp.ones((2, 3)), "b": jnp.ones(3), "c": jnp.ones(1)}
    tx = optax.chain(
        optax.clip_by_global_norm(0.5),
        optax.partition(
            {"x": optax.sgd(0.1), "no decay": optax.adam(0.2), "z": optax.set_to_zero()},
            {"a": "x", "b": "no decay", "c": "z"},
        ),
    )
    rule, hyper = ours.rule(tx, params), ours.hyper(tx, params)
    assert (rule.name, rule.options) == ("clip_by_global_norm", {"homogeneous": True})
    assert {label: member and member.name for label, member in rule.rule.members.items()} == {
        "x": "sgd", "group_1": "adam", "z": None,
    }  # fmt: skip
    assert (hyper.x.lr, hyper.group_1.lr, hyper.z, hyper.max_norm) == (0.1, 0.2, None, 0.5)
    moved, _ = rule.step(hyper, params, rule.init(params), params)
    updates, _ = tx.update(params, tx.init(params), params)
    for name, value in optax.apply_updates(params, updates).items():
        np.testing.assert_allclose(moved[name], value, rtol=1e-5)
    with pytest.raises(AdoptError, match="give its params"):
        ours.rule(tx)


@pytest.mark.parametrize("labels", [("group_1", "no decay"), ("no decay", "group_0"), ("lr", "_x"), ("lr_scale", "w")])
def test_groups_whose_labels_cannot_stay_are_told_apart(labels):
    """A label of the user's was taken for another group, whose rule then stood for both; or the labels were refused."""
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    tx = optax.partition({labels[0]: optax.sgd(0.1), labels[1]: optax.sgd(0.2)}, dict(zip(params, labels, strict=True)))
    rule, hyper = ours.rule(tx, params), ours.hyper(tx, params)
    moved, _ = rule.step(hyper, params, rule.init(params), params)
    assert [round(float(1 - moved[name][0]), 6) for name in params] == [0.1, 0.2]
