"""Rules of ours inside optax, adopted, explained and watched as optax's own are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

optax = pytest.importorskip("optax")

import lrtheory.optax as ours  # noqa: E402
from lrtheory import adopt, explain, groups, rules, wrappers  # noqa: E402
from lrtheory.compiling import quickly_compiled  # noqa: E402

TREE: Any = {"a": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "b": jnp.ones(3), "c": jnp.ones(2)}
GROUPED = groups.by_pattern({"x": rules.adamw(), "y": rules.sgd(), "z": None}, {"x": "a", "y": "b", "z": "c"})
MADE: dict[str, Any] = {
    "alone": lambda: ours.transformation(rules.adamw(), lambda count: 0.1 / (1 + count)),
    "schedule-free": lambda: ours.transformation(rules.schedule_free_adamw(), 0.1, weight_decay=0.1),
    "clipped": lambda: optax.chain(optax.clip(0.5), ours.transformation(rules.sgd(), 0.1, momentum=0.9)),
    "masked": lambda: optax.masked(ours.transformation(rules.lion(), 0.1), {"a": True, "b": True, "c": True}),
    "partition": lambda: optax.partition(
        {"u": ours.transformation(rules.adam(), 0.1), "v": optax.sgd(0.2)}, {"a": "u", "b": "v", "c": "v"}
    ),
    "groups": lambda: ours.transformation(GROUPED, 0.1, x={"lr_scale": 0.5}, y={"momentum": 0.9}),
}  # fmt: skip


def after(tx: Any, steps: int = 3) -> Any:
    def run(params: Any) -> Any:
        state = tx.init(params)
        for t in range(steps):
            updates, state = tx.update(jax.tree.map(lambda p, t=t: jnp.sin(3 * p + t) + 0.1, params), state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    return quickly_compiled()(run)(TREE)


@pytest.mark.parametrize("name", MADE)
def test_a_rule_of_ours_is_adopted_from_optax(name):
    """Adopting runs a step of the rule from the state that was read beside one of the transformation."""
    tx = MADE[name]()
    params, state = after(tx)
    found = adopt(tx, state, params)
    known = {n: group for group in found.groups for n in group.names}
    assert set(known) == set(TREE)
    for n, group in known.items():
        still = name == "groups" and n == "c"
        assert (group.rule is None) == still, group.reason
        assert not still or group.reason.startswith("frozen")
    lr = {"alone": 0.1 / 4, "groups": 0.05}.get(name, 0.1)
    assert known["a"].lr == pytest.approx(lr, rel=1e-6)
    text = str(explain((tx, state, params)))
    assert "effective lr" in text
    assert ("clip_by_value" in text) == (name == "clipped")


def test_parts_beside_a_rule_of_ours_and_wrappers_are_opaque():
    for tx, said in (
        (optax.chain(ours.transformation(rules.adam()), optax.scale(0.5)), "beside a rule of ours"),
        (ours.transformation(wrappers.average_weights(rules.adam())), "which lrtheory.optax.rule reads"),
    ):
        params, state = after(tx, 1)
        (group,) = adopt(tx, state, params).groups
        assert group.rule is None
        assert said in group.reason
    tx = optax.chain(optax.clip(0.5), ours.transformation(rules.adam(), 0.1))
    assert ours.rule(tx) is wrappers.clip_by_value(rules.adam())
    (group,) = adopt(ours.transformation(rules.adam()), (), TREE, check=False).groups
    assert "a transformation of adam() has a state of 0 parts" in group.reason


@pytest.mark.parametrize("name", ["clipped", "groups"])
def test_a_rule_of_ours_is_watched(name):
    params, state = after(ours.watched(MADE[name](), every=1))
    plain, _ = after(MADE[name]())
    found = ours.summaries(state, params)
    for n in TREE:
        np.testing.assert_array_equal(params[n], plain[n])
        assert np.isfinite(found[n].relative_update)
    assert found["b"].nominal_lr == np.float32(0.1)
    assert 0 < found["b"].mean <= 0.4
    assert np.isnan(found["c"].mean) == (name == "groups")
