"""The commands, with measuring replaced by made-up numbers: what they print, write and exit with."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import sys
import time
import types

import numpy as np
import pytest
from rich.console import Console

from lrtheory.cli._terminal import as_printed
from lrtheory.cli.app import run
from lrtheory.cli.replay import tell
from parity.report.matrix import views

from ..report.synthetic import HOSTILE, parity, report


@pytest.fixture
def measured(monkeypatch):
    """``parity.experiments.measure`` answers at once; the calls it got are returned."""
    calls = []

    def measure(*, quick, seed, processes, progress):
        calls.append((quick, seed))
        progress("training", 0.5)
        progress("done", 1.0)
        return report()

    module = types.ModuleType("parity.experiments")
    vars(module)["measure"] = measure
    monkeypatch.setitem(sys.modules, "parity.experiments", module)
    monkeypatch.setattr("parity.experiments", module, raising=False)
    return calls


@pytest.fixture
def rows(monkeypatch):
    """``parity.matrix.rows`` answers at once with these rows; change them before the call."""
    chosen: list = [row for row in parity() if row["dtype"] == "float64"]
    calls = []

    def answer(rules, *, dtype, against, quick, truths, progress):
        calls.append((rules, dtype, against, quick, truths))
        return chosen

    monkeypatch.setattr("parity.matrix.rows", answer)
    return chosen, calls


def test_report_writes_and_tells(measured, tmp_path, capsys):
    assert run(["report", "--out", str(tmp_path / "a" / "b"), "--quick", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert measured == [(True, 3)]
    assert out.splitlines()[-1] == str(tmp_path / "a" / "b" / "index.html")
    assert (tmp_path / "a" / "b" / "index.html").exists()
    for verdict in report()["verdicts"]:
        assert verdict["question"] in out  # hostile markup is printed as it is
    assert "✗ does not hold" in out
    assert HOSTILE in out


def test_report_json_is_all_of_stdout(measured, tmp_path, capsys):
    assert run(["report", "--out", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdicts"] == report()["verdicts"]
    assert told["page"] == str(tmp_path / "index.html")
    assert told["training"][2]["largest_difference"] is None  # nan is no JSON
    assert "layers" not in told["training"][0]


def test_report_that_cannot_be_written_says_so(measured, tmp_path, capsys):
    (tmp_path / "index.html").mkdir()  # a directory cannot be replaced by a file
    assert run(["report", "--out", str(tmp_path)]) == 1
    assert "could not be written" in capsys.readouterr().err.splitlines()[-1]


def test_replay_shows_the_matrix_and_fails_with_a_gate(rows, capsys):
    chosen, calls = rows
    assert run(["replay", "sgd", "adamw", "adam", "--quick"]) == 1
    out = capsys.readouterr().out
    assert calls == [(["sgd", "adam"], "float64", ["torch", "optax"], True, False)]  # adamw is adam
    assert "✗ 0.03" in out
    assert "first difference: step 2 in " in out


def test_replay_succeeds_without_failures(rows, capsys):
    chosen, calls = rows
    chosen[:] = [row for row in chosen if row["passed"] is not False]
    assert run(["replay"]) == 0
    assert calls == [(None, "float64", ["torch", "optax"], False, False)]
    assert "≠ 0.03" in capsys.readouterr().out


@pytest.mark.parametrize("width", [140, 80, 60, 40])
def test_nothing_of_the_matrix_vanishes_in_a_narrow_terminal(width):
    """Every option, implementation and error is there, whole (A4)."""
    out = io.StringIO()
    (view, *_) = views(parity())
    tell(Console(file=out, width=width, highlight=False), view)
    lines = out.getvalue().splitlines()
    assert all(len(line.rstrip()) <= width for line in lines if line.startswith("  "))
    text = "".join("".join(line.split()) for line in lines)
    assert "…" not in text
    for rule, of_rule in view.rules.items():
        assert rule in text
        for line in of_rule:
            assert "".join(line.options.split()) in text
    for implementation, _ in view.columns:
        assert implementation.replace("-", "") in text.replace("-", "")
    errors = [cell.text for of_rule in view.rules.values() for line in of_rule for cell in line.cells if cell]
    assert all(text.count(error) >= errors.count(error) for error in errors)


def test_replay_json_is_the_rows(rows, capsys):
    chosen, _ = rows
    assert run(["replay", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["rows"] == chosen


def test_replay_writes_the_matrix_as_a_page(rows, tmp_path, capsys):
    _, calls = rows
    page = tmp_path / "deep" / "matrix.html"
    assert run(["replay", "--against", "keras, eager", "--html", str(page)]) == 1
    assert calls == [(None, "float64", ["keras", "eager"], False, True)]
    assert "Do the implementations compute the same?" in page.read_text()
    assert capsys.readouterr().out.splitlines()[-1] == str(page)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--against", "tensorflow"], "give one or more of torch, optax, keras, eager"),
        (["--against", ","], "give one or more of"),
        (["--html", "."], "is a directory; give a file"),
    ],
)
def test_replay_refuses_before_anything_runs(rows, arguments, words, capsys):
    _, calls = rows
    assert run(["replay", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert calls == []


def test_interrupt_leaves_no_traceback(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("parity.matrix.rows", interrupted)
    assert run(["replay"]) == 130
    assert "stopped" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_falls_into_a_callback_is_heard(monkeypatch, capsys):
    """C12: what is raised inside a callback or a finalizer is ignored by Python, and Ctrl-C was with it."""

    class Deaf:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)  # here the interrupt is raised, and ignored

    def working(*arguments, **options):
        del [Deaf()][0]
        time.sleep(20)
        return []

    started = time.monotonic()
    monkeypatch.setattr("parity.matrix.rows", working)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have turned off
    try:
        assert run(["replay"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started < 10
    assert "stopped" in capsys.readouterr().err


def test_json_has_a_schema_and_tells_infinite_from_unknown(capsys):
    """C14."""
    values = {"largest": math.inf, "least": -math.inf, "undefined": math.nan, "many": [np.float64(math.inf)]}
    told = as_printed("made/1", {**values, "unknown": None})
    assert told == {
        "schema": "lrtheory/made/1",
        "largest": "inf",
        "least": "-inf",
        "unknown": None,
        "undefined": None,
        "many": ["inf"],
    }
    assert run(["explain", "rmsprop(lr=0.1)", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == "lrtheory/explain/1"
    assert (told["change"]["reduction"], told["change"]["reduction_assumed"]) == (None, False)  # no batch changes
    exponents = {n["name"]: n["exponents"] for n in told["numbers"]}
    assert exponents["eps"] == {"loss": "1", "param": "-1"}
    assert exponents["lr"] == {"loss": "0", "param": "1"}
    assert run(["dims", "optax.sgd", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "lrtheory/dims/1"
