"""Known faults of float32 and half precision are still there, as written down, and nothing else is beyond its bound."""

from __future__ import annotations

import pytest

import parity
from parity import table
from parity.cases import Case
from parity.differences.precision import beyond, cases, measured, not_finite, plain_case, size
from parity.dtypes import HALF
from parity.known import known_difference
from parity.known_precision import KNOWN_PRECISION, KnownPrecision, known_precision

BACKENDS = ("torch", "torch-foreach", "torch-fused", "optax", "keras")

RUNS = [
    pytest.param(
        entry,
        case,
        backend,
        marks=[] if index == 0 else pytest.mark.deep,
        id=f"{entry.id}-{case.dtype}-{case.rule}-{backend}",
    )
    for entry in KNOWN_PRECISION
    for index, (case, backend) in enumerate(cases(entry))
]


@pytest.mark.parametrize(("entry", "case", "backend"), RUNS)
def test_known_fault_is_still_there(entry: KnownPrecision, case: Case, backend: str) -> None:
    """Fails when a new version mends it: then remove the entry and run ``python benchmarks/differences.py``."""
    now = size(entry, case, backend)
    assert now > entry.least
    run = (entry.id, case.dtype, case.rule, backend)
    (written,) = [m for m in measured() if (m.id, m.dtype, m.rule, m.backend) == run]
    # Another CPU contracts otherwise, which moves the largest error of a step by a part of its rounding.
    assert (float("inf") if written.size is None else written.size) == pytest.approx(now, rel=0.3)


def test_every_run_is_written_down_once() -> None:
    runs = [(e.id, c.dtype, c.rule, b) for e in KNOWN_PRECISION for c, b in cases(e)]
    assert [(m.id, m.dtype, m.rule, m.backend) for m in measured()] == runs
    assert len({entry.id for entry in KNOWN_PRECISION}) == len(KNOWN_PRECISION)


@pytest.mark.parametrize(
    ("rule", "dtype"),
    [
        pytest.param(rule, dtype, marks=[] if rule == "adamax" and dtype in HALF else pytest.mark.deep)
        for rule in table.known_rules()
        for dtype in ("float32", *HALF)
    ],
)
def test_what_is_not_known_is_within_its_bound_and_finite(rule: str, dtype: str) -> None:
    case = plain_case(rule, dtype)
    ours = parity.replay(case, "lrtheory")
    for backend in BACKENDS:
        if known_difference(case, backend) is not None:
            continue  # another definition
        try:
            run = parity.replay(case, backend)
        except parity.Inexpressible:
            continue
        kinds = {entry.kind for entry in KNOWN_PRECISION if entry.applies(rule, dtype, backend)}
        share = beyond(case, run)
        assert share <= 1 or "beyond" in kinds or (share == float("inf") and "not finite" in kinds), backend
        assert not_finite(run, ours) == 0 or kinds, backend


def test_an_entry_explains_what_is_seen_and_nothing_else() -> None:
    case = plain_case("adam", "float16")
    assert known_precision(case, "optax", 0.3, 0.01) is None
    found = known_precision(case, "optax", 0.3, float("inf"))
    assert found is not None
    assert found.id == "eps-vanishes-in-float16"
    assert known_precision(case, "torch-fused", 0.3, float("inf")) is None
    assert known_precision(plain_case("adam", "float32"), "optax", 2.0, 0.1) is not None
    assert known_precision(plain_case("adam", "float32"), "optax", 0.9, 0.1) is None
