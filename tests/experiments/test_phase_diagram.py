"""The phase diagram: runs decide where its regions end, and a boundary in the wrong place is noticed."""

from __future__ import annotations

import numpy as np
import pytest

from parity.experiments import phase_diagram

from ..report.synthetic import phases


@pytest.fixture(scope="module")
def measured():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phase_diagram, "SIDE", 64)
        return phase_diagram.measure()


def test_boundaries_are_those_of_theory(measured):
    """2, 38 eps and 2 eps, the closed forms of the catalogue, for a curvature of 1."""
    found = {d["rule"]: d["boundary"] for d in measured}
    assert found == pytest.approx({"sgd": 2, "adam": 38 * 0.01, "rmsprop": 2 * 0.01})


def test_runs_lose_stability_at_the_boundary(measured):
    assert phase_diagram.boundary(measured)["outcome"] == "holds"
    letters = {d["rule"]: set("".join(d["outcome"])) for d in measured}
    assert letters["sgd"] == {"c", "d"}
    assert "o" in letters["adam"]
    assert "o" in letters["rmsprop"]


@pytest.mark.parametrize("factor", [1.3, 1 / 1.3])
def test_a_boundary_in_the_wrong_place_is_noticed(measured, factor):
    """Two cells of 64 over four decades are a factor of 1.34."""
    for d in measured:
        outcome = np.array([list(row) for row in d["outcome"]])
        product = np.outer(d["alpha"], d["lr"])
        off = phase_diagram.misplaced(outcome, product, factor * d["boundary"])
        wrong = {**d, "misplaced": off}
        assert phase_diagram.boundary([wrong])["outcome"] == "fails", d["rule"]


def test_outcomes_are_told_apart():
    swing = np.array([1.0, 0.2, 1.0, 0.3])
    runs = {
        "halved, swinging": (swing, swing / 3, "c"),
        "slow but steady": (np.array([0.99, 0.98, 0.97, 0.96]), np.array([0.90, 0.89, 0.88, 0.87]), "c"),
        "at rounding": (1e-14 * swing, 2e-14 * swing, "c"),
        "a cycle": (swing / 2, swing / 2, "o"),
        "a cycle of one loss": (np.full(4, 0.5), np.full(4, 0.5), "o"),
        "a cycle larger than the start": (9 * swing, 9 * swing, "o"),
        "growing": (2 * swing, 1e9 * swing, "d"),
        "not a number": (2 * swing, np.full(4, np.nan), "d"),
    }
    early, late = (np.stack([run[i] for run in runs.values()]) for i in (0, 1))
    found = phase_diagram.outcomes(np.ones(len(runs)), early, late)
    assert dict(zip(runs, found, strict=True)) == {name: run[2] for name, run in runs.items()}


def test_nothing_is_no_evidence():
    with pytest.raises(ValueError, match="nothing"):
        phase_diagram.boundary([])
    assert phase_diagram.boundary(phases())["outcome"] == "holds"
