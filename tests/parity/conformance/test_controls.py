"""Every broken optimizer is caught, by the check that should catch it; and the suite notices when it compares nothing."""

from __future__ import annotations

from dataclasses import replace

import mutants
import pytest
from mutants import CONTROLS, MUTANTS, Control, Mutant

import parity
from lrtheory.units import Units
from parity.conformance import comparing, suite
from parity.conformance.execute import execute, prepare
from parity.conformance.outcome import KINDS

by_name = pytest.mark.parametrize("control", CONTROLS, ids=lambda c: f"{c.name}-{c.caught_by}")


def result_of(control: Control):
    target = prepare(control.target, **control.settings)
    return execute(suite.get(control.kind, control.caught_by), target, shrinking=0)


@by_name
def test_control_is_caught_by_its_check(control):
    result = result_of(control)
    assert result.status == "failed", f"{control.target} passes {control.caught_by}"
    assert result.cause
    assert "did not finish" not in result.cause
    assert "rerun(" in result.example


def test_there_are_thirty_and_every_check_has_one():
    """A check that nothing fails is none; jit and tree of the two kinds are two checks."""
    assert len(CONTROLS) >= 30
    checked = {(c.kind, c.caught_by) for c in CONTROLS}
    without = [f"{kind} {id}" for kind in KINDS for id in suite.checks(kind) if (kind, id) not in checked]
    # One function serves both kinds here, and its control is of the other kind.
    both = {"isolated", "gradient-only", "resume"}
    assert [name for name in without if name.split()[1] not in both] == []
    assert {c.caught_by for c in CONTROLS} >= both


@pytest.mark.parametrize("comparison", ["always true", "not counted"])
def test_suite_notices_that_comparisons_are_disabled(monkeypatch, comparison):
    """With the comparison disabled controls that only a comparison can catch pass, which the test above would show."""
    by_comparison = [c for c in CONTROLS if c.caught_by in ("inputs", "lr-zero", "schedule", "param-groups", "resume")]
    assert len(by_comparison) >= 8
    if comparison == "always true":
        counted = comparing.verdict
        monkeypatch.setattr(comparing, "verdict", lambda holds, cause: counted(True, cause))
        assert all(result_of(c).status == "passed" for c in by_comparison)
        with pytest.raises(AssertionError, match="passes"):
            test_control_is_caught_by_its_check(by_comparison[0])
    else:
        monkeypatch.setattr(comparing, "verdict", lambda holds, cause: None)
        sound = prepare("mutants.optimizers:HeavyBall", reference="sgd(lr=0.1, momentum=0.9)")
        for id, one in suite.checks("torch").items():
            result = execute(one, sound, shrinking=0)
            assert result.status in ("failed", "skipped"), f"{id} passes without a comparison"
            if result.status == "failed":
                assert result.cause == "the check compared nothing"


def test_every_check_compares_in_every_sound_run():
    report = parity.check("mutants.optimizers:Adam", reference="adam(lr=0.1)", own_process=False)
    report.require()
    assert all(result.compared > 0 for result in report.values() if result.status == "passed")
    assert {r.check for r in report.values() if r.status != "passed"} == {"foreach"}  # which it does not take


@pytest.mark.parametrize("target", ["sgd(lr=0.1, momentum=0.9)", "torch.optim.SGD(lr=0.1, momentum=0.9)"])
def test_numbers_decide_on_a_law_that_was_wrongly_inferred(monkeypatch, target):
    subject = prepare(target)
    one = suite.get(subject.kind, "scaling-law")
    found = subject.dimensions()
    assert execute(one, subject).status == "passed"
    wrong = replace(found, hyper={**found.hyper, "lr": Units.parse("[param]")})
    monkeypatch.setattr(subject, "dimensions", lambda: wrong)
    result = execute(one, subject)
    assert (result.status, "the law is not obeyed" in result.cause) == ("failed", True)


@pytest.mark.deep
@by_name
def test_whole_suite_names_the_check_that_should_catch_it(control):
    report = parity.check(control.target, expected_failures={}, own_process=False, **control.settings)
    named = report[control.caught_by]
    # One cause is one failure: where another check meets it first, the named one is not run, and says for which.
    assert named.status == "failed" or (
        named.status == "not run" and any(failure.check in named.cause for failure in report.failures)
    )


@pytest.mark.parametrize(
    "mutant",
    [pytest.param(m, marks=[] if number % 5 == 0 else pytest.mark.deep) for number, m in enumerate(MUTANTS)],
    ids=lambda m: m.name,
)
def test_broken_rule_differs_from_the_sound_one(mutant: Mutant):
    """The rules of the comparison's own controls, caught here by parity with a named reference."""
    numbers = ", ".join(f"{k}={v!r}" for k, v in {**mutant.case.options, **mutant.case.numbers}.items())
    reference = f"{mutant.case.rule}({numbers})"
    broken = parity.check(
        mutant.rule(),
        arguments=dict(mutant.case.numbers),
        reference=reference,
        only=["reference"],
        expected_failures={},
    )
    assert [result.check for result in broken.failures] == ["reference"]
    sound = parity.check(reference, reference=reference, only=["reference"])
    sound.require()


def test_mutants_are_found_where_they_were():
    assert mutants.MUTANTS is MUTANTS
    assert len(MUTANTS) == 19
