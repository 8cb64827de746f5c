"""Experiment (d)."""

from __future__ import annotations

import pytest

from parity.experiments import batch_size
from parity.experiments.batch_size import REDUCTIONS, SIZES


@pytest.fixture(scope="module")
def found():
    return batch_size.measure(seed=2)


def _rows(found, reduction):
    rows = [run for run in found.runs if run["reduction"] == reduction]
    assert len(rows) == 2 * len(SIZES)
    return rows


def test_summed_gradient_is_batch_times_mean_in_both_frameworks(found):
    assert found.law_error.keys() == found.accumulation_error.keys() == {"jax", "torch"}
    assert max(*found.law_error.values(), *found.accumulation_error.values()) < 1e-14


def test_summed_step_is_as_predicted_from_mean_gradients(found):
    for run in _rows(found, REDUCTIONS["sum"]):
        assert run["step_ratio"] == pytest.approx(run["predicted_ratio"], rel=1e-12)
        assert run["per_example_lr"] == 1e-4
    assert max(run["step_ratio"] for run in _rows(found, REDUCTIONS["sum"])) > 8


def test_mean_step_has_no_exact_law_and_shares_its_lr(found):
    for run in _rows(found, REDUCTIONS["mean"]):
        assert run["predicted_ratio"] is None
        assert 0.3 < run["step_ratio"] < 3
        assert run["per_example_lr"] == pytest.approx(1e-4 / run["batch"])


@pytest.mark.parametrize("reduction", REDUCTIONS.values(), ids=REDUCTIONS.keys())
def test_adam_step_hardly_depends_on_the_batch(found, reduction):
    for run in _rows(found, f"{reduction}, Adam"):
        assert run["step_ratio"] == pytest.approx(1, abs=1e-4)
        assert run["step_ratio"] == pytest.approx(run["predicted_ratio"], rel=1e-12)


def test_frameworks_make_the_same_step(found):
    pairs = {}
    for run in found.runs:
        pairs.setdefault((run["reduction"], run["batch"]), []).append(run["step_norm"])
    assert len(pairs) == 4 * len(SIZES)
    for ours, theirs in pairs.values():
        assert ours == pytest.approx(theirs, rel=1e-12)


def test_accumulation_error_sees_an_average(found):
    problem = batch_size.linear.linear_problem(max(SIZES), 0)
    step, at_once = (
        batch_size.torch_step(problem, batch_size.SETUPS["sgd"], 32, how) for how in ("mean", batch_size.AT_ONCE)
    )
    assert batch_size._difference(step.gradients, at_once.gradients, 1) > 1
