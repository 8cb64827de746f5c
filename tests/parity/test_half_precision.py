"""bfloat16 and float16 in the matrix: each step within the bound derived for it, and what is only nearly right beyond."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

import parity
from parity import bounds, matrix, table
from parity.cases import STREAMS, Case, LrSchedule
from parity.dtypes import HALF, works_in
from parity.trajectory import Trajectory

#: Run every time; the others in a deep run.
IN_EVERY_RUN = ("sgd", "adam")
OURS = ("lrtheory", "lrtheory-eager")
TORCHS = ("torch", "torch-foreach", "torch-fused")


def case_of(rule: str, dtype: str, **numbers: float) -> Case:
    options, given = table.variants(rule)[0]
    return Case(rule, options, {**given, **numbers}, STREAMS[dtype], LrSchedule("moving"), dtype=dtype)


def judged(case: Case, run: Trajectory) -> tuple[float, float]:
    """The largest share of its bound that a step takes, and of how many coordinates and steps there is one."""
    shares = np.concatenate([share.ravel() for share in bounds.excess(case, run).values()])
    limits = np.concatenate([limit.ravel() for limit in bounds.bound(case, run).values()])
    return float(shares.max()), float(np.isfinite(limits).mean())


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize(
    "rule", [pytest.param(r, marks=[] if r in IN_EVERY_RUN else pytest.mark.deep) for r in table.known_rules()]
)
def test_every_step_is_within_the_bound_derived_for_it(rule: str, dtype: str) -> None:
    case = case_of(rule, dtype)
    for backend in OURS:
        run = parity.replay(case, backend)
        share, covered = judged(case, run)
        assert 0.25 < share <= 1, backend
        # Without one where Adafactor's and Adagrad's squares have overflowed in the state of a float16 run.
        assert covered > (0.5 if dtype == "float16" else 0.999), backend


def as_ours(run: Trajectory) -> Trajectory:
    """Held to what is expected of one that computes in float32 and rounds once."""
    return replace(run, implementation="lrtheory")


def test_what_rounds_after_every_operation_is_over_the_bound_of_one_rounding() -> None:
    case = case_of("adam", "bfloat16")
    loop = parity.replay(case, "torch")
    assert judged(case, loop)[0] <= 1
    assert judged(case, as_ours(loop))[0] > 1.5
    assert judged(case, as_ours(parity.replay(case, "torch-fused")))[0] <= 1


def test_parameters_rounded_towards_zero_are_over_the_bound() -> None:
    """The last step alone, so that all others start from where the run was."""
    case = case_of("adam", "bfloat16").with_(steps=8)
    run = parity.replay(case, "lrtheory")
    assert judged(case, run)[0] <= 1
    exact = parity.oracle.judge(case, run, numbers="held").truth
    params = {}
    for name, path in run.params.items():
        cut = (exact[name][-1].astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
        params[name] = np.concatenate([path[:-1], cut.astype(ml_dtypes.bfloat16)[None]])
    assert judged(case, replace(run, params=params))[0] > 1.5


@pytest.mark.parametrize("dtype", HALF)
def test_a_rate_that_is_off_is_over_the_bound(dtype: str) -> None:
    """The first steps start at 0, so that an update is rounded by no more than itself."""
    case = case_of("adam", dtype, beta2=0.99)
    wrong = parity.replay(case.with_(numbers={**case.numbers, "beta2": 0.985}), "lrtheory")
    assert judged(case, wrong)[0] > 1.5


def test_rows_of_half_precision_are_judged_and_compared() -> None:
    rows = matrix.rows(["adam"], dtype="float16", quick=True)
    assert {(r["implementation"], r["mode"]) for r in rows} == {
        *((name, "free") for name in (*TORCHS, "optax")),
        ("torch", "forced"),
    }
    for row in rows:
        assert row["gate"] is None
        assert row["bound_share"] is not None
        assert row["their_bound_share"] is not None
        assert 0.25 < row["bound_share"] <= 1
        assert row["their_bound_share"] <= 1
        assert row["passed"] is (None if row["note"] else True)
        assert bool(row["note"]) == (row["largest_error"] == float("inf"))


def test_what_a_framework_refuses_is_told_in_its_own_words() -> None:
    (row, *_) = matrix.rows(["rmsprop"], dtype="bfloat16", quick=True, against=["capturable"])
    assert row["passed"] is None
    assert "capturable=True" in row["refused"]
    with pytest.raises(parity.Refused, match="capturable=True"):
        parity.replay(parity.Case("rmsprop", steps=8), "torch-capturable")
    with pytest.raises(parity.Inexpressible, match="no capturable implementation of sgd"):
        parity.replay(parity.Case("sgd", steps=8), "torch-capturable")


def test_only_ours_and_fused_adam_round_once() -> None:
    assert works_in("bfloat16", "lrtheory eager", "sgd") == "float32"
    assert works_in("bfloat16", "torch fused", "adam") == "float32"
    assert works_in("bfloat16", "torch fused", "adagrad") == "bfloat16"
    assert works_in("float64", "lrtheory", "sgd") == "float64"


class OneGradient(Case):
    """A first gradient of ones, and then zeros."""

    def gradients(self) -> dict[str, np.ndarray]:
        streams = {name: np.zeros_like(stream) for name, stream in super().gradients().items()}
        for stream in streams.values():
            stream[0] = 1
        return streams


@pytest.mark.parametrize("backend", ["lrtheory", "torch", "optax"])
def test_an_average_in_bfloat16_does_not_forget_at_the_default_rate(backend: str) -> None:
    """0.999 of a number is nearer to it than to its neighbour, in every implementation: docs/rules.md."""
    kept = {}
    for dtype in ("bfloat16", "float32"):
        v = parity.replay(OneGradient("adam", dtype=dtype), backend).field("weight", "v")
        assert v is not None
        kept[dtype] = float((v[-1] / v[0]).min())
    assert kept["bfloat16"] == 1
    assert kept["float32"] == pytest.approx(0.999**199, rel=1e-3)
