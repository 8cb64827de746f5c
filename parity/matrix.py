"""The parity matrix: every rule with every option against every implementation that has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from . import bounds, oracle, table
from .cases import STREAMS, Case, LrSchedule
from .compare import GATES, Comparison, compare
from .drivers import replay
from .dtypes import DTYPES
from .known import known_difference
from .known_precision import known_precision
from .measured import ParityRow
from .trajectory import Trajectory

#: Implementations by what they are asked for with; capturable is by itself, as torch takes it on accelerators alone.
IMPLEMENTATIONS: Mapping[str, tuple[str, ...]] = {
    "torch": ("torch", "torch-foreach", "torch-fused"),
    "optax": ("optax",),
    "keras": ("keras",),
    "eager": ("lrtheory-eager",),
    "capturable": ("torch-capturable",),
}

#: What is compared with unless something else is asked for.
AGAINST = ("torch", "optax")

#: Schedules stepped by each framework's own scheduler, once per rule.
NAMED_SCHEDULES = (
    LrSchedule("step", {"step_size": 30, "gamma": 0.5}),
    LrSchedule("multi_step", {"milestones": [40, 90, 91], "gamma": 0.3}),
    LrSchedule("exponential", {"gamma": 0.98}),
    LrSchedule("linear", {"start_factor": 0.1, "total_iters": 50}),
    LrSchedule("cosine_annealing", {"T_max": 60, "eta_min": 1e-4}),
    LrSchedule("polynomial", {"total_iters": 150, "power": 2.0}),
    LrSchedule("cosine_annealing_warm_restarts", {"T_0": 20, "T_mult": 2}),
    LrSchedule("cyclic", {"step_size_up": 30, "mode": "triangular2"}),
    LrSchedule("one_cycle", {"total_steps": 200}),
)

Progress = Callable[[str, float], None]


def cases(rule: str, *, dtype: str = "float64", quick: bool = False) -> Iterator[Case]:
    """The runs of one rule: all variants at constant and at moving lr, and the named schedules on the richest one.

    Negation comes before all numbers, so that a negated set of options is run with the most numbers set alone.
    Quick: every set of options so, and of the negated ones a single set.
    """
    chosen = list(table.variants(rule))
    richest: dict[str, tuple[Any, Any]] = {}
    for options, numbers in chosen:
        key = str(sorted(options.items()))
        if key not in richest or len(numbers) >= len(richest[key][1]):
            richest[key] = (options, numbers)
    negated = [v for v in richest.values() if v[0].get("maximize")]
    if quick:
        plain = [v for v in richest.values() if not v[0].get("maximize")]
        # Where there is no gate, the plain rule alone stands for the others when there is little time.
        chosen = plain + negated[-1:] if dtype == "float64" else plain[:1]
    else:
        chosen = [v for v in chosen if not v[0].get("maximize")] + negated
    for options, numbers in chosen:
        for schedule in (LrSchedule("constant"), LrSchedule("moving")):
            yield Case(rule, options, numbers, STREAMS[dtype], schedule, dtype=dtype)
    if not quick:
        options, numbers = max((v for v in chosen if not v[0]), key=lambda v: len(v[1]), default=chosen[-1])
        cycles_momentum = "momentum" in numbers or "beta1" in numbers
        for schedule in NAMED_SCHEDULES:
            if schedule.name not in ("one_cycle", "cyclic") or cycles_momentum:
                yield Case(rule, options, numbers, STREAMS[dtype], schedule, dtype=dtype)


def rows(
    rules: Sequence[str] | None = None,
    *,
    dtype: str = "float64",
    quick: bool = False,
    against: Sequence[str] = AGAINST,
    truths: bool = False,
    progress: Progress = lambda text, done: None,
) -> list[ParityRow]:
    """Replay and compare.

    Parameters
    ----------
    rules : names, or all rules
    dtype : "float64" is held to the gate; in "float32", "bfloat16" and "float16" each of our steps is held to the bound
        derived for it
    quick : one set of numbers per set of options
    against : keys of :data:`IMPLEMENTATIONS`
    truths : at each first difference, what high precision gives there
    progress : called with what runs now and the share that is done

    Raises
    ------
    KeyError
        For a rule that does not exist.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r} must be one of {', '.join(DTYPES)}")
    known_rules = table.known_rules()
    unknown = [rule for rule in rules or () if rule not in known_rules]
    if unknown:
        raise KeyError(f"no rule named {unknown[0]!r}: there are {', '.join(known_rules)}")
    strange = [name for name in against if name not in IMPLEMENTATIONS]
    if strange or not against:
        raise ValueError(f"against={strange or against!r} must name one or more of {', '.join(IMPLEMENTATIONS)}")
    backends = [backend for name in dict.fromkeys(against) for backend in IMPLEMENTATIONS[name]]
    work = [case for rule in rules or known_rules for case in cases(rule, dtype=dtype, quick=quick)]
    result: list[ParityRow] = []
    for done, case in enumerate(work):
        progress(f"{case.rule} ({case.label}), {case.schedule} lr", done / len(work))
        found = list(_rows_of(case, backends))
        result.extend(_with_truths(case, found) if truths else found)
    progress("parity", 1.0)
    return result


def _with_truths(case: Case, rows: list[ParityRow]) -> list[ParityRow]:
    """Rows of one case, with the true value where runs first differ; a forced run's is another's state, and has none."""
    firsts = [row["first_difference"] for row in rows if row["mode"] == "free"]
    firsts = [first for first in firsts if first is not None]
    if firsts:
        truth = oracle.replay(case)
        for first in firsts:
            tensor, _, field = first["tensor"].partition(".")
            at = truth.states[first["step"]][tensor].get(field) if field else truth.params[tensor][first["step"]]
            if at is not None:
                first["truth"] = float(np.asarray(at, object)[tuple(first["coordinate"])])
    return rows


def _rows_of(case: Case, backends: Sequence[str]) -> Iterator[ParityRow]:
    ours = replay(case, "lrtheory")
    own = _shares(case, ours)
    reference = table.row(case.rule).reference
    for backend in backends:
        try:
            theirs = replay(case, backend)
        except table.Inexpressible as reason:
            if reference is None:  # what no framework has is not silently left out
                yield _row(case, backend, "free", refused=f"no counterpart: {reason}")
            continue
        except table.Refused as refused:
            yield _row(case, backend, "free", refused=str(refused))
            continue
        shares = own, _shares(case, theirs)
        yield _compared(case, backend, "free", compare(ours, theirs), shares)
        if backend == reference:
            forced = replay(case, "lrtheory", "forced", reference=theirs)
            shares = _shares(case, forced, theirs), shares[1]
            yield _compared(case, backend, "forced", compare(forced, theirs), shares)


def _shares(case: Case, run: Trajectory, reference: Trajectory | None = None) -> float | None:
    """The largest error of one step over the bound derived for it; ``None`` where none is derived, and in float64."""
    if case.dtype == "float64" or case.rule not in oracle.defined():
        return None
    return max(float(share.max(initial=0)) for share in bounds.excess(case, run, reference=reference).values())


def _compared(
    case: Case, backend: str, mode: str, comparison: Comparison, shares: tuple[float | None, float | None]
) -> ParityRow:
    ours, theirs = shares
    gate = (table.row(case.rule).gate or GATES["float64"]) if case.dtype == "float64" else None
    known = known_difference(case, backend)
    noted = known or known_precision(case, backend, theirs, comparison.largest_error)
    first = comparison.first_difference()
    where = None
    if first is not None:
        where = {"step": first.step, "tensor": first.tensor, "coordinate": list(first.coordinate)}
        where |= {"ours": first.a, "theirs": first.b, "truth": None}
    quantiles = zip(("ulp_median", "ulp_99", "ulp_largest"), comparison.ulp_quantiles(), strict=True)
    return _row(
        case,
        backend,
        mode,
        steps=case.steps,
        largest_error=comparison.largest_error,
        error_by_step=comparison.error_by_step(),
        **dict(quantiles),
        first_difference=where,
        gate=None if known else gate,
        bound_share=ours,
        their_bound_share=theirs,
        passed=_passed(comparison.largest_error, gate, ours, known is not None, noted is not None),
        note=f"{noted.reason} ({noted.source})" if noted else "",
    )


def _row(case: Case, backend: str, mode: str, **found: Any) -> ParityRow:
    """A run that did not come about, but for what was found."""
    nothing = dict.fromkeys(("ulp_median", "ulp_99", "ulp_largest"), float("nan"))
    absent = dict.fromkeys(("first_difference", "gate", "bound_share", "their_bound_share", "passed"))
    row = {
        "rule": case.rule,
        "options": case.label,
        "implementation": backend,
        "mode": mode,
        "dtype": case.dtype,
        "schedule": str(case.schedule),
        "steps": 0,
        "largest_error": float("nan"),
        "error_by_step": [],
        **nothing,
        **absent,
        "note": "",
        "refused": "",
    }
    return cast(ParityRow, {**row, **found})


def _passed(error: float, gate: float | None, share: float | None, known: bool, noted: bool) -> bool | None:
    """Whether ours is within its bound; ``None`` where there is none, and where the other one is known to differ."""
    if known:
        return None
    if gate is not None:
        return error <= gate
    if share is None or (noted and share <= 1):  # what is wrong with ours is told whatever is with theirs
        return None
    return share <= 1
