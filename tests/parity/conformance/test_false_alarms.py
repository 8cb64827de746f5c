"""Sound optimizers of kinds that were once reported (R7), and what is told of them."""

from __future__ import annotations

import contextlib
from typing import Any

import optax
import pytest
import torch
from mutants.optimizers import Adam, HeavyBall

import parity
from parity.conformance import TargetError


def accumulated(k: int, rule=optax.adamw):
    def factory(learning_rate=1e-3):
        return optax.MultiSteps(rule(learning_rate), every_k_schedule=k).gradient_transformation()

    return factory


@pytest.mark.parametrize("k", [2, 3, 16])
def test_gradients_that_are_added_up_are_judged_by_the_step(k: int) -> None:
    only = ["deterministic", "schedule", "lr-zero", "injected-lr", "descent", "at-rest", "resume"]
    report = parity.check(accumulated(k), only=only)
    report.require()
    assert {r.status for r in report.values()} == {"passed"}
    assert report["schedule"].compared > 60


def test_an_lr_that_acts_late_is_caught_behind_accumulation_too() -> None:
    def late(learning_rate):
        def before(count):
            return learning_rate(count - 1) if callable(learning_rate) else learning_rate

        return optax.sgd(before)

    report = parity.check(accumulated(3, late), only=["schedule"])
    assert report["schedule"].status == "failed"


def injecting(learning_rate=1e-3):
    return optax.inject_hyperparams(optax.adam)(learning_rate)


def clipped_and_injecting(learning_rate=1e-3):
    return optax.chain(optax.clip_by_global_norm(1.0), optax.inject_hyperparams(optax.adamw)(learning_rate))


def injecting_below_accumulation(learning_rate=1e-3):
    return optax.MultiSteps(optax.inject_hyperparams(optax.sgd)(learning_rate), 2).gradient_transformation()


@pytest.mark.parametrize("factory", [injecting, clipped_and_injecting, injecting_below_accumulation])
def test_a_factory_that_injects_by_itself_is_set_in_its_own_state(factory) -> None:
    parity.check(factory, only=["injected-lr", "schedule"]).require()


@pytest.mark.parametrize(
    "target", ["torch.optim.RAdam(lr=0.1)", "torch.optim.RAdam(lr=0.1, weight_decay=0.02)", "torch.optim.Muon(lr=0.1)"]
)
def test_the_named_exceptions_of_the_gate_hold_here_too(target: str) -> None:
    report = parity.check(target, only=["reference"], own_process=False)
    assert report["reference"].status == "passed", report


class InSingle(Adam):
    """Works in float32, whatever the parameters."""

    def visit(self, p, group):
        if p.grad is not None:
            p.data = p.data.float().to(p.dtype)
        super().visit(p, group)


def test_rounding_to_float32_is_no_motion() -> None:
    report = parity.check(InSingle, only=["lr-zero", "at-rest", "zero-gradient"])
    report.require()


class OneDistance(HeavyBall):
    """One number for all groups, as D-Adaptation has, and one lr."""

    def step(self, closure=None):
        if len({group["lr"] for group in self.param_groups}) > 1:
            raise RuntimeError("different lr for groups are not supported")
        tensors = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        self.distance = max([float(p.grad.abs().max()) for p in tensors] or [1.0])
        return super().step(closure)

    def rate(self, group):
        return group["lr"] / (1 + self.distance)


class OneLr(HeavyBall):
    """Takes one lr for all groups, and couples nothing."""

    def step(self, closure=None):
        if len({group["lr"] for group in self.param_groups}) > 1:
            raise RuntimeError("different lr for groups are not supported")
        return super().step(closure)


def test_one_number_for_all_groups_is_no_faulty_group() -> None:
    only = ["param-groups", "add-param-group", "company", "frozen"]
    report = parity.check(OneDistance, only=only)
    report.require()
    assert "one number serves all tensors" in report["param-groups"].cause
    report = parity.check(OneLr, only=only)
    report.require()
    assert report["param-groups"].status == "noted"
    assert "one lr serves all groups" in report["param-groups"].cause


def test_one_cause_is_one_failure() -> None:
    report = parity.check("mutants.optimizers:Noisy", own_process=False)
    assert [r.check for r in report.failures] == ["deterministic"]
    assert report["resume"].cause == "because deterministic failed"


def test_a_guard_that_counts_what_it_skips_is_noted() -> None:
    guarded = lambda learning_rate=1e-3: optax.apply_if_finite(optax.adam(learning_rate), 5)  # noqa: E731
    report = parity.check(guarded, only=["non-finite"])
    report.require()
    assert report["non-finite"].status == "noted"


@pytest.mark.parametrize("foreach", [False, True])
def test_stock_torch_passes_where_gradients_cancel(foreach: bool) -> None:
    for name in ("Adam", "SGD", "RMSprop", "NAdam", "Adagrad"):
        arguments = {"lr": 0.1, "foreach": foreach} | ({"momentum": 0.9} if name == "SGD" else {})
        parity.check(getattr(torch.optim, name), arguments=arguments, only=["foreach"]).require()


class AsksForTheLoss(torch.optim.SGD):
    """Steps twice on the gradients of a closure, and refuses to go without one, though its signature has a default."""

    def step(self, closure=None):
        if closure is None:
            raise RuntimeError("requires closure")
        with torch.enable_grad():
            loss = closure()
        super().step()
        return loss


class DropsTheLoss(AsksForTheLoss):
    def step(self, closure=None):
        super().step(closure)


def test_one_that_asks_for_the_loss_gets_a_closure_and_its_faults_are_seen() -> None:
    report = parity.check(AsksForTheLoss, arguments={"lr": 0.1})
    report.require()
    assert "with a closure: otherwise it raises RuntimeError: requires closure" in report.notes[0]
    assert sum(r.status == "passed" for r in report.values()) > 20
    assert [r.check for r in parity.check(DropsTheLoss, arguments={"lr": 0.1}).failures] == ["closure"]


class NamesItsDecay(HeavyBall):
    """A decay's kind stands beside the decay, and is text."""

    def __init__(self, params, lr=0.1, weight_decay_type="l2"):
        if weight_decay_type != "l2":
            raise ValueError(f"weight_decay_type={weight_decay_type}")
        super().__init__(params, lr=lr)
        self.param_groups[0]["weight_decay_type"] = weight_decay_type


def test_text_beside_a_decay_is_no_decay() -> None:
    assert parity.check(NamesItsDecay, only=["at-rest", "descent"]).failures == []


def test_a_part_that_has_an_lr_and_no_minus_is_a_part() -> None:
    report = parity.check(optax.scale_by_rprop, arguments={"learning_rate": 0.01}, only=["descent"])
    assert report["descent"].status == "noted", report
    minus = parity.check(optax.scale_by_learning_rate, arguments={"learning_rate": 0.1}, only=["descent"])
    assert minus["descent"].status == "passed"
    without = parity.check(
        optax.scale_by_learning_rate, arguments={"learning_rate": 0.1, "flip_sign": False}, only=["descent"]
    )
    assert without["descent"].status == "failed"


class WantsAnLr(HeavyBall):
    def __init__(self, params, lr: Any = None):
        super().__init__(params, lr=lr * 1.0)


def test_one_that_cannot_go_without_an_lr_gets_one_and_says_so() -> None:
    report = parity.check(WantsAnLr, only=["first-step", "descent", "schedule"])
    report.require()
    assert report.notes[0].startswith("lr = 0.001: with its default of None it raises TypeError")
    with pytest.raises(TargetError, match="cannot be made"):
        parity.check(WantsAnLr, arguments={"lr": None}, only=["first-step"])


class SwallowsWhatItsClosureRaises(torch.optim.SGD):
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with contextlib.suppress(Exception), torch.no_grad():
                loss = closure()
        super().step()
        return loss


def test_a_closure_without_gradients_is_seen_where_its_exception_is_not() -> None:
    result = parity.check(SwallowsWhatItsClosureRaises, arguments={"lr": 0.1}, only=["closure"])["closure"]
    assert (result.status, "without recording gradients" in result.cause) == ("failed", True)
