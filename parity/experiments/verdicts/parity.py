"""Verdict on the parity matrix."""

from __future__ import annotations

from parity.report.data import ParityRow, Verdict

from .words import figure, listed, spoken


def gate(rows: list[ParityRow]) -> Verdict:
    """Whether every replay that is held to a bound is within it."""
    held = [row for row in rows if row["passed"] is not None]
    failed = [row for row in held if not row["passed"]]
    worst = max((row["largest_error"] for row in held if row["gate"] is not None), default=float("nan"))
    bounds = listed(f"{row['gate']:g}" for row in held if row["gate"] is not None)
    if not held:
        sentence = "Unknown: no replay was held to a bound."
    elif failed:
        sentence = f"No: {len(failed)} of {len(held)} replays are out of bounds, the first being {_label(failed[0])}."
    else:
        sentence = f"Yes: all {len(held)} replays stay within the bound."
    differ = [row for row in rows if row["passed"] is None and row["note"]]
    return Verdict(
        id="parity-gate",
        question="Are lrtheory's rules the same as those that people run?",
        outcome="holds" if held and not failed else "fails",
        sentence=sentence,
        evidence=f"{len(held) - len(failed)} of {len(held)} passed; largest error {figure(worst)} of the reach, bound "
        f"{bounds}. {len(rows) - len(held)} more are reported without a bound, {len(differ)} of them with a known reason "
        "to differ.",
        advice="Hover over a red field for the first step, tensor and coordinate that differ."
        if failed
        else "A rule's numbers may be carried over from PyTorch as they are; where another implementation differs by "
        "design, the table says why.",
        figure="parity",
    )


def _label(row: ParityRow) -> str:
    return f"{spoken(row['rule'])} with {row['options']} against {row['implementation']}, {row['schedule']} lr"
