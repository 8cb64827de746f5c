"""What a refusal says can be ported is ported, in the words of the SPEC that was refused."""

from __future__ import annotations

import ast
import contextlib
import functools
import itertools
import os
import re
from collections.abc import Iterator

import numpy as np
import pytest

from lrtheory import port, rules
from lrtheory.port import configuration, counterparts
from lrtheory.port.fresh import fresh
from lrtheory.port.tensors import Tensor
from lrtheory.spec import Reading, Spec, SpecError, Unread, call, parse, read, written

os.environ.setdefault("KERAS_BACKEND", "jax")
torch, *_ = (pytest.importorskip(library) for library in ("torch", "optax", "keras"))

WRITTEN = {
    "torch": counterparts.in_torch,
    "optax": lambda rule, hyper: counterparts.in_optax(rule, hyper._asdict(), hyper.lr)[0],
    "keras": lambda rule, hyper: counterparts.in_keras(rule, hyper._asdict(), hyper.lr),
}
#: Numbers that not every framework has, away from where they do nothing.
NUMBERS = {"weight_decay": 0.1, "dampening": 0.5, "lr_decay": 0.1, "eps_root": 1e-3, "beta1": 0.0, "eps1": 1e-30}

#: Refused by what is run, or by what is read; an argument of a reader may have to be followed by another.
SEEN = {
    "clip_by_global_norm(adam(maximize=True), max_norm=1.0)": "keras",
    "torch.optim.lr_scheduler.StepLR(torch.optim.AdamW(lr=1e-3), step_size=9)": "keras",
    "torch.optim.AdamW(lr=1e-3)": "keras",
    "torch.optim.Adagrad(lr=0.1)": "keras",
    "keras.optimizers.Adam(0.01)": "torch",
    "keras.optimizers.Adamax(0.01)": "optax",
    "clip_by_global_norm(sgd(lr=0.1), max_norm=1.0)": "keras",
    "keras.optimizers.SGD(0.01, weight_decay=0.1)": "torch",
    "keras.optimizers.Adafactor(0.01)": "torch",
    "keras.optimizers.RMSprop(0.01)": "optax",
    "adan(lr=1e-2)": "optax",
    "optax.rmsprop(1e-3)": "torch",
    "optax.adam(1e-3, eps_root=1e-3)": "keras",
}


def settings() -> Iterator[tuple[rules.Rule, dict[str, float]]]:
    """Every rule: with each of its options, and with each of those numbers."""
    for name in rules.names():
        factory = rules.get(name)
        for option, number in itertools.product((None, *factory().options), (None, *NUMBERS)):
            numbers = {} if number is None else {number: NUMBERS[number]}
            with contextlib.suppress(TypeError, ValueError):  # for those that do not go together
                rule = factory() if option is None else factory(**{option: not factory().options[option]})
                numbers |= {"momentum": 0.9} if "momentum" in rule.Hyper._fields else {}
                rule.hyper(**numbers)
                yield rule, numbers


def texts(rule, numbers) -> Iterator[str]:
    """As each framework writes it."""
    hyper = rule.hyper(**numbers)
    usual = rules.get(rule.name)().options
    yield call(rule.name, {**{o: v for o, v in rule.options.items() if v is not usual[o]}, **numbers})
    for write in WRITTEN.values():
        try:
            yield write(rule, hyper).text
        except port.NoCounterpartError:
            continue


def readings() -> Iterator[tuple[str, Reading]]:
    """Every SPEC of every setting that is read, and what is read."""
    for rule, numbers in settings():
        for text in texts(rule, numbers):
            with contextlib.suppress(SpecError):
                yield text, read(text)


@functools.cache
def refusals() -> dict[tuple[str, str, str], tuple[str, str]]:
    """One SPEC of each refusal that gives advice, by the rule, the framework and the reason."""
    found: dict[tuple[str, str, str], tuple[str, str]] = {}
    for text, reading in readings():
        for to in configuration.FRAMEWORKS:
            try:
                configuration._written(reading, to)
            except port.NoCounterpartError as error:
                if "=" in str(error):
                    found.setdefault((reading.framework, to, str(error)), (text, to))
    return found


def followed(text: str, said: str) -> str:
    """The SPEC with the arguments that the end of a refusal names."""
    told = re.findall(r"(\w+)=(\([^)]*\)|[\w.+-]+)", said.rpartition("; ")[2])
    assert told, said
    return changed(parse(text), {name: ast.literal_eval(value) for name, value in told})


def changed(spec, change) -> str:
    """With other arguments, of the optimizer inside where a schedule or a clip is around it."""
    outside = {name: value for name, value in change.items() if name == "homogeneous"}
    inner = next((a for a in spec.args if isinstance(a, Spec) and a.called), None)
    if inner is None or spec.name.startswith("optax."):
        return call(spec.name, {**spec.kwargs, **change}, *(Unread(written(a)) for a in spec.args))
    inside = {name: value for name, value in change.items() if name not in outside}
    return call(spec.name, {**spec.kwargs, **outside}, Unread(changed(inner, inside)))


def test_every_refusal_can_be_followed():
    found = refusals()
    names = set(re.findall(r"(\w+)=", " ".join(said for _, _, said in found)))
    assert names >= {
        "amsgrad", "maximize", "dampening", "weight_decay", "momentum_decay", "machine_eps", "eps1", "lr_decay", "eps_root", "weight_lr_power",
        "beta1", "b1", "eps", "epsilon", "proximal", "beta2",
    }  # fmt: skip
    for (_, to, said), (text, _) in found.items():
        made, _ = configuration._written(read(followed(text, said)), to)
        assert made.code, said


def tensors(reading) -> dict[str, Tensor]:
    """One parameter before its first step."""
    params = np.ones((4, 3), np.float32)
    state = (None if slot is None else np.asarray(slot) for slot in reading.rule.init(params))
    return {"w": Tensor(reading.rule, reading.hyper, reading.rule.State(*state), params)}


def test_every_refusal_of_a_state_can_be_followed():
    followed_some = set()
    for text, reading in readings():
        for to in ("torch", "optax", "keras"):
            try:
                fresh(to, tensors(reading), reading.framework)
            except port.NoCounterpartError as error:
                if error.change:
                    fresh(to, tensors(read(followed(text, str(error)))), reading.framework)
                    followed_some.add((reading.framework, to))
    assert len(followed_some) >= 7


def one_of_each(framework: str) -> list[tuple[str, str, str]]:
    """A refusal for each first reason, from that framework into each."""
    seen = {}
    for (source, to, said), (text, _) in refusals().items():
        if source == framework:
            seen.setdefault((to, said.partition("; ")[0]), (text, to, said))
    return list(seen.values())


@pytest.mark.parametrize(
    "framework", ["torch", *(pytest.param(f, marks=pytest.mark.deep) for f in ("optax", "keras", "lrtheory"))]
)
def test_what_was_followed_runs_as_the_old(framework):
    found = one_of_each(framework)
    assert found
    for text, to, said in found:
        new = followed(text, said)
        try:
            port.config(new, to=to)
        except port.PortError as error:
            raise AssertionError(f"{text} to {to}: {said}\nfollowed: {new}\n{error}") from error


@pytest.mark.parametrize("text", SEEN)
def test_what_a_run_or_a_reader_refuses_can_be_followed(text):
    with pytest.raises(port.PortError) as refused:
        port.config(text, to=SEEN[text])
    new = followed(text, str(refused.value))
    assert new != text
    try:
        port.config(new, to=SEEN[text])
    except port.PortError as error:
        assert "can be ported" not in str(
            refused.value
        )  # a reader says what it reads, and not that all of it can be ported
        port.config(followed(new, str(error)), to=SEEN[text])


def test_the_words_are_those_of_the_source():
    optimizer = torch.optim.RMSprop([("w", torch.nn.Parameter(torch.ones(2)))], lr=0.1, momentum=0.9, maximize=True)
    with pytest.raises(port.NoCounterpartError, match="maximize=False with the loss negated and eps=0 can be ported"):
        port.state(optimizer, to="keras")
    (param,) = optimizer.param_groups[0]["params"]
    port.state(torch.optim.RMSprop([("w", param)], lr=0.1, momentum=0.9, eps=0), to="keras", steps=0)


@pytest.mark.parametrize(("rule", "to"), [(rules.adan(), "optax"), (rules.adafactor(), "keras")])
def test_no_advice_for_a_state_that_is_not_written(rule, to):
    params = {"w": np.ones(2, np.float32)}
    with pytest.raises(port.NoCounterpartError, match=r"state .*is not written") as refused:
        port.state((rule, rule.hyper(), rule.init(params), params), to=to)
    assert not refused.value.change
    assert "can be ported" not in str(refused.value)


def test_an_option_that_is_on_by_default_is_written_where_it_is_off():
    assert "nesterov=False" in port.config("muon(nesterov=False)", to="torch").code


def test_what_is_made_for_a_state_is_read_back():
    """Optax's Adadelta has a decay of its own, and is not written with another before it."""
    optimizer = torch.optim.Adadelta([("w", torch.nn.Parameter(torch.ones(2)))], lr=0.5, weight_decay=0.1)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
    optimizer.step()
    found = port.state(optimizer, to="optax")
    assert port.state((found.optimizer, found.state, found.params), to="lrtheory", steps=1).hyper.weight_decay == 0.1
