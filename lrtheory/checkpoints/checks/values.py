"""Numbers that no run goes on from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .._arrays import array, is_finite
from ..checkpoint import Checkpoint
from ..fault import Fault, Notes, paired, some
from ..identified import Identified

EARLIER = "go back to an earlier checkpoint: what is written here cannot be mended"


def finite(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """No nan and no infinity in state, weights or hyperparameters, and no square below 0."""
    bad = [(t.name, slot) for t in of.tensors for slot, value in t.arrays.items() if not is_finite(value)]
    if bad:
        names, slots = dict.fromkeys(n for n, _ in bad), sorted({slot for _, slot in bad})
        text = f"{paired(bad)} has nan or infinity."
        yield Fault("not-finite", "proven", text, EARLIER, tuple(names), {"slots": slots})
    broken = [n for n, v in checkpoint.weights.items() if (a := array(v)) is not None and not is_finite(a)]
    if broken:
        text = f"The weights {some(broken)} have nan or infinity."
        yield Fault("weights-not-finite", "proven", text, EARLIER, tuple(broken))
    below = [
        (t.name, slot)
        for t in of.tensors
        if t.rule is not None
        for slot in t.rule.facts.sizes
        if slot in t.slots and np.any(t.slots[slot] < 0)
    ]
    if below:
        text = f"{paired(below)} is below 0, and is a sum of squares."
        yield Fault("negative-square", "proven", text, EARLIER, tuple(n for n, _ in below))
    for number, group in enumerate(of.saved.groups):
        for name, value in group.numbers.items():
            found = array(value)
            if found is not None and found.dtype.kind == "f" and not np.all(np.isfinite(found)):
                text, fix = f"{name} of group {number} is {value}.", "set it as the run was started with"
                yield Fault("number-not-finite", "proven", text, fix, (), {name: value})
    notes.looked_at.append("values: nan, infinity, squares below 0")
