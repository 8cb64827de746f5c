"""Optimizers that raise, hang, or otherwise misbehave: one failed check with the cause, and the others go on."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import pytest
import torch
from mutants.optimizers import HeavyBall
from mutants.transformations import heavy_ball

import parity
from parity.conformance import TargetError, suite
from parity.conformance.execute import execute, prepare


class HangsInClosures(HeavyBall):
    """Never comes back from a step that is given a closure."""

    def step(self, closure=None):
        while closure is not None:
            pass
        return super().step()


class SleepsInClosures(HeavyBall):
    """The same, where no Python runs that could be interrupted."""

    def step(self, closure=None):
        if closure is not None:
            time.sleep(3)
        return super().step()


class RaisesLater(HeavyBall):
    """Raises at its fifth step."""

    def step(self, closure=None):
        self.taken = getattr(self, "taken", 0) + 1
        if self.taken == 5:
            raise KeyError("the fifth step")
        return super().step(closure)


class LeavesPython(HeavyBall):
    """Ends the program."""

    def step(self, closure=None):
        raise SystemExit(3)


class GivesNan(HeavyBall):
    """Gives nan for every gradient."""

    def direction(self, p, g, state, group):
        return super().direction(p, g, state, group) * float("nan")


@pytest.mark.parametrize("broken", [HangsInClosures, SleepsInClosures])
def test_a_hang_fails_one_check_and_the_others_go_on(broken):
    started = time.monotonic()
    report = parity.check(broken, only=["closure", "inputs", "quiet"], time_limit=0.5)
    assert time.monotonic() - started < 30
    assert report["closure"].status == "failed"
    assert report["closure"].cause == "did not finish within 0.5 s"
    assert [report[id].status for id in ("inputs", "quiet")] == ["passed", "passed"]


def test_an_exception_is_a_failure_with_its_place():
    report = parity.check(RaisesLater, only=["deterministic", "inputs", "quiet"])
    assert report["deterministic"].status == "failed"
    assert "raises KeyError: 'the fifth step' (test_bad_input.py:" in report["deterministic"].cause
    assert [report[id].status for id in ("inputs", "quiet")] == ["passed", "passed"]


def test_leaving_python_is_a_failure():
    report = parity.check(LeavesPython, only=["quiet"])
    assert "raises SystemExit" in report["first-step"].cause


def test_nan_is_a_failure_with_its_cause():
    report = parity.check(GivesNan, only=["finite", "quiet"])
    assert report["finite"].status == "failed"
    assert "nan" in report["finite"].cause
    assert report["quiet"].status == "passed"


def test_a_transformation_that_raises_fails_once():
    def update(grads, state, params=None):
        raise RuntimeError("no updates today")

    report = parity.check(heavy_ball()._replace(update=update), only=["tree", "jit", "quiet"])
    assert "raises RuntimeError: no updates today (test_bad_input.py:" in report["first-step"].cause
    assert {r.check: r.status for r in report.values() if r.check != "first-step"} == dict.fromkeys(
        ("tree", "jit", "quiet"), "not run"
    )
    with pytest.raises(AssertionError, match="fails 1 of 4 checks"):
        report.require()


class RaisesWhenFrozen(HeavyBall):
    """Raises the same wherever a parameter has no gradient."""

    def visit(self, p, group):
        if p.grad is None:
            raise KeyError("no gradient")
        super().visit(p, group)


def test_the_same_exception_is_one_failure():
    report = parity.check(RaisesWhenFrozen, only=["missing-gradient", "frozen", "company", "quiet"])
    assert [r.status for r in report.values()] == ["failed", "not run", "not run", "passed"]
    assert "like missing-gradient it raises KeyError: 'no gradient'" in report["frozen"].cause


def test_endless_compiled_loop_does_not_stop_the_others():
    def update(grads, state, params=None):
        slow = jax.pure_callback(
            lambda x: (time.sleep(6 if x > 1 else 0), x)[1], jax.ShapeDtypeStruct((), jnp.int32), state.count
        )
        return heavy_ball().update(grads, state._replace(count=slow), params)

    report = parity.check(heavy_ball()._replace(update=update), only=["isolated", "tree"], time_limit=5)
    assert report["isolated"].cause == "did not finish within 5 s"
    assert report["tree"].status == "passed"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nosuch.module", "cannot import nosuch"),
        ("optax.nosuch", "has no 'nosuch'"),
        ("optax.adam(", "cannot read"),
        ("nosuchrule", "no rule named"),
        ("adam(lr=-1.0)", "outside"),
        ("optax.trace", "needs arguments: give decay"),
        ("optax.adam(nosuch=3)", "has no argument 'nosuch'"),
        ("optax.adam(1e-3, learning_rate=1e-3)", "given twice"),
        ("torch.optim.AdamW(lr=1e-3, weight_decy=0.1)", "did you mean 'weight_decay'"),
        ("math:pi", "one of Python's own modules"),
        ("math:sqrt", "one of Python's own modules"),
        (3, "expected an optax transformation"),
        (lambda: 4, "returned int"),
    ],
)
def test_what_is_no_target_is_refused_in_words(target, message, request):
    if target != "nosuch.module":  # this one in a process of its own
        request.getfixturevalue("checked_here")
    with pytest.raises(TargetError, match=message):
        parity.check(target)


def test_unknown_checks_and_empty_reasons_are_refused():
    with pytest.raises(ValueError, match="no check 'nosuch' for torch targets: there are first-step, "):
        parity.check(HeavyBall, only=["nosuch"])
    with pytest.raises(ValueError, match="no check 'jit' for torch"):
        parity.check(HeavyBall, expected_failures={"jit": "it is torch"})
    with pytest.raises(ValueError, match="a reason is needed"):
        parity.check(HeavyBall, expected_failures={"quiet": " "})


def test_expected_failures_go_stale_loudly():
    expected = {"quiet": "it used to print", "closure": "it never returns", "step-bound": "it has none"}
    report = parity.check(HangsInClosures, only=list(expected), expected_failures=expected, time_limit=0.5)
    assert report["closure"].status == "expected failure"
    assert "it never returns" in report["closure"].cause
    assert "did not finish" in report["closure"].cause
    assert report["quiet"].status == "failed"
    assert report["quiet"].cause == "stale: declared to fail (it used to print), but it passes"
    assert "was skipped" in report["step-bound"].cause
    with pytest.raises(AssertionError, match="stale"):
        report.require()


def test_a_check_that_compares_nothing_is_a_failure():
    nothing = suite.Check("nothing", "nothing", ("torch",), 0, lambda target: None)
    result = execute(nothing, prepare(HeavyBall))
    assert (result.status, result.cause) == ("failed", "the check compared nothing")


@pytest.mark.deep  # test_hostile.py has one print past Python in every run
def test_what_a_target_prints_does_not_reach_the_report(capsys):
    parity.check("mutants.optimizers:Printing", only=["inputs"]).require()
    assert capsys.readouterr() == ("", "")


def test_global_random_state_is_as_it_was():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    parity.check(HeavyBall, only=["global-state", "deterministic"]).require()
    assert torch.equal(before, torch.get_rng_state())
