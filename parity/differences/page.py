"""The differences as a page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version

from ..diagnosis import size_in_words
from ..dtypes import finfo
from .found import Found
from .precision import Measured, section

HOW = {
    "run": "run again with these settings",
    "model": "by a model that reproduces both, as the first cannot be given them",
    "": "",
}


def page(entries: Sequence[Found], fewer_digits: Sequence[Measured]) -> str:
    """In Markdown."""
    torch, optax, keras, jax, free = (
        version(name).split("+")[0] for name in ("torch", "optax", "keras", "jax", "schedulefree")
    )
    different = [e for e in entries if e.outcome != "same"]
    lines = [
        "# Where implementations differ",
        "",
        "Written by `python benchmarks/differences.py`: each pair is run as two black boxes, in float64 where nothing else is said, fitted by a model with "
        "a switch for everything that implementations are known to vary, and told apart by the smallest change of settings "
        "(`lrtheory diagnose A B`). None of these is written by hand; those *in fewer digits*, at the end, are listed with their reasons and measured. A test runs every pair again and fails when a new version "
        "removes a difference or makes one.",
        "",
        "Gradients have every size from 1e-11 to 1e3 (less for SGD, Rprop and rules of matrices) and the lr moves at every "
        "step over two decades; *size* is the largest difference of a coordinate over the farthest it moves, *left* what "
        "remains of it with the settings in place. Where a rule keeps an average of its parameters to be evaluated at, it is "
        "compared as well. A schedule is run until it has passed its horizon twice, and measured by its "
        "largest value; a scheduler of torch has the lr of the schedule beside it. A run in float32 or bfloat16 starts at 0 and has "
        "a constant lr; its ulp are those of the farthest that a coordinate moves.",
        "",
        "How many ulp apart two orders of rounding are in a narrow dtype is one machine's figure: another processor contracts "
        "other products and sums in fused kernels and compiled programs. Which setting is named does not depend on it.",
        "",
        f"CPU, torch {torch}, optax {optax}, keras {keras} on jax {jax}, schedulefree {free}, {date.today():%B %Y}.",
        "",
    ]
    for entry in different:
        lines += [
            f"## {entry.id}",
            "",
            f"`{entry.a}` beside `{entry.b}`{_run(entry)}",
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
            f"Size {size_in_words(entry.size)}{_in_ulp(entry)}, from step {entry.first_step} on; left {entry.residual:.1e}, {HOW[entry.verified]}. "
            f"Source: {entry.source}.",
            "",
        ]
    lines += ["## No difference", "", "| first | second | run | size |", "|---|---|---|---|"]
    lines += [
        f"| `{e.a}` | `{e.b}` | {_run(e).removeprefix(', ')} | {e.size:.1e}{_in_ulp(e)} |"
        for e in entries
        if e.outcome == "same"
    ]
    lines += ["", *section(fewer_digits), ""]
    return "\n".join(lines)


def _run(entry: Found) -> str:
    """How the two were run, where it is not as usual."""
    narrow = "" if entry.dtype == "float64" else f", in {entry.dtype} at a constant lr"
    return narrow + (", one tensor without its first gradients" if entry.missing else "")


def _in_ulp(entry: Found) -> str:
    """A size in roundings of a narrow dtype."""
    if entry.dtype == "float64" or not math.isfinite(entry.size):
        return ""
    return f" ({entry.size / float(finfo(entry.dtype).eps):.3g} ulp)"


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


def _arguments(arguments: dict[str, object] | None) -> str:
    if arguments is None:
        return "no option"
    return ", ".join(f"`{name}={value}`" for name, value in arguments.items())
