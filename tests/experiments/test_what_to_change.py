"""Verdicts on rescaled numbers: runs that are off, diverge or are no nearer turn them."""

from __future__ import annotations

import pytest

from parity.experiments.claims import borne_out
from parity.experiments.what_to_change import batch_verdict, gap, loss_verdict

from ..report.synthetic import changes, claims


def changed(change: str, variant: str, **fields):
    """Made-up runs, those of one change and variant with other fields."""
    return [
        {**run, **fields} if run["change"].startswith(change) and run["variant"] == variant else run
        for run in changes()
    ]


def test_loss_holds_where_the_rescaled_run_is_the_run_as_it_was():
    verdict = loss_verdict(changes())
    assert verdict["outcome"] == "holds"
    assert "lr 0.05 → 0.000391" in verdict["sentence"]
    assert "bit for bit" in verdict["sentence"]
    assert "diverges" in verdict["evidence"]
    assert "to rounding" in loss_verdict(changed("loss", "rescaled", distance=1e-13))["sentence"]


@pytest.mark.parametrize("distance", [1e-6, None, float("nan")])
def test_loss_fails_where_it_is_not(distance):
    assert loss_verdict(changed("loss", "rescaled", distance=distance))["outcome"] == "fails"


@pytest.mark.parametrize(
    ("rescaled", "outcome"),
    [(0.1, "holds"), (0.4, "depends"), (0.6, "fails"), (None, "fails"), (float("nan"), "fails")],
)
def test_batch_is_judged_by_the_gap_that_is_left(rescaled, outcome):
    """Unchanged numbers leave 1.1, chance 0.05."""
    verdict = batch_verdict(changed("batch", "rescaled", gap=rescaled))
    assert verdict["outcome"] == outcome
    assert "linear rule: lr 0.05 → 0.000391" in verdict["evidence"]


def test_batch_rule_is_not_blamed_where_unchanged_numbers_leave_the_reals():
    assert batch_verdict(changed("batch", "unchanged hyperparameters", gap=None))["outcome"] == "depends"


def test_claim_that_is_not_borne_out_is_said():
    assert borne_out(claims())["outcome"] == "fails"
    sound = borne_out([{**claim, "holds": True} for claim in claims()])
    assert sound["outcome"] == "depends"
    assert "1 are true, 1 are false" in sound["sentence"]


@pytest.mark.parametrize("judge", [loss_verdict, batch_verdict, borne_out])
def test_nothing_is_no_evidence(judge):
    with pytest.raises(ValueError, match=r"nothing|no claim|no run"):
        judge([])


def test_gap_is_the_typical_factor_between_curves():
    import numpy as np

    base = np.geomspace(2, 0.01, 20)
    assert gap(base, base) == 0
    assert gap(base, base * np.exp(0.3)) == pytest.approx(0.3)
    assert gap(base, np.where(np.arange(20) == 0, 99, base)) == 0  # before any step
    assert gap(base, base * np.nan) is None
