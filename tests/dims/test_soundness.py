"""Programs that leave the walk, or only seem to break: each kind once as it was found, and once more in another shape.

Every class stands for a kind of mistake that ``dims`` made; S1 to S11 are the numbers of the kinds.
"""

from __future__ import annotations

import math
import random

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from lrtheory import dims
from lrtheory.dims.optax_reader.infer import default_numbers
from lrtheory.dims.torch_reader.arguments import constructor_arguments
from lrtheory.dims.torch_reader.arguments import default_numbers as torch_numbers
from lrtheory.units import GRADIENT, PARAM, PURE, Units


class Each(torch.optim.Optimizer):
    """One parameter after the other."""

    def __init__(self, params, lr=1e-3, **more):
        super().__init__(params, {"lr": lr, **more})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.one(p, p.grad, group)

    def one(self, p, g, h):
        raise NotImplementedError


def source(broken: dims.Break) -> str:
    assert broken.location is not None
    assert broken.location.file == __file__
    return broken.location.source


# --- S1: a tiny bare number in a sum is a guard, as in JAX ---


class TinySum(Each):
    def one(self, p, g, h):
        p.add_(g / (g.norm() + 1e-30), alpha=-h["lr"])


class TinySumOfAList(Each):
    def one(self, p, g, h):
        (norm,) = torch._foreach_norm([g])  # pyright: ignore[reportPrivateImportUsage]
        torch._foreach_add_([norm], 1e-30)  # pyright: ignore[reportPrivateImportUsage]
        p.add_(g / norm, alpha=-h["lr"])


class TinySumTimesANumber(Each):
    def one(self, p, g, h):
        size = torch.add(g.norm(), torch.full_like(g.norm(), 1e-15), alpha=1e-15)
        p.add_(g / size, alpha=-h["lr"])


class SmallSum(Each):
    def one(self, p, g, h):
        p.add_(g / (g.norm() + 1e-8), alpha=-h["lr"])


@pytest.mark.parametrize("optimizer", [TinySum, TinySumOfAList, TinySumTimesANumber])
def test_tiny_number_in_a_sum_is_a_guard(optimizer):
    found = dims.infer(optimizer)
    assert found.verdict.startswith("proven unless a value is not far above 1e-30"), found.verdict
    assert found.hyper["lr"] == PARAM


def test_small_number_in_a_sum_is_no_guard():
    (broken,) = dims.infer(SmallSum).breaks
    assert broken.literal == 1e-8


# --- S2: a number in an exponent is held ---


class Power(Each):
    def __init__(self, params, lr=1e-3, power=0.5):
        super().__init__(params, lr, power=power)

    def one(self, p, g, h):
        p.add_(g / g.norm().pow(h["power"]), alpha=-h["lr"])


class Root(Each):
    def __init__(self, params, lr=1e-3, order=2):
        super().__init__(params, lr, order=order)

    def one(self, p, g, h):
        p.add_(g * g.norm().item() ** (1 / h["order"]), alpha=-h["lr"])


@pytest.mark.parametrize(("optimizer", "name", "lr"), [(Power, "power", "-1/2"), (Root, "order", "-3/2")])
def test_exponent_is_held_with_a_note(optimizer, name, lr):
    found = dims.infer(optimizer)
    assert found.verdict == "proven"
    assert str(found.hyper["lr"].loss) == lr
    assert name not in found.hyper
    assert any(note.startswith(f"{name} is held at") and "exponent" in note for note in found.notes)


def test_root_of_a_number_is_held_in_jax():
    def root(learning_rate=1e-3, order=2.0):
        def update(updates, state, params=None):
            return jax.tree.map(lambda g: -learning_rate * g * jnp.linalg.norm(g) ** (1 / order), updates), state

        return optax.GradientTransformation(lambda params: (), update)

    found = dims.infer(root, hyper={"learning_rate": 1e-3, "order": 2.0})
    assert found.verdict == "proven"
    assert any(note.startswith("order is held at 2") for note in found.notes)


# --- S3: a negative number stands for "none yet" ---


class Largest(Each):
    def __init__(self, params, lr=1e-3):
        super().__init__(params, lr, largest=-1.0)

    def one(self, p, g, h):
        h["largest"] = max(h["lr"], h["largest"])
        p.add_(g, alpha=-h["largest"])


class LargestNorm(Each):
    def one(self, p, g, h):
        state = self.state[p]
        seen = state.get("seen", torch.full((), -1.0, dtype=p.dtype))
        state["seen"] = torch.where(seen < 0, g.norm(), torch.maximum(g.norm(), seen))
        p.add_(g / state["seen"], alpha=-h["lr"])


@pytest.mark.parametrize(("optimizer", "lr"), [(Largest, PARAM.times(GRADIENT.power(-1))), (LargestNorm, PARAM)])
def test_negative_sentinel_is_no_quantity(optimizer, lr):
    found = dims.infer(optimizer)
    assert found.verdict == "proven"
    assert found.hyper["lr"] == lr


def test_negative_sentinel_is_no_quantity_in_jax():
    def largest(learning_rate=1e-3):
        def update(updates, state, params=None):
            state = jnp.maximum(jnp.maximum(optax.tree.norm(updates), -1.0), state)
            return jax.tree.map(lambda g: -learning_rate * g / state, updates), state

        return optax.GradientTransformation(lambda params: jnp.zeros(()), update)

    found = dims.infer(largest, hyper={"learning_rate": 1e-3})
    assert found.status in ("proven", "guarded"), found.verdict
    assert found.hyper["learning_rate"] == PARAM


class NegativeBound(Each):
    def one(self, p, g, h):
        p.add_(g.clamp(min=-1.0).sign() * (g > -1.0), alpha=-h["lr"])


def test_negative_bound_on_what_may_be_negative_is_a_break():
    assert dims.infer(NegativeBound).status == "broken"


# --- S4: steps in which nothing moved are no steps ---


class Never(Each):
    def one(self, p, g, h):
        pass


class VectorsNever(Each):
    def one(self, p, g, h):
        if p.dim() > 1:
            p.add_(g, alpha=-h["lr"])


class EveryTenth(Each):
    """Divides by a norm plus a bare number, once in ten steps."""

    def one(self, p, g, h):
        state = self.state[p]
        state["t"] = state.get("t", 0) + 1
        p.add_(g.sign(), alpha=-h["lr"])
        if state["t"] % 10 == 0:
            p.sub_(h["lr"] * g / (g.norm() + 1e-3))  # HERE


class EveryThirtieth(EveryTenth):
    """The same, as often as a whole number says."""

    def __init__(self, params, lr=1e-3, every=30):
        super().__init__(params, lr, every=every)

    def one(self, p, g, h):
        state = self.state[p]
        state["t"] = state.get("t", 0) + 1
        p.add_(g.sign(), alpha=-h["lr"])
        if state["t"] % h["every"] == 0:
            p.sub_(h["lr"] * g / (g.norm() + 1e-3))  # HERE


def test_nothing_is_proven_of_what_does_not_move():
    assert dims.infer(Never).verdict.startswith("unknown (no step was seen: matrix and vector did not move")
    found = dims.infer(VectorsNever)  # moves matrices, of which alone something is said
    assert next(note for note in found.notes if "covers" in note).endswith("steps took on a matrix of shape (4, 3)")


@pytest.mark.parametrize("optimizer", [EveryTenth, EveryThirtieth])
def test_what_happens_now_and_then_is_seen(optimizer):
    assert "# HERE" in source(dims.infer(optimizer).breaks[0])


# --- S5: noise is as wide as its spread ---


class Langevin(Each):
    def __init__(self, params, lr=1e-3, sigma=1e-2):
        super().__init__(params, lr, sigma=sigma)

    def one(self, p, g, h):
        p.add_(g, alpha=-h["lr"]).add_(torch.empty_like(p).normal_(0.0, h["sigma"]))


class Uniform(Langevin):
    def one(self, p, g, h):
        p.add_(g, alpha=-h["lr"]).add_(torch.empty_like(p).uniform_(-h["sigma"], h["sigma"]))


class Drawn(Langevin):
    def one(self, p, g, h):
        p.add_(g, alpha=-h["lr"]).add_(torch.normal(torch.zeros_like(p), h["sigma"] * torch.ones_like(p)))


class Standard(Langevin):
    def one(self, p, g, h):
        p.add_(g, alpha=-h["lr"]).add_(torch.empty_like(p).normal_(), alpha=h["sigma"])


@pytest.mark.parametrize("optimizer", [Langevin, Uniform, Drawn, Standard])
def test_spread_of_noise_has_units(optimizer):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    found = dims.infer(optimizer)
    assert found.verdict == "proven"
    assert found.hyper == {"lr": PARAM.times(GRADIENT.power(-1)), "sigma": PARAM}
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    assert torch.equal(before[0], after[0])  # S11: runs are seeded, and the generators put back
    assert before[1:] == after[1:]


class PureNoise(Each):
    def one(self, p, g, h):
        p.add_(g, alpha=-h["lr"]).add_(torch.randn_like(p))


def test_noise_of_a_bare_size_is_a_break_whose_surviving_law_is_true():
    found = dims.infer(PureNoise)
    assert found.survives == "loss ×k"
    assert found.hyper["lr"].loss == -1


# --- S6: what leaves the walk is followed, or refused by name ---


class AllClose(Each):
    def one(self, p, g, h):
        small = torch.allclose(g, torch.zeros_like(g), atol=1e-3)  # HERE
        p.sub_(g.sign() * h["lr"] * (0.5 if small else 1.0))


class IsClose(Each):
    def one(self, p, g, h):
        p.sub_(g.sign() * h["lr"] * (1.0 + torch.isclose(g, torch.zeros_like(g), atol=1e-3)))  # HERE


class ToList(Each):
    def one(self, p, g, h):
        largest = max(abs(x) for x in g.flatten().tolist())
        p.sub_(g / (largest + 1e-9) * h["lr"])  # HERE


class OuterProduct(Each):
    def one(self, p, g, h):
        state = self.state[p]
        state["v"] = state.get("v", torch.zeros_like(p)).addcmul(g, g)
        root = state["v"].sqrt()
        if p.dim() == 2:
            ones = torch.ones(root.shape[1], dtype=root.dtype)
            root.addr_(torch.full((root.shape[0],), 1e-11, dtype=root.dtype), ones)  # HERE
        p.addcdiv_(g, root, value=-h["lr"])


class ScalarMath(Each):
    def one(self, p, g, h):
        p.sub_(g * (h["lr"] / (np.sqrt(float((g * g).sum())) + 1e-3)))  # HERE


class Cosine(Each):
    def one(self, p, g, h):
        p.sub_(g.sign() * torch.cosine_similarity(g, p, dim=0) * h["lr"])  # HERE


@pytest.mark.parametrize("optimizer", [AllClose, IsClose, ToList, OuterProduct, ScalarMath, Cosine])
def test_what_can_be_followed_is_blamed_where_it_stands(optimizer):
    assert "# HERE" in source(dims.infer(optimizer).breaks[0])


class Numpy(Each):
    def one(self, p, g, h):
        array = g.numpy()
        p.sub_(torch.from_numpy(array / (abs(array).max() + 1e-9)) * h["lr"])


class NumpyOfAnArray(Each):
    def one(self, p, g, h):
        p.sub_(g.sign() * (h["lr"] * float(np.linalg.norm(g) > 1.0)))


class Special(Each):
    def one(self, p, g, h):
        p.sub_(torch.special.erfcx(g) * h["lr"])


class InPlace(Each):
    def one(self, p, g, h):
        p.sub_(g.clone().sinc_() * h["lr"])


class Gamma(Each):
    def one(self, p, g, h):
        p.sub_(g, alpha=math.gamma(h["lr"]))


class Scripted(Each):
    """As code that is compiled elsewhere."""

    def one(self, p, g, h):
        with torch._C.DisableTorchFunction():
            direction = g / (g.abs().max() + 1e-9)
        p.sub_(direction, alpha=h["lr"])


class Truth(Each):
    def one(self, p, g, h):
        p.sub_(g.sign() * (h["lr"] * (2.0 if 1.0 in g else 1.0)))


@pytest.mark.parametrize(
    ("optimizer", "name"),
    [(Numpy, "numpy"), (NumpyOfAnArray, "norm"), (Special, "special_erfcx"), (InPlace, "sinc_"), (Gamma, "gamma"),
     (Scripted, "no call was seen to make"), (Truth, "contains")],
)  # fmt: skip
def test_what_cannot_be_followed_is_refused_by_name(optimizer, name):
    found = dims.infer(optimizer)
    assert found.status == "unknown"
    assert name in found.verdict


# --- S7: a constructor's arithmetic counts, its checks of ranges do not ---


class InTheConstructor(Each):
    def __init__(self, params, lr=1e-3):
        if not 0.0 <= lr <= 1.0:
            raise ValueError(lr)
        super().__init__(params, lr)
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["scale"] = p.norm() + 1e-8  # HERE

    def one(self, p, g, h):
        p.add_(g.sign() * self.state[p]["scale"], alpha=-h["lr"])


class ChecksRanges(Each):
    def __init__(self, params, lr=1e-3, top=0.5):
        if not 1e-6 < lr < top < 1.0:
            raise ValueError(lr)
        super().__init__(params, min(lr, top))

    def one(self, p, g, h):
        p.add_(g, alpha=-h["lr"])


class AddsInTheConstructor(Each):
    def __init__(self, params, lr=1e-3):
        super().__init__(params, lr + 1e-3)  # HERE

    def one(self, p, g, h):
        p.add_(g, alpha=-h["lr"])


@pytest.mark.parametrize("optimizer", [InTheConstructor, AddsInTheConstructor])
def test_arithmetic_of_the_constructor_is_looked_at(optimizer):
    assert "# HERE" in source(dims.infer(optimizer).breaks[0])


def test_check_of_a_range_demands_nothing():
    assert dims.infer(ChecksRanges).hyper["lr"] == PARAM.times(GRADIENT.power(-1))


# --- S8: every number of the constructor is traced, or named in a note ---


class Keywords(Each):
    def __init__(self, params, rho=0.05, **more):
        torch.optim.Optimizer.__init__(self, params, {"rho": rho, **more})

    def one(self, p, g, h):
        p.add_(g, alpha=-h["lr"])


BETAS = [0.9, 0.999]


class Lists(Each):
    def __init__(self, params, lr=1, betas=BETAS, scale: float | None = 2, limits=((0, 1.5), None)):
        super().__init__(params, lr, betas=betas, scale=scale, limits=limits)

    def one(self, p, g, h):
        p.add_(g.clamp(max=h["limits"][0][1]), alpha=-h["lr"] * h["betas"][0])


class Counts(Each):
    def __init__(self, params, lr=1e-3, turns: int = 3, bound: float | None = None):
        super().__init__(params, lr, turns=turns, bound=bound)

    def one(self, p, g, h):
        for _ in range(h["turns"]):
            p.add_(g, alpha=-h["lr"])


def test_numbers_given_by_keyword_are_traced():
    found = dims.infer(Keywords, lr=0.1)
    assert found.verdict == "proven"
    assert found.hyper["lr"] == PARAM.times(GRADIENT.power(-1))


def test_numbers_in_lists_and_whole_ones_are_traced():
    found = dims.infer(Lists)
    assert found.verdict == "proven"
    assert found.hyper["limits[0][1]"] == GRADIENT
    assert {"lr", "betas[0]", "betas[1]", "scale"} <= set(found.hyper)
    numbers, others = torch_numbers(Lists, {})
    built = constructor_arguments({**numbers, "limits[0][1]": 7.0}, others)
    assert built["betas"] == [0.9, 0.999]
    assert built["limits"] == ((0, 7.0), None)


def test_numbers_that_are_held_are_named():
    notes = dims.infer(Counts).notes
    assert "held as given: turns = 3" in notes
    assert "left at None: bound" in notes


def test_numbers_that_optax_does_not_take_one_by_one_are_named():
    def factory(learning_rate=1e-3, betas=(0.9, 0.99), every=3):
        return optax.sgd(learning_rate)

    assert default_numbers(factory, {})[2] == ["held as given: betas = (0.9, 0.99), every = 3"]
    numbers, _, notes = default_numbers(optax.clip_by_global_norm, {"max_norm": 1})
    assert (numbers, notes) == ({"max_norm": 1.0}, [])


# --- S9: a number that is 0 is switched on, and what then breaks is said ---


class WholeZero(Each):
    def __init__(self, params, lr=1e-3, weight_decay=0):
        super().__init__(params, lr, weight_decay=weight_decay)

    def one(self, p, g, h):
        p.add_(g.sign(), alpha=-h["lr"])
        if h["weight_decay"]:
            p.sub_(p / (p.norm() + 1e-3), alpha=h["lr"] * h["weight_decay"])  # HERE


class ZeroOfTwoUnits(Each):
    """One number that would need two units if it were not 0."""

    def __init__(self, params, lr=1e-3, mix=0):
        super().__init__(params, lr, mix=mix)

    def one(self, p, g, h):
        p.add_(g + h["mix"] * p + h["mix"] * g, alpha=-h["lr"])


@pytest.mark.parametrize("optimizer", [WholeZero, ZeroOfTwoUnits])
def test_zero_that_breaks_when_switched_on_is_held_and_the_line_is_said(optimizer):
    found = dims.infer(optimizer)
    name = next(iter(set(torch_numbers(optimizer, {})[0]) - {"lr"}))
    assert found.status == "proven"
    assert found.verdict.startswith(f"proven while {name} is 0, broken at {__file__}")
    assert found.verdict.endswith(" otherwise")
    assert any(n.startswith(f"{name} is held at 0: no law holds for other values (broken at ") for n in found.notes)
    assert dims.infer(optimizer, **{name: 0}).status == "proven"
    assert dims.infer(optimizer, **{name: 0.5}).status == "broken"


class BothAtOnce(Each):
    """An exponent, and a zero that breaks when switched on."""

    def __init__(self, params, lr=1e-3, power=0.5, weight_decay=0.0):
        super().__init__(params, lr, power=power, weight_decay=weight_decay)

    def one(self, p, g, h):
        if h["weight_decay"]:
            g = g + h["weight_decay"] * (g.norm() + 1e-3)
        p.add_(g / g.norm() ** h["power"], alpha=-h["lr"])


def test_exponent_and_zero_are_held_together():
    found = dims.infer(BothAtOnce)
    assert found.status == "proven"
    assert set(found.hyper) == {"lr"}


class AnotherLawWhenSwitchedOn(Each):
    """Normalised where there is decay, plain where there is none: as LARS is."""

    def __init__(self, params, lr=1e-3, weight_decay=0.0):
        super().__init__(params, lr, weight_decay=weight_decay)

    def one(self, p, g, h):
        if h["weight_decay"] != 0:
            g = (g + h["weight_decay"] * p) * p.norm() / g.norm()
        p.add_(g, alpha=-h["lr"])


def test_zero_that_makes_another_law_is_held():
    found = dims.infer(AnotherLawWhenSwitchedOn)
    assert found.verdict == "proven"
    assert found.hyper == {"lr": PARAM.times(GRADIENT.power(-1))}
    assert any(n.startswith("weight_decay is held at 0: with another value the law is another") for n in found.notes)


# --- S10: an update is given what it takes ---


def test_update_that_takes_nothing_more_is_given_nothing_more():
    def factory(learning_rate=1e-3):
        def update(updates, state, params=None):
            return jax.tree.map(lambda g: -learning_rate * jnp.sign(g), updates), state

        return optax.chain(optax.GradientTransformationExtraArgs(lambda params: (), update), optax.scale(1.0))

    found = dims.infer(factory, hyper={"learning_rate": 1e-3})
    assert found.verdict == "proven"
    assert found.hyper == {"learning_rate": PARAM}


# --- the judge: numbers have the last word ---


class Escapes(Each):
    """Text drops the units of a number."""

    def one(self, p, g, h):
        p.add_(g.sign(), alpha=-h["lr"] * float(str(h["lr"])) / 1e-3)


def test_number_that_escapes_in_torch_is_noticed():
    found = dims.infer(Escapes)
    assert found.verdict.startswith("unknown (numbers do not obey these units: with the parameters times 256")
    assert dims.infer(Escapes, judge=False).verdict == "proven"


def test_judge_refutes_a_wrong_law_in_jax(monkeypatch):
    from lrtheory.dims._jaxpr import operations, primitives

    # a square root that is taken for a copy
    monkeypatch.setitem(primitives.TABLE, "sqrt", operations.keep)

    def factory(learning_rate=1e-3):
        def update(updates, state, params=None):
            return jax.tree.map(lambda g: -learning_rate * jnp.sqrt(jnp.abs(g)), updates), state

        return optax.GradientTransformation(lambda params: (), update)

    found = dims.infer(factory, hyper={"learning_rate": 1e-3})
    assert found.verdict.startswith("unknown (numbers do not obey these units")
    assert dims.infer(factory, hyper={"learning_rate": 1e-3}, judge=False).verdict == "proven"


# --- the line that is blamed ---


def _safe(x):
    return x + 1e-3


class Helped(Each):
    """A helper serves a pure number well and is misused on a gradient."""

    def one(self, p, g, h):
        ratio = _safe(g.norm() / g.abs().max())
        p.sub_(g.sign() * (h["lr"] * ratio))
        p.sub_(g / _safe(g.norm()) * h["lr"])  # HERE


class InnocentConstant(Each):
    """A ratio may well be bounded by 10; the slip is the 1e-8."""

    def one(self, p, g, h):
        ratio = g.abs() / (g.norm() + 1e-8)  # HERE
        p.sub_(ratio.clamp(max=10.0), alpha=h["lr"])


class UnderASign(Each):
    """A bare number that a sign makes irrelevant."""

    def one(self, p, g, h):
        p.sub_((g / (g.norm() + 1e-3)).sign(), alpha=h["lr"])


def test_break_that_numbers_do_not_show_is_unknown():
    found = dims.infer(UnderASign)
    assert found.verdict.startswith("unknown (broken at ")
    assert "in numbers the law holds" in found.verdict
    assert dims.infer(UnderASign, judge=False).status == "broken"


class Normalized(Each):
    def one(self, p, g, h):
        direction = torch.nn.functional.normalize(g, dim=0)
        p.sub_(direction.scatter(0, torch.zeros_like(g, dtype=torch.long), g.sign() * 0.5), alpha=h["lr"])


def test_length_of_a_normalised_array_is_guarded():
    found = dims.infer(Normalized)
    assert found.verdict.startswith("proven unless a value is below 1e-12")
    assert found.hyper == {"lr": PARAM}


@pytest.mark.parametrize("optimizer", [Helped, InnocentConstant])
def test_culprit_is_blamed_not_who_served_it(optimizer):
    assert "# HERE" in source(dims.infer(optimizer).breaks[0])


def test_units_of_a_broken_optimizer_obey_what_survives():
    found = dims.infer(PureNoise)
    assert found.surviving_direction == (1, 0)
    assert found.hyper["lr"] == Units.parse("[param]^2/[loss]")
    assert found.hyper["lr"] != PURE
