"""The parity matrix as a part of the report: which rules are shown in which dtype, and the verdict on them."""

from __future__ import annotations

from lrtheory.words import figure, listed, spoken

from ..measured import ParityRow, Verdict

TRAINED_RULES = ("sgd", "adam", "rmsprop")
"""Rules that the experiments train with."""

QUICK = {"float64": ("sgd", "adam"), "float32": ("adam",)}
"""Those shown when there is little time; ``lrtheory replay`` shows all of it. In float32 no gate holds."""


def parts(quick: bool) -> list[tuple[str, str]]:
    """Rule and dtype of every part of the matrix."""
    from .. import table  # builds on torch and optax; found only where a report is made

    every = (*TRAINED_RULES, *(rule for rule in table.known_rules() if rule not in TRAINED_RULES))
    chosen = QUICK if quick else {"float64": every, "float32": TRAINED_RULES}
    return [(rule, dtype) for dtype, rules in chosen.items() for rule in rules]


def measure(rule: str, dtype: str) -> list[ParityRow]:
    """The matrix of one rule in one dtype."""
    from .. import matrix

    return matrix.rows([rule], dtype=dtype, quick=True)


def gate(rows: list[ParityRow]) -> Verdict:
    """Whether every replay that is held to a bound is within it."""
    held = [row for row in rows if row["passed"] is not None]
    failed = [row for row in held if not row["passed"]]
    gated = [row for row in held if row["gate"] is not None]
    worst = max((row["largest_error"] for row in gated), default=float("nan"))
    bounds = listed(f"{row['gate']:g}" for row in gated)
    differ = [row for row in rows if row["passed"] is None and row["note"]]
    if not held:
        sentence = "Unknown: no replay was held to a bound."
    elif failed:
        first = failed[0]
        sentence = (
            f"No: {len(failed)} of {len(held)} replays are out of bounds, the first being {spoken(first['rule'])} with "
            f"{first['options']} against {first['implementation']}, {first['schedule']} lr."
        )
    else:
        sentence = f"Yes: all {len(held)} replays stay within the bound."
    return Verdict(
        id="parity-gate",
        question="Are lrtheory's rules the same as those that people run?",
        outcome="holds" if held and not failed else "fails",
        sentence=sentence,
        evidence=f"{len(held) - len(failed)} of {len(held)} passed; the largest error is {figure(worst)} of the distance "
        f"travelled, the bound {bounds}. {len(rows) - len(held)} more are reported "
        f"without a bound; {len(differ)} of them differ for a known reason.",
        advice="Point at a red cell for the first step, tensor and coordinate that differ."
        if failed
        else "You may carry a rule's hyperparameters over from PyTorch as they are; where another implementation differs by "
        "design, the table says why.",
        figure="parity",
    )
