"""Rules of ours with groups, explained one by one."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import pytest

from lrtheory import explain, groups, rules, wrappers

PARAMS = {"body": {"w": jnp.ones((2, 2)), "bias": jnp.ones(2)}, "head": jnp.ones(2), "table": jnp.ones(3)}
RULE = groups.by_pattern(
    {"plain": rules.adamw(), "head": rules.sgd(), "rest": rules.adamw(), "fixed": None},
    {"plain": "*bias", "head": "head", "fixed": "table"}, default="rest",
)  # fmt: skip


def test_groups_are_explained_with_what_each_trains_with():
    hyper = RULE.hyper(
        lr=0.01, plain={"weight_decay": 0.0}, head={"lr_scale": 0.5, "momentum": 0.9}, rest={"weight_decay": 0.1}
    )
    found = explain((RULE, hyper, PARAMS), loss=4.0)
    by_label = {one.group.label: one for one in found.groups}
    assert {label: one.group.names for label, one in by_label.items()} == {
        "plain": ("body.bias",), "head": ("head",), "rest": ("body.w",), "fixed": ("table",),
    }  # fmt: skip
    assert by_label["fixed"].reason == "frozen"
    assert {label: one.group.lr for label, one in by_label.items()} == {
        "plain": 0.01, "head": 0.005, "rest": 0.01, "fixed": 0.0,
    }  # fmt: skip
    values: dict[str, Any] = {
        label: {n.name: (n.value, n.becomes) for n in one.explanation.numbers}
        for label, one in by_label.items() if one.explanation is not None
    }  # fmt: skip
    assert values["head"]["lr"] == (0.005, 0.00125)
    assert values["plain"]["weight_decay"] == (0.0, 0.0)
    assert values["rest"]["weight_decay"] == (0.1, 0.1)
    assert "group 'head' of 1 parameter: head" in str(found)
    assert [one["label"] for one in found.as_json()["groups"]] == ["plain", "head", "rest", "fixed"]


def test_wrappers_around_groups_are_around_each():
    rule: Any = wrappers.clip_by_global_norm(RULE, homogeneous=True)  # type: ignore[arg-type]
    found = explain((rule, rule.hyper(lr=0.01, max_norm=0.5)))
    assert [one.explanation.title.partition("(")[0] for one in found.groups if one.explanation] == [
        "clip_by_global_norm"
    ] * 3
    (alone,) = explain((rules.adam(), rules.adam().hyper(lr=0.5))).groups
    assert alone.group.spec.startswith("adam(lr=0.5")


@pytest.mark.parametrize("what", [(RULE,), (RULE, None, None, None)])
def test_what_cannot_be_explained_is_refused(what):
    with pytest.raises(TypeError, match=r"not [14] things"):
        explain(what)


def test_nothing_that_is_given_with_a_rule_is_dropped():
    adam = rules.adam()
    with pytest.raises(TypeError, match=r"model= names .* give \(rule, hyper, params\)"):
        explain((adam, adam.hyper()), model=object())
    for rule, hyper in ((adam, None), (adam, {"lr": 1.0}), (adam, rules.sgd().hyper()), (RULE, adam.hyper())):
        with pytest.raises(TypeError, match=r"takes \w+Hyper from its .hyper\(...\), not"):
            explain((rule, hyper))
