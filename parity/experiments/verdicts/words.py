"""Numbers and names as they stand in a sentence."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable

from parity.report.data import Verdict

SPOKEN = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "jax": "JAX", "torch": "PyTorch"}


def spoken(name: str) -> str:
    """A rule or framework as it is written in prose."""
    return SPOKEN.get(name, name)


def figure(value: float) -> str:
    """Two significant digits, with an exponent only where zeros would have to be counted."""
    if not math.isfinite(value):
        return "without bound"
    return f"{float(f'{value:.2g}'):g}"


def percent(share: float) -> str:
    """A share in percent, two significant digits."""
    return f"{100 * share:.2g} %"


def as_text(verdict: Verdict, width: int = 100) -> str:
    """A verdict as lines of text, for a notebook or a terminal."""
    parts = (verdict["sentence"], f"Evidence: {verdict['evidence']}", f"Advice: {verdict['advice']}")
    return "\n".join(
        [
            verdict["question"],
            *(
                textwrap.fill(p, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
                for p in parts
            ),
            "",
        ]
    )


def listed(names: Iterable[str]) -> str:
    """``a, b and c``, each named once; ``none`` of nothing."""
    *most, last = dict.fromkeys(names) or ("none",)
    return f"{', '.join(most)} and {last}" if most else last
