"""docs/accuracy.md is true, shown on a few rows, and says where ours is worse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from parity import accuracy_table, table
from parity.accuracy import LEVELS, Accuracy, rows
from parity.accuracy_table import REASONS, unexplained, worse

PAGE = (Path(__file__).parents[2] / "docs" / "accuracy.md").read_text(encoding="utf-8")


def on_the_page(rule: str) -> dict[str, list[float]]:
    cells = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith(f"| {rule} | ")]
    return {c[1]: [float(x) for x in c[2:]] for c in cells if len(c) == 8}


def hold(rule: str) -> None:
    measured = rows(rule)
    written = on_the_page(rule)
    assert set(written) == {row.implementation for row in measured}
    for row in measured:
        # Another CPU contracts and orders sums otherwise; the largest figures are chance.
        for now, then in zip(
            row.step[:2] + row.run[:2], written[row.implementation][0:2] + written[row.implementation][3:5], strict=True
        ):
            assert now == pytest.approx(then, rel=0.5, abs=0.05), (row, written[row.implementation])
    assert not unexplained(measured, LEVELS[:2])  # the largest, of one coordinate, is that of one machine


@pytest.mark.parametrize("rule", ["rmsprop", "adagrad"])
def test_figures_on_the_page_are_those_that_are_measured(rule: str) -> None:
    hold(rule)


@pytest.mark.deep
@pytest.mark.parametrize("rule", table.known_rules())
def test_every_figure_on_the_page_is_measured(rule: str) -> None:
    hold(rule)


def test_the_page_has_every_rule_and_explains_every_row_that_is_worse() -> None:
    assert "**unexplained**" not in PAGE
    explained = PAGE.split("## Where")[1]
    for rule in table.known_rules():
        assert "lrtheory" in on_the_page(rule)
        assert (f"| {rule} | " in explained) == (rule in REASONS), f"the reason for {rule} is stale, or missing"


def test_worse_is_noticed() -> None:
    ours = Accuracy("plain", "lrtheory", (0.5, 2.0, 3.0), (1.0, 5.0, 9.0))
    theirs = replace(ours, implementation="torch")
    assert not worse([ours, theirs])
    assert worse([replace(ours, step=(0.5, 2.2, 3.0)), theirs]) == {"step"}
    assert worse([replace(ours, run=(1.3, 5.0, 9.0)), theirs]) == {"run"}
    assert unexplained([replace(ours, run=(1.3, 5.0, 9.0)), theirs]) == {"run"}
    assert not worse([replace(ours, run=(1.3, 5.0, 9.0)), replace(theirs, implementation="torch-foreach")])
    assert accuracy_table.figures((0.1234, 5.0, 12345.0)) == "0.12 | 5 | 1e+04"
