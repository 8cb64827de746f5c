"""A new rule costs one file, one row and one oracle definition: twenty lines here go through everything with no other edit."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

import lrtheory
import parity
from lrtheory import rules
from lrtheory.dims import Units, infer
from lrtheory.names.torch import TorchName
from lrtheory.numbers import NONNEGATIVE, Number, hyperparameters
from lrtheory.rules import COUNT, ArrayRule, Slot, _registry, state
from parity import matrix, table
from parity.report.matrix import views


@hyperparameters
class PlainHyper:
    lr = Number(0.1, NONNEGATIVE, "[param]^2/[loss]")


@state
class PlainState:
    t = COUNT
    last = Slot("[loss]/[param]")


def gradient_descent() -> ArrayRule:
    return ArrayRule(
        Hyper=PlainHyper,
        State=PlainState,
        step=lambda h, p, s, g: (p - h.lr * g, PlainState(s.t + 1, g)),
        effective_lr=lambda h, s: jnp.full_like(s.last, h.lr),
        direction=lambda h, p, s, g: g,
    )


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> str:
    """The rule as a user registers it: without a row, without an oracle definition."""
    monkeypatch.setattr(_registry, "_FACTORIES", dict(_registry._FACTORIES))
    rules.register(gradient_descent)
    return "gradient_descent"


@pytest.fixture
def added(alone: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The rule with its row."""
    counterpart = TorchName("SGD", implementations=("foreach", "fused"))
    monkeypatch.setattr(table, "ROWS", {**table.ROWS, alone: table.ReplayRow(torch=counterpart)})
    return alone


def said(*command: str) -> str:
    from lrtheory.cli.app import app

    found = CliRunner().invoke(app, list(command))
    assert found.exit_code == 0, found.output
    return found.stdout


def test_new_rule_is_known_and_keeps_the_contract_and_the_identity(alone: str) -> None:
    assert alone in rules.names()
    rule = rules.get(alone)()
    params = {"w": jnp.array([1.0, 2.0])}
    state = rule.init(params)
    moved, state = jax.jit(rule.step)(rule.hyper(lr=0.5), params, state, params)
    e, d = rule.effective_lr(rule.hyper(lr=0.5), state), rule.direction(rule.hyper(), params, state, params)
    np.testing.assert_array_equal(moved["w"], params["w"] - e["w"] * d["w"])
    with pytest.raises(TypeError, match="no hyperparameter 'momentum'"):
        rule.hyper(momentum=0.9)


def test_new_rule_is_replayed_within_the_gate(added: str) -> None:
    rows = matrix.rows([added], quick=True)
    assert {row["implementation"] for row in rows} == {"torch", "torch-foreach", "torch-fused"}
    assert all(row["passed"] for row in rows)
    parity.compare(parity.replay(parity.Case(added), "lrtheory"), parity.replay(parity.Case(added), "torch")).require()
    assert {row["rule"] for row in json.loads(said("replay", added, "--quick", "--json"))["rows"]} == {added}


def test_new_rule_without_a_row_has_no_counterpart_and_is_told_so(alone: str) -> None:
    rows = matrix.rows([alone], quick=True, against=["torch", "optax", "keras"])
    assert {row["refused"] for row in rows} == {
        *(f"no counterpart: {name} has no {alone}" for name in ("torch.optim", "optax", "keras"))
    }
    assert {row["passed"] for row in rows} == {None}
    (view,) = views(rows)
    assert (view.passed, view.failed) == (0, 0)
    assert view.refused == len(rows)
    assert "no counterpart" in said("replay", alone, "--quick")
    with pytest.raises(parity.Inexpressible, match=f"{alone} has no counterpart to follow"):
        parity.replay(parity.Case(alone), "lrtheory", "forced")


def test_new_rule_is_not_held_to_a_bound_that_nobody_derived(added: str) -> None:
    """Without an oracle definition a float32 run is reported, not judged."""
    rows = matrix.rows([added], dtype="float32", quick=True)
    assert rows
    assert {row["bound_share"] for row in rows} == {None}
    assert {row["passed"] for row in rows} == {None}


def test_new_rule_has_units(alone: str) -> None:
    assert infer(rules.get(alone)()).hyper["lr"] == Units.parse("[param]^2/[loss]")
    assert "[param]" in said("dims", alone)


def test_new_rule_is_rescaled(alone: str) -> None:
    rule = rules.get(alone)()
    found = lrtheory.rescale(rule, rule.hyper(lr=0.5), loss=4, params=2)
    assert float(found.hyper.lr) == 0.5
    assert found.exactness == "bitwise"


def test_new_rule_is_explained_and_what_is_not_known_is_said(alone: str) -> None:
    text = said("explain", f"{alone}(lr=0.5)", "--loss-scale", "4")
    assert "0.125" in text
    assert "not known" in text


def test_new_rule_is_checked(alone: str) -> None:
    report = parity.check(f"{alone}(lr=0.1)")
    report.require()


def test_new_rule_is_diagnosed_beside_a_known_family(alone: str) -> None:
    assert parity.diagnose(f"{alone}(lr=0.1)", "sgd(lr=0.1)").outcome == "same"
    told = parity.diagnose(f"{alone}(lr=0.1)", "torch.optim.SGD(lr=0.1, momentum=0.9)")
    assert [(c.setting, c.b, c.arguments) for c in told.changes] == [("momentum", 0.9, None)]
