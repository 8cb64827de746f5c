"""The same numbers as a named reference."""

from __future__ import annotations

import contextlib
from typing import Any

from ...drivers.in_torch import default_dtype
from ..comparing import close, moved
from ..outcome import Skip, a_check
from ..runs import Run, standard
from ..targets import Target, follow

#: As the gate of parity.compare, for eight steps: measured, not derived. Two correct implementations in float64 stay
#: within it over 200 steps.
GATE = 1e-13


@a_check(
    "reference",
    "Under a constant and under a moving lr the parameters stay within 1e-13 of each coordinate's reach of those of the "
    "reference: the one that was named, or our rule of the same name and numbers.",
    examples=10,
)
def reference(target: Target, run: Run) -> None:
    """Two rules can agree under a constant lr and differ under a schedule."""
    if target.reference is None:
        raise Skip("no reference was named, and none is known for it")
    theirs = target.reference
    if len(theirs.shapes) < len(target.shapes):
        raise Skip(f"{theirs.name} takes fewer shapes ({', '.join(theirs.shapes)})")
    with _same_digits(target, theirs):
        _compare(target, theirs, run)


def _compare(target: Target, theirs: Target, run: Run) -> None:
    expected = follow(theirs, run)
    if run.code() == standard(target.shapes).code():
        moved(expected, f"the reference {theirs.name} does not move")
    close(follow(target, run), expected, f"differs from {theirs.name}", GATE)
    if target.lr is not None and theirs.lr is not None:
        moving = follow(theirs, run, moving=True)
        close(follow(target, run, moving=True), moving, f"with a moving lr it differs from {theirs.name}", GATE)


def _same_digits(target: Target, theirs: Target) -> Any:
    """Torch keeps some numbers of its own in the default dtype, whatever that of the parameters."""
    return default_dtype("float64") if "torch" in (target.kind, theirs.kind) else contextlib.nullcontext()
