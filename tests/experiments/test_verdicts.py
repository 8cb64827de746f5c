"""A verdict follows the numbers: doctored ones turn it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from parity.experiments import batch_size, effective_curves, loss_scaling, parity_matrix
from parity.experiments import digits_training as training
from parity.experiments.batch_size import REDUCTIONS, BatchSize
from parity.experiments.effective_curves import AdamNominal, Halving, StepSchedule
from parity.experiments.loss_scaling import AS_IS, CORRECTED, LR_DIVIDED, SAME_LR
from parity.measured import BatchRun, EffectiveCurves, Layer, LossScaleRun, ParityRow, ThresholdBracket, TrainingRun


def _scaled(rule: str = "sgd", framework: str = "jax", **distances: float | None) -> list[LossScaleRun]:
    variants = {AS_IS: 0.0, SAME_LR: 1e-5, LR_DIVIDED: 1e-15, CORRECTED: 1e-15}
    variants |= {{"same": SAME_LR, "divided": LR_DIVIDED, "corrected": CORRECTED}[k]: v for k, v in distances.items()}
    return [
        LossScaleRun(
            problem="linear regression",
            rule=rule,
            variant=variant,
            framework=framework,
            alpha=1.0 if variant == AS_IS else 10.0,
            hyper={"lr": 0.01, "eps": 1e-7 if variant == CORRECTED else 1e-8},
            loss=[1.0, 0.5],
            diverged=distance is None,
            distance=distance,
        )
        for variant, distance in variants.items()
    ]


@pytest.mark.parametrize(
    ("doctored", "outcome", "said"),
    [
        ({}, "holds", "Yes"),
        ({"divided": 0.9}, "fails", "eps 1e-08 → 1e-07"),
        ({"divided": 0.9, "corrected": 0.5}, "fails", "nor does"),
        ({"divided": None}, "fails", "No."),
        ({"divided": 2e-9}, "fails", "No."),
    ],
    ids=["undone", "not undone", "nothing helps", "diverged", "just outside the bound"],
)
def test_dividing_lr_follows_the_distance(doctored, outcome, said):
    runs = [*_scaled(), *_scaled(framework="torch", **doctored)]
    verdict = loss_scaling.dividing_lr(runs, "sgd")
    assert verdict["outcome"] == outcome
    assert said in verdict["sentence"]


def test_dividing_lr_needs_a_run():
    with pytest.raises(ValueError, match="no run of adam"):
        loss_scaling.dividing_lr(_scaled("sgd"), "adam")


@pytest.mark.parametrize(
    ("distance", "outcome"), [(1e-12, "holds"), (1e-5, "depends"), (0.3, "fails"), (None, "fails")]
)
def test_noticing_follows_the_distance(distance, outcome):
    assert loss_scaling.noticing(_scaled("adam", same=distance))["outcome"] == outcome


@pytest.mark.parametrize(("distance", "outcome"), [(1e-12, "holds"), (1e-5, "fails"), (None, "fails")])
def test_correcting_names_the_rule_that_is_off(distance, outcome):
    verdict = loss_scaling.correcting([*_scaled("sgd"), *_scaled("adam", corrected=distance)])
    assert verdict["outcome"] == outcome
    assert ("not for Adam" in verdict["sentence"]) == (outcome == "fails")


@pytest.mark.parametrize(("predicted", "outcome"), [(21.96, "holds"), (21.9, "fails"), (22.0, "fails")])
def test_divergence_wants_the_prediction_in_every_bracket(predicted, outcome):
    row = ThresholdBracket(
        framework="jax", lr=0.01, curvature=9.1, predicted=21.96, largest_converging=21.95, smallest_diverging=21.97
    )
    other: Any = row | {"framework": "torch", "predicted": predicted}
    assert loss_scaling.divergence([row, other])["outcome"] == outcome


def _batch(rule: str, reduction: str, size: int, ratio: float) -> BatchRun:
    return BatchRun(
        framework="torch",
        reduction=REDUCTIONS[reduction] + ("" if rule == "sgd" else ", Adam"),
        batch=size,
        gradient_norm=1.0,
        step_norm=ratio,
        step_ratio=ratio,
        predicted_ratio=None if (rule, reduction) == ("sgd", "mean") else ratio,
        per_example_lr=0.1,
    )


def _batches(summed: float = 16.0, averaged: float = 1.1, adam: float = 1.0, error: float = 1e-16) -> BatchSize:
    ratios = {("sgd", "sum"): summed, ("sgd", "mean"): averaged, ("adam", "sum"): adam, ("adam", "mean"): adam}
    runs = [_batch(*key, size, r) for key, ratio in ratios.items() for size, r in ((32, 1.0), (512, ratio))]
    return BatchSize(runs, {"jax": 1e-16, "torch": 1e-16}, {"jax": 1e-16, "torch": error})


@pytest.mark.parametrize(("error", "outcome"), [(1e-15, "holds"), (0.5, "fails"), (float("nan"), "fails")])
def test_accumulation_follows_the_error(error, outcome):
    assert batch_size.accumulation(_batches(error=error))["outcome"] == outcome


@pytest.mark.parametrize(
    ("summed", "averaged", "outcome", "said"),
    [
        (16, 1, "depends", "summed make it grow"),
        (1, 16, "depends", "averaged make it grow"),
        (16, 16, "holds", "Yes"),
        (1, 1, "fails", "No"),
    ],
)
def test_sgd_step_follows_the_ratios(summed, averaged, outcome, said):
    verdict = batch_size.sgd_step(_batches(summed, averaged))
    assert verdict["outcome"] == outcome
    assert said in verdict["sentence"]


@pytest.mark.parametrize(("ratio", "outcome"), [(1.0001, "fails"), (9.0, "holds")])
def test_adam_step_follows_the_ratios(ratio, outcome):
    assert batch_size.adam_step(_batches(adam=ratio))["outcome"] == outcome


def _curves(nominal: list[Any], effective: list[Any]) -> EffectiveCurves:
    return EffectiveCurves(
        framework="jax",
        rule="adam",
        step=[1, 2],
        nominal_lr=nominal,
        coordinates={"w[0]": effective},
        step_norm=[1.0, 1.0],
    )


@pytest.mark.parametrize(
    ("nominal", "effective", "outcome"),
    [
        ([0.01, 0.01], [0.02, 0.1], "holds"),
        ([0.01, 0.01], [0.02, 0.02], "fails"),
        ([0.01, 0.02], [0.02, 0.1], "fails"),
    ],
    ids=["moves", "effective stands still", "nominal moves"],
)
def test_adam_nominal_follows_the_curves(nominal, effective, outcome):
    found = AdamNominal([_curves(nominal, effective)], disagreement=1e-15)
    assert effective_curves.adam_nominal(found)["outcome"] == outcome


@pytest.mark.parametrize(
    ("at_once", "before", "outcome"), [(0.5, 0.06, "depends"), (0.5, 0.52, "holds"), (0.6, 0.5, "fails")]
)
def test_step_schedule_follows_the_halvings(at_once, before, outcome):
    right = Halving("jax", "sgd", at_once=0.5, later=0.5, before=0.5)
    doctored = dataclasses.replace(right, framework="torch", at_once=at_once, before=before)
    assert effective_curves.step_schedule(StepSchedule([], [right, doctored]))["outcome"] == outcome


def _training(rule: str = "adam", dtype: str = "float64", *layers: Layer, **changes: Any) -> TrainingRun:
    run = TrainingRun(
        model="mlp",
        rule=rule,
        schedule="constant",
        steps=300,
        dtype=dtype,
        step=[1, 10],
        nominal_lr=[0.01, 0.01],
        loss_jax=[2.0, 1.0],
        loss_torch=[2.0, 1.0],
        accuracy_jax=0.9,
        accuracy_torch=0.9,
        largest_difference=1e-14,
        first_difference_step=None,
        layers=list(layers) or [_layer()],
    )
    return {**run, **changes}  # type: ignore[typeddict-item]


def _layer(name: str = "hidden1.weight", q50: float = 0.01, eps: float = 0.0, update: float | None = 2e-3) -> Layer:
    return Layer(
        name=name,
        scale_invariant=False,
        q05=[q50, q50],
        q50=[q50, q50],
        q95=[q50, q50],
        harmonic_mean=[q50, q50],
        eps_dominated=[0.0, eps],
        relative_update=[None, update],
        decay_share=[0.0, 0.0],
        angular_lr=[q50, q50],
        rotation=[0.1, 0.1],
    )


def test_agreement_follows_the_largest_difference():
    assert training.agreement([_training()])["outcome"] == "holds"
    off = _training("adamw", largest_difference=1e-3, first_difference_step=4)
    verdict = training.agreement([_training(), off])
    assert verdict["outcome"] == "fails"
    assert "AdamW, constant lr differs from step 4" in verdict["sentence"]


def test_agreement_reports_float32_and_is_not_decided_by_it():
    single = _training("sgd", "float32", largest_difference=3e-6, first_difference_step=1)
    verdict = training.agreement([_training(), single])
    assert verdict["outcome"] == "holds"
    assert "3e-06" in verdict["evidence"]
    with pytest.raises(ValueError, match="no run in float64"):
        training.agreement([single])


@pytest.mark.parametrize(
    ("q50s", "outcome"), [((0.01, 0.0105), "holds"), ((0.01, 3.0), "depends"), ((0.1, 3.0), "fails")]
)
def test_effective_lr_follows_the_medians(q50s, outcome):
    run = _training("adam", "float64", *(_layer(f"layer{i}", q50=q) for i, q in enumerate(q50s)))
    assert training.effective_lr([run])["outcome"] == outcome


@pytest.mark.parametrize(
    ("updates", "outcome"), [((2e-3, 3e-3), "holds"), ((2e-3, 3e-5), "depends"), ((2e-4, 3e-5), "fails")]
)
def test_hardly_learning_names_the_slow_layer(updates, outcome):
    run = _training("adam", "float64", *(_layer(f"layer{i}", update=u) for i, u in enumerate(updates)))
    verdict = training.hardly_learning([run])
    assert verdict["outcome"] == outcome
    assert ("layer1 (Adam)" in verdict["sentence"]) == (outcome == "depends")


@pytest.mark.parametrize(
    ("shares", "outcome"), [((0.0, 0.005), "holds"), ((0.0, 0.05), "depends"), ((0.6, 0.05), "fails")]
)
def test_eps_dominated_follows_the_shares(shares, outcome):
    run = _training("adam", "float64", *(_layer(f"layer{i}", eps=share) for i, share in enumerate(shares)))
    assert training.eps_dominated([run])["outcome"] == outcome


def test_eps_dominated_needs_a_rule_with_eps():
    with pytest.raises(ValueError, match="no run of a rule with eps"):
        training.eps_dominated([_training("SGD with momentum")])


def _parity(passed: bool | None, error: float = 1e-15, note: str = "") -> ParityRow:
    return ParityRow(
        rule="adam",
        options="amsgrad",
        implementation="torch",
        mode="free",
        dtype="float64",
        schedule="moving",
        steps=200,
        largest_error=error,
        error_by_step=[error],
        ulp_median=0.0,
        ulp_99=1.0,
        ulp_largest=2.0,
        first_difference=None,
        gate=None if passed is None else 1e-13,
        bound_share=None,
        their_bound_share=None,
        passed=passed,
        note=note,
        refused="",
    )


@pytest.mark.parametrize(
    ("rows", "outcome", "said"),
    [
        ([_parity(True), _parity(None, 0.3, "by design")], "holds", "all 1 replays"),
        ([_parity(True), _parity(False, 0.3)], "fails", "1 of 2 replays"),
        ([_parity(None, 0.3, "by design")], "fails", "Unknown"),
        ([], "fails", "Unknown"),
    ],
    ids=["within", "one outside", "none held", "nothing compared"],
)
def test_parity_gate_follows_the_rows(rows, outcome, said):
    verdict = parity_matrix.gate(rows)
    assert verdict["outcome"] == outcome
    assert said in verdict["sentence"]
