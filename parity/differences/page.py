"""The differences as a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from importlib.metadata import version

from .found import Found
from .precision import Measured, section

HOW = {
    "run": "run again with these settings",
    "model": "by a model that reproduces both, as the first cannot be given them",
    "": "",
}


def page(entries: Sequence[Found], fewer_digits: Sequence[Measured]) -> str:
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
        "remains of it with the settings in place.",
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
            f"Size {entry.size:.1e}, from step {entry.first_step} on; left {entry.residual:.1e}, {HOW[entry.verified]}. "
            f"Source: {entry.source}.",
            "",
        ]
    lines += ["## No difference", "", "| first | second | size |", "|---|---|---|"]
    lines += [f"| `{e.a}` | `{e.b}` | {e.size:.1e} |" for e in entries if e.outcome == "same"]
    lines += ["", *section(fewer_digits), ""]
    return "\n".join(lines)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def _arguments(arguments: dict[str, object] | None) -> str:
    if arguments is None:
        return "no option"
    return ", ".join(f"`{name}={value}`" for name, value in arguments.items())
