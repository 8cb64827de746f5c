"""``lrtheory check``: what it prints and what it exits with."""

from __future__ import annotations

import json

import pytest

from lrtheory.cli.app import run

QUICK = ["--only", "quiet", "--only", "schedule"]


@pytest.mark.usefixtures("checked_here")
def test_verdicts_and_code_to_paste(capsys):
    assert run(["check", "mutants.optimizers:LrReadOnce", *QUICK]) == 1
    out = capsys.readouterr().out
    assert "✓   quiet" in out
    assert "✗   schedule" in out
    assert "twice the lr at step 5 gives the same step" in out
    assert "rerun('mutants.optimizers:LrReadOnce', 'schedule', run)" in out
    assert "1 passed, 1 failed, in" in out


@pytest.mark.usefixtures("checked_here")
def test_json_is_all_of_stdout(capsys):
    assert run(["check", "torch.optim.SGD", *QUICK, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["target"] == "torch.optim.SGD"
    assert {r["check"]: r["status"] for r in told["results"]} == {"quiet": "passed", "schedule": "passed"}


@pytest.mark.usefixtures("checked_here")
def test_expected_failures(capsys):
    target = ["check", "mutants.optimizers:LrReadOnce", *QUICK]
    assert run([*target, "--expect-fail", "schedule=the lr is read once"]) == 0
    assert "≠" in capsys.readouterr().out
    assert run([*target, "--expect-fail", "schedule=once", "--expect-fail", "quiet=it talked"]) == 1
    assert "stale: declared to fail (it talked), but it passes" in " ".join(capsys.readouterr().out.split())
    assert run([*target, "--expect-fail", "schedule"]) == 2
    assert "write it as ID=REASON" in capsys.readouterr().err
    assert run([*target, "--expect-fail", "nosuch=a slip"]) == 2
    assert "no check 'nosuch'" in capsys.readouterr().err


@pytest.mark.usefixtures("checked_here")
def test_known_failures_of_published_optimizers_are_expected(capsys):
    assert run(["check", "torch.optim.ASGD", "--only", "schedule"]) == 0
    assert "one step late" in " ".join(capsys.readouterr().out.split())


@pytest.mark.usefixtures("checked_here")
def test_reference_and_claims(capsys):
    command = ["check", "optax.adagrad(0.01)", "--only", "reference", "--reference", "torch.optim.Adagrad(lr=0.01)"]
    assert run(command) == 1
    assert "differs from torch.optim.Adagrad(lr=0.01)" in capsys.readouterr().out
    assert run(["check", "torch.optim.RAdam", "--only", "scaling-law"]) == 0
    assert "no law: radam.py" in capsys.readouterr().out
    assert run(["check", "torch.optim.RAdam", "--only", "scaling-law", "--claims-law"]) == 1


@pytest.mark.usefixtures("checked_here")
def test_what_cannot_be_imported_is_one_line(capsys):
    for target in ("nosuch.optimizer", "optax.nosuch", "optax.adam(", "adam", "[b]x[/b]"):
        status = run(["check", target, "--only", "nosuch"])
        captured = capsys.readouterr()
        assert status == 2
        assert len(captured.err.strip().splitlines()) == 1
        assert captured.out == ""


def test_list_of_checks(capsys):
    assert run(["check"]) == 0
    assert "scaling-law" in capsys.readouterr().out
    assert run(["check", "--json"]) == 0
    assert {"id": "jit", "kinds": ["jax"]}.items() <= next(
        c for c in json.loads(capsys.readouterr().out)["checks"] if c["id"] == "jit"
    ).items()
