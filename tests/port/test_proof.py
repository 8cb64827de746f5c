"""A run that is moved goes on as the one that is not: the table of docs/port.md, row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from .proof import CASES, PAIRS, Case, differs, float64, moved, row

PAGE = Path(__file__).parents[2] / "docs" / "port.md"
SPOKEN = {"lrtheory": "ours", "keras": "Keras"}
HEAD = ("rule", *(f"{SPOKEN.get(a, a)} ↔ {SPOKEN.get(b, b)}" for a, b in PAIRS), "why not")

#: One of each rule that torch, optax or Keras have; the others are for deep runs.
QUICK = {
    "sgd (momentum=0.9)", "adam (decoupled)", "adam (amsgrad, eps=0)", "rmsprop (momentum=0.8, eps=0)", "adagrad (eps=0)",
    "adadelta", "adamax (eps=0)", "nadam (momentum_decay=1)", "radam (beta2=0.99)", "rprop", "asgd (t0=20, lambd=0.01)", "adafactor",
    "lion", "lars (momentum=0.8)", "lamb", "schedule_free_sgd",
}  # fmt: skip


def line(cells) -> str:
    return "| " + " | ".join(cells) + " |"


def proven(case: Case) -> str:
    """The row of a case, after its runs were held to the gate, and each known difference was seen."""
    with float64():
        results, reasons = moved(case, seed=len(case.label))
    assert results or reasons
    for pair, found in results.items():
        if differs(case, pair):
            assert found.off > 1e-10, f"{case.label}, {pair}: no difference is seen"
        else:
            assert found.off <= case.gate, f"{case.label}, {pair}: {found.off:.1e}"
    return line(row(case, results, reasons))


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=c.label, marks=() if c.label in QUICK else pytest.mark.deep) for c in CASES]
)
def test_moved_run_goes_on_as_the_page_says(case):
    """Mended by running this file."""
    shown = PAGE.read_text().splitlines()
    assert line(HEAD) in shown
    assert proven(case) in shown


def test_every_case_has_a_row():
    rows = [row for row in PAGE.read_text().splitlines() if any(row.startswith(f"| {c.label} |") for c in CASES)]
    assert len(rows) == len(CASES)
    assert {c.label for c in CASES} >= QUICK


if __name__ == "__main__":
    before, marker, rest = PAGE.read_text().partition("<!-- moved -->\n")
    table = "\n".join([line(HEAD), line(["---"] * len(HEAD)), *map(proven, CASES)])
    PAGE.write_text(f"{before}{marker}{table}\n<!-- end -->{rest.partition('<!-- end -->')[2]}")
