"""``lrtheory laws``: what it lists, shows and exits with; and LaTeX as text."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

from lrtheory.cli import laws as command
from lrtheory.cli.app import run
from lrtheory.explaining.latex import readable
from lrtheory.laws import SECTIONS, Evidence, Law, catalogue

from .test_front import called, imported_by, lrtheory

ONE = "bounds.weighted-sum"  # the cheapest: no program is compiled


@pytest.fixture
def changed(monkeypatch):
    """A catalogue of one law, changed as asked."""

    def change(**fields):
        law = dataclasses.replace(catalogue()[ONE], **fields)
        monkeypatch.setattr(command, "catalogue", lambda: {law.id: law})
        return law

    return change


def test_all_are_listed_by_section_with_figures_and_verdict(monkeypatch, capsys):
    chosen = {law.id: law for law in catalogue().values() if law.id in (ONE, "claims.backward-calls")}
    monkeypatch.setattr(command, "catalogue", lambda: chosen)
    assert run(["laws"]) == 0
    out = capsys.readouterr().out
    assert SECTIONS["bounds"] in out
    assert "weighted-sum" in out
    assert "✓ holds" in out
    assert "✗ refuted" in out  # a false claim, refuted as it should be
    assert "2 of 2 laws are as stated" in out


@pytest.mark.parametrize("name", [ONE, "weighted-sum"])
def test_one_law_is_shown_whole(name, capsys):
    assert run(["laws", name]) == 0
    out = " ".join(capsys.readouterr().out.split())
    law = catalogue()[ONE]
    for text in (
        readable(law.statement),
        law.scope,
        law.source,
        law.kind,
        "lrtheory.theory.bounds.weighted",
        *law.mutants,
    ):
        assert " ".join(text.split()) in out
    assert "\\" not in out


def test_a_section_is_shown_law_by_law(changed, capsys):
    changed()
    assert run(["laws", "bounds"]) == 0
    assert "Cauchy" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["decay", "weight_decay", "weight decay", "Weight-Decay"])
def test_words_of_a_title_find_laws(name):
    """Whoever looks for weight decay finds all laws about it (first hour, d)."""
    found, whole = command.select(name)
    assert not whole
    assert {"momentum.decay-time-scale"} < {law.id for law in found}
    assert len(found) < len(catalogue())


def test_words_that_find_one_law_show_it_whole():
    assert command.select("time scale decay") == ([catalogue()["momentum.decay-time-scale"]], True)


def test_json_is_all_of_stdout_and_keeps_latex(capsys):
    assert run(["laws", ONE, "--json", "--seed", "3"]) == 0
    (record,) = json.loads(capsys.readouterr().out)["laws"]
    law = catalogue()[ONE]
    assert record["statement"] == law.statement
    assert record["evidence"]["residual"] == law.verify(3).residual
    assert record["evidence"]["holds"] is True
    assert set(record["mutants"]) == set(law.mutants)
    assert all(wrong["caught"] for wrong in record["mutants"].values())


def test_a_law_that_fails_is_named_and_exits_with_1(changed, capsys):
    changed(check=lambda formula, seed: Evidence("ran nothing at all", 2.0, 1.0, "made up"))
    assert run(["laws"]) == 1
    assert f"Not as stated: {ONE}" in capsys.readouterr().out


def test_a_residual_that_is_nan_fails_and_is_no_number_in_json(changed, capsys):
    changed(check=lambda formula, seed: Evidence("ran nothing at all", float("nan"), 1.0, "made up"))
    assert run(["laws", "--json"]) == 1
    (record,) = json.loads(capsys.readouterr().out)["laws"]
    assert record["evidence"]["residual"] is None


def test_numbers_of_numpy_are_written_as_json(changed, capsys):
    figures = {"a": np.float32(0.5), "b": np.int64(3), "c": np.float32("nan")}
    changed(
        check=lambda formula, seed: Evidence("ran nothing", np.float64(0.5), np.float64(1), "made up", figures=figures)
    )
    run(["laws", ONE, "--json"])
    (record,) = json.loads(capsys.readouterr().out)["laws"]
    assert record["evidence"]["holds"] is True
    assert record["evidence"]["figures"] == {"a": 0.5, "b": 3, "c": None}
    assert {wrong["caught"] for wrong in record["mutants"].values()} == {False}


def test_a_check_that_is_blind_to_a_wrong_law_exits_with_1(changed, capsys):
    changed(mutants={"the law itself": catalogue()[ONE].formula})
    assert run(["laws", ONE]) == 1
    assert "the check is blind to it" in capsys.readouterr().out


def test_an_unknown_law_is_one_line_with_what_is_near():
    done = lrtheory("laws", "bounds.adm")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = (line for line in done.stderr.splitlines() if line.strip())
    assert "bounds.adm" in line
    assert "did you mean bounds.adam" in line


def test_help_and_verifying_import_no_framework_but_jax():
    of = ("jax", "torch", "optax", "sklearn")
    assert imported_by(called("laws", "--help"), called("laws", ONE), of=of) == [[], ["jax"]]


OWN = [law for law in catalogue().values() if law.section in ("invariance", "momentum", "bounds", "claims")]


@pytest.mark.parametrize("law", OWN, ids=[law.id for law in OWN])
def test_every_law_names_its_rules_its_source_and_its_code(law: Law):
    """A source is a paper by arXiv id or authors, a file of a library with its version, or said to be derived here."""
    assert re.search(
        r"\d{4}\.\d{5}|torch[/.]|et al\.|derived|counterexample here|checked|measured|bounds\.", law.source
    )
    assert len(law.scope) > 40
    assert re.fullmatch(r"lrtheory(\.[a-z]\w*)+", command.code_name(law.formula))
    assert len(law.mutants) >= (1 if law.kind == "false" else 2)


@pytest.mark.parametrize("law", catalogue().values(), ids=list(catalogue()))
def test_every_statement_becomes_text(law: Law):
    text = readable(law.statement)
    assert text
    assert not set("\\{}$") & set(text.replace("{t :", "").replace("} =", "").replace("#{", "")), text


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"\frac{a}{b}", "a/b"),
        (r"\frac{1 - \beta_1^t}{2}", "(1 - β₁ᵗ)/2"),
        (r"\sqrt{\frac{2}{x}}", "√(2/x)"),
        (r"eps\_root", "eps_root"),
        (r"\theta_{t+1} \le \hat v", "θₜ₊₁ ≤ v̂"),
        (r"x^{abc}", "x^abc"),
        (r"\left( \frac{1}{2} \right)", "( 1/2 )"),
        (r"\|w\|^2", "‖w‖²"),
        (r"\sum_{i=0}^{n} x_i", "Σᵢ₌₀ⁿ xᵢ"),
        (r"\text{for all } t", "for all t"),
        (r"a \\ b", "a\nb"),
        (r"a, \quad b \; c", "a,   b c"),
        (r"x^2y", "x²y"),
        (r"A^\top \, \mathbb{E}\textstyle\sum_i x_i", "Aᵀ EΣᵢ xᵢ"),
        (r"\exists x", "∃ x"),
        (r"\alpha^* = \frac{lr}{\|w\|^2}", "α* = lr/‖w‖²"),
        (r"\unknown{x}", "unknownx"),
        (r"\frac{a", "a/()"),
    ],
)
def test_latex_becomes_text(latex, text):
    assert readable(latex) == text
