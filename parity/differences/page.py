"""The differences as a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from importlib.metadata import version

from ..diagnosis import size_in_words
from .found import Found

HOW = {
    "run": "run again with these settings",
    "model": "by a model that reproduces both, as the first cannot be given them",
    "": "",
}


def page(entries: Sequence[Found]) -> str:
    """In Markdown."""
    torch, optax, keras, jax = (version(name).split("+")[0] for name in ("torch", "optax", "keras", "jax"))
    different = [e for e in entries if e.outcome != "same"]
    lines = [
        "# Where implementations differ",
        "",
        "Written by `python benchmarks/differences.py`: each pair is run as two black boxes in float64, fitted by a model with "
        "a switch for everything that implementations are known to vary, and told apart by the smallest change of settings "
        "(`lrtheory diagnose A B`). No entry is written by hand. A test runs every pair again and fails when a new version "
        "removes a difference or makes one.",
        "",
        "Gradients have every size from 1e-11 to 1e3 (less for SGD, Rprop and rules of matrices) and the lr moves at every "
        "step over two decades; *size* is the largest difference of a coordinate over the farthest it moves, *left* what "
        "remains of it with the settings in place. A schedule is run until it has passed its horizon twice, and measured by its "
        "largest value; a scheduler of torch has the lr of the schedule beside it.",
        "",
        f"CPU, torch {torch}, optax {optax}, keras {keras} on jax {jax}, {date.today():%B %Y}.",
        "",
    ]
    for entry in different:
        lines += [
            f"## {entry.id}",
            "",
            f"`{entry.a}` beside `{entry.b}`",
            "",
            entry.sentence + ".",
            "",
            "| setting | first | second | to give it to the first |",
            "|---|---|---|---|",
            *(
                f"| {c['setting']} | {_shown(c['a'])} | {_shown(c['b'])} | {_arguments(c['arguments'])} |"
                for c in entry.changes
            ),
            "",
            f"Size {size_in_words(entry.size)}, from step {entry.first_step} on; left {entry.residual:.1e}, {HOW[entry.verified]}. "
            f"Source: {entry.source}.",
            "",
        ]
    lines += ["## No difference", "", "| first | second | size |", "|---|---|---|"]
    lines += [f"| `{e.a}` | `{e.b}` | {e.size:.1e} |" for e in entries if e.outcome == "same"]
    lines += [
        "",
        "## In float32 alone",
        "",
        "optax forms 1 − b2**t in float32: adam, adabelief, lamb and schedule-free AdamW are over the bound that is derived for "
        "each step (`parity.bounds`), torch and ours within it; [accuracy.md](accuracy.md) has the sizes and "
        "`tests/oracle/test_bounds.py` notes when that changes.",
        "",
    ]
    return "\n".join(lines)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def _arguments(arguments: dict[str, object] | None) -> str:
    if arguments is None:
        return "no option"
    return ", ".join(f"`{name}={value}`" for name, value in arguments.items())
