"""The scaling law that the target's own code has: inferred by units, and confirmed by numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrtheory.dims import Dimensions

from ..comparing import demand, same
from ..outcome import Note, Skip
from ..registry import register
from ..runs import standard
from ..targets import Target

#: Factors of the loss and of the parameters: powers of four, under which even square roots are exact.
SCALES = ((16.0, 1.0), (1.0, 0.25), (0.25, 64.0))


@register(
    "scaling-law",
    "Where units inference proves a law (how every number changes when the loss or the parameters are multiplied), runs "
    "rescaled by powers of four obey it bit for bit. That no law holds is noted with the line that breaks it, and a "
    "failure only if one is claimed.",
)
def scaling_law(target: Target) -> None:
    """A law is claimed by ``claims_law``, or by a reference whose own law is proven."""
    found = _inferred(target)
    if found.status in ("broken", "unknown"):
        claimed = target.claims_law or _proven(target.reference)
        told = found.verdict if found.status == "unknown" else _first_break(found)
        demand(not (claimed and found.status == "broken"), f"a scaling law is claimed, but there is none: {told}")
        raise Note(f"no law: {told}")
    run = standard(target.shapes)
    plain = target.rescaled(found, run, 1.0, 1.0)
    demand(
        all(np.all(np.isfinite(v)) for v in plain.values()) and any(np.ptp(v) > 0 for v in plain.values()),
        "the run that would be rescaled does not move, or is not finite",
    )
    try:
        for loss, params in SCALES:
            expected = {n: params * v for n, v in plain.items()}
            other = target.rescaled(found, run, loss, params)
            same(expected, other, f"with the loss ×{loss:g} and the parameters ×{params:g} the law is not obeyed")
    except AssertionError as error:
        if found.status == "guarded":
            raise Note(f"a law with guards ({found.verdict}): {error}") from error
        raise


def _inferred(target: Target) -> Dimensions:
    try:
        return target.dimensions()
    except Skip:
        raise
    except Exception as error:
        raise Note(f"no law could be inferred: {(str(error).splitlines() or [type(error).__name__])[0]}") from error


def _proven(reference: Any) -> bool:
    try:
        return reference is not None and reference.dimensions().status == "proven"
    except (Skip, Exception):
        return False


def _first_break(found: Dimensions) -> str:
    broken = found.breaks[0]
    where = f"{broken.location.file.rpartition('/')[2]}:{broken.location.line}: " if broken.location else ""
    line = f" ({broken.location.source.strip()})" if broken.location else ""
    return f"{where}{broken.statement}{line}"
