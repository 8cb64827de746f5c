"""The checks as pytest tests, used as an optimizer's author does."""

from __future__ import annotations

import pytest
from mutants.optimizers import HeavyBall, LrReadOnce

import parity
from parity.conformance import checks
from parity.conformance.comparing import Failed


@parity.parametrize_with_checks([HeavyBall], reference="sgd(lr=0.1, momentum=0.9)")
def test_heavy_ball(target, check):
    check(target)


READ_ONCE = dict.fromkeys(("schedule", "lr-zero", "param-groups"), "the lr is read once")


@parity.parametrize_with_checks([LrReadOnce], expected_failures=READ_ONCE)
def test_lr_read_once(target, check):
    check(target)


def parameters(**settings):
    return parity.parametrize_with_checks([LrReadOnce], **settings).args[1]


def test_ids_are_target_and_check():
    ids = [p.id for p in parameters()]
    assert ids == [f"mutants.optimizers.LrReadOnce-{id}" for id in checks("torch")]


def test_expected_failures_are_strict_and_of_the_check_alone():
    for given in ({"schedule": "read once"}, lambda name: {"schedule": "read once"}):
        marked = {p.id: p.marks for p in parameters(expected_failures=given) if p.marks}
        assert list(marked) == ["mutants.optimizers.LrReadOnce-schedule"]
        (mark,) = next(iter(marked.values()))
        assert mark.name == "xfail"
        assert mark.kwargs == {"reason": "read once", "strict": True, "raises": Failed}
    with pytest.raises(ValueError, match="no check 'nosuch'"):
        parameters(expected_failures={"nosuch": "a slip"})


def test_a_failure_raises_its_cause_and_a_skip_skips():
    calls = {p.id.rpartition("LrReadOnce-")[2]: p.values for p in parameters()}
    target, check = calls["schedule"]
    with pytest.raises(Failed, match="twice the lr at step 5 gives the same step\n\nfrom parity"):
        check(target)
    target, check = calls["reference"]
    with pytest.raises(pytest.skip.Exception, match="no reference"):
        check(target)
