"""The same numbers as a named reference."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from ... import table
from ...compare import GATES
from ...drivers.in_torch import default_dtype
from ..comparing import Failed, close, moved
from ..outcome import Skip, a_check
from ..references import reference_for
from ..runs import Run, standard
from ..targets import Target, follow, going_on

#: Times the change that one unit in the last place of every gradient makes in the reference's run: what differs in no more
#: than rounding may be so far off where a rule amplifies it.
AMPLIFIED = 64.0


@a_check(
    "reference",
    "Under a constant and under a moving lr the parameters stay within 1e-13 of each coordinate's reach of those of the "
    "reference: the one that was named, or our rule of the same name and hyperparameters.",
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
    _agree(target, theirs, run, f"differs from {theirs.name}", moving=False)
    if target.lr is not None and theirs.lr is not None:
        _agree(target, theirs, run, f"with a moving lr it differs from {theirs.name}", moving=True)


def _agree(target: Target, theirs: Target, run: Run, cause: str, *, moving: bool) -> None:
    """Within the gate of the rule, and what its named exceptions and the rounding of gradients allow besides."""
    expected, found = follow(theirs, run, moving=moving), follow(target, run, moving=moving)
    gate, of_lr = _gate(target, theirs)
    largest = (theirs.lr or 0.0) * float(np.max(run.lrs) if moving else 1.0)
    try:
        close(found, expected, cause, gate, of_lr * largest)
    except Failed:
        nudged = {n: np.where(g == 0, g, np.nextafter(g, np.copysign(np.inf, g))) for n, g in run.grads.items()}
        amplified = follow(theirs, run, moving=moving, grads=nudged)
        besides = {n: of_lr * largest + AMPLIFIED * np.abs(amplified[n] - v).max(axis=0) for n, v in expected.items()}
        close(found, expected, cause, gate, besides)


def _gate(target: Target, theirs: Target) -> tuple[float, float]:
    """Of the rule that one of them is known to be: the gate of the parity matrix and its exceptions."""
    for one in (target, theirs):
        rule = getattr(one, "rule", None) or getattr(reference_for(one), "rule", None)
        if rule is not None:
            found = table.row(rule)
            return found.gate or GATES["float64"], found.of_lr
    return GATES["float64"], 0.0


def _same_digits(target: Target, theirs: Target) -> Any:
    """Torch keeps some numbers of its own in the default dtype, whatever that of the parameters."""
    return default_dtype("float64") if "torch" in (target.kind, theirs.kind) else contextlib.nullcontext()


@a_check(
    "foreach",
    "Where the constructor takes foreach, the loop over tensors and the list of all agree, also where averages of gradients "
    "cancel to 0.",
    kinds=("torch",),
)
def foreach(target: Any) -> None:
    """A sign of an average that is 0 but for rounding must be the same for both."""
    if "foreach" not in target.arguments_taken:
        raise Skip("it takes no argument foreach")
    group = target.start(standard(target.shapes).params).optimizer.param_groups[0]
    numbers = [n for value in group.values() for n in (value if isinstance(value, tuple) else (value,))]
    rates = sorted({n for n in numbers if isinstance(n, float) and 0.1 < n < 1})
    larger = {name: (*[5 * n for n in shape],) for name, shape in target.shapes.items()}
    plain = standard(larger)
    for rate in (None, *rates):
        run = plain if rate is None else plain.with_(grads={n: _cancelling(g, rate) for n, g in plain.grads.items()})
        with default_dtype("float64"):
            loop, lists = (
                going_on(target.start(run.params, arguments={"foreach": on}), run, range(run.steps))
                for on in (False, True)
            )
        where = f" where gradients of g and −{rate:g}·g cancel" if rate is not None else ""
        close(lists, loop, f"foreach differs from the loop{where}", GATES["float64"])


def _cancelling(grads: np.ndarray, rate: float) -> np.ndarray:
    signs = np.where(np.arange(len(grads)) % 2, -rate, 1.0).reshape(-1, *[1] * (grads.ndim - 1))
    return signs * grads[:1]
