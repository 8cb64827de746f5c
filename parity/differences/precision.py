"""The faults of float32 and half precision as they were measured: written down, and as a table."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import resources

import numpy as np

from .. import bounds, table
from ..cases import STREAMS, Case, LrSchedule, Stream
from ..drivers import replay
from ..known_precision import KNOWN_PRECISION, KnownPrecision
from ..trajectory import Trajectory

FILE = "precision.json"


@dataclass(frozen=True)
class Measured:
    """One run of one entry.

    Attributes
    ----------
    id, dtype, rule, backend : str
    size : float or None
        The largest share of its bound that a step takes, ``None`` where it is not finite; or the share of parameters that
        end not finite.
    """

    id: str
    dtype: str
    rule: str
    backend: str
    size: float | None


def plain_case(rule: str, dtype: str) -> Case:
    """Forty steps with the defaults at a moving lr, over one matrix or two of the rule's own shapes."""
    options, numbers = table.variants(rule)[0]
    if rule == "adan":  # which optax has with these alone
        options, numbers = {"proximal": False}, {"beta2": 0.5}
    own = table.row(rule).tensors
    tensors = {"weight": (8, 6)} if own is None else dict(list(own.items())[:2])
    return Case(rule, options, numbers, STREAMS[dtype], LrSchedule("moving"), 40, dtype, tensors)


def beyond(case: Case, run: Trajectory) -> float:
    """The largest error of one step over the bound derived for it."""
    return max(float(share.max(initial=0)) for share in bounds.excess(case, run).values())


def not_finite(run: Trajectory, ours: Trajectory) -> float:
    """The share of parameters that end not finite where ours end finite."""
    ends = [(run.params[name][-1], ours.params[name][-1]) for name in run.params]
    broken = [~np.isfinite(a.astype(float)) & np.isfinite(b.astype(float)) for a, b in ends]
    return float(np.mean(np.concatenate([values.ravel() for values in broken])))


def cases(entry: KnownPrecision) -> list[tuple[Case, str]]:
    """Runs that show an entry, each with its backend."""
    wider = {} if entry.decades is None else {"stream": Stream(decades=entry.decades)}
    return [
        (plain_case(rule, dtype).with_(**wider), backend)
        for dtype in entry.dtypes
        for backend, rules in entry.runs.items()
        for rule in rules
    ]


def size(entry: KnownPrecision, case: Case, backend: str) -> float:
    """The largest share of its bound that a step takes, or the share of parameters that end not finite, now."""
    run = replay(case, backend)
    return beyond(case, run) if entry.kind == "beyond" else not_finite(run, replay(case, "lrtheory"))


def measure(progress: Callable[[str, float], None] = lambda text, done: None) -> list[Measured]:
    """Every run of every entry, now."""
    work = [(entry, case, backend) for entry in KNOWN_PRECISION for case, backend in cases(entry)]
    found = []
    for done, (entry, case, backend) in enumerate(work):
        progress(f"{entry.id} {case.rule}", done / len(work))
        now = size(entry, case, backend)
        found.append(Measured(entry.id, case.dtype, case.rule, backend, now if math.isfinite(now) else None))
    return found


@functools.cache
def measured() -> tuple[Measured, ...]:
    """As it was last written down."""
    text = resources.files("parity.differences").joinpath(FILE).read_text(encoding="utf-8")
    return tuple(Measured(**entry) for entry in json.loads(text))


def as_text(found: Sequence[Measured]) -> str:
    """The file."""
    return "[\n" + ",\n".join(f" {json.dumps(asdict(entry))}" for entry in found) + "\n]\n"


def section(found: Sequence[Measured]) -> list[str]:
    """The part of docs/differences.md, as lines."""
    lines = [
        "## In fewer digits",
        "",
        "Where the definition is the same and the arithmetic is at fault. *Beyond*: the largest error of one step over the "
        "bound derived for it (`parity.bounds`), for arithmetic that rounds every operation to the dtype of the parameters. "
        "*Not finite*: the share of parameters that end as nan or infinity where ours end finite. Forty steps each, with the "
        "rule's defaults at a moving lr.",
    ]
    for entry in KNOWN_PRECISION:
        lines += [
            "",
            f"### {entry.id}",
            "",
            f"{entry.reason[0].upper()}{entry.reason[1:]}. Source: {entry.source}.",
            "",
        ]
        what = "times its bound" if entry.kind == "beyond" else "not finite"
        lines += [f"| dtype | implementation | rule and {what} |", "|---|---|---|"]
        for dtype in entry.dtypes:
            for backend in entry.runs:
                of = [m for m in found if (m.id, m.dtype, m.backend) == (entry.id, dtype, backend)]
                lines.append(f"| {dtype} | {backend} | {', '.join(f'{m.rule} {_size(m, entry.kind)}' for m in of)} |")
    return lines


def _size(found: Measured, kind: str) -> str:
    if found.size is None:
        return "nan"
    return f"{found.size:.3g}" if kind == "beyond" else f"{found.size:.0%}"
