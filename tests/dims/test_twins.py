"""Pairs of optimizers: one whose bound is a hyperparameter obeys a law, its twin has a bare number in that place.

The bare numbers act far from where optimizers are tried first, so that they are found only by whoever follows them.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from lrtheory import dims  # noqa: E402


class Bounded(torch.optim.Optimizer):
    """Gradient descent that does something to parameters beyond a bound."""

    bare: float | None = None
    act: Callable[..., Any]

    def __init__(self, params, lr=1e-3, bound=0.5):
        super().__init__(params, {"lr": lr, "bound": bound})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])
                type(self).act(p, group["bound"] if self.bare is None else self.bare)


def pair(act, bare):
    """The optimizer and its twin."""
    return [type(name, (Bounded,), {"act": staticmethod(act), "bare": number, "__module__": __name__})
            for name, number in (("Lawful", None), ("Twin", bare))]  # fmt: skip


def says(number, p, bound):
    """Half the parameters where a number is larger than the bound."""
    if number > bound:
        p.mul_(0.5)


def in_a_thread(p, bound):
    thread = threading.Thread(target=lambda: p.data.clamp_(-bound, bound))
    thread.start()
    thread.join()


def without_functions(p, bound):
    with torch._C.DisableTorchFunction():
        p.clamp_(-float(bound), float(bound))


# The kind, what is done, and whether a number is lost on the way even where it is lawful.
OUT_OF_SIGHT = {
    "text": lambda p, bound: says(float(f"{p.norm().item():.9g}"), p, bound),
    "text of a tensor": lambda p, bound: says(float(f"{p.norm():.9g}"), p, bound),
    "bytes": lambda p, bound: says(struct.unpack("d", struct.pack("d", p.norm().item()))[0], p, bound),
    "a thread": in_a_thread,
    "no functions are seen": without_functions,
}


@pytest.mark.parametrize("kind", OUT_OF_SIGHT)
def test_bare_number_out_of_sight_is_found_where_it_acts_far_away(kind):
    lawful, twin = (dims.infer(optimizer) for optimizer in pair(OUT_OF_SIGHT[kind], 1e5))
    assert lawful.status == "unknown", lawful.verdict  # of the bound nothing is known
    assert twin.verdict.startswith("unknown (numbers do not obey these units")


def scaled_where(places, p):
    p.mul_(torch.where(places, 0.5, 1.0))


def places_below(f):
    """Where a function of what is never negative is far below 0."""
    return lambda p, bound: scaled_where((f(p.abs().reshape(len(p), -1)) < -bound).any(), p)


def square(x):
    return x @ x.T


def from_its_module(p, bound):
    import math  # not where the reader looks for it

    says(math.sqrt((p * p).sum().item()), p, bound)


FOLLOWED = {
    "whole numbers": lambda p, bound: scaled_where((p / bound).to(torch.int32) != 0, p),
    "whole numbers by another's type": lambda p, bound: scaled_where((p / bound).type_as(torch.arange(1)) != 0, p),
    "rounded division": lambda p, bound: p.sub_(torch.div(p, bound, rounding_mode="trunc") * bound),
    "floor division": lambda p, bound: p.sub_(p // bound * bound, alpha=0.5),
    "one of a function's forms": lambda p, bound: torch.ops.aten.clamp_.default(p, -bound, bound),
    "a list beside a quantity": lambda p, bound: scaled_where(
        torch.gt(*p.new_tensor([p.norm().item(), bound])), p),
    "a list made a tensor of a kind": lambda p, bound: scaled_where(p.new([p.norm().item()]) > bound, p),
    "a chance": lambda p, bound: scaled_where(torch.empty(()).geometric_((bound / (p.norm() + bound)).item()) > 9, p),
    "arguments by name": lambda p, bound: scaled_where(torch.where(p > 0, input=p, other=-p) > bound, p),
    "the first argument by name": lambda p, bound: p.copy_(torch.clamp(input=p, min=-bound, max=bound)),
    "numbers at equal distances": lambda p, bound: scaled_where(
        torch.bucketize(p, torch.linspace(-bound, bound, 5, dtype=p.dtype)) % 5 == 0, p),
    "numbers a step apart": lambda p, bound: scaled_where(
        torch.bucketize(p, torch.arange(-bound, 2 * bound, bound, dtype=p.dtype)) % 3 == 0, p),
    "sums by number": lambda p, bound: scaled_where(
        torch.bincount(torch.zeros(p.numel(), dtype=torch.long), weights=p.abs().flatten()) > bound, p),
    "a part of a number": lambda p, bound: says(p.norm().item().real, p, bound),
    "math of its own import": from_its_module,
    "a pseudoinverse that leaves out": lambda p, bound: p.mul_(
        1 + 0.1 * (torch.linalg.pinv(p.reshape(len(p), -1), atol=bound / 1e9) @ p.reshape(len(p), -1)).trace()),
    "differences": places_below(lambda x: x.flatten().diff()),
    "frequencies": places_below(lambda x: torch.fft.fft(x.flatten()).real),
    "other signs": places_below(lambda x: torch.copysign(x, -torch.ones_like(x))),
    "factors": places_below(lambda x: torch.linalg.qr(x)[1]),
    "eigenvalues": places_below(lambda x: torch.linalg.eigvalsh(torch.triu(square(x), 1) + torch.triu(square(x), 1).T)),
    "solutions": places_below(lambda x: torch.linalg.solve(square(x[:1, :1]), -x[:1, :1])),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOLLOWED)
def test_bare_number_is_followed_to_where_it_is_compared(kind):
    lawful, twin = (dims.infer(optimizer, judge=False) for optimizer in pair(FOLLOWED[kind], 1e5))
    assert lawful.verdict == "proven"
    assert twin.status == "broken", twin.verdict


def into_whole_numbers(write):
    """Writes into a tensor of whole numbers, which it returns."""

    def rounded(x):
        whole = torch.zeros(x.shape, dtype=torch.int64)
        write(whole, x)
        return whole

    return rounded


ROUNDED = {
    "a type of tensors": lambda x: x.type(torch.LongTensor),
    "as a tensor": lambda x: torch.as_tensor(x, dtype=torch.int64),
    "a tensor of a number": lambda x: torch.tensor(x.norm().item(), dtype=torch.int64),
    "full of a number": lambda x: torch.full((), x.norm().item(), dtype=torch.int64),
    "another's like": lambda x: torch.full_like(x, x.norm().item(), dtype=torch.int64),
    "copied": into_whole_numbers(lambda whole, x: whole.copy_(x)),
    "copied, of many": into_whole_numbers(lambda whole, x: torch._foreach_copy_([whole], [x])),
    "written": into_whole_numbers(lambda whole, x: whole.__setitem__(slice(None), x)),
    "written where": into_whole_numbers(lambda whole, x: whole.__setitem__(whole == 0, x.norm().item())),
    "filled": into_whole_numbers(lambda whole, x: whole.fill_(x.norm().item())),
    "summed": lambda x: x.sum(dtype=torch.int64),
}


@pytest.mark.parametrize("kind", ROUNDED)
def test_what_becomes_a_whole_number_is_pure(kind):
    def act(p, bound):
        length = bound if bound == 1e11 else p.norm()
        scaled_where(ROUNDED[kind](p / length) != 0, p)

    lawful, twin = (dims.infer(optimizer, judge=False) for optimizer in pair(act, 1e11))
    assert lawful.verdict == "proven"
    assert twin.status == "broken", twin.verdict
    assert twin.breaks[0].statement.startswith("rounds a quantity in [param]")


def test_zeros_of_what_became_whole_numbers_are_no_guards():
    def act(p, bound):
        whole = torch.as_tensor(p / p.abs().max(), dtype=torch.int64)
        p.copy_(torch.where(whole == 0, 0.0 if bound == 0.5 else bound, p))

    lawful, twin = (dims.infer(optimizer, judge=False) for optimizer in pair(act, 1e-13))
    assert lawful.breaks == ()
    assert twin.status == "broken"


def test_indices_beside_entries_are_pure():
    def act(p, bound):
        entries, places = p.flatten().sort()
        p.sub_(entries.abs().max(0).values * (places.sum() / p.numel() ** 2), alpha=0.1)

    assert dims.infer(pair(act, None)[0], judge=False).verdict == "proven"


def bits(p, bound):
    scaled_where((p.abs() / bound).view(torch.int64) >> 52 > 1023, p)


REFUSED = {
    "hardtanh": lambda p, bound: torch.nn.functional.hardtanh(p, -1e5, 1e5, inplace=True),
    "logspace": lambda p, bound: scaled_where(p > torch.logspace(0, bound / 1e5, 2)[1], p),
    "torch.func": lambda p, bound: p.copy_(torch.func.vmap(lambda x: x.clamp(-bound, bound))(p)),
    "as_integer_ratio": lambda p, bound: says(p.norm().item().as_integer_ratio()[0], p, bound),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_followed_is_refused_by_name(name):
    found = dims.infer(pair(REFUSED[name], 1e5)[0])
    assert found.status == "unknown"
    assert name in found.verdict


def test_bits_are_no_quantity():
    lawful, twin = (dims.infer(optimizer, judge=False) for optimizer in pair(bits, 1e5))
    assert lawful.verdict == "proven"
    assert "the bits 'of a quantity'" in twin.verdict


def test_what_stands_for_infinity_is_a_guard():
    _, twin = pair(lambda p, bound: p.nan_to_num_(0.0, posinf=bound), 1e5)
    assert dims.infer(twin, judge=False).verdict.startswith("proven unless a tested value is not finite")


def test_order_0_counts():
    def act(p, bound):
        p.sub_(p / torch.linalg.vector_norm(p, ord=0), alpha=0.1).clamp_(max=bound)

    assert [dims.infer(optimizer, judge=False).status for optimizer in pair(act, 1e5)] == ["proven", "broken"]


# --- exactly 0 is no degenerate input where ordinary ones make it: a count, an index, what is rounded or put to 0 ---

ORDINARY_ZEROS = {
    "a bound": lambda x: torch.relu(x) == 0,
    "an upper bound": lambda x: x.clamp(max=0) == 0,
    "a mask": lambda x: x * (x > 0) == 0,
    "a choice": lambda x: torch.where(x > 0, x, 0.0).abs() <= 0,
    "filled places": lambda x: x.masked_fill(x < 0, 0.0) == 0,
    "scattered places": lambda x: torch.zeros_like(x).scatter(0, x.argmax(0, keepdim=True), x) == 0,
    "a count": lambda x: (x > 0).sum(-1, keepdim=True) == 0,
    "an index": lambda x: x.argmax() == 0,
    "a whole number": lambda x: (x / x.abs().max()).int() == 0,
    "rounded": lambda x: torch.round(x / x.abs().max()) == 0,
    "two that differ": lambda x: ~torch.logical_xor(x != 0, x.abs() > 0),
}


@pytest.mark.parametrize("kind", ORDINARY_ZEROS)
def test_zeros_of_ordinary_inputs_are_no_guards(kind):
    def act(p, bound):
        p.copy_(torch.where(ORDINARY_ZEROS[kind](p), 0.0 if bound == 0.5 else bound, p))

    lawful, twin = (dims.infer(optimizer, judge=False) for optimizer in pair(act, 1e-13))
    assert lawful.breaks == ()
    assert twin.status == "broken"


def test_zero_of_a_sum_of_ordinary_zeros_is_a_guard():
    _, twin = pair(lambda p, bound: p.copy_(torch.where(torch.relu(p).sum() == 0, bound, p)), 1e-13)
    assert dims.infer(twin).verdict.startswith("proven unless a tested value is exactly 0")


def test_zeros_that_coincide_are_found_in_numbers_on_small_gradients():
    _, twin = pair(lambda p, bound: p.copy_(torch.where(torch.maximum(p, 0.5 * p) - p == 0, bound, p)), 1e-11)
    assert dims.infer(twin).verdict.startswith("unknown (numbers do not obey these units")


# --- what happens late: counters are put forward ---


def _in_state(optimizer, p):
    state = optimizer.state[p]
    state["t"] = state.get("t", 0) + 1
    return state["t"]


def _in_a_tensor(optimizer, p):
    state = optimizer.state[p]
    state["t"] = state.get("t", torch.zeros(())) + 1
    return state["t"]


def _in_the_group(optimizer, p):
    group = optimizer.param_groups[0]
    group["t"] = group.get("t", 0) + 1  # twice a step, with two parameters
    return group["t"]


def _in_an_attribute(optimizer, p):
    optimizer.t = getattr(optimizer, "t", 0) + 1
    return optimizer.t


class Late(Bounded):
    count: Callable[..., Any]
    when: Callable[..., Any]

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])
                if type(self).when(type(self).count(self, p)):
                    p.sub_(p.grad.sign() * (group["bound"] if self.bare is None else self.bare))  # LATE


@pytest.mark.parametrize("count", [_in_state, _in_a_tensor, _in_the_group, _in_an_attribute])
@pytest.mark.parametrize("when", [lambda t: t > 500, lambda t: t % 1000 == 0], ids=["switched", "now and then"])
def test_what_happens_late_is_seen(count, when):
    kinds = {"count": staticmethod(count), "when": staticmethod(when), "__module__": __name__}
    lawful, twin = (dims.infer(type("Later", (Late,), {"bare": b, **kinds})) for b in (None, 1e-3))
    assert lawful.verdict == "proven"
    assert str(lawful.hyper["bound"]) == "[param]"  # that it is seen, and in numbers too
    assert twin.status == "broken"
    assert "# LATE" in twin.breaks[0].location.source
    assert "put forward to step 1,000 and 100,000 after those" in lawful.notes


class InAWindow(Late):
    """Steps that the code itself names, and no round ones."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad, alpha=-group["lr"])
                if 300 < _in_state(self, p) < 400:
                    p.sub_(p.grad.sign() * 1e-3)  # LATE


def test_steps_that_the_code_names_are_seen():
    found = dims.infer(InAWindow)
    assert "put forward to step 300, 301, 400, 401, 1,000 and 100,000 after those" in found.notes
    assert found.status == "broken"
    assert "# LATE" in found.breaks[0].location.source


class EndsAndGoesOn(Late):
    """Refuses one step, does something of its own long after, and counts anew from then on."""

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                t = _in_state(self, p)
                if t == 300:
                    raise ValueError("not now")
                p.add_(p.grad, alpha=-group["lr"])
                if t > 500:
                    self.state[p]["late"] = self.state[p].get("late", 0) + 1
                    p.sub_(p.grad.sign() * (group["bound"] if self.bare is None else self.bare))  # LATE


def test_a_step_that_is_refused_is_told_and_those_after_it_are_seen():
    lawful, twin = (
        dims.infer(type("Later", (EndsAndGoesOn,), {"bare": b, "__module__": __name__})) for b in (None, 1e-3)
    )
    assert lawful.verdict == "proven"
    assert "could not be put forward to step 300: ValueError: not now" in lawful.notes
    assert (twin.status, "# LATE" in twin.breaks[0].location.source) == ("broken", True)


class SumsItsRate(torch.optim.Optimizer):
    """A tensor that grows by lr in every step is no counter, though with an lr of 1 it looks like one."""

    def __init__(self, params, lr=1.0):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state["sum"] = state.get("sum", torch.zeros(())) + group["lr"]
                p.sub_(p.grad * group["lr"] ** 2 / state["sum"])


@pytest.mark.parametrize("lr", [1.0, 0.7])
def test_what_grows_by_a_hyperparameter_keeps_its_units(lr):
    found = dims.infer(SumsItsRate, lr=lr)
    assert (found.verdict, str(found.hyper["lr"])) == ("proven", "[param]²/[loss]")


def test_what_knows_of_a_hundred_steps_is_not_put_forward():
    table = [False] * 300
    kinds = {"count": staticmethod(_in_state), "when": staticmethod(table.__getitem__), "__module__": __name__}
    found = dims.infer(type("Ends", (Late,), kinds))
    assert found.verdict == "proven"
    assert not any(note.startswith("put forward") for note in found.notes)
    assert "could not be put forward to step 1,000: IndexError: list index out of range" in found.notes


# --- branches by data that always go one way are named ---

ONE_WAY = {
    "False": lambda p, bound: p.mul_(0.5 if p.norm() > 1e9 * bound else 1.0),
    "True": lambda p, bound: p.mul_(1.0 if p.norm().item() < 1e9 * bound else 0.5),
}


@pytest.mark.parametrize("way", ONE_WAY)
def test_way_that_data_never_took_is_named(way):
    found = dims.infer(pair(ONE_WAY[way], 1e5)[0], judge=False)
    (note,) = [note for note in found.notes if note.startswith("the other way was not seen: ")]
    assert f" came out {way} in every step: " in note
    assert "1e9 * bound" in note


@pytest.mark.parametrize(
    "compare", [lambda p, bound: p.norm() > 0, lambda p, bound: p.flatten()[0].item() > 0, lambda p, bound: bound > 0]
)
def test_ways_that_both_were_seen_or_that_no_data_decide_are_not_named(compare):
    def act(p, bound):
        if compare(p.add_(torch.randn_like(p) * bound), bound):
            p.mul_(0.5)

    assert not any("not seen" in note for note in dims.infer(pair(act, None)[0], judge=False).notes)


# --- masks that happen to cover all places, and an eps of the dtype ---


class Masked(Bounded):
    """Where the gradient is neither negative nor above a bound, which no run shows, what was there is left."""

    bare = 1.0

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                direction = torch.full_like(p, self.bare)
                direction[p.grad <= 0] = p.grad[p.grad <= 0]
                above = p.grad > 1e-30 * group["bound"]
                direction[above] = p.grad[above]  # LEFT
                p.sub_(direction, alpha=group["lr"])


def test_masks_that_cover_all_places_by_chance_leave_what_was_there():
    found = dims.infer(Masked, judge=False)
    assert found.status == "broken"
    assert "# LEFT" in found.breaks[0].location.source


def test_eps_of_the_dtype_is_that_of_single_floats():
    def act(p, bound):
        p.sub_(p / (p.norm() + torch.finfo(p.dtype).eps), alpha=bound)

    found = dims.infer(pair(act, None)[0])
    assert found.status == "broken"
    assert found.breaks[0].literal == torch.finfo(torch.float32).eps
    assert torch.finfo(torch.float64).eps < 1e-15  # as it was
