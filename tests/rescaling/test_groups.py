"""Groups of parameters under another loss, size and batch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import groups, rescale, rules, wrappers
from lrtheory.compiling import quickly_compiled

PARAMS = {"a": jnp.linspace(0.5, 2.0, 3), "b": jnp.ones(2), "c": jnp.ones(1)}
INSIDE = groups.by_pattern({"x": rules.adamw(), "y": rules.sgd(), "z": None}, {"x": "a", "y": "b", "z": "c"})
NUMBERS: dict[str, Any] = {
    "lr": 0.02, "weight_decay": 0.1, "x": {"eps": 1e-3, "lr_scale": 0.3}, "y": {"momentum": 0.9},
}  # fmt: skip
CASES: dict[str, Any] = {
    "groups": (INSIDE, NUMBERS),
    "clipped": (wrappers.clip_by_global_norm(INSIDE, homogeneous=True), NUMBERS | {"max_norm": 0.5}),
    "averaged": (wrappers.average_weights(wrappers.clip_by_value(INSIDE)), NUMBERS | {"clip_value": 0.5}),
}


def trained(rule: Any, hyper: Any, params: Any, state: Any, loss: float = 1.0, size: float = 1.0) -> Any:
    @quickly_compiled()
    def run(hyper: Any, params: Any, state: Any) -> Any:
        for t in range(4):
            grads = jax.tree.map(lambda p, t=t: loss / size * (jnp.sin(3 * p / size + t) + 0.1), params)
            params, state = rule.step(hyper, params, state, grads)
        return params, state

    return run(hyper, params, state)


@pytest.mark.parametrize("name", CASES)
def test_a_switched_run_of_groups_is_the_same_run_bit_for_bit(name):
    rule, numbers = CASES[name]
    hyper = rule.hyper(**numbers)
    params, state = trained(rule, hyper, PARAMS, rule.init(PARAMS))
    found = rescale(rule, hyper, loss=4.0, params=2.0)
    assert found.exactness == "bitwise"
    expected, _ = trained(rule, hyper, params, state)
    scaled = jax.tree.map(lambda p: 2 * p, params)
    ended, _ = trained(rule, found.hyper, scaled, found.state(state), loss=4.0, size=2.0)
    for key, value in ended.items():
        np.testing.assert_array_equal(value, 2 * expected[key])
    np.testing.assert_array_equal(params["c"], PARAMS["c"])
    lost, _ = trained(rule, hyper, scaled, state, loss=4.0, size=2.0)  # the check could have failed
    assert not np.array_equal(lost["b"], 2 * expected["b"])


def test_each_group_has_its_own_rule_for_another_batch():
    found = rescale(INSIDE, INSIDE.hyper(**NUMBERS), batch=4.0, reduction="mean")
    alone = {
        "x": rescale(
            rules.adamw(), rules.adamw().hyper(lr=0.02, weight_decay=0.1, eps=1e-3), batch=4.0, reduction="mean"
        ),
        "y": rescale(
            rules.sgd(), rules.sgd().hyper(lr=0.02, weight_decay=0.1, momentum=0.9), batch=4.0, reduction="mean"
        ),
    }
    for label, one in alone.items():
        own = getattr(found.hyper, label)
        assert own[:-1] == one.hyper
        for note in one.notes:
            assert any(note in said for said in found.notes)
    assert found.hyper.x.lr_scale == 0.3
    assert found.hyper.z is None
    assert any(note.startswith("x: ") for note in found.notes)


def test_groups_are_as_exact_as_the_weakest():
    rule = groups.by_pattern({"x": rules.adamw(), "y": wrappers.clip_by_value(rules.adamw())}, {"x": "a", "y": "b"})
    adamw = rules.adamw()
    assert rescale(adamw, adamw.hyper(), batch=4.0, reduction="mean").exactness == "statistical"
    assert rescale(rule, rule.hyper(clip_value=1.0), batch=4.0, reduction="mean").exactness == "heuristic"


def test_what_groups_cannot_do_is_refused():
    with pytest.raises(ValueError, match="Nearest: a factor for all"):
        rescale(INSIDE, INSIDE.hyper(), params={"a": 2.0})
    lawless = groups.by_pattern({"x": rules.adamw(), "y": rules.adafactor()}, {"x": "a", "y": "b"})
    with pytest.raises(ValueError, match="group 'y': adafactor"):
        rescale(lawless, lawless.hyper(), loss=2.0)
    apart = groups.by_pattern({"x": rules.adamw(), "y": rules.sgd()}, {"x": "a", "y": "b"})
    clipped: Any = wrappers.clip_by_global_norm(apart)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_norm is shared, and would become"):
        rescale(clipped, clipped.hyper(max_norm=1.0), batch=4.0)
