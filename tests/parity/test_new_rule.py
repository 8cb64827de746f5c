"""A rule added in twenty lines goes through registry, contract, replay and command line with no other edit."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import parity
from lrtheory import rules
from lrtheory.dims import Units, infer
from lrtheory.numbers import NONNEGATIVE, Number, hyperparameters
from lrtheory.rules import COUNT, ArrayRule, Slot, _registry, state
from parity import matrix, table


@hyperparameters
class PlainHyper:
    """Hyperparameters of gradient descent."""

    lr = Number(0.1, NONNEGATIVE, "[param]^2/[loss]")


@state
class PlainState:
    """The last gradient."""

    t = COUNT
    last = Slot("[loss]/[param]")


def gradient_descent() -> ArrayRule:
    """Gradient descent."""
    return ArrayRule(
        Hyper=PlainHyper,
        State=PlainState,
        step=lambda h, p, s, g: (p - h.lr * g, PlainState(s.t + 1, g)),
        effective_lr=lambda h, s: jnp.full_like(s.last, h.lr),
        direction=lambda h, p, s, g: g,
    )


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(_registry, "_FACTORIES", dict(_registry._FACTORIES))
    monkeypatch.setattr(table, "_ROWS", dict(table._ROWS))
    rules.register(gradient_descent)
    table.add(
        "gradient_descent", table.Row(torch=table.TorchRow("SGD", state={}, implementations=("foreach", "fused")))
    )
    return "gradient_descent"


def test_new_rule_is_known_and_keeps_the_contract(added: str) -> None:
    assert added in rules.names()
    rule = rules.get(added)()
    params = {"w": jnp.array([1.0, 2.0])}
    state = rule.init(params)
    moved, state = jax.jit(rule.step)(rule.hyper(lr=0.5), params, state, params)
    e, d = rule.effective_lr(rule.hyper(lr=0.5), state), rule.direction(rule.hyper(), params, state, params)
    np.testing.assert_array_equal(moved["w"], params["w"] - e["w"] * d["w"])
    with pytest.raises(TypeError, match="no number 'momentum'"):
        rule.hyper(momentum=0.9)


def test_new_rule_is_replayed_within_the_gate(added: str) -> None:
    rows = matrix.rows([added], quick=True)
    assert {row["implementation"] for row in rows} == {"torch", "torch-foreach", "torch-fused"}
    assert all(row["passed"] for row in rows)
    parity.compare(parity.replay(parity.Case(added), "lrtheory"), parity.replay(parity.Case(added), "torch")).require()


def test_new_rule_has_units(added: str) -> None:
    assert infer(rules.get(added)()).hyper["lr"] == Units.parse("[param]^2/[loss]")


def test_new_rule_is_at_the_command_line(added: str) -> None:
    from lrtheory.cli.app import app

    found = CliRunner().invoke(app, ["replay", added, "--quick", "--json"])
    assert found.exit_code == 0, found.output
    assert {row["rule"] for row in json.loads(found.stdout)} == {added}
