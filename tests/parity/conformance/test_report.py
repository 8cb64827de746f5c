"""What a report says, and the code that it hands out."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import mutants
import optax
import pytest
import torch
from mutants import optimizers, transformations

import parity
from lrtheory import rules
from parity.conformance import Run, rerun
from parity.conformance.comparing import Failed


def test_a_report_cannot_pass_by_a_dropped_bool():
    report = parity.check(optimizers.LrReadOnce, only=["quiet", "schedule"])
    with pytest.raises(TypeError, match=r"call \.require\(\)"):
        assert report
    with pytest.raises(AssertionError, match="fails 1 of 2 checks") as caught:
        report.require()
    assert "schedule: twice the lr at step 5 gives the same step" in str(caught.value)
    assert "rerun(LrReadOnce, 'schedule', run" in str(caught.value)
    assert "passed" in repr(report)
    told = json.loads(json.dumps(report.as_json()))
    assert told["failed"] == 1
    assert [r["check"] for r in told["results"]] == ["quiet", "schedule"]


def test_nothing_but_skipped_checks_is_no_success():
    report = parity.check(optax.adam(1e-3), only=["schedule", "reference"])
    assert [r.status for r in report.values()] == ["skipped", "skipped"]
    with pytest.raises(AssertionError, match="no check was made"):
        report.require()


def test_the_example_is_small_and_fails_again_when_it_is_pasted():
    """GradientKept differs from the second step on: one entry of one gradient is enough, which Hypothesis finds."""
    result = parity.check(optimizers.GradientKept, only=["gradient-only"])["gradient-only"]
    assert result.status == "failed"
    assert result.example.startswith("from parity.conformance import Run, rerun\nfrom mutants.optimizers import")
    namespace: dict = {}
    exec(result.example.rpartition("\n")[0], namespace)
    run = namespace["run"]
    entries = sum(int((g != 0).sum()) for g in [*run.grads.values(), *run.params.values()])
    assert entries <= 3, result.example
    with pytest.raises(Failed) as caught:
        exec(result.example, {})
    assert str(caught.value) == result.cause


def test_the_example_stands_alone():
    """In a process of its own, from a SPEC."""
    target = "mutants.optimizers:AlwaysDecaying"
    result = parity.check(target, only=["lr-zero"], own_process=False)["lr-zero"]
    found = {**os.environ, "PYTHONPATH": str(Path(mutants.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", result.example], capture_output=True, text=True, check=False, env=found
    )
    assert done.returncode == 1
    assert f"Failed: {result.cause}" in done.stderr.strip().splitlines()[-1]


def test_a_sound_target_reruns_in_silence():
    run = Run.of(shapes={"w": (2,)}, params={"w": {(0,): 1.0}}, grads={"w": {(0, 0): 1.0, (3, 1): -2.0}}, lrs=[1.0] * 8)
    rerun(optimizers.HeavyBall, "deterministic", run)
    assert eval(run.code(), {"Run": Run}).code() == run.code()


@pytest.mark.parametrize(
    ("target", "arguments", "kind", "name"),
    [
        (optax.sgd, {"learning_rate": 0.1}, "jax", "optax._src.alias.sgd"),
        (optax.sgd(0.1), {}, "jax", "GradientTransformationExtraArgs"),
        (transformations.heavy_ball, {}, "jax", "mutants.transformations.heavy_ball"),
        (rules.sgd(nesterov=True), {"lr": 0.1, "momentum": 0.9}, "jax", "sgd(nesterov=True)"),
        (torch.optim.SGD, {"lr": 0.1}, "torch", "torch.optim.sgd.SGD"),
        (functools.partial(torch.optim.SGD, lr=0.1), {}, "torch", "torch.optim.sgd.SGD"),
        (lambda params: torch.optim.SGD(params, lr=0.1), {}, "torch", None),
        ("torch.optim.SGD(lr=0.1)", {}, "torch", "torch.optim.SGD(lr=0.1)"),
        ("optax.sgd(0.1)", {}, "jax", "optax.sgd(0.1)"),
        ("mutants.transformations:heavy_ball", {}, "jax", "mutants.transformations:heavy_ball"),
        ("sgd(lr=0.1)", {}, "jax", "sgd(lr=0.1)"),
    ],
)
def test_every_form_of_a_target_is_taken(target, arguments, kind, name):
    own_process = False if target in ("torch.optim.SGD(lr=0.1)", "optax.sgd(0.1)") else None
    report = parity.check(target, arguments=arguments, only=["deterministic"], own_process=own_process)
    report.require()
    assert report.kind == kind
    assert report["deterministic"].compared > 0
    if name is not None:
        assert report.target.replace("torch.optim.SGD(", "torch.optim.SGD(") in (name, "torch.optim.SGD(lr=0.1)")


def test_a_missing_lr_is_filled_in_and_said():
    report = parity.check(optax.adam, only=["deterministic"])
    assert report.notes == ("learning_rate has no default: 0.001",)


def test_reference_may_be_of_another_framework():
    report = parity.check(
        optax.sgd, arguments={"learning_rate": 0.1, "momentum": 0.9},
        reference="torch.optim.SGD(lr=0.1, momentum=0.9)", only=["reference"],
    )  # fmt: skip
    report.require()
    assert report["reference"].status == "passed"
    wrong = parity.check(
        optax.sgd, arguments={"learning_rate": 0.1, "momentum": 0.9},
        reference="torch.optim.SGD(lr=0.1, momentum=0.8)", only=["reference"],
    )  # fmt: skip
    assert wrong["reference"].status == "failed"


def test_the_code_names_arguments_and_reference():
    report = parity.check(
        torch.optim.SGD, arguments={"lr": 0.1}, reference=optimizers.HeavyBall, only=["reference"], expected_failures={}
    )
    result = report["reference"]
    assert result.status == "failed"
    assert "from torch.optim.sgd import SGD\nfrom mutants.optimizers import HeavyBall" in result.example
    assert "rerun(SGD, 'reference', run, arguments={'lr': 0.1}, reference=HeavyBall)" in result.example
    with pytest.raises(Failed) as caught:
        exec(result.example, {})
    assert str(caught.value) == result.cause


def test_closure_that_records_no_gradients_is_told_as_that():
    cause = parity.check(optimizers.ClosureWithoutGrad, only=["closure"])["closure"].cause
    assert cause == "the closure is evaluated without recording gradients: torch.enable_grad() is missing"


def test_colours_of_a_message_are_left_out():
    class Coloured(torch.optim.SGD):
        def step(self, closure=None):
            raise ValueError("\x1b[31mnot so\x1b[0m")

    assert parity.check(Coloured, only=["first-step"])["first-step"].cause.startswith("raises ValueError: not so (")
