"""``lrtheory diagnose``: the sentence, the table, JSON, and what is refused."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from lrtheory.cli.app import app, run

A, B = "optax.rmsprop(0.01, momentum=0.9)", "torch.optim.RMSprop(lr=0.01, momentum=0.9)"


def test_sentence_table_and_evidence_are_printed() -> None:
    found = CliRunner().invoke(app, ["diagnose", A, B])
    assert found.exit_code == 0, found.output
    assert f"{A} equals {B} with decay=0.99, eps_in_sqrt=False and lr outside the buffer" in found.stdout
    assert "no option" in found.stdout
    assert "first difference: step 1" in found.stdout
    assert "by the model of the family" in found.stdout


def test_json_has_both_values_and_the_arguments() -> None:
    found = CliRunner().invoke(app, ["diagnose", "optax.adamw(0.1)", "torch.optim.AdamW(lr=0.1)", "--json"])
    told = json.loads(found.stdout)
    assert told["outcome"] == "settings"
    assert told["changes"] == [{"setting": "weight_decay", "a": 1e-4, "b": 1e-2, "arguments": {"weight_decay": 1e-2}}]
    assert told["verified"] == "run"
    assert told["residual"] < 1e-9 < told["size"]


def test_a_dtype_and_missing_gradients_are_asked_for() -> None:
    lr = "numpy.float32(0.10000000149011612)"
    asked = ["diagnose", "optax.sgd(0.1)", "optax.sgd(numpy.float32(0.1))", "--json"]
    assert json.loads(CliRunner().invoke(app, asked).stdout)["changes"][0]["setting"] == "lr"
    told = json.loads(CliRunner().invoke(app, [*asked, "--dtype", "bfloat16"]).stdout)
    assert [(c["setting"], c["arguments"]) for c in told["changes"]] == [("dtype of the lr", {"learning_rate": lr})]
    asked = ["diagnose", "adam(lr=0.1)", "torch.optim.Adam(lr=0.1)"]
    assert "no difference" in CliRunner().invoke(app, asked).stdout
    assert "a tensor left alone until its first gradient" in CliRunner().invoke(app, [*asked, "--missing"]).stdout


def test_a_schedule_that_ends_has_a_size_in_words() -> None:
    found = CliRunner().invoke(
        app, ["diagnose", "optax.cosine_onecycle_schedule(9, 0.1)", "torch.optim.lr_scheduler.OneCycleLR(0.1, 9)"]
    )
    assert found.exit_code == 0, found.output
    assert "phases that end one step early, an error after the horizon and a cycled momentum" in found.stdout
    assert "largest difference without bound" in found.stdout


@pytest.mark.parametrize(
    "text", ["optax.fromag(0.1)", "torch.optim.Adam(lr=-1.0)", "adam(", "adam(lr=__import__('os'))"]
)
def test_what_cannot_be_read_or_run_is_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diagnose", text, B]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_headings_are_whole_in_a_pipe() -> None:
    """C15: no name of a schedule is cut, however narrow the page."""
    a, b = "optax.cosine_decay_schedule(0.1, decay_steps=50)", "torch.optim.lr_scheduler.CosineAnnealingLR(T_max=50)"
    found = CliRunner().invoke(app, ["diagnose", a, b])
    assert found.exit_code == 0, found.output
    assert "…" not in found.stdout
    heading = next(line for line in found.stdout.splitlines() if "setting" in line)
    assert a in heading
    assert b in heading


@pytest.mark.parametrize("rule", ["adam", "nadam", "radam"])
def test_the_formula_shows_one_weight_decay(rule: str) -> None:
    """C15: that of AdamW has no coupled line, that of Adam no decoupled term."""
    from lrtheory import rules
    from lrtheory.explaining.explanation import formula_of
    from lrtheory.explaining.latex import readable

    decoupled, coupled = (readable(formula_of(rules.get(rule)(decoupled=on))) for on in (True, False))
    assert "g ← g + weight_decay" not in decoupled
    assert "p ← p - lr · weight_decay · p" in decoupled
    assert "g ← g + weight_decay · p" in coupled
    assert coupled.count("weight_decay") == decoupled.count("weight_decay") == 1
    assert not any("coupled" in text for text in (decoupled, coupled))
