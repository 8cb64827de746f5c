"""Scale symmetries of torch modules: the same as of the same network in JAX, each tried in numbers."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from lrtheory import symmetries
from lrtheory.dims.model import Generator, Symmetries

from .networks import NETWORKS


def spans(a: tuple[Generator, ...], b: tuple[Generator, ...], names: tuple[str, ...]) -> bool:
    """Whether two bases are of one space."""
    left, right = (
        np.array([[float(g.get(n, 0)) for n in names] for g in each]).reshape(-1, len(names)) for each in (a, b)
    )
    rank = np.linalg.matrix_rank
    return len(left) == len(right) == rank(left) == rank(np.concatenate([left, right]))


@pytest.mark.parametrize("name", NETWORKS)
def test_torch_and_jax_agree(name):
    in_torch, in_jax = NETWORKS[name]()
    started = time.process_time()
    ours, theirs = symmetries(*in_torch), symmetries(*in_jax)
    assert time.process_time() - started < 10  # seconds of both; some 1 on an idle core
    assert set(ours.tensors) == set(theirs.tensors)
    assert ours.generators
    assert spans(ours.generators, theirs.generators, ours.tensors)
    assert spans(ours.exact, theirs.exact, ours.tensors)
    assert set(ours.invariant) == set(theirs.invariant)
    assert set(ours.fixed) == set(theirs.fixed)
    for found in (ours, theirs):
        tried = found.verify(0)
        assert not tried.wrong
        assert not tried.not_slopes
        assert not tried.missed


def test_transformer_pairs_are_found():
    found = symmetries(*NETWORKS["transformer with RMSNorm and LoRA"]()[0])
    matrix = np.array([[float(g.get(n, 0)) for n in found.tensors] for g in found.exact])
    for at in ("blocks.0", "blocks.1"):
        for pair in (
            (f"{at}.q.down", f"{at}.q.up"),
            (f"{at}.v.weight", f"{at}.o.weight"),
            (f"{at}.up.weight", f"{at}.down.weight"),
        ):
            vector = np.array([[1.0 if n == pair[0] else -1.0 if n == pair[1] else 0.0 for n in found.tensors]])
            assert np.linalg.matrix_rank(np.concatenate([matrix, vector])) == len(matrix), pair


def of(module: nn.Module, *data: Any) -> Symmetries:
    return symmetries(lambda m, *x: m(*x).square().mean(), module, *data)


def test_module_buffers_and_data_are_left_as_they_were():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    x = torch.randn(6, 3)
    before, kept = {n: t.clone() for n, t in module.state_dict().items()}, x.clone()
    state = torch.get_rng_state()
    found = of(module, x)
    assert found.verify(0).wrong == ()
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert torch.equal(x, kept)
    assert torch.equal(torch.get_rng_state(), state)
    assert str(next(g for g in found.generators if "0.weight" in g)) == "0.weight ×k, 0.bias ×k"


def test_statistics_in_evaluation_are_data():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).eval()
    assert set(of(module, torch.randn(6, 3)).fixed) >= {"0.weight", "0.bias"}


def test_parameters_that_the_loss_never_reads_are_said():
    module = nn.ModuleDict({"used": nn.Linear(3, 4), "left": nn.Linear(3, 4), "dropped": nn.Linear(4, 4)})

    def loss(m: Any, x: Any) -> Any:
        h = m["used"](x)
        torch.tanh(m["dropped"](h))  # nobody uses it
        return F.relu(h).square().mean() / h.abs().mean() ** 2

    found = symmetries(loss, module, torch.randn(5, 3))
    assert set(found.unread) == {"left.weight", "left.bias", "dropped.weight", "dropped.bias"}
    assert [str(g) for g in found.generators] == ["used.weight ×k, used.bias ×k"]
    assert found.verify(0).passed


class Strange(torch.autograd.Function):
    """An operation of one's own, whose forward pass leaves torch."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return torch.from_numpy(np.array(x.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, *slopes: Any) -> Any:
        return slopes[0]


class Escape(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.weight, self.how = nn.Parameter(torch.ones(3)), how

    def forward(self, x: Any) -> Any:
        w = self.weight
        if self.how == "numpy":
            w = Strange.apply(w)
        elif self.how == "item":
            w = torch.ones(3) * w[0].item()
        elif self.how == "list":
            w = torch.tensor(w.tolist())
        elif self.how == "float":
            w = torch.full((3,), float(w[1]))
        return (w * x) / (self.weight.detach().norm() if self.how == "none" else 1)


@pytest.mark.parametrize("how", ["numpy", "item", "list", "float"])
def test_a_number_that_leaves_torch_is_taken_to_be_fixed(how):
    found = of(Escape(how), torch.randn(3))
    assert set(found.fixed) == {"weight"}


def test_shared_tensors_are_one():
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    module[2].weight = module[0].weight
    found = of(module, torch.randn(5, 4))
    assert found.tensors == ("0.weight",)
    assert set(found.fixed) == {"0.weight"}


def test_an_operation_without_a_rule_is_named_and_nothing_false_is_said():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(torch.rand(3) + 1), nn.Parameter(torch.rand(3))

        def forward(self, x: Any) -> Any:
            return torch.special.modified_bessel_i1(self.a * x) * torch.relu(self.b)

    found = of(Odd(), torch.rand(3))
    assert [u.name for u in found.unknown] == ["special_modified_bessel_i1"]
    assert "bessel_i1" in str(found.fixed["a"])
    assert found.verify(0).passed


@pytest.mark.parametrize(
    ("loss", "error", "words"),
    [
        (lambda m, x: m(x), TypeError, "shape"),
        (lambda m, x: (m(x).sum(), 1), TypeError, "tuple"),
        (lambda m, x: m(x).sum().item(), TypeError, "float"),
        (lambda m, x: m(x.T.T.T).sum(), ValueError, "cannot be run"),
        (lambda m, x: m.weight.data.mul_(2).sum(), ValueError, "changes the parameter weight"),
        (lambda m, x: m(x.mul_(2)).sum(), ValueError, "changes the data"),
    ],
)
def test_bad_losses_are_refused_in_a_sentence(loss, error, words):
    with pytest.raises(error, match=words):
        symmetries(loss, nn.Linear(3, 2), torch.ones(4, 3))


def test_bad_modules_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="no real parameter"):
        of(nn.ReLU(), torch.ones(3))
    with pytest.raises(TypeError, match="complex"):
        of(nn.Linear(3, 2, dtype=torch.complex64), torch.ones(4, 3, dtype=torch.complex64))


def length(t: Any) -> Any:
    return t.square().sum().sqrt()


AT = torch.tensor([0, 1, 2, 0, 1, 2])
#: A loss of tensors a (6,) and b (3,): its symmetries, and the tensors that it never reads.
OPERATIONS = {
    "a value below a threshold": (lambda a, b: F.threshold(a, 0.0, 1.0).sum() / length(a), [], ["b"]),
    "zero below a threshold": (lambda a, b: F.threshold(a, 0.0, 0.0).sum() / length(a), ["a ×k"], ["b"]),
    "products by index": (lambda a, b: b.scatter_reduce(0, AT, a, "prod").sum() / length(a) / length(b), [], []),
    "extremes by index": (lambda a, b: b.scatter_reduce(0, AT, a, "amax").sum() / length(a), ["a ×k, b ×k"], []),
    "products of segments": (lambda a, b: torch.segment_reduce(a, "prod", lengths=torch.tensor([2, 4])).sum() / a[0], [], ["b"]),
    "sums of segments from a number on": (
        lambda a, b: torch.segment_reduce(a, "sum", lengths=torch.tensor([2, 4]), initial=1.0).sum() / a[0], [], ["b"],
    ),
    "a place in an order": (lambda a, b: (b * a[:3].argsort()).sum() / length(b), ["a ×k", "b ×k"], []),
    "a sign of another": (lambda a, b: b.copysign(a[:3]).sum() / length(b), ["a ×k", "b ×k"], []),
    "an orthogonal factor": (lambda a, b: torch.linalg.qr(a.view(3, 2)).Q.abs().sum(), ["a ×k"], ["b"]),
    "an operation without a rule": (lambda a, b: F.bilinear(b[None], b[None], b.expand(1, 3, 3)).sum(), [], ["a"]),
    "weights of classes in a sum": (
        lambda a, b: F.nll_loss(a.view(2, 3).log_softmax(-1), AT[:2], b.detach(), reduction="sum"), [], [],
    ),
    "weights of classes in a mean": (
        lambda a, b: F.nll_loss(a.view(2, 3).log_softmax(-1), AT[:2], b.detach()), ["b ×k"], [],
    ),
    "a bias of attention": (
        lambda a, b: F.scaled_dot_product_attention(*[a.view(1, 1, 3, 2)] * 3, b.detach().expand(1, 1, 3, 3)).sum() / length(a), [], [],
    ),
    "a shape alone": (lambda a, b: (torch.ones_like(b) * a[:3]).sum() / length(a), ["a ×k"], ["b"]),
}  # fmt: skip


class Two(nn.Module):
    def __init__(self, **tensors: torch.Tensor) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            setattr(self, name, nn.Parameter(tensor))


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_false_is_said_of_an_operation(name):
    loss, generators, unread = OPERATIONS[name]
    module = Two(a=torch.linspace(0.5, 1.7, 6), b=torch.linspace(0.4, 1.1, 3))
    found = symmetries(lambda m: loss(m.a, m.b), module)
    assert [str(g) for g in found.generators] == generators
    assert list(found.unread) == unread
    tried = found.verify(0)
    assert not tried.wrong
    assert not tried.not_slopes


def test_a_learned_temperature_and_a_checkpoint_can_be_tried():
    """A tensor without axes, and a forward pass that is repeated when slopes are asked for."""
    from torch.utils.checkpoint import checkpoint

    module = Two(w=torch.randn(4, 3), t=torch.tensor(0.7))

    def loss(m: Any, x: Any) -> Any:
        scores: Any = checkpoint(lambda x: x @ m.w / m.t, x, use_reentrant=False)
        return F.cross_entropy(scores, torch.arange(5) % 3)

    found = symmetries(loss, module, torch.randn(5, 4))
    assert [str(g) for g in found.generators] == ["w ×k, t ×k"]
    assert found.verify(0).passed


def test_a_loss_without_a_derivative_is_named():
    found = symmetries(lambda m: (m.a // m.b).sum(), Two(a=torch.rand(3), b=torch.rand(3)))
    with pytest.raises(ValueError, match=r"no derivative: .*floor_divide"):
        found.verify(0)
