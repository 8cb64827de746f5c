"""torch.optim, unmodified: verdicts and units, and the numbers of real runs, which know nothing of units."""

from __future__ import annotations

import inspect
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from lrtheory import dims
from lrtheory.dims import Dimensions, Units
from lrtheory.dims.torch_reader.arguments import constructor_arguments, default_numbers
from lrtheory.dims.torch_reader.running import NotAnOptimizerError

STEPS = 30

PER_GRADIENT = {"lr": "[param]", "eps": "[loss]/[param]", "weight_decay": "[loss]/[param]^2"}
LAWS = {
    "SGD": {"lr": "[param]^2/[loss]", "weight_decay": "[loss]/[param]^2"},
    "ASGD": {"lr": "[param]^2/[loss]", "lambd": "[loss]/[param]^2", "weight_decay": "[loss]/[param]^2"},
    "Adam": PER_GRADIENT,
    "Adamax": PER_GRADIENT,
    "NAdam": PER_GRADIENT,
    "RMSprop": PER_GRADIENT,
    "SparseAdam": {"lr": "[param]", "eps": "[loss]/[param]"},
    "AdamW": {**PER_GRADIENT, "weight_decay": "1/[param]"},
    "Adagrad": {**PER_GRADIENT, "initial_accumulator_value": "[loss]^2/[param]^2"},
    "Adadelta": {"lr": "[param]^2/[loss]", "eps": "[loss]^2/[param]^2", "weight_decay": "[loss]/[param]^2"},
    "Rprop": {"lr": "[param]", "step_sizes[0]": "[param]", "step_sizes[1]": "[param]"},
    "Muon": {"lr": "[param]", "weight_decay": "1/[param]", "eps": "[loss]/[param]"},
}
BROKEN = {
    "RAdam": "radam.py",
    "Adafactor": "_adafactor.py",
    "LBFGS": "lbfgs.py",
}
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"foreach": True}),
    ("AdamW", {"amsgrad": True, "foreach": True}),
    ("NAdam", {"decoupled_weight_decay": True}),
    ("RMSprop", {"centered": True, "momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "foreach": True}),
]


def test_every_optimizer_is_in_one_of_the_tables():
    classes = {n for n in vars(torch.optim) if isinstance(getattr(torch.optim, n), type)} - {"Optimizer"}
    assert classes == set(LAWS) | set(BROKEN)


@pytest.mark.parametrize("name", LAWS)
def test_optimizer_obeys_the_law_in_the_books(name):
    found = dims.infer(getattr(torch.optim, name))
    assert found.verdict == "proven"
    assert {n: u for n, u in found.hyper.items() if not u.is_pure} == {
        n: Units.parse(text) for n, text in LAWS[name].items()
    }
    assert not found.free
    assert any("covers the branches" in note for note in found.notes)


@pytest.mark.parametrize("name", BROKEN)
def test_optimizer_breaks_in_its_own_file(name):
    found = dims.infer(getattr(torch.optim, name))
    assert found.status == "broken"
    for broken in found.breaks:
        assert broken.location is not None
        assert broken.location.file.endswith(BROKEN[name])


def test_radam_needs_six_steps_to_show_its_second_branch():
    """The two updates want lr in units that differ by those of a gradient."""
    (broken,) = dims.infer(torch.optim.RAdam).breaks
    lines = [link.location.source for link in broken.chain if link.location]
    assert sum("param.add_(" in line for line in lines) == 2
    assert broken.residual in (dims.GRADIENT, dims.GRADIENT.power(-1))


def test_lbfgs_breaks_at_its_constants():
    sources = [b.location.source for b in dims.infer(torch.optim.LBFGS).breaks if b.location]
    assert any("min(1.0, 1.0 / flat_grad.abs().sum())" in s for s in sources)
    assert any("1e-10" in s for s in sources)


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=lambda x: "-".join(x) if isinstance(x, dict) else x)
def test_option_leaves_the_law_as_it_is(name, options):
    found = dims.infer(getattr(torch.optim, name), **options)
    assert found.verdict == "proven"
    expected = LAWS["AdamW" if options.get("decoupled_weight_decay") else name]
    assert {n: u for n, u in found.hyper.items() if not u.is_pure} == {n: Units.parse(t) for n, t in expected.items()}


# --- real runs ---


def arguments(
    optimizer: type, options: dict[str, Any], found: Dimensions, loss: float, params: float
) -> dict[str, Any]:
    """Constructor arguments, zero numbers switched on and eps made large, times what their units say."""
    numbers, others = default_numbers(optimizer, options)
    for name, value in numbers.items():
        switched = 0.01 if value == 0 and name not in options and not options.get("nesterov") else value
        numbers[name] = (0.5 if name == "eps" else switched) * found.hyper[name].factor(loss, params)
    return constructor_arguments(numbers, others)


def run(optimizer: type, given: dict[str, Any], loss: float, params: float, size: float = 1.0) -> list[np.ndarray]:
    """Parameters after every step of a stream of gradients that change sign and size."""
    rng = np.random.default_rng(0)
    shapes = [(4, 3)] if optimizer.__name__ in ("Muon", "SparseAdam") else [(4, 3), (5,)]
    leaves = [torch.nn.Parameter(torch.tensor(rng.normal(size=s) * params)) for s in shapes]
    instance = optimizer(leaves, **given)
    path = []
    for _ in range(STEPS):
        sizes = size * 10.0 ** rng.uniform(-2, 2)
        for p in leaves:
            g = torch.tensor(rng.normal(size=p.shape) * sizes * (loss / params))
            p.grad = g.to_sparse(1) if optimizer.__name__ == "SparseAdam" else g
        instance.step()
        path.append(np.concatenate([p.detach().numpy().ravel() for p in leaves]))
    return path


@pytest.mark.parametrize(("name", "options"), [*((n, {}) for n in LAWS), *OPTIONS], ids=str)
def test_proven_optimizer_is_bitwise_equal_after_rescaling(name, options):
    optimizer = getattr(torch.optim, name)
    found = dims.infer(optimizer, **options)
    base = run(optimizer, arguments(optimizer, options, found, 1, 1), 1, 1)
    assert np.ptp(base) > 0
    for loss, params in ((16.0, 1.0), (1.0, 0.25), (0.25, 64.0)):
        other = run(optimizer, arguments(optimizer, options, found, loss, params), loss, params)
        np.testing.assert_array_equal(np.array(other), np.array(base) * params)


def test_rescaled_run_sees_a_wrong_law():
    optimizer = torch.optim.Adam
    found = dims.infer(optimizer)
    base = run(optimizer, arguments(optimizer, {}, found, 1, 1), 1, 1)
    wrong = dims.Dimensions("", hyper={**found.hyper, "eps": found.hyper["eps"].power(2)})
    other = run(optimizer, arguments(optimizer, {}, wrong, 16, 1), 16, 1)
    assert np.max(np.abs(np.array(other) - np.array(base))) > 1e-3


# Adafactor clamps mean squares at the epsilon of the dtype: gradients of 1e-8 in float64, 3e-4 in float32.
@pytest.mark.parametrize(("name", "size"), [("RAdam", 1.0), ("Adafactor", 1e-8)])
def test_broken_optimizer_fails_whatever_lr_and_eps_become(name, size):
    """The best of many transforms leaves the rescaled run apart from the run."""
    optimizer = getattr(torch.optim, name)
    found = dims.infer(optimizer)
    numbers, _ = default_numbers(optimizer, {})
    adjustable = [n for n in numbers if n in ("lr", "eps", "eps[1]", "weight_decay")]
    base = np.array(run(optimizer, arguments(optimizer, {}, found, 1, 1), 1, 1, size))
    best = np.inf
    for exponents in np.ndindex(*[5] * len(adjustable)):
        hyper = {n: Units.parse("1") for n in found.hyper}
        hyper |= {n: dims.LOSS.power(e - 2) for n, e in zip(adjustable, exponents, strict=True)}
        given = arguments(optimizer, {}, Dimensions("", hyper=hyper), 16, 1)
        best = min(best, float(np.max(np.abs(np.array(run(optimizer, given, 16, 1, size)) - base))))
    assert best > 1e-6 * np.max(np.abs(base - base[0]))


# --- the reader itself ---


class UsesMath(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, eps=1e-8):
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                scale = float((p.grad * p.grad).sum()) ** 0.5
                p.add_(p.grad, alpha=-group["lr"] / (scale + group["eps"]))


def test_reader_follows_units_through_float_and_item():
    found = dims.infer(UsesMath)
    assert found.verdict == "proven"
    assert found.hyper == {"lr": dims.PARAM, "eps": dims.GRADIENT}


class ThroughNumpy(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad.sign(), alpha=-group["lr"] * float(np.float64(group["lr"])) / 1e-3)


def test_number_is_followed_through_numpy():
    found = dims.infer(ThroughNumpy)
    assert found.verdict == "proven"
    assert found.hyper["lr"] == dims.PARAM.power(Fraction(1, 2))


def through_a_factory(params, lr=1e-3, eps=1e-8):
    return torch.optim.Adam(params, lr=lr, eps=eps)


class ClipsNumbers(torch.optim.Optimizer):
    """Bounds numbers, where torch would bound tensors."""

    def __init__(self, params, lr=1e-3, low=0.5, high=2.0, bare=False):
        super().__init__(params, {"lr": lr, "low": low, "high": high})
        self.bare = 3.0 if bare else None

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                size = np.clip(p.grad.norm().item(), group["low"], self.bare or group["high"])
                size = np.clip(size, min=group["low"], max=group["high"])
                p.sub_(p.grad / np.clip(size, min=group["low"]), alpha=group["lr"])


class LongerThanABareSide(ClipsNumbers):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad / math.hypot(p.grad.norm().item(), -1.0), alpha=group["lr"])


def test_a_negative_side_of_a_triangle_has_a_length():
    assert dims.infer(LongerThanABareSide).status == "broken"


def test_bounds_of_numpy_have_the_units_of_what_they_bound():
    found, gradient = dims.infer(ClipsNumbers), Units.parse("[loss]/[param]")
    assert (found.verdict, found.hyper) == ("proven", {"lr": dims.PARAM, "low": gradient, "high": gradient})
    found = dims.infer(ClipsNumbers, bare=True)
    assert found.status == "broken"
    assert found.breaks[0].location is not None
    assert "np.clip" in found.breaks[0].location.source


def test_factory_is_read_like_a_class():
    found = dims.infer(through_a_factory)
    assert found.verdict == "proven"
    assert found.hyper == {"lr": dims.PARAM, "eps": dims.GRADIENT}


def test_reader_puts_back_what_stood_in():
    import torch.optim.adam as module

    before = dict(vars(module))
    dims.infer(torch.optim.Adam)
    assert {k: v for k, v in vars(module).items() if before.get(k) is not v} == {}


def test_number_switched_on_is_named():
    found = dims.infer(torch.optim.SGD)
    assert any("weight_decay" in note and "0.01" in note for note in found.notes)


class Refuses(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3):
        raise RuntimeError("not today")


def test_optimizer_that_cannot_run_says_why():
    with pytest.raises(NotAnOptimizerError, match="not today"):
        dims.infer(Refuses)


def test_default_numbers_are_the_floats_of_the_signature():
    numbers, others = default_numbers(torch.optim.Adam, {"amsgrad": True})
    assert numbers == {"lr": 1e-3, "betas[0]": 0.9, "betas[1]": 0.999, "eps": 1e-8, "weight_decay": 0.0}
    assert others == {"betas": (0.9, 0.999), "amsgrad": True}
    assert "weight_decay" in inspect.signature(torch.optim.Adam).parameters
