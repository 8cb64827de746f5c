"""Rules, options, numbers and streams for the property tests, drawn by Hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from lrtheory import rules
from lrtheory.rules import Rule
from parity import table

SHAPES = {"w": (3, 2), "b": (2,), "s": ()}


def every_rule() -> list[Rule]:
    """Every rule with every set of options that is replayed, once."""
    found: dict[Rule, None] = {}
    for name in table.known_rules():
        for options, _ in table.variants(name):
            found[rules.get(name)(**options)] = None
    return list(found)


def numbers_for(rule: Rule) -> list[dict[str, float]]:
    """The numbers that a rule with these options is replayed with."""
    return [dict(n) for o, n in table.variants(rule.name) if rules.get(rule.name)(**o) is rule]


@st.composite
def runs(
    draw: st.DrawFn, steps: int = 9
) -> tuple[Rule, dict[str, float], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A rule, numbers, first parameters and a stream of gradients (float64) that changes sign and size."""
    rule = draw(st.sampled_from(every_rule()))
    numbers = dict(draw(st.sampled_from(numbers_for(rule))))
    numbers["lr"] = draw(st.floats(1e-4, 1.0))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = 10.0 ** draw(st.floats(-4, 4))
    params = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    grads = {name: size * rng.standard_normal((steps, *shape)) for name, shape in SHAPES.items()}
    return rule, numbers, params, grads


def at(grads: dict[str, Any], step: int) -> dict[str, Any]:
    """The gradients of one step."""
    return {name: value[step] for name, value in grads.items()}
