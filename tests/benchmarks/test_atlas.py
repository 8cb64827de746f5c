"""The atlas is what its command finds, and its numerical judge catches wrong verdicts."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.atlas import entry as entries
from benchmarks.atlas import judge as judging
from benchmarks.atlas import keras as reading_keras
from benchmarks.atlas import page, uses
from benchmarks.atlas.__main__ import _with_checks, reasons
from benchmarks.atlas.conformance import conformance
from benchmarks.atlas.entry import entry, relative, verdict
from benchmarks.atlas.judge import judge
from benchmarks.atlas.targets import OWN, Subject, pinned, targets, version_of
from lrtheory.dims import Units, infer
from lrtheory.spec._keras_backend import load_keras
from parity.conformance import suite

ATLAS = json.loads(page.JSON.read_text(encoding="utf-8"))
BY_NAME = {entry["name"]: entry for entry in ATLAS["optimizers"]}
SAMPLE = [
    ("torch", "torch.optim.AdamW"),
    ("torch", "torch.optim.RAdam"),
    ("optax", "optax.lamb"),
    ("lrtheory", "lrtheory.rules.sgd"),
    ("keras", "keras.optimizers.SGD"),
]


@pytest.mark.parametrize(("distribution", "name"), SAMPLE)
def test_verdict_is_what_is_read_now(distribution, name):
    said = BY_NAME[name]
    if said["version"] != version_of(distribution):
        pytest.skip(f"the atlas was read with {distribution} {said['version']}")
    if distribution == "keras" and load_keras().backend.backend() != "jax":
        pytest.skip("Keras is imported on another backend")
    now = json.loads(json.dumps(verdict(targets(distribution)[name].infer())))
    assert {field: said[field] for field in now} == now


def test_conformance_is_what_is_checked_now():
    name = "torch.optim.SGD"
    if BY_NAME[name]["version"] != version_of("torch"):
        pytest.skip(f"the atlas was read with torch {BY_NAME[name]['version']}")
    now = conformance(targets("torch")[name], 60.0)
    assert BY_NAME[name]["conformance"] == now
    assert now["passed"] > 20


class Careless(torch.optim.SGD):
    """Prints, and counts steps where no state_dict has them."""

    steps = 0

    def step(self, closure=None):
        print("step")
        self.steps += 1
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                if p.grad is not None:
                    p.sub_(p.grad, alpha=self.param_groups[0]["lr"] / self.steps)


def test_conformance_has_causes_and_says_what_could_not_be_checked():
    most = tuple(set(suite.checks("torch")) - {"first-step", "quiet", "resume", "inputs", "scaling-law"})
    subject = Subject(lambda: None, lambda: (Careless, {"lr": 0.1}), "torch", most)
    found = conformance(subject, 60.0)
    assert (set(found["failed"]), found["passed"]) == ({"quiet", "resume"}, 2)
    assert "failed" not in conformance(replace(subject, beside=(*most, "quiet", "resume")), 60.0)
    assert set(conformance(Subject(lambda: None, lambda: ("torch.optim.Nothing", {}), "torch"), 60.0)) == {"cannot"}
    faulty = type("Faulty", (Careless,), {"step": lambda self, closure=None: {}["no"]})
    assert conformance(Subject(lambda: None, lambda: (faulty, {"lr": 0.1}), "torch"), 60.0)["cannot"].startswith(
        "first step: raises KeyError"
    )


def test_every_optimizer_was_checked_or_says_why_not():
    found = {e["name"]: e.get("conformance", {}) for e in ATLAS["optimizers"]}
    assert [name for name, c in found.items() if not c.get("passed") and not c.get("cannot")] == []


def test_every_entry_is_of_a_pinned_version():
    versions = {**pinned(), **{name: None for name in OWN}}
    assert {e["distribution"] for e in ATLAS["optimizers"]} <= set(versions)
    assert [e["name"] for e in ATLAS["optimizers"] if versions[e["distribution"]] not in (None, e["version"])] == []
    assert [e["name"] for e in ATLAS["optimizers"] if e["status"] not in page.STATUSES] == []


def test_no_verdict_is_contradicted_by_numbers():
    judged = [e for e in ATLAS["optimizers"] if e["status"] in ("proven", "guarded", "broken")]
    assert len(judged) >= 10
    assert [e["name"] for e in judged if e["numbers"]["says"] == "disagrees"] == []


def test_nothing_names_this_machine():
    text = page.JSON.read_text(encoding="utf-8")
    assert "site-packages" not in text
    assert '"at": "/' not in text
    assert relative("broken at /a/b/site-packages/x/y.py:3 and 1 more") == "broken at x/y.py:3 and 1 more"


class Hiding(torch.optim.Optimizer):
    """RMSprop without memory, with a bare constant that no argument reaches."""

    hidden = 1e-8

    def __init__(self, params, lr=1e-2):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad / (p.grad.abs() + self.hidden), alpha=-group["lr"])


class Open(torch.optim.Optimizer):
    """The same with an argument."""

    def __init__(self, params, lr=1e-2, eps=1e-8):
        super().__init__(params, {"lr": lr, "eps": eps})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.add_(p.grad / (p.grad.abs() + group["eps"]), alpha=-group["lr"])


def test_true_verdicts_agree():
    broken, proven = infer(Hiding), infer(Open)
    assert (broken.status, proven.status) == ("broken", "proven")
    assert judge(broken).says == "agrees"
    assert judge(proven).says == "agrees"


class Floored(torch.optim.Optimizer):
    """Steps in proportion to the size of the parameters, which is never taken below a bare 1e-3."""

    def __init__(self, params, lr=1e-2, eps=1e-8):
        super().__init__(params, {"lr": lr, "eps": eps})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                size = p.data.square().mean().sqrt().clamp(min=1e-3)
                p.data.add_(p.grad / (p.grad.abs() + group["eps"]) * size, alpha=-group["lr"])


def test_a_constant_that_acts_only_beside_small_parameters_is_seen(monkeypatch):
    found = infer(Floored)
    assert found.status == "broken"
    assert judge(found).says == "agrees"
    monkeypatch.setattr(judging, "REACH", judging.REACH[:3])  # where parameters are never small
    assert judge(found).says == "disagrees"


def test_a_search_that_time_ends_does_not_agree():
    said = judge(infer(Hiding), seconds=0.0)
    assert (said.says, said.where) == ("no law found in the time", "the parameters ×256")


class Refuses(torch.optim.Optimizer):
    most, least = 1e6, 0.0

    def step(self, closure=None):
        sizes = [p.grad.abs().max() for group in self.param_groups for p in group["params"]]
        if not all(self.least < size < self.most for size in sizes):
            raise TypeError("a fault")
        super().step()


class RefusingHidden(Refuses, Hiding):
    """A break."""


class RefusingOpen(Refuses, Open):
    """A law."""


def test_gradients_at_which_it_fails_as_given_are_left_out():
    found = infer(RefusingHidden)
    assert judge(found).says == "agrees"
    program = replace(infer(Open).program, optimizer=RefusingOpen)
    assert judge(replace(infer(Open), breaks=found.breaks, program=program)).says == "disagrees"


@pytest.mark.parametrize("sizes", [{"most": 100.0, "least": 1e-5}, {"most": 1e-3}])
def test_what_fails_as_given_is_no_agreement(sizes):
    found = infer(RefusingHidden)
    narrow = type("Narrow", (RefusingHidden,), sizes)
    with pytest.raises(TypeError, match="a fault"):
        judge(replace(found, program=replace(found.program, optimizer=narrow)))


class Bounded(Open):
    def __init__(self, params, lr=1e-2, eps=1e-8):
        if eps > 1e-6:
            raise ValueError("too large")
        super().__init__(params, lr, eps)


class BoundedBelow(Bounded):
    def __init__(self, params, lr=1e-2, eps=1e-8):
        if eps < 1e-9:
            raise ValueError("too small")
        super().__init__(params, lr, eps)


def test_scales_whose_hyperparameters_are_refused_are_left_out_while_the_others_say_something():
    found = infer(Bounded)
    assert judge(found).says == "agrees"
    assert judge(replace(found, hyper={**found.hyper, "lr": Units.parse("[loss]")})).says == "disagrees"
    with pytest.raises(ValueError, match="too"):
        judge(replace(infer(Open), program=replace(infer(Open).program, optimizer=BoundedBelow)))


def test_hyperparameters_too_large_for_the_arithmetic_are_no_law_and_no_agreement_if_all_are():
    class Overflowing(Hiding):
        most = 1.0

        def step(self, closure=None):
            if any(not 1e-3 < group["lr"] < self.most for group in self.param_groups):
                raise RuntimeError("value cannot be converted without overflow")
            super().step()

    assert judge(infer(Overflowing)).says == "agrees"

    class Refusing(Hiding):
        def step(self, closure=None):
            if any(p.abs().max() > 100 for group in self.param_groups for p in group["params"]):
                raise RuntimeError("too far")
            super().step()

    with pytest.raises(RuntimeError, match="too far"):
        judge(infer(Refusing))


def test_reasons_are_of_breaks_and_nearly_all_have_one():
    why = reasons()
    broken = [name for name, entry in BY_NAME.items() if entry["status"] == "broken"]
    assert {name: BY_NAME[name]["status"] for name in why if BY_NAME[name]["status"] != "broken"} == {}
    assert len(why) >= 0.9 * len(broken) >= 90
    assert {name: words for name, words in why.items() if BY_NAME[name].get("why") != words} == {}


def test_hidden_constant_called_proven_is_caught():
    found = infer(Hiding)
    assert judge(replace(found, breaks=(), guards=())).says == "disagrees"


def test_wrong_units_are_caught():
    found = infer(Open)
    for name, units in (("lr", "[param]^2/[loss]"), ("eps", "1"), ("eps", "[loss]")):
        assert judge(replace(found, hyper={**found.hyper, name: Units.parse(units)})).says == "disagrees"


def test_law_called_broken_is_caught():
    breaks = infer(Hiding).breaks
    assert judge(replace(infer(Open), breaks=breaks)).says == "disagrees"


def test_wrong_survivor_is_caught():
    found = infer(Hiding)
    assert found.survives == "loss ×k with params ×k"
    wrong = replace(found.breaks[0], residual=Units.parse("[param]"), residuals=())
    assert judge(replace(found, breaks=(wrong,))).says == "disagrees"


def test_what_is_not_read_is_found_numerically_and_not_proven():
    found = replace(infer(Open), unknown="native code")
    assert judge(found).says == "finds a law"
    assert judge(replace(infer(Hiding), unknown="native code")).says == "finds no law"


class InBits(torch.optim.Optimizer):
    """The open one in bfloat16, its parameters rounded at random by arithmetic on their bits."""

    hidden = 0.0

    def __init__(self, params, lr=1e-2, eps=1e-8):
        super().__init__(params, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                assert p.dtype == torch.bfloat16
                g = p.grad.float()
                after = p.float() - group["lr"] * g / (g.abs() + group["eps"] + self.hidden)
                bits = torch.randint_like(after, dtype=torch.int32, low=0, high=1 << 16)
                bits.add_(after.view(torch.int32)).bitwise_and_(-65536)
                p.copy_(bits.view(torch.float32))


class InBitsHiding(InBits):
    hidden = 1e-8


@pytest.mark.deep
def test_bits_in_bfloat16_are_judged_in_numbers():
    found, broken = infer(InBits), infer(InBitsHiding)
    assert found.unknown is not None
    assert "the bits 'of a quantity'" in found.unknown
    assert judge(found).says == "finds a law"
    assert judge(broken).says == "finds no law"


class OfASample(Open):
    """Steps by what was gathered while its parameters were elsewhere."""

    hidden = 0.0

    @contextlib.contextmanager
    def sampled_params(self, train):
        places = [p for group in self.param_groups for p in group["params"]]
        before = [p.data for p in places]
        for p in places:
            p.data = p.data * 1.5
        yield
        for p, value in zip(places, before, strict=True):
            p.data = value
            self.state[p]["sampled"] = p.grad / (p.grad.abs() + self.param_groups[0]["eps"] + self.hidden)

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.sub_(self.state[p]["sampled"], alpha=self.param_groups[0]["lr"])


class WarmedUp(Open):
    hidden = 0.0

    def warmup_step(self):
        for p in self.param_groups[0]["params"]:
            self.state[p]["size"] = p.grad.norm() + self.param_groups[0]["eps"] + self.hidden

    @torch.no_grad()
    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.sub_(p.grad / self.state[p]["size"], alpha=self.param_groups[0]["lr"])


@pytest.mark.parametrize(("use", "cls"), [(uses.sampled, OfASample), (uses.warmed_up, WarmedUp)])
def test_what_is_used_as_documented_is_read_and_so_is_its_broken_twin(use, cls):
    found = infer(use(cls))
    assert (found.verdict, str(found.hyper["eps"])) == ("proven", "[loss]/[param]")
    assert judge(found, 5).says == "agrees"
    assert infer(use(type(cls.__name__, (cls,), {"hidden": 1e-8, "__module__": __name__}))).status == "broken"


def test_page_has_every_optimizer_and_no_markup_of_theirs():
    html = page.html()
    assert html.count('data-status="') == len(ATLAS["optimizers"])
    assert html.count('data-kind="part"') == sum("part" in e for e in ATLAS["optimizers"]) > 0
    odd = {"name": "a.B", "distribution": "a", "version": "1", "status": "refused", "reason": "<script>"}
    assert "<script>" not in "".join(page._details(odd))


def test_what_was_read_stands_where_the_verdict_is_the_same_and_is_read_anew_where_not(monkeypatch):
    about = {"name": "a.Hiding", "distribution": "a", "version": "1"}
    monkeypatch.setattr(entries, "judge", lambda found, seconds: judging.Judged("agrees", 0.5, "the loss ×256", 20))
    found = infer(Hiding)
    first = json.loads(json.dumps(entry(**about, infer=lambda: found, seconds=1.0)))
    kept = {**first, "numbers": {"says": "as it was"}}
    assert entry(**about, infer=lambda: found, seconds=1.0, before={**kept, "notes": ["old"]}) == kept
    for other in ({"status": "proven"}, {"breaks": []}, {"survives": None}):
        anew = entry(**about, infer=lambda: found, seconds=1.0, before={**kept, **other})
        assert json.loads(json.dumps(anew)) == first


@pytest.mark.parametrize("name", ["Adafactor", "Nadam"])
def test_state_of_keras_has_the_same_names_in_every_build_and_order(name):
    keras = load_keras()
    if keras.backend.backend() != "jax":
        pytest.skip("Keras is imported on another backend")
    params = {"matrix": np.ones((3, 2)), "vector": np.ones(4), "scalar": np.ones(())}
    first, again, turned = (
        reading_keras._build(keras, getattr(keras.optimizers, name), {}, {n: params[n] for n in order})[1]
        for order in (list(params), list(params), list(params)[::-1])
    )
    assert first == again
    assert set(first) == set(turned)
    assert len(set(first)) == len(first) >= 8


def test_what_fails_at_plain_sizes_is_no_law_though_it_holds_elsewhere():
    def run(numbers, loss, params, size, steps):
        if size == 1.0 and 256.0 in (loss, params):
            raise KeyError("of its own")
        return np.arange(steps, dtype=float)[:, None]

    found = infer(Hiding)
    with pytest.raises(KeyError, match="of its own"):
        judging._search(run, {"lr": 0.1}, found, judging.REACH, judging.HOLDS, float("inf"))
    elsewhere = [(by, size) for by, size in judging.REACH if size != 1.0]
    assert (
        judging._search(lambda *given: run(*given[:3], 2.0, 20), {"lr": 0.1}, found, judging.REACH, 1e-9, 1e9)[0] == 0
    )
    with pytest.raises(ValueError, match="no hyperparameters"):
        judging._search(run, {"lr": 0.1}, found, elsewhere, judging.HOLDS, float("inf"))


class Forgetful(Careless):
    def __init__(self, params, lr=1e-3, warmth=0.5):
        super().__init__(params, lr=lr)


def test_a_number_that_nothing_reads_is_told_once():
    made = entry("a.Forgetful", "a", "1", lambda: infer(Forgetful), 20.0)
    assert made["unread"] == ["warmth"]
    assert not any("warmth" in words for words in made["odd"])
    assert "nothing in the step reads warmth" in "".join(page._details(made))
    assert "unread" not in verdict(infer(torch.optim.SGD))


def test_an_oddity_that_a_check_tells_is_told_once():
    kept = {"odd": [f"{entries.UNRESUMED}: saved", "changes nothing: x"]}
    assert _with_checks(kept, {"failed": {"resume": "differs"}})["odd"] == ["changes nothing: x"]
    assert _with_checks(kept, {"failed": {"quiet": "prints"}})["odd"] == kept["odd"]
    assert "odd" not in _with_checks({}, {"failed": {"resume": "differs"}})
