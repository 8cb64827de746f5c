"""Numbers that an optimizer takes and no step reads: told where they are, and never of one that something may read."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import dims
from lrtheory.dims.dimensions import NOT_READ_HERE, UNREAD
from lrtheory.dims.target import infer_target

torch = pytest.importorskip("torch")


class Signs(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(self.direction(p, group), alpha=group["lr"])

    def direction(self, p, group):
        return p.grad.sign()


class Kept(Signs):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        if not 0 <= momentum < 1:
            raise ValueError(momentum)
        torch.optim.Optimizer.__init__(self, params, {"lr": lr, "momentum": momentum})
        self.momentum = momentum


class Swallowed(Signs):
    def __init__(self, params, lr=1e-3, **more):
        super().__init__(params, lr)


@pytest.mark.parametrize("optimizer", [Signs, Kept, Swallowed])
def test_number_that_nothing_reads_is_told_to_whoever_gave_it(optimizer):
    found = dims.infer(optimizer, momentum=0.5)
    assert (found.verdict, found.unread) == ("proven", {"momentum": UNREAD})
    assert "momentum is given, and nothing in the step reads it" in found.notes


def test_number_that_nothing_reads_is_no_matter_of_whoever_left_it():
    for found in (dims.infer(Kept), dims.infer(Kept, momentum=0.9)):
        assert found.unread == {"momentum": UNREAD}
        assert not any("is given" in note for note in found.notes)


class OnABranch(Kept):
    def direction(self, p, group):
        return p.grad.sign() * (group["momentum"] if p.ndim > 3 else 1.0)


class UnderAnotherName(Kept):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr)
        self.inertia = momentum

    def direction(self, p, group):
        return p.grad.sign() * (self.inertia if p.ndim > 3 else 1.0)


def in_four_dimensions(p, momentum, **more):
    return p.grad.sign() * (momentum if p.ndim > 3 else 1.0)


class InAFunction(Kept):
    def direction(self, p, group):
        return in_four_dimensions(p, **{key: x for key, x in group.items() if key != "params"})


class Helper:
    def __init__(self, inertia):
        self.inertia = float(inertia)

    def __call__(self, p):
        return self.inertia if p.ndim > 3 else 1.0


class InAHelper(Signs):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr)
        self.helper = Helper(momentum)

    def direction(self, p, group):
        return p.grad.sign() * self.helper(p)


class InAClosure(Signs):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr)
        self.scale = lambda p: momentum if p.ndim > 3 else 1.0

    def direction(self, p, group):
        return p.grad.sign() * self.scale(p)


class InTwoPlaces(Kept):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr, momentum)
        self.helpers = [Helper(momentum)]

    def direction(self, p, group):
        return p.grad.sign() * self.helpers[0](p)


class Numbered(Signs):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr)
        self.beta1 = momentum

    def direction(self, p, group):
        return p.grad.sign() * (getattr(self, f"beta{p.ndim - 3}") if p.ndim > 3 else 1.0)


class OfAVariant(Signs):
    """The constructor keeps it for a variant that this is not."""

    def __init__(self, params, lr=1e-3, momentum=0.9, smooth=False):
        super().__init__(params, lr)
        self.smooth = smooth
        if smooth:
            self.param_groups[0]["inertia"] = momentum

    def direction(self, p, group):
        return p.grad.sign() * (group["inertia"] if self.smooth else 1.0)


class Validated(Signs):
    """It is let go, which a constructor might do with these options alone."""

    def __init__(self, params, lr=1e-3, momentum=0.9):
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}")
        super().__init__(params, lr)


class HandedOnPerhaps(Signs):
    def __init__(self, params, lr=1e-3, momentum=0.9, slowly=False):
        super().__init__(params, lr)
        self.helper = Helper(momentum) if slowly else None


class Forwarded(Signs):
    def __init__(self, params, lr=1e-3, slowly=False, **more):
        super().__init__(params, lr)
        self.helper = Helper(**more) if slowly else None


def made_of_one_or_the_other(params, lr=1e-3, momentum=0.9, heavy=False):
    return torch.optim.SGD(params, lr, momentum=momentum) if heavy else torch.optim.SGD(params, lr)


class OfAVariantByName(OfAVariant):
    def __init__(self, params, lr=1e-3, momentum=0.9, smooth=False):
        Signs.__init__(self, params, lr)
        self.smooth = smooth
        if smooth:
            self.momentum = momentum

    def direction(self, p, group):
        return p.grad.sign() * (self.momentum if self.smooth else 1.0)


def rest(group):
    return {key: x for key, x in group.items() if key != "params"}


BY_NAME, BOUND = {"four": in_four_dimensions}, functools.partial(in_four_dimensions)


class InATableOfFunctions(Kept):
    def direction(self, p, group):
        return BY_NAME["four"](p, **rest(group))


class InAPartial(Kept):
    def direction(self, p, group):
        return BOUND(p, **rest(group))


class InAListOfItsOwn(Kept):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr, momentum)
        self.functions = [in_four_dimensions]

    def direction(self, p, group):
        return self.functions[0](p, **rest(group))


class InFour:
    def __init__(self, momentum=0.0, **more):
        self.inertia = momentum

    def apart(self, p, group):
        return p.grad.sign() * (group["momentum"] if p.ndim > 3 else 1.0)

    def __call__(self, p):
        return p.grad.sign() * (self.inertia if p.ndim > 3 else 1.0)


class InAClassThatTheStepMakes(Kept):
    def direction(self, p, group):
        return InFour(**rest(group))(p)


class InAnEntryOfAComprehension(Kept):
    def direction(self, p, group):
        return next(iter([in_four_dimensions(p, **rest(group)) for _ in range(1)]))


class Engine:
    def __init__(self):
        self.inner = InFour()


class InAHelperOfAHelper(Kept):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr, momentum)
        self.engine = Engine()

    def direction(self, p, group):
        return self.engine.inner.apart(p, group)


class InAHook(Kept):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr, momentum)

        def hook(optimizer, *arguments):
            for group in optimizer.param_groups:
                if group["params"][0].ndim > 3:
                    group["params"][0].grad.mul_(group["momentum"])

        self.register_step_pre_hook(hook)


class Spelled(Kept):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        torch.optim.Optimizer.__init__(self, params, {"lr": lr, "sgd_momentum": momentum, "kind": "sgd"})

    def direction(self, p, group):
        return p.grad.sign() * (group[f"{group['kind']}_momentum"] if p.ndim > 3 else 1.0)


class Filled(Spelled):
    def direction(self, p, group):
        return p.grad.sign() * (group["{}_momentum".format("sgd")] if p.ndim > 3 else 1.0)


class AllOfThem(Signs):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr)
        self.weights = {"momentum": momentum, "other": 2.0}

    def direction(self, p, group):
        return p.grad.sign() * (sum(self.weights.values()) if p.ndim > 3 else 1.0)


class KeptOnce(Kept):
    @functools.cached_property
    def scale(self):
        return self.param_groups[0]["momentum"]

    def direction(self, p, group):
        return p.grad.sign() * (self.scale if p.ndim > 3 else 1.0)


class NamedByATable(Kept):
    fields = ("momentum",)

    def direction(self, p, group):
        return p.grad.sign() * (group[self.fields[0]] if p.ndim > 3 else 1.0)


class AllArguments(Signs):
    def __init__(self, params, lr=1e-3, momentum=0.9, slowly=False):
        super().__init__(params, lr)
        self.arguments = dict(vars()) if slowly else {}


class MadeByAnotherClass(torch.optim.Optimizer):
    def __new__(cls, params, lr=1e-3, momentum=0.9, heavy=False):
        return Signs(params, momentum if heavy else lr)


@pytest.mark.parametrize(
    "optimizer",
    [
        InATableOfFunctions,
        InAPartial,
        InAListOfItsOwn,
        InAClassThatTheStepMakes,
        InAnEntryOfAComprehension,
        InAHelperOfAHelper,
        InAHook,
        Spelled,
        Filled,
        AllOfThem,
        KeptOnce,
        NamedByATable,
        AllArguments,
        MadeByAnotherClass,
        Validated,
        HandedOnPerhaps,
        Forwarded,
        made_of_one_or_the_other,
        OfAVariant,
        OfAVariantByName,
        OnABranch,
        UnderAnotherName,
        InAFunction,
        InAHelper,
        InAClosure,
        InTwoPlaces,
        Numbered,
    ],
)
def test_number_of_a_branch_that_was_not_taken_is_not_called_unread(optimizer):
    found = dims.infer(optimizer, momentum=0.5)
    assert (found.verdict, found.unread) == ("proven", {"momentum": NOT_READ_HERE})
    assert "momentum is given, and the step, as it was run here, does not read it" in found.notes


class OfGroups(Signs):
    """What stands in groups alone, as with Muon."""

    def __init__(self, param_groups):
        for group in param_groups:
            group.update({"lr": 0.02, "momentum": 0.9, "eps": 1e-8} if group["use_muon"] else {"lr": 1e-3, "eps": 1e-8})
        torch.optim.Optimizer.__init__(self, param_groups, {})

    def direction(self, p, group):
        return p.grad / p.grad.norm() if group["use_muon"] else p.grad / (p.grad.abs() + group["eps"])


def test_numbers_of_groups_are_told_by_group():
    assert dims.infer(OfGroups).unread == {"matrix.momentum": UNREAD, "matrix.eps": NOT_READ_HERE}


class Asked(Kept):
    def direction(self, p, group):
        return p.grad.sign() if group["momentum"] else p.grad.cos()


class Compared(Kept):
    def direction(self, p, group):
        return p.grad.sign() if group["momentum"] > 0.1 else p.grad.cos()


class OfNoConsequence(Kept):
    def direction(self, p, group):
        return (p.grad * (1 + group["momentum"])).sign()


class OfNumpy(Kept):
    def direction(self, p, group):
        return p.grad.sign() * float(np.sqrt(4.0) * group["momentum"])


class Handed(Kept):
    def direction(self, p, group):
        return p.grad.sign() * torch.full((), group["momentum"])


class Once(Kept):
    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr)
        self.factor = 1 - momentum

    def direction(self, p, group):
        return p.grad.sign() * self.factor


class Chosen(Signs):
    """Only the constructor looks at it, as if to check its range."""

    def __init__(self, params, lr=1e-3, momentum=0.9):
        super().__init__(params, lr)
        self.centred = momentum > 0

    def direction(self, p, group):
        return (p.grad - p.grad.mean() if self.centred else p.grad).sign()


class PastTheUnits(Kept):
    """What reads it is nothing that units are followed through."""

    def direction(self, p, group):
        return p.grad.sign() * float(str(group["momentum"]))


@pytest.mark.parametrize("optimizer", [Asked, Compared, OfNoConsequence, OfNumpy, Handed, Once, Chosen, PastTheUnits])
def test_number_that_acts_is_not_accused(optimizer):
    found = dims.infer(optimizer, momentum=0.5)
    assert (found.unread, [note for note in found.notes if "is given" in note]) == ({}, [])


class State(NamedTuple):
    scale: jax.Array


class Transformation(NamedTuple):
    init: object
    update: object


def steps_by(scale):
    def update(grads, state, params=None):
        return jax.tree.map(lambda g: -scale(state) * jnp.sign(g), grads), state

    return update


def idle(learning_rate, decay=0.9):
    return Transformation(lambda params: (), steps_by(lambda _: learning_rate * (1 + 0 * jnp.sign(1 - 0.1))))


def of_no_consequence(learning_rate, decay=0.9):
    def scale(_):
        jnp.exp(decay)  # which nobody uses
        return learning_rate

    return Transformation(lambda params: (), steps_by(scale))


def on_a_branch(learning_rate, decay=0.9):
    return Transformation(
        lambda params: (), steps_by(lambda _: jnp.where(learning_rate > 1e9, learning_rate * decay, learning_rate))
    )


def through_the_state(learning_rate, decay=0.9):
    return Transformation(lambda params: State(jnp.asarray(decay)), steps_by(lambda state: learning_rate * state.scale))


def with_an_option(learning_rate, decay=0.9, decays=False):
    return Transformation(lambda params: (), steps_by(lambda _: learning_rate * decay if decays else learning_rate))


@pytest.mark.parametrize(
    ("factory", "how"),
    [
        (idle, UNREAD),
        (of_no_consequence, NOT_READ_HERE),
        (with_an_option, NOT_READ_HERE),
        (functools.partial(with_an_option), NOT_READ_HERE),
    ],
)
def test_number_that_no_equation_needs_is_told(factory, how):
    found = dims.infer(factory, hyper={"learning_rate": 0.1, "decay": 0.5})
    assert found.unread == {"decay": how}
    assert f"decay is given, and {how}" in found.notes
    assert not any("is given" in n for n in dims.infer(factory, hyper={"learning_rate": 0.1, "decay": 0.9}).notes)


@pytest.mark.parametrize("factory", [on_a_branch, through_the_state])
def test_number_that_an_equation_needs_is_not_accused(factory):
    found = dims.infer(factory, hyper={"learning_rate": 0.1, "decay": 0.5})
    assert (found.unread, [note for note in found.notes if "is given" in note]) == ({}, [])


@pytest.mark.parametrize(
    ("target", "note"),
    [
        (
            "torch.optim.SGD(lr=0.1, momentum=0.0, dampening=0.5)",
            "dampening is given, and the step, as it was run here, does not read it",
        ),
        (f"{__name__}:idle(learning_rate=0.1, decay=0.5)", "decay is given, and nothing in the step reads it"),
        (f"{__name__}:Kept(momentum=0.5)", "momentum is given, and nothing in the step reads it"),
    ],
)
def test_target_in_text_is_told_too(target, note):
    assert note in infer_target(target).notes


def test_a_partial_of_a_class_is_the_class_with_these_arguments():
    found = dims.infer(functools.partial(Kept, momentum=0.5))
    assert (found.target, found.verdict) == (dims.infer(Kept).target, "proven")
    assert "momentum is given, and nothing in the step reads it" in found.notes
