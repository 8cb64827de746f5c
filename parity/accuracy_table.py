"""The accuracy table as a page: figures, and why where another implementation is nearer the truth than ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from . import table
from .accuracy import LEVELS, Accuracy, rows

#: The two that ours is measured against; torch's other implementations are in the table beside them.
RIVALS = ("torch", "optax")
#: Ours counts as worse beyond these factors: one step is nearly free of chance, a run is one walk of rounding errors.
TOLERANCE = {"step": 1.05, "run": 1.25}

NUMBERS = (
    "1 − βᵗ and what follows from it are float32 inside the compiled program, within 3 ulp; torch forms them in Python's "
    "doubles at every step, outside of any program"
)
CANCELS = "the largest errors are where m nearly cancels: a few ulp of its terms, whichever form is compiled"
HELD = (
    "ours rounds a decay rate to float32 before it is used, which moves 1 − β by up to 2⁻²⁵ absolute; torch and optax "
    "subtract in double. Against the truth for the rounded rate, ours is the nearer in the median and at 99 %"
)
#: Rule → what is worse (``step``, ``run``) → why.
REASONS: dict[str, dict[str, str]] = {
    "adabelief": {"step": CANCELS},
    "adadelta": {"run": HELD},
    "adam": {"step": f"{NUMBERS}; {CANCELS}"},
    "adamax": {"step": f"{NUMBERS}; {CANCELS}"},
    "adan": {"step": f"four corrections of the kind in one step; {CANCELS}"},
    "lamb": {"step": CANCELS},
    "nadam": {"step": f"{NUMBERS}: here the whole momentum schedule; {CANCELS}"},
    "radam": {
        "step": f"{NUMBERS}: here the rectifier too",
        "run": f"{HELD}; the rectifier is proportional to √(1 − β₂), 1.3e-5 off at 0.999, and nothing cancels that",
    },
    "rmsprop": {"run": f"{HELD}; without a bias correction nothing cancels that"},
    "sgd": {
        "step": "optax multiplies once and adds, which compiles to one rounding; ours weighs the gradient by 1 − dampening too, and "
        "rounds the other product, as torch does"
    },
    "schedule_free_adamw": {"step": "ours carries x − z, which can cancel; optax takes it from y and z, both 0 here"},
    "schedule_free_sgd": {"step": "ours carries x − z, which can cancel; optax takes it from y and z, both 0 here"},
    "sparse_adam": {"step": NUMBERS, "run": HELD},
}


def worse(of_rule: Sequence[Accuracy], levels: Sequence[float] = LEVELS) -> set[str]:
    """In which measure (``step``, ``run``) one of these quantiles of ours is beyond the nearer of the two by the tolerance."""
    ours = next(row for row in of_rule if row.implementation == "lrtheory")
    rivals = [row for row in of_rule if row.implementation in RIVALS]
    return {
        measure
        for measure, factor in TOLERANCE.items()
        for level in map(LEVELS.index, levels)
        if rivals and getattr(ours, measure)[level] > factor * min(getattr(row, measure)[level] for row in rivals)
    }


def unexplained(of_rule: Sequence[Accuracy], levels: Sequence[float] = LEVELS) -> set[str]:
    """Measures in which ours is worse without a reason."""
    return worse(of_rule, levels) - set(REASONS.get(of_rule[0].rule, {}))


def figures(values: Sequence[float]) -> str:
    """Three quantiles as cells."""
    return " | ".join(f"{value:.2g}" if value < 100 else f"{value:.0e}" for value in values)


def page(progress: Callable[[str, float], None] = lambda text, done: None) -> str:
    """The page in Markdown."""
    import jax
    import optax
    import torch

    lines = [
        "# Float32: how near the truth",
        "",
        "Written by `python benchmarks/accuracy.py`; the truth is `parity.oracle`, sixty digits. Figures are median, 99 % "
        "and largest error.",
        "",
        "- **step**: one step in ulp of the exact update. Every implementation starts each of 200 steps from the same "
        "float32 state, with numbers that float32 holds exactly.",
        "- **run**: the parameters along a free run of 200 steps with the numbers as given (0.9, 0.999: the truth has the "
        "doubles), in ulp of the farthest that a coordinate has been.",
        "",
        "They are those of one machine: another processor contracts other products and sums in fused kernels and compiled "
        "programs, which moves a median by a part of an ulp, and the largest errors, of one coordinate each, by more.",
        "",
        f"CPU, torch {torch.__version__.split('+')[0]}, optax {optax.__version__}, jax {jax.__version__}, {date.today():%B %Y}.",
        "",
        "| rule | implementation | step 50 % | 99 % | largest | run 50 % | 99 % | largest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    rules = table.known_rules()
    for done, rule in enumerate(rules):
        progress(rule, done / len(rules))
        of_rule = rows(rule)
        for row in of_rule:
            lines.append(f"| {rule} | {row.implementation} | {figures(row.step)} | {figures(row.run)} |")
        reasons = [
            f"{m}: {REASONS.get(rule, {}).get(m, '**unexplained**')}" for m in sorted(worse(of_rule), reverse=True)
        ]
        if reasons:
            notes.append(f"| {rule} | {'; '.join(reasons)} |")
    lines += [
        "",
        "## Where the nearer of torch and optax is nearer than ours",
        "",
        "By more than 5 % in a step or 25 % along a run, at any of the three quantiles. Everywhere else ours is at least as "
        "near the truth.",
        "",
        "| rule | why |",
        "|---|---|",
        *notes,
        "",
        "Muon's figures are those of bfloat16 against exact arithmetic. Where optax is far off (adam, lamb, adabelief, "
        "schedule_free_adamw), it forms 1 − b2**t in float32: [differences.md](differences.md) has by how much a step is beyond "
        "its bound, and a test notes when that changes.",
        "",
    ]
    return "\n".join(lines)
