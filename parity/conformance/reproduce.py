"""Code to paste that shows a failure again."""

from __future__ import annotations

from typing import Any

import jax

from . import registry
from .registry import Check
from .runs import Run
from .targets import Target


def code(one: Check, target: Target, run: Run | None) -> str:
    """A script that runs the one check on the one run, and raises its cause."""
    reference = target.reference
    arguments = [f"arguments={dict(target.arguments)!r}"] if target.arguments else []
    if reference is not None:
        arguments.append(f"reference={reference.expression.partition('  #')[0]}")
    if target.claims_law:
        arguments.append("claims_law=True")
    lines = ["from parity.conformance import Run, rerun" if run is not None else "from parity.conformance import rerun"]
    lines += dict.fromkeys(t.imports for t in (target, reference) if t is not None and t.imports)
    if run is not None:
        lines += ["", f"run = {run.code()}"]
    call = [target.expression.partition("  #")[0], repr(one.id), *(["run"] if run is not None else []), *arguments]
    comment = "  # target: the object that was checked" if "#" in target.expression else ""
    lines.append(f"rerun({', '.join(call)}){comment}")
    return "\n".join(lines)


def rerun(target: Any, check: str, run: Run | None = None, **more: Any) -> None:
    """Run one check on one run, and raise what it raises; ``more`` as in :func:`~parity.conformance.check`.

    Raises
    ------
    AssertionError or what the target raises
        With the cause.
    """
    from .execute import prepare

    subject = prepare(target, **more)
    one = registry.get(subject.kind, check)
    with jax.enable_x64(True):
        one.function(*([subject] if run is None else [subject, run]))
