"""Optimizers that insist on another form of parameters, gradients or arguments: each once with its law, once with a slip."""

from __future__ import annotations

import copy
import importlib
from dataclasses import dataclass

import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from torch.optim.optimizer import required  # noqa: E402  # pyright: ignore[reportPrivateImportUsage]

from lrtheory import dims  # noqa: E402
from lrtheory.dims.target import infer_target  # noqa: E402
from lrtheory.dims.torch_reader.running import NotAnOptimizerError  # noqa: E402
from lrtheory.units import GRADIENT, LOSS, PARAM, PURE  # noqa: E402

SGD = PARAM.times(GRADIENT.power(-1))


class Signs(torch.optim.Optimizer):
    """The simplest law: lr in [param]. With a slip it adds a bare number to the parameters."""

    slip = 0.0

    def __init__(self, params, lr=1e-3, **more):
        super().__init__(params, {"lr": lr, **more})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(self.direction(p, group), alpha=group["lr"]).add_(self.slip)  # SLIP

    def direction(self, p, group):
        return p.grad.sign()


class InGroups(Signs):
    def direction(self, p, group):
        return p.grad / p.grad.norm() if group["use_muon"] else p.grad.sign()


class ByName(Signs):
    def __init__(self, named_parameters, lr=1e-3):
        named = list(named_parameters)
        if not all(isinstance(name, str) for name, _ in named):
            raise TypeError("give names")
        super().__init__([p for _, p in named], lr)


class OfAModule(Signs):
    def __init__(self, model, lr=1e-3):
        super().__init__([p for _, p in model.named_parameters()], lr)


class InSingle(Signs):
    def direction(self, p, group):
        return torch.mm(torch.eye(len(p)), p.grad.reshape(len(p), -1)).reshape(p.shape).sign()


class Polyak(torch.optim.Optimizer):
    """Steps by the loss over the squared gradient."""

    slip = 0.0

    def __init__(self, params, factor=1.0):
        super().__init__(params, {"factor": factor})

    def step(self, closure=None):
        if closure is None:
            raise ValueError("a closure is wanted")
        loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad * (loss / (p.grad**2).sum() + self.slip), alpha=group["factor"])  # SLIP


class Curved(torch.optim.Optimizer):
    """Steps by the gradient over its derivative."""

    slip = 0.0

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        params = [p for group in self.param_groups for p in group["params"]]
        along = [torch.ones_like(p) for p in params]
        curved = torch.autograd.grad([p.grad for p in params], params, grad_outputs=along, retain_graph=True)
        with torch.no_grad():
            for p, h in zip(params, curved, strict=True):
                p.sub_(p.grad / (h.abs() + self.slip), alpha=self.param_groups[0]["lr"])  # SLIP


class CurvedCopy(Curved):
    """Does what is not read of sparse gradients, which it does not ask for."""

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            self.state[p]["before"] = copy.deepcopy(p.grad.data)
        super().step()


class Wants(Signs):
    def __init__(self, params, lr, total_steps: int):
        super().__init__(params, lr, total_steps=total_steps)


class WantsAsOfOld(Signs):
    def __init__(self, params, lr=required):
        if lr is required:
            raise ValueError("give lr")
        super().__init__(params, lr)


class NoneByDefault(Signs):
    def __init__(self, params, lr=None):
        if not lr > 0:  # pyright: ignore[reportOptionalOperand]
            raise ValueError(lr)
        super().__init__(params, lr)


class Around(Signs):
    """Another optimizer's steps, and then a decay of the parameters."""

    def __init__(self, params, base_optimizer, decay=0.1, **kwargs):
        torch.optim.Optimizer.__init__(self, params, {"decay": decay})
        self.base = base_optimizer(self.param_groups, **kwargs)

    def step(self, closure=None):
        self.base.step()
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                p.mul_(1 - self.defaults["decay"]).add_(self.slip)  # SLIP


class Behind(Signs):
    def __init__(self, optimizer, decay=0.1):
        self.base, self.decay = optimizer, decay
        super().__init__(optimizer.param_groups, decay)

    def step(self, closure=None):
        self.base.step()
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                p.mul_(1 - self.decay).add_(self.slip)  # SLIP


class BehindABase(Behind):
    def __init__(self, base_optimizer, decay=0.1):
        super().__init__(base_optimizer, decay)


class Compiled(Signs):
    compiled = None

    def direction(self, p, group):
        if Compiled.compiled is None:
            Compiled.compiled = torch.compile(torch.sign)
        return Compiled.compiled(p.grad)


class OfTheLoss(torch.optim.Optimizer):
    """Steps by the derivative of the loss over its second derivative."""

    slip = 0.0

    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    def step(self, closure):
        params = [p for group in self.param_groups for p in group["params"]]
        for p, (slope, curvature) in zip(params, self.slopes(torch.enable_grad()(closure), params), strict=True):
            with torch.no_grad():
                p.sub_(slope / (curvature.abs() + self.slip), alpha=self.param_groups[0]["lr"])  # SLIP

    def slopes(self, closure, params):
        for p in params:
            (slope,) = torch.autograd.grad(closure(), [p], create_graph=True)
            yield slope.detach(), torch.autograd.grad(slope.sum(), [p])[0]


class GoesBackward(OfTheLoss):
    def slopes(self, closure, params):
        closure().backward()
        once = [p.grad.clone() for p in params]
        closure().backward()  # adds
        for p, slope in zip(params, once, strict=True):
            yield slope, (p.grad - slope) / p.detach()
            p.grad = None


class MadeOfNumbers(Signs):
    def __init__(self, params, lr=1e-3, eps=1e-8):
        super().__init__(params, lr, eps=eps)

    def direction(self, p, group):
        return p.grad / (p.grad.abs() + torch.Tensor([group["eps"]]))


class Resized(Signs):
    def direction(self, p, group):
        return p.grad.sign() * p.grad.new().resize_as_(p.grad).fill_(group["lr"]) / group["lr"]


class ClipsValues(Signs):
    def __init__(self, params, lr=1e-3, largest=1.0):
        super().__init__(params, lr, largest=largest)

    def direction(self, p, group):
        torch.nn.utils.clip_grad_value_([p], group["largest"])
        return p.grad


class SignByPlaces(Signs):
    """Every place of a product is written anew, by its sign."""

    places = ("gt", "le")

    def direction(self, p, group):
        before = self.state[p].setdefault("before", torch.zeros_like(p))
        agreed = p.grad * before
        for place, value in zip(self.places, (1.2, 0.5, 1.0), strict=False):
            agreed[getattr(agreed, place)(0)] = value  # PLACES
        before.copy_(p.grad)
        return p.grad.sign() * agreed


class SignInThree(SignByPlaces):
    places = ("gt", "lt", "eq")


class SomePlaces(SignByPlaces):
    places = ("gt",)


def test_places_that_keep_what_was_there_stand_beside_the_written():
    found = dims.infer(SomePlaces)
    assert found.status == "broken"
    assert any(b.location is not None and "# PLACES" in b.location.source for b in found.breaks)


class LeavesZeros(Signs):
    """Written in all places of data in which nothing is exactly 0, beside which a bare number is left."""

    @staticmethod
    def masks(g):
        return g > 0, g < 0

    def direction(self, p, group):
        left = torch.ones_like(p)
        for mask in self.masks(p.grad):
            left[mask] = p.grad[mask]  # PLACES
        return left


class LeavesZerosAtOnce(LeavesZeros):
    @staticmethod
    def masks(g):
        return (g.abs() > 0,)


class LeavesZerosOfSigns(LeavesZeros):
    @staticmethod
    def masks(g):
        return g.sign() == 1, g.sign() == -1


class LeavesNone(LeavesZeros):
    @staticmethod
    def masks(g):
        return g > 0, ~(g > 0)


@pytest.mark.parametrize("optimizer", [LeavesZeros, LeavesZerosAtOnce, LeavesZerosOfSigns])
def test_places_of_zeros_keep_what_was_there(optimizer):
    found = dims.infer(optimizer)
    assert found.status == "unknown"
    assert "# PLACES" in found.breaks[0].location.source


class SomePlacesTwice(LeavesZeros):
    """Those of positive entries are left as they were."""

    @staticmethod
    def masks(g):
        return g <= 0, g < 0


class OfTwoUnits(Signs):
    """Every place is written, here with gradients and there with their squares, too small for a run to tell."""

    def direction(self, p, group):
        written = torch.zeros_like(p)
        written[p.grad > 0] = (1e-13 * p.grad * p.grad)[p.grad > 0]
        written[p.grad <= 0] = p.grad[p.grad <= 0]  # PLACES
        return p.grad + written


class ResizedSquares(Signs):
    def direction(self, p, group):
        return p.grad + 1e-13 * (p.grad * p.grad).resize_(p.grad.shape)  # PLACES


class AddsToWhatWasThere(OfTheLoss):
    """The slope of the loss is added to a gradient that was a multiple of the parameter."""

    def slopes(self, closure, params):
        for p in params:
            p.grad = 1e-13 * p.detach()
        closure().backward()  # PLACES
        for p in params:
            yield p.grad.clone(), p.grad / p.detach()
            p.grad = None


@pytest.mark.parametrize("optimizer", [SomePlacesTwice, OfTwoUnits, ResizedSquares, AddsToWhatWasThere])
def test_what_is_written_in_two_units_is_a_break(optimizer):
    found = dims.infer(optimizer)
    assert found.status in ("broken", "unknown")
    assert any(b.location is not None and "# PLACES" in b.location.source for b in found.breaks)


def test_places_and_all_others_leave_nothing():
    assert (dims.infer(LeavesNone).verdict, dims.infer(LeavesNone).hyper) == ("proven", {"lr": SGD})


@dataclass
class Config:
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    every: int = 1


class Configured(Signs):
    def __init__(self, params, config: Config = Config()):  # noqa: B008
        super().__init__(params, config.lr, betas=config.betas, every=config.every)

    def direction(self, p, group):
        return (p.grad * group["betas"][0]).sign()


class OfGroupsAlone(Signs):
    """Hyperparameters are given with the groups, or filled in there."""

    def __init__(self, param_groups):
        for group in param_groups:
            group.setdefault("lr", 0.02 if group["use_muon"] else 1e-3)
        torch.optim.Optimizer.__init__(self, param_groups, {})


class OfAVector(Signs):
    def direction(self, p, group):
        return p.grad / torch.dot(p.grad, p.grad).sqrt()


class InBackward(Signs):
    """Moves parameters by hooks, while the loss is differentiated."""

    def __init__(self, model, lr=1e-3):
        super().__init__(model.parameters(), lr)
        self.hook(list(model.parameters()))

    def hook(self, params):
        for p in params:
            p.register_post_accumulate_grad_hook(self.move)

    @torch.no_grad()
    def move(self, p):
        p.sub_(self.direction(p, self.param_groups[0]), alpha=self.param_groups[0]["lr"]).add_(self.slip)  # SLIP
        p.grad = None

    def step(self, closure):
        closure().backward()


class OnGradients(InBackward):
    """Moves the parameter by the gradient that is on its way to it."""

    def hook(self, params):
        for p in params:
            p.register_hook(lambda g, p=p: self.moves(p, g))

    @torch.no_grad()
    def moves(self, p, g):
        p.data.sub_(g.sign(), alpha=self.param_groups[0]["lr"]).add_(self.slip)  # SLIP


class InSecret(InBackward):
    """Hooks where no call is seen, and twice as much as any law allows, too small for a run to tell."""

    def hook(self, params):
        self.nodes = [p.expand_as(p).grad_fn.next_functions[0][0] for p in params]
        for p, node in zip(params, self.nodes, strict=True):
            node.register_hook(lambda *_, p=p: self.move(p))

    def direction(self, p, group):
        return p.grad.sign() + 1e-13 * p.grad


class InSecretBesideOneSeen(InSecret):
    def hook(self, params):
        super().hook(params)
        params[0].register_hook(lambda g: None)


class InSecretBesideOneThatWrites(InSecret):
    def hook(self, params):
        super().hook(params)
        params[0].register_post_accumulate_grad_hook(self.writes)

    @torch.no_grad()
    def writes(self, p):
        p.mul_(1.0)


class OnTheWay(OnGradients):
    """Hands on another gradient than came."""

    def moves(self, p, g):
        super().moves(p, g)
        return g + 1e-13 * g * g

    def step(self, closure):
        super().step(closure)
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                p.sub_(p.grad, alpha=self.param_groups[0]["lr"])


UNFOLLOWED = [
    (InSecret, "changes parameters"),
    (InSecretBesideOneSeen, "changes parameters"),
    (InSecretBesideOneThatWrites, "changes parameters"),
    (OnTheWay, "changes a gradient"),
]


@pytest.mark.parametrize(("optimizer", "words"), UNFOLLOWED)
def test_hooks_that_cannot_be_followed_are_refused(optimizer, words):
    assert words in dims.infer(optimizer, judge=False).verdict


class Softened(Signs):
    def __init__(self, params, lr=1e-3, smooth=50.0):
        super().__init__(params, lr, smooth=smooth)

    def direction(self, p, group):
        return p.grad / torch.nn.functional.softplus(p.grad.abs(), self.sharpness(group))

    def sharpness(self, group):
        return group["smooth"]


class SoftenedByABareNumber(Softened):
    def sharpness(self, group):
        return 50.0


def test_softplus_of_a_quantity_wants_a_sharpness_with_units():
    assert dims.infer(SoftenedByABareNumber).status == "broken"


class ComesBack(Signs):
    """Goes out in one step and back in the next."""

    def direction(self, p, group):
        there = self.state[p].setdefault("start", p.detach().clone())
        if not torch.equal(there, p):
            return (p - there) / group["lr"]
        return p.grad.sign()


class WaitsForAClosure(Signs):
    def step(self, closure=None):
        if closure is not None:
            closure()
            super().step()


class InBfloat16(Signs):
    def direction(self, p, group):
        assert p.dtype == torch.bfloat16
        return p.grad.sign()


class Converges(OfTheLoss):
    """Second derivatives reach the lowest point exactly, where there is nothing to divide by."""

    def __init__(self, params, lr=1.0):
        super().__init__(params, lr)

    def slopes(self, closure, params):
        for slope, curvature in super().slopes(closure, params):
            size = slope.norm().item()
            yield slope / size * size, curvature


CASES = [
    (InBackward, {"lr": PARAM}, "given as a module"),
    (OnGradients, {"lr": PARAM}, "given as a module"),
    (Softened, {"lr": PARAM, "smooth": GRADIENT.power(-1)}, "covers the branches"),
    (OfAVector, {"lr": PARAM}, "on a vector"),
    (ComesBack, {"lr": PARAM}, "covers the branches"),
    (WaitsForAClosure, {"lr": PARAM}, "with a closure"),
    (InBfloat16, {"lr": PARAM}, "run in bfloat16"),
    (Converges, {"lr": PURE}, "whose result can be differentiated"),
    (SignByPlaces, {"lr": PARAM}, "covers the branches"),
    (SignInThree, {"lr": PARAM}, "covers the branches"),
    (Configured, {"config.lr": PARAM, "config.betas[0]": PURE, "config.betas[1]": PURE}, "covers the branches"),
    (OfGroupsAlone, {"matrix.lr": PARAM, "vector.lr": PARAM}, "use_muon is true for matrices"),
    (OfTheLoss, {"lr": PURE}, "whose result can be differentiated"),
    (GoesBackward, {"lr": PURE}, "whose result can be differentiated"),
    (MadeOfNumbers, {"lr": PARAM, "eps": GRADIENT}, "covers the branches"),
    (Resized, {"lr": PARAM}, "covers the branches"),
    (ClipsValues, {"lr": SGD, "largest": GRADIENT}, "covers the branches"),
    (InGroups, {"lr": PARAM}, "use_muon is true for matrices"),
    (ByName, {"lr": PARAM}, "given by name"),
    (OfAModule, {"lr": PARAM}, "given as a module"),
    (InSingle, {"lr": PARAM}, "float32"),
    (Polyak, {"factor": PARAM.times(GRADIENT).times(LOSS.power(-1))}, "with a closure"),
    (Curved, {"lr": PURE}, "differentiates"),
    (CurvedCopy, {"lr": PURE}, "differentiates"),
    (Wants, {"lr": PARAM}, "lr = 0.001, total_steps = 1000: chosen here"),
    (WantsAsOfOld, {"lr": PARAM}, "lr = 0.001: chosen here"),
    (NoneByDefault, {"lr": PARAM}, "lr = 0.001: chosen here"),
    (Around, {"decay": PURE, "lr": SGD}, "base_optimizer = SGD: chosen here"),
    (Behind, {"decay": PURE, "lr": SGD}, "optimizer = SGD: chosen here"),
    (BehindABase, {"decay": PURE, "lr": SGD}, "base_optimizer = SGD: chosen here"),
    (Compiled, {"lr": PARAM}, "torch.compile"),
]


@pytest.mark.parametrize(("optimizer", "law", "note"), CASES, ids=lambda x: getattr(x, "__name__", None))
def test_law_is_read_and_the_form_is_said(optimizer, law, note):
    found = dims.infer(optimizer)
    assert (found.verdict, found.hyper) == ("proven", law)
    assert any(note in line for line in found.notes), found.notes


@pytest.mark.parametrize("optimizer", [c[0] for c in CASES if c[0] is not Compiled])
def test_slip_is_named_at_its_line(optimizer):
    found = dims.infer(type(optimizer.__name__, (optimizer,), {"slip": 1e-3, "__module__": __name__}))
    assert found.status == "broken"
    assert any(b.location is not None and "# SLIP" in b.location.source for b in found.breaks)


class Still(Signs):
    def step(self, closure=None):
        return None


def test_what_never_moves_is_not_proven():
    assert "matrix and vector did not move" in dims.infer(Still).verdict


class OnBits(Signs):
    """Rounds at random, by arithmetic on the bits of its steps."""

    def direction(self, p, group):
        update = p.grad.sign().float() * group["lr"]
        bits = torch.randint_like(update, dtype=torch.int32, low=0, high=1 << 16)
        bits.add_(update.view(dtype=torch.int32)).bitwise_and_(-65536)
        return bits.view(dtype=torch.float32) / group["lr"]


class TakesUnitsAway(Signs):
    """What is written into the bits of a gradient is a pure number to whoever looks at them alone."""

    def direction(self, p, group):
        g = p.grad.clone()
        g.view(torch.int64).add_(0)
        return p.grad + 1e-13 * g * g


@pytest.mark.parametrize("optimizer", [OnBits, TakesUnitsAway])
def test_bits_of_a_quantity_are_not_read(optimizer):
    assert "the bits 'of a quantity'" in dims.infer(optimizer).verdict


class Searches(Signs):
    """Looks at a hundred places and steps as it would have without."""

    def direction(self, p, group):
        for _ in range(100):
            p.grad.norm()
        return p.grad.sign()


def test_steps_of_many_calls_are_fewer(monkeypatch):
    monkeypatch.setattr(importlib.import_module("lrtheory.dims.torch_reader.infer"), "LONG_STEP", 100)
    found = dims.infer(Searches)
    assert (found.verdict, found.hyper) == ("proven", {"lr": PARAM})
    assert any(note.startswith("covers the branches that 8 steps took") for note in found.notes)


class ClipsNorms(ClipsValues):
    def direction(self, p, group):
        torch.nn.utils.clip_grad_norm_([p], group["largest"])  # CLIPS
        return p.grad


def test_bare_number_in_a_function_of_torch_is_named_where_it_is_called():
    found = dims.infer(ClipsNorms)
    assert found.status == "broken"
    assert [(b.literal, b.location.source.strip()[-7:]) for b in found.breaks if b.location] == [(1e-6, "# CLIPS")]


class MadeOfABareNumber(Signs):
    def direction(self, p, group):
        return p.grad / (p.grad.abs() + torch.Tensor([1e-8]))  # BARE


def test_bare_number_in_a_tensor_that_its_type_makes_is_seen():
    found = dims.infer(MadeOfABareNumber)
    assert [b.location.source.strip()[-6:] for b in found.breaks if b.location] == ["# BARE"]


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_fused_kernel_is_read_as_the_loop_that_it_stands_for(optimizer):
    adam, sgd = (importlib.import_module(f"torch.optim.{name}") for name in ("adam", "sgd"))
    kernels = adam._fused_adam, sgd._fused_sgd
    found, plain = dims.infer(optimizer, fused=True), dims.infer(optimizer, fused=False)
    assert (found.verdict, found.hyper) == (plain.verdict, plain.hyper)
    assert any("fused kernel" in note for note in found.notes)
    assert (adam._fused_adam, sgd._fused_sgd) == kernels


class Gathers(Signs):
    def direction(self, p, group):
        got = [torch.empty_like(p.grad)]
        dist.all_gather(got, p.grad)
        dist.all_reduce(got[0])
        return got[0] / got[0].norm()


@pytest.fixture
def one_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)  # pyright: ignore[reportPrivateImportUsage]
    yield
    dist.destroy_process_group()


def test_what_processes_gather_is_like_what_they_give(one_process):
    found = dims.infer(Gathers)
    assert (found.verdict, found.hyper) == ("proven", {"lr": PARAM})


class Multiplies(Signs):
    """Of more than one process, a power of the gradient."""

    def direction(self, p, group):
        return self.received(p.grad)

    def received(self, g):
        got = g.clone()
        dist.all_reduce(got, op=dist.ReduceOp.PRODUCT)
        return got


class GathersInOne(Multiplies):
    """Squares so small beside the gradient that no run would tell."""

    def received(self, g):
        got = [torch.zeros_like(g)]
        dist.gather(g * g, got)
        return g + 1e-13 * got[0]


class Scatters(Multiplies):
    def received(self, g):
        got = torch.zeros_like(g)
        dist.scatter(got, [g * g])
        return g + 1e-13 * got


class TakesOthersForItself(Multiplies):
    """What other processes gave is not what this one has: the difference is 0 for one process alone."""

    def received(self, g):
        got = g * g
        dist.all_reduce(got)
        return g + 1e-13 * (got - g * g)


@pytest.mark.parametrize("optimizer", [Multiplies, GathersInOne, Scatters, TakesOthersForItself])
def test_what_comes_of_other_processes_is_never_taken_as_proven(optimizer, one_process):
    assert dims.infer(optimizer).status == "unknown"


class Beside(Signs):
    """A bound that acts beside parameters of another size than those of the small problem."""

    def direction(self, p, group):
        return p.grad.sign() * self.bounded(p.detach().square().mean().sqrt())

    def bounded(self, size):
        return size.clamp(min=1e-3)  # BOUND


class BesideLarge(Beside):
    def bounded(self, size):
        return size.clamp(max=1e6)  # BOUND


@pytest.mark.parametrize("optimizer", [Beside, BesideLarge])
def test_bound_that_acts_only_beside_other_parameters_is_a_break(optimizer):
    found = dims.infer(optimizer)
    assert [b.location.source.strip()[-7:] for b in found.breaks if b.location] == ["# BOUND"]
    assert found.status == "broken"


def test_step_is_compiled_as_before_afterwards():
    compile_ = torch.compile
    dims.infer(Compiled)
    assert torch.compile is compile_


class Insists(Signs):
    def __init__(self, params, path):
        super().__init__(params, len(path))


def test_what_cannot_be_chosen_is_asked_for():
    with pytest.raises(NotAnOptimizerError, match="path"):
        dims.infer(Insists)


class StopsOnTheThird(ByName):
    steps = 0

    def step(self, closure=None):
        self.steps += 1
        if self.steps == 3:
            raise RuntimeError("no third step")
        super().step()


class CallsAsOfOld(OfAModule):
    def direction(self, p, group):
        functions = importlib.import_module("torch.optim._functional")
        functions.sgd([p], [p.grad], [None], weight_decay=0.0, momentum=0.0, lr=group["lr"])
        return p.grad


FURTHEST = [
    (StopsOnTheThird, r'step 3 fails: no third step at .*: raise RuntimeError\("no third step"\)'),
    (CallsAsOfOld, "step 1 fails: sgd.. missing .*; torch .* has sgd.. with other arguments at .*: functions.sgd"),
]


@pytest.mark.parametrize(("optimizer", "reason"), FURTHEST)
def test_reason_is_that_of_the_form_that_got_furthest(optimizer, reason):
    with pytest.raises(NotAnOptimizerError, match=reason):
        dims.infer(optimizer)


class AsComplex(Signs):
    """Pairs of entries taken for complex numbers, and back."""

    def direction(self, p, group):
        pairs = torch.view_as_complex(torch.stack([p.grad, p.grad], -1))
        return torch.view_as_real(pairs)[..., 0]


def test_complex_numbers_keep_units():
    assert dims.infer(AsComplex).hyper == {"lr": SGD}


class InParts(Signs):
    """Heavy ball that keeps its momentum as a size and what is left, both 0 at first, and puts it into shape again."""

    shaped = staticmethod(torch.Tensor.reshape_as)

    def direction(self, p, group):
        state = self.state[p]
        kept, size = state.get("kept", torch.zeros_like(p)), state.get("size", p.new_zeros(()))
        momentum = self.shaped((kept * size).reshape(-1), kept).lerp_(p.grad, 0.1)
        state["size"] = momentum.abs().amax()
        state["kept"] = momentum / state["size"]
        return momentum


class InStridedParts(InParts):
    """The same by a view that has no rule of its own."""

    shaped = staticmethod(lambda x, like: x.as_strided(like.shape, like.stride()))


@pytest.mark.parametrize("optimizer", [InParts, InStridedParts])
def test_zeros_in_another_shape_fit_any_units(optimizer):
    found = dims.infer(optimizer)
    assert (found.verdict, found.hyper, found.state["size"]) == ("proven", {"lr": SGD}, GRADIENT)


def by_a_factory(params, eps=1e-8):
    """A user's own optimizer around another."""
    return Behind(torch.optim.Adam(params, lr=1e-3, eps=eps))


def test_targets_are_factories_and_classes_with_arguments_left_open():
    found = infer_target(f"{__name__}:Around")
    assert (found.verdict, found.hyper) == ("proven", {"decay": PURE, "lr": SGD})
    found = infer_target(f"{__name__}:by_a_factory")
    assert found.status == "broken"  # its lr is a bare number


class OutOfSight(InGroups):
    """Text drops the units of a number."""

    def direction(self, p, group):
        return super().direction(p, group) * float(str(group["lr"])) / 1e-3


def test_judge_runs_the_form_that_was_read():
    assert dims.infer(OutOfSight).verdict.startswith("unknown (numbers do not obey these units")
    assert dims.infer(OutOfSight, judge=False).verdict == "proven"


class Bounded(Signs):
    """Takes no lr of 1e-2 and more, though scaled by 256 it would be."""

    least = 0.0

    def __init__(self, params, lr=1e-3):
        if not self.least <= lr < 1e-2:
            raise ValueError(f"lr = {lr} is out of range")
        super().__init__(params, lr)


class BoundedTwice(Bounded):
    least = 1e-4


class BoundedOutOfSight(Bounded):
    def direction(self, p, group):
        return super().direction(p, group) * float(str(group["lr"])) / 1e-3


def test_scales_that_a_constructor_refuses_are_left_out_while_others_speak():
    assert dims.infer(Bounded).verdict == "proven"
    assert "is out of range" in dims.infer(BoundedTwice).verdict
    assert dims.infer(BoundedOutOfSight).verdict.startswith("unknown (numbers do not obey these units")


class Overshadowed(Signs):
    """Beside gradients it averages their product with lr, which is small beside them at the scales that beta allows."""

    def __init__(self, params, lr=1e-6, beta=0.9):
        if not 0 <= beta < 1:
            raise ValueError(f"beta = {beta} is out of range")
        super().__init__(params, lr, beta=beta)

    def direction(self, p, group):
        before = self.state[p].setdefault("before", torch.zeros_like(p))
        update = before.lerp(p.grad, 1 - group["beta"]).sign()  # AVERAGE
        before.mul_(group["beta"]).add_(p.grad, alpha=(1 - group["beta"]) * group["lr"])
        return update


def test_break_is_not_refuted_where_hyperparameters_are_refused():
    found = dims.infer(Overshadowed)
    assert found.status == "broken"
    assert any(b.location is not None and "# AVERAGE" in b.location.source for b in found.breaks)


class Idle(Signs):
    """Compares what it never uses, and raises lr to a power."""

    def __init__(self, params, lr=1e-3, eps=1e-8, power=2.0):
        super().__init__(params, lr, eps=eps, power=power)

    def direction(self, p, group):
        max(group["lr"], group["eps"])
        share = group["lr"] ** group["power"] / (2 * group["lr"] ** group["power"])
        return p.grad / (p.grad.abs() + group["eps"]) * share


def test_break_that_numbers_refute_where_an_exponent_is_held_is_unknown():
    found = dims.infer(Idle)
    assert "in numbers the law holds" in found.verdict
    assert (found.hyper["lr"], found.hyper["eps"]) == (PARAM, GRADIENT)  # those that numbers obey
