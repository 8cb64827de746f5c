"""Formulas are at hand as soon as ``laws`` or ``theory`` is, and cost the catalogue nothing (R6, B3)."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("room", ["laws", "theory"])
def test_a_formula_is_found_at_once_and_no_law_is_loaded(room: str) -> None:
    code = f"""
import sys
from lrtheory import {room}
for name in ("stability.threshold", "bounds.largest_step", "momentum.gain", "invariance.equilibrium"):
    section, formula = name.split(".")
    assert callable(getattr(getattr({room}, section), formula)), name
print([name for name in sys.modules if name.startswith("lrtheory.laws.") and name.count(".") == 3])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr


@pytest.mark.parametrize("room", ["laws", "theory"])
def test_what_is_not_there_is_named(room: str) -> None:
    import lrtheory

    with pytest.raises(AttributeError, match=r"it has .*stability"):
        getattr(lrtheory, room).stabilty  # noqa: B018
