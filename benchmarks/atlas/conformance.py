"""What one may expect of any optimizer, checked on one of the atlas."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import parity
from lrtheory.dims.torch_reader.running import as_written
from parity.conformance import TargetError, suite

from .entry import relative
from .targets import Subject

#: Its law is in the atlas already, and judged in more runs than a check has.
_IN_THE_ATLAS = ("scaling-law",)
#: Of these the cause is told.
_TOLD = ("failed", "expected failure", "noted", "not run", "skipped")


def conformance(subject: Subject, seconds: float) -> dict[str, Any]:
    """How many checks passed, and by outcome the others with their cause; ``cannot`` where none could be made, and why."""
    try:
        target, arguments = subject.target()
    except TargetError as error:
        return {"cannot": str(error)}
    only = [id for id in suite.checks(subject.kind) if id not in (*_IN_THE_ATLAS, *subject.beside)]
    try:
        # Compiling takes longer than all checks.
        with as_written(target) if subject.kind == "torch" and callable(target) else nullcontext():
            report = parity.check(target, arguments=arguments, only=only, time_limit=seconds, own_process=False)
    except TargetError as error:
        return {"cannot": relative(str(error).splitlines()[0])[:300]}
    if report["first-step"].status != "passed":
        return {"cannot": f"first step: {relative(report['first-step'].cause)[:300]}"}
    made: dict[str, Any] = {"passed": sum(r.status == "passed" for r in report.values())}
    for status in _TOLD:
        found = {r.check: relative(r.cause)[:300] for r in report.values() if r.status == status}
        if found:
            made[status.replace(" ", "_")] = found
    if report.notes:
        made["notes"] = [relative(note)[:300] for note in report.notes]
    return made
