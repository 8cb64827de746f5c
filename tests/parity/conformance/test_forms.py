"""Optimizers that insist on more than a list of tensors with gradients: what they want is found out, told and checked."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import pytest
import torch
from mutants.optimizers import HeavyBall, LrOneStepLate

import parity
from parity.conformance import suite
from parity.conformance.execute import execute, prepare

CHEAP = ("deterministic", "tree", "closure", "descent", "at-rest", "company", "add-param-group", "frozen")
MORE = ("lr-zero", "schedule", "resume", "state-dict", "missing-gradient", "param-groups", "dtypes", "quiet")


class Flagged(HeavyBall):
    """Takes groups that say for themselves if they are of matrices, whose steps have a norm of their own."""

    def __init__(self, params):
        torch.optim.Optimizer.__init__(self, params, {"momentum": 0.9, "weight_decay": 0.0})

    def add_param_group(self, group):
        super().add_param_group({"lr": 0.02 if group["use_muon"] else 0.1, **group})

    def direction(self, p, g, state, group):
        found = super().direction(p, g, state, group)
        return found / (found.norm() + 1e-8) if group["use_muon"] else found


class FlaggedAndDecayed(Flagged):
    """Its groups have a decay of their own, which no argument reaches."""

    def add_param_group(self, group):
        super().add_param_group({"weight_decay": 0.1, **group})


class MatricesHaveOneLr(Flagged):
    def rate(self, group):
        return 0.02 if group["use_muon"] else group["lr"]


class FirstLrForAllMatrices(Flagged):
    def rate(self, group):
        return next(g["lr"] for g in self.param_groups if g["use_muon"] == group["use_muon"])


class VectorsStandStill(Flagged):
    def visit(self, p, group):
        if group["use_muon"]:
            super().visit(p, group)


class NobodyMoves(Flagged):
    def visit(self, p, group):
        pass


class StandsStill(HeavyBall):
    def visit(self, p, group):
        pass


class LrInATensor(HeavyBall):
    def __init__(self, params, lr=torch.tensor(0.1)):  # noqa: B008
        super().__init__(params, lr)

    def move(self, p, direction, lr):
        p.sub_(direction * lr)


class LrInATensorIgnored(LrInATensor):
    def rate(self, group):
        return 0.1


class AcrossTheParameter(HeavyBall):
    """Takes away what of a gradient is along the parameter: of ones at ones nothing is left, but in float32."""

    def direction(self, p, g, state, group):
        return g if p.dtype == torch.float32 else g - p * (p * g).sum() / (p * p).sum()


class OfVectors(HeavyBall):
    """Differentiates entry by entry, of vectors alone; with a loss that it is to differentiate itself it stands still."""

    def direction(self, p, g, state, group):
        if "curvature" not in state:
            with torch.enable_grad():
                rows = [torch.autograd.grad(entry, p, retain_graph=True)[0] for entry in g]
            state["curvature"] = torch.stack(rows)
        return torch.dot(state["curvature"].diag(), g.detach()) * g.detach().sign()


class OfCurvature(HeavyBall):
    """Divides by second derivatives, for which it differentiates the gradients."""

    def kept(self, p):
        return self.state[p]

    def direction(self, p, g, state, group):
        with torch.enable_grad():
            (curvature,) = torch.autograd.grad(g.sum(), p)
        kept = self.kept(p)
        kept["curvature"] = 0.9 * kept.get("curvature", torch.zeros_like(p)) + 0.1 * curvature
        return super().direction(p, g.detach(), state, group) / kept["curvature"].clamp(min=0.01)


class CurvatureIsNotSaved(OfCurvature):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        self.beside = {}

    def kept(self, p):
        return self.beside.setdefault(p, {})


class OfTheLoss(HeavyBall):
    """Differentiates what its closure returns."""

    def step(self, closure):
        with torch.enable_grad():
            loss = closure()
            tensors = [p for group in self.param_groups for p in group["params"] if p.requires_grad]
            slopes = torch.autograd.grad(loss, tensors, create_graph=True, allow_unused=True)
        for p, slope in zip(tensors, slopes, strict=True):
            if slope is not None:
                (curvature,) = torch.autograd.grad(slope.sum(), p)
                self.state[p]["slope"] = slope.detach() / curvature
        super().step()
        return self.told(loss)

    def visit(self, p, group):
        if "slope" in self.state[p]:
            with torch.no_grad():
                p.sub_(self.state[p].pop("slope"), alpha=self.rate(group))

    def told(self, loss):
        return loss


class ForgetsTheLoss(OfTheLoss):
    def told(self, loss):
        return None


class OfTheLossLate(OfTheLoss, LrOneStepLate):
    pass


class InSingle(HeavyBall):
    """Its buffer is in float32, which nothing of float64 can be added to."""

    def direction(self, p, g, state, group):
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(p, dtype=torch.float32)
        return state["buffer"].lerp_(g, 0.1)


class InSingleAlone(HeavyBall):
    def visit(self, p, group):
        assert p.dtype == torch.float32, "only float32"
        super().visit(p, group)


class InSingleForOneStep(InSingleAlone):
    def visit(self, p, group):
        assert not self.state[p], "only one step"
        super().visit(p, group)
        self.state[p]["taken"] = True


class InSingleAndNoneIsZero(InSingle):
    def visit(self, p, group):
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        super().visit(p, group)


class InHalf(HeavyBall):
    def visit(self, p, group):
        assert p.dtype == torch.bfloat16, "only bfloat16"
        super().visit(p, group)


class ByName(HeavyBall):
    def __init__(self, params, lr=0.1):
        super().__init__([{"params": [p], "name": name.lower()} for name, p in params], lr)


class OfAModel(HeavyBall):
    def __init__(self, model, lr=0.1):
        super().__init__(model.parameters(), lr)


class OfAModelAscending(OfAModel):
    def move(self, p, direction, lr):
        p.add_(direction, alpha=lr)


class Averaging(HeavyBall):
    """Wants arguments that have no default."""

    def __init__(self, params, total_steps, base_optimizer):
        super().__init__(params, momentum=1 - 10 / total_steps)
        self.base_optimizer = base_optimizer([p for group in self.param_groups for p in group["params"]])


@pytest.mark.parametrize("only", [CHEAP, pytest.param(MORE, marks=pytest.mark.deep)], ids=["cheap", "more"])
@pytest.mark.parametrize(
    ("sound", "note"),
    [
        (Flagged, "use_muon is true for matrices, false for vectors"),
        (OfCurvature, "gradients that are linear in the parameters"),
        (OfVectors, "checked on vector and longer with gradients that are linear in the parameters"),
        (OfTheLoss, "with a closure whose result can be differentiated: otherwise it raises RuntimeError"),
        (InSingle, "run in float32: in float64 it fails"),
        (InHalf, "run in bfloat16"),
        (ByName, "with parameters given by name: otherwise it raises"),
        (OfAModel, "with parameters given as a module: otherwise it raises"),
        (Averaging, "total_steps = 1000, base_optimizer = SGD: chosen here"),
    ],
)
def test_what_it_wants_is_found_out_told_and_checked(sound, note, only) -> None:
    report = parity.check(sound, only=only)
    assert [(r.check, r.cause) for r in report.failures if (sound, r.check) != (InSingle, "dtypes")] == []
    assert note in " / ".join(report.notes)
    assert sum(r.status == "passed" for r in report.values()) >= 6, report
    assert all(r.cause for r in report.values() if r.status == "skipped")


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (MatricesHaveOneLr, "lr-zero"),
        (MatricesHaveOneLr, "param-groups"),
        (FirstLrForAllMatrices, "param-groups"),
        (NobodyMoves, "first-step"),
        (LrInATensorIgnored, "lr-zero"),
        (LrInATensorIgnored, "param-groups"),
        (StandsStill, "deterministic"),
        (CurvatureIsNotSaved, "resume"),
        (ForgetsTheLoss, "closure"),
        (OfTheLossLate, "schedule"),
        (InSingle, "dtypes"),
        (InSingleAndNoneIsZero, "missing-gradient"),
        (OfAModelAscending, "descent"),
    ],
)
def test_what_is_broken_of_that_kind_is_caught(broken, check) -> None:
    result = execute(suite.get("torch", check), prepare(broken), shrinking=0)
    assert result.status == "failed", result


def test_one_that_stands_still_at_ones_alone_is_not_taken_for_idle() -> None:
    assert prepare(AcrossTheParameter).notes == ()


def test_an_lr_in_a_tensor_can_be_moved() -> None:
    report = parity.check(LrInATensor, only=["lr-zero", "schedule", "param-groups"])
    assert {r.status for r in report.values()} == {"passed"}


def test_what_groups_decay_by_is_set_to_zero() -> None:
    report = parity.check(FlaggedAndDecayed, only=["at-rest", "deterministic"])
    assert [(r.status, r.cause) for r in report.values()] == [("passed", "")] * 2


def test_gradients_that_are_differentiated_are_halved_and_added_up() -> None:
    assert parity.check(OfVectors, only=["gradient-only"])["gradient-only"].status == "passed"


@pytest.mark.parametrize("target", ["of_curvature", "OfTheLoss"])
def test_the_curvature_of_the_loss_is_that_of_a_rescaled_run(target) -> None:
    assert parity.check(globals()[target], only=["scaling-law"])["scaling-law"].status == "passed"


def test_what_does_not_apply_says_why() -> None:
    report = parity.check(OfTheLoss, only=["inputs", "gradient-only"])
    assert {r.cause for r in report.values()} == {"it differentiates the loss itself: no gradients are given to it"}
    report = parity.check(ByName, only=["param-groups", "add-param-group"])
    assert {r.cause for r in report.values()} == {"it is given parameters by name, and makes its groups of them itself"}
    report = parity.check(InSingleAlone, only=["dtypes"])
    assert report["dtypes"].status == "noted"
    assert "float64 raises AssertionError: only float32" in report["dtypes"].cause


def test_a_dtype_that_it_insists_on_is_not_one_that_it_refuses() -> None:
    report = parity.check(InSingleForOneStep, only=["dtypes"])
    assert report["dtypes"].status == "failed", report
    assert "only one step" in report["dtypes"].cause


def test_tensors_that_do_not_move_are_told() -> None:
    report = parity.check(VectorsStandStill, only=["deterministic"])
    assert "the first step does not move vector and scalar, whose gradient is of ones" in report.notes


def searching(learning_rate=0.1):
    """Halves its step until the loss falls, with the sum of the losses in its state."""

    def update(grads, state, params, *, value, grad, value_fn):
        def shorter(rate):
            return rate / 2

        def climbs(rate):
            return (value_fn(jax.tree.map(lambda p, g: p - rate * g, params, grad)) > value) & (rate > 1e-6)

        rate = jax.lax.while_loop(climbs, shorter, jnp.asarray(learning_rate, value.dtype))
        return jax.tree.map(lambda g: -rate * g, grad), state + value

    return optax.GradientTransformationExtraArgs(lambda params: jnp.zeros(()), update)


def searching_from_before(learning_rate=0.1):
    made, losses = searching(learning_rate), []

    def update(grads, state, params, *, value, grad, value_fn):
        losses.append(value)
        return made.update(grads, state, params, value=losses[0], grad=grad, value_fn=value_fn)

    return made._replace(update=update)


def of_curvature(learning_rate=0.1):
    def update(grads, state, params, obj_fn, **more):
        ones = jax.tree.map(jnp.ones_like, params)
        curved = jax.jvp(jax.grad(obj_fn), (params,), (ones,))[1]
        return jax.tree.map(lambda g, h: -learning_rate * g / h, grads, curved), state

    return optax.GradientTransformationExtraArgs(lambda params: (), update)


def of_curvature_whatever_the_lr(learning_rate=0.1):
    return of_curvature(0.1)


IN_JAX = ("deterministic", "descent", "jit", "at-rest")


@pytest.mark.parametrize(
    ("factory", "name"), [pytest.param(searching, "value_fn", marks=pytest.mark.deep), (of_curvature, "obj_fn")]
)
def test_the_loss_is_given_to_what_evaluates_it(factory, name) -> None:
    report = parity.check(factory, only=IN_JAX)
    report.require()
    assert f"run with value, grad and {name}: it evaluates the loss itself" in report.notes
    assert {r.status for r in report.values()} == {"passed"}


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        pytest.param(searching_from_before, "jit", marks=pytest.mark.deep),
        (of_curvature_whatever_the_lr, "lr-zero"),
    ],
)
def test_faults_of_what_evaluates_the_loss_are_caught(broken, check) -> None:
    result = execute(suite.get("jax", check), prepare(broken), shrinking=0)
    assert result.status == "failed", result
