"""One optimizer of the atlas: units, verdict, lines, what numbers say, and what is odd about it."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from lrtheory.dims import Dimensions, Location
from lrtheory.dims.dimensions import UNREAD

from .judge import judge, path

#: Of what a reader of the page must know to rely on the JSON; raised when a field changes its meaning.
SCHEMA = 1
#: How the two oddities of a state begin.
UNRESUMED, UNSAVED = "does not resume from its state_dict", "its state cannot be saved and loaded"
#: Options that choose how a step is computed, or whether something is printed: they are not to change it.
_HOW = ("foreach", "fused", "capturable", "differentiable", "verbose", "compile", "use_triton", "fsdp", "caution")


def entry(
    name: str,
    distribution: str,
    version: str,
    infer: Callable[[], Dimensions],
    seconds: float,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything in plain types; what cannot be read has a status of ``refused`` and the reason.

    Where ``before`` has the same verdict its numbers stand, and nothing is run again.
    """
    made: dict[str, Any] = {"name": name, "distribution": distribution, "version": version}
    try:
        found = infer()
    except Exception as error:
        return {**made, "status": "refused", "reason": relative((str(error).splitlines() or ["?"])[0])[:300]}
    made |= verdict(found)
    if before is not None and _same(made, before):
        return {**before, "notes": made["notes"]}
    try:
        judged = judge(found, seconds)
        made["numbers"] = judged.as_json()
        if judged.says == "finds a law":
            made["status"] = "numerical"
    except Exception as error:
        made["numbers"] = {"says": "cannot run it", "where": relative(f"{type(error).__name__}: {error}")[:200]}
    with contextlib.suppress(Exception):  # what cannot be run says so above
        made["odd"] = list(oddities(found)) if hasattr(found.program, "form") else []
    return made


def _same(made: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether the verdict is the one of before; a law found in numbers is no verdict of the code."""
    if before.get("numbers", {}).get("says") == "cannot run it":
        return False
    as_read = {**before, "status": "unknown" if before["status"] == "numerical" else before["status"]}
    said = json.loads(json.dumps({field: value for field, value in made.items() if field != "notes"}))
    return {field: as_read.get(field) for field in said} == said


def verdict(found: Dimensions) -> dict[str, Any]:
    """What ``dims`` says, with places from their package on."""
    return {
        "status": found.status,
        "reason": relative(found.unknown or found.proviso),
        "units": {n: "any" if n in found.free else str(u) for n, u in found.hyper.items()},
        "law": {n: [str(u.loss), str(u.param)] for n, u in found.hyper.items() if n not in found.free},
        "breaks": [{**place(b.location), "says": relative(b.statement), "literal": b.literal} for b in found.breaks],
        "survives": found.survives,
        "guards": [{**place(g.location), "says": relative(g.condition)} for g in dict.fromkeys(found.guards)],
        "notes": [relative(note) for note in found.notes],
        **({"unread": unread} if (unread := nowhere_read(found)) else {}),
    }


def nowhere_read(found: Dimensions) -> list[str]:
    """Numbers that no step can read."""
    return [name for name, how in found.unread.items() if how == UNREAD]


def place(at: Location | None) -> dict[str, Any]:
    """File, line and text of it; a line of torch's own has the line that called it from elsewhere."""
    if at is None:
        return {"at": "", "source": ""}
    frames = (at, *at.callers)
    own = next((frame for frame in frames if "/torch/" not in frame.file), at) if "/torch/" in at.file else at
    if "/torch/optim/" in at.file:
        own = at
    return {"at": f"{relative(own.file)}:{own.line}", "source": own.source.strip()}


def relative(text: str) -> str:
    """Without what is this machine's: paths start at their package."""
    text = re.sub(r"\S*?(?:site-packages|dist-packages)/", "", text)
    return re.sub(r"/\S*?/(?=(?:lrtheory|benchmarks)/)", "", text)


def oddities(found: Dimensions) -> Iterator[str]:
    """Other numbers and switches that change nothing in 40 steps, and a state that does not go on as it was."""
    program, steps, unread = found.program, 40, nowhere_read(found)
    base = path(program, program.numbers, steps)

    def same(numbers: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
        try:
            return np.array_equal(path(program, numbers, steps, others=others), base, equal_nan=True)
        except Exception:
            return False

    numbers = {n: x * 0.75 if x else 0.01 for n, x in program.numbers.items() if n not in unread}
    idle = [n for n, x in numbers.items() if same({**program.numbers, n: x}, {})]
    for name, parameter in inspect.signature(program.optimizer).parameters.items():
        if isinstance(parameter.default, bool) and not any(how in name for how in _HOW):
            value = program.others.get(name, parameter.default)
            if same(program.numbers, {name: not value}):
                idle.append(name)
    if idle:
        yield f"changes nothing in {steps} steps of this small problem: {', '.join(idle)}"
    try:
        resumed = path(program, program.numbers, steps, resume=steps // 2)
    except Exception as error:
        yield f"{UNSAVED}: {relative((str(error).splitlines() or ['?'])[0])[:120]}"
    else:
        if not np.array_equal(resumed, base, equal_nan=True):
            apart = np.flatnonzero(np.any((resumed != base) & ~(np.isnan(resumed) & np.isnan(base)), axis=1))
            yield f"{UNRESUMED}: saved after {steps // 2} steps, step {apart[0] + 1} is another"
