"""The whole of a report's data: its types, its JSON, its seed."""

from __future__ import annotations

import json
import math
from typing import Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from lrtheory import laws
from lrtheory.outputs import plain
from parity.experiments import (
    claims,
    digits_training,
    effective_curves,
    loss_scaling,
    measure,
    parity_matrix,
    phase_diagram,
    what_to_change,
)
from parity.experiments.digits_training import Planned
from parity.measured import FigureId, Measured, curve
from parity.training import NORMALISED, Mlp

RUNS = digits_training.runs
TINY = Mlp("tiny", widths=(64, 6, 10))


@pytest.fixture(scope="module")
def measured():
    """A report of one rule with few layers, of the parity of one rule, and of a claim of each kind; all else is short."""
    one_of_each = {law.decision: law for law in laws.catalogue().values() if law.section == "claims"}

    said: list[tuple[str, float]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digits_training, "runs", lambda *, quick: [Planned(TINY, digits_training.ADAM)])
        patch.setattr(parity_matrix, "parts", lambda quick: [("signum", "float64")])
        patch.setattr(claims.laws, "catalogue", lambda: {law.id: law for law in one_of_each.values()})
        patch.setattr(loss_scaling, "WIDTH", 0.05)
        patch.setattr(loss_scaling, "STEPS", 40)
        patch.setattr(loss_scaling, "THRESHOLD_STEPS", 120)
        patch.setattr(effective_curves, "ADAM_STEPS", 60)
        patch.setattr(what_to_change, "SEEDS", 2)
        patch.setattr(phase_diagram, "SIDE", 32)
        report = measure(quick=True, seed=5, progress=lambda text, done: said.append((text, done)))
    return report, said


def _conforms(value: Any, hint: Any, where: str) -> None:
    """Fail unless ``value`` is what the type says."""
    if is_typeddict(hint):
        fields = get_type_hints(hint)
        assert value.keys() == fields.keys(), where
        for name, field in fields.items():
            _conforms(value[name], field, f"{where}.{name}")
    elif get_origin(hint) is list:
        assert isinstance(value, list), where
        for item in value:
            _conforms(item, get_args(hint)[0], f"{where}[]")
    elif get_origin(hint) is dict:
        for key, item in value.items():
            assert isinstance(key, str), where
            _conforms(item, get_args(hint)[1], f"{where}[{key}]")
    elif get_origin(hint) is Literal:
        assert value in get_args(hint), where
    elif get_args(hint):  # X | None
        if value is not None:
            _conforms(value, get_args(hint)[0], where)
    else:
        assert type(value) is hint, f"{where} is {type(value)}, not {hint}"


def test_report_is_what_its_types_say(measured):
    report, _ = measured
    _conforms(report, Measured, "report")
    for name, part in report.items():
        assert part, name


def test_report_is_strict_json(measured):
    report, _ = measured
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_every_verdict_is_one_of_its_own_and_says_something(measured):
    verdicts = measured[0]["verdicts"]
    assert len({v["id"] for v in verdicts}) == len(verdicts) >= 14
    for verdict in verdicts:
        assert verdict["question"].endswith("?")
        assert verdict["figure"] in get_args(FigureId)
        assert all(len(verdict[part]) > 15 for part in ("sentence", "evidence", "advice"))


def test_verdicts_of_the_experiments_are_what_theory_says(measured):
    outcomes = {v["id"]: v["outcome"] for v in measured[0]["verdicts"]}
    expected = {
        "frameworks-agree": "holds",
        "parity-gate": "holds",
        "loss-scale-sgd": "holds",
        "loss-scale-adam": "fails",
        "loss-scale-rmsprop": "fails",
        "loss-scale-correction": "holds",
        "loss-scale-blind-adam": "depends",
        "sgd-threshold": "holds",
        "batch-accumulation": "holds",
        "batch-step-sgd": "depends",
        "batch-step-adam": "fails",
        "adam-nominal": "holds",
        "step-schedule": "depends",
    }
    assert {name: outcomes[name] for name in expected} == expected


def test_rescaled_runs_are_the_runs_as_they_were(measured):
    """The loss bit for bit in both frameworks; the batch nearer than with unchanged numbers, which are another run."""
    runs = {(run["rule"], run["change"], run["framework"], run["variant"]): run for run in measured[0]["changes"]}
    assert len(runs) == len(measured[0]["changes"]) == 18
    for (rule, change, framework, variant), run in runs.items():
        kept = runs[rule, change, framework, "unchanged hyperparameters"]
        if change == "loss ×128" and variant == "rescaled":
            assert run["distance"] == 0
            assert run["hyper"] != kept["hyper"]
            assert kept["distance"] is None or kept["distance"] > 1e-9
        if change == "batch ×4" and variant == "rescaled":
            assert run["gap"] < 0.5 * kept["gap"]


def test_progress_rises_to_one(measured):
    shares = [done for _, done in measured[1]]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1


def test_quick_still_trains_every_rule_and_the_normalised_model():
    quick, full = RUNS(quick=True), RUNS()
    for chosen in (quick, full):
        assert {run.setup.label for run in chosen} == {"SGD with momentum", "adam", "adamw", "rmsprop"}
        assert any(run.model == NORMALISED for run in chosen)
        assert {run.setup.schedule.name for run in chosen} == {"constant", "cosine_annealing", "one_cycle"}
    assert len(full) > len(quick)
    assert any(run.dtype == "float32" for run in full)


def test_parity_is_shown_of_what_is_trained_with_first():
    quick, full = parity_matrix.parts(quick=True), parity_matrix.parts(quick=False)
    assert set(quick) < set(full)
    assert full[:3] == [(rule, "float64") for rule in parity_matrix.TRAINED_RULES]
    assert {rule for rule, dtype in full if dtype == "float32"} == set(parity_matrix.TRAINED_RULES)


def test_training_is_determined_by_its_seed():
    run = Planned(TINY, digits_training.SGD_MOMENTUM)
    one, again, other = (digits_training.measure_run(run, seed) for seed in (0, 0, 1))
    assert one == again
    assert one["loss_torch"] != other["loss_torch"]


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed=-1"):
        measure(seed=-1)


def test_values_that_are_not_finite_become_none():
    assert curve([1.0, math.inf, math.nan, 1 / 3]) == [1.0, None, None, 0.333333]
    assert plain({"a": [1, math.inf, "text"], "b": -math.nan}) == {"a": [1, None, "text"], "b": None}
