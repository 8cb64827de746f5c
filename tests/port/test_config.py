"""Configuration: code that runs as the old does, and what has none."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from lrtheory import port
from lrtheory.cli.app import run
from lrtheory.port import configuration
from lrtheory.spec import read

os.environ.setdefault("KERAS_BACKEND", "jax")

COSINE = "torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD(lr=0.1), T_max=20)"
WARM = "optax.warmup_cosine_decay_schedule(0.0, 1e-3, 5, 40)"
CLIPPED = f"optax.chain(optax.clip_by_global_norm(1.0), optax.adamw({WARM}))"

#: Text, framework, and what the code has in it.
PORTED = {
    "adamw": ("torch.optim.AdamW(lr=1e-3, weight_decay=0.1)", "optax", "optax.adamw(learning_rate=0.001, b1=0.9,"),
    "adamw to ours": ("optax.adamw(1e-3)", "lrtheory", "hyper = rule.hyper(lr=0.001, weight_decay=0.0001)"),
    "coupled decay": ("torch.optim.SGD(lr=0.1, weight_decay=0.01)", "optax", "optax.add_decayed_weights(weight_decay=0.01)"),
    "dampening of nothing": ("torch.optim.SGD(lr=0.1, dampening=0.5)", "optax", "optax.sgd(learning_rate=0.1)"),
    "each clipped apart": ("keras.optimizers.SGD(0.1, clipnorm=1.0)", "torch", "get_total_norm([p.grad])"),
    "joined": (
        "torch.optim.lr_scheduler.SequentialLR(torch.optim.AdamW(lr=0.1), [torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, "
        "total_iters=5), torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)], milestones=[5])",
        "optax",
        "optax.warmup_cosine_decay_schedule(init_value=0.010000000000000002, peak_value=0.1, warmup_steps=5, decay_steps=20",
    ),
    "cosine": (COSINE, "optax", "optax.cosine_decay_schedule(init_value=0.1, decay_steps=20)"),
    "clipped and scheduled": (CLIPPED, "torch", "torch.nn.utils.get_total_norm"),
    "gathered": ("optax.MultiSteps(optax.sgd(0.1), 2)", "torch", "torch.optim.SGD(params, lr=0.1)"),
    "injected": ("optax.inject_hyperparams(optax.adam)(1e-3)", "torch", "torch.optim.Adam(params, lr=0.001"),
    "stairs": ("torch.optim.lr_scheduler.StepLR(torch.optim.SGD(lr=0.1), step_size=9)", "keras", "decay_rate=0.1, staircase=True"),
    "lion": ("keras.optimizers.Lion(1e-4)", "optax", "optax.lion(learning_rate=0.0001, b1=0.9, b2=0.99, weight_decay=0.0)"),
    "clipped as torch does": ("clip_by_global_norm(sgd(lr=0.1), max_norm=1.0)", "torch", "clip_grad_norm_(params, max_norm=1.0)"),
}  # fmt: skip

#: Text, framework, and what is said: the argument, and the value that would do.
REFUSED = {
    "dampening": ("torch.optim.SGD(lr=0.1, momentum=0.9, dampening=0.5)", "optax", "dampening=0 can be ported"),
    "amsgrad": ("torch.optim.Adam(amsgrad=True)", "optax", "amsgrad=False can be ported"),
    "maximize": ("torch.optim.Adam(maximize=True)", "keras", "maximize=False with the loss negated"),
    "coupled decay": ("torch.optim.Adam(weight_decay=0.1)", "keras", "decoupled in every optimizer; .*; weight_decay=0 and eps=0 can be ported"),
    "no rule": ("lion(lr=1e-4)", "torch", "torch.optim has no lion"),
    "momentum schedule": ("torch.optim.NAdam()", "keras", "momentum_decay=1 can be ported"),
    "mask": ("optax.adamw(1e-3, mask={'w': True, 'b': False})", "torch", "write one SPEC for the parameters that it picks"),
    "clip and clip": ("clip_by_value(clip_by_norm(sgd(), max_norm=1.0), clip_value=1.0)", "keras", "one of them can be ported"),
    "average": ("average_weights(sgd())", "optax", "the rule inside can be ported"),
    "one cycle": (
        "torch.optim.lr_scheduler.OneCycleLR(torch.optim.SGD(lr=0.1, momentum=0.9), max_lr=0.1, total_steps=100)",
        "optax",
        "constant, linear, polynomial, cosine",
    ),
    "an argument of a schedule": ("optax.sgd(optax.exponential_decay(0.1, 9, 0.5, 5))", "torch", "transition_begin=0 and end_value=None"),
    "a cycle": (
        "keras.optimizers.SGD(keras.optimizers.schedules.PolynomialDecay(0.1, 9, cycle=True))", "torch", "cycle=False can be ported",
    ),
    "two reasons, one of them without a value": (
        "torch.optim.lr_scheduler.ExponentialLR(torch.optim.SGD(lr=0.1, momentum=0.9, dampening=0.5), gamma=0.9)",
        "keras",
        "keras's SGD has no dampening; Keras multiplies by lr before its momentum: steps that are remembered keep the lr that they had$",
    ),
    "line search": ("torch.optim.LBFGS()", "optax", "line search"),
    "a name": ("torch.optim.Adam(lr=base)", "optax", "names are not evaluated"),
}  # fmt: skip

#: What there is another of, and what is said to differ.
DIFFERENT = {
    "epsilon": (
        "torch.optim.AdamW(lr=1e-3)",
        "keras",
        "Keras adds epsilon to √v before the correction of v: with eps=0",
    ),
    "norm": ("clip_by_global_norm(sgd(lr=0.1), max_norm=1.0)", "optax", "with homogeneous=True it can be ported"),
    "lr in the buffer": (
        "torch.optim.lr_scheduler.ExponentialLR(torch.optim.SGD(lr=0.1, momentum=0.9), gamma=0.9)",
        "keras",
        "Keras multiplies by lr before its momentum",
    ),
}


@pytest.mark.parametrize("name", PORTED)
def test_code_was_run_beside_the_old(name):
    text, to, has = PORTED[name]
    found = port.config(text, to=to)
    assert has in str(found)
    assert found.off <= (2e-6 if "keras" in (to, read(text).framework) else 1e-9)
    assert any("at an lr that moves" in note or "at one that moves" in note for note in found.notes)


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_counterpart_is_named(name):
    text, to, said = REFUSED[name]
    with pytest.raises(port.PortError, match=said):
        port.config(text, to=to)


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_optimizer_is_not_handed_out_as_the_same(name):
    text, to, said = DIFFERENT[name]
    with pytest.raises(port.DiffersError, match=said) as refused:
        port.config(text, to=to)
    assert refused.value.nearest.off > 1e-9


def test_a_constant_lr_does_not_vouch_for_one_that_moves():
    found = port.config("torch.optim.SGD(lr=0.1, momentum=0.9)", to="keras")
    assert any("do not give it a schedule" in note for note in found.notes)


def test_of_a_number_that_did_not_act_nothing_is_said():
    text = "optax.chain(optax.clip_by_global_norm({}), optax.sgd(0.1))"
    for max_norm, told in (("1e9", True), ("1e-3", False)):
        notes = port.config(text.format(max_norm), to="lrtheory").notes
        assert any(note.startswith("max_norm made no difference") for note in notes) is told


@pytest.mark.parametrize("number", ["lr", "beta1", "beta2", "eps", "weight_decay"])
def test_every_argument_that_is_written_wrong_is_seen(number, monkeypatch):
    """Nothing is called the same whose hyperparameters are a thousandth off."""
    write = configuration.counterparts.in_torch

    def planted(rule, hyper):
        return write(rule, hyper._replace(**{number: 1.001 * getattr(hyper, number)}))

    monkeypatch.setattr(configuration.counterparts, "in_torch", planted)
    with pytest.raises(port.DiffersError):
        port.config("adam(decoupled=True, lr=1e-3, weight_decay=0.1, eps=1e-6)", to="torch")


def test_a_schedule_that_is_written_wrong_is_seen(monkeypatch):
    course = configuration.courses.in_torch

    def planted(stretches):
        return course(tuple(s._replace(n=s.n + 1) for s in stretches))

    monkeypatch.setattr(configuration.courses, "in_torch", planted)
    with pytest.raises(port.PortError, match="is another from step"):
        port.config("optax.sgd(optax.linear_schedule(0.1, 0.0, 20))", to="torch")


def test_command_prints_code(capsys):
    assert run(["port", "torch.optim.SGD(lr=0.1)", "--to", "lrtheory", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["code"] == "rule = lrtheory.rules.sgd()\nhyper = rule.hyper(lr=0.1)"
    assert told["differs"] == ""


def test_command_tells_the_smallest_difference(capsys):
    assert run(["port", "torch.optim.AdamW(lr=1e-3, weight_decay=0.1)", "--to", "keras", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert "eps outside the root" in told["differs"]
    assert told["code"].startswith("keras.optimizers.AdamW(learning_rate=0.001")


def test_command_refuses_by_name(capsys):
    assert run(["port", "torch.optim.SGD(lr=0.1, momentum=0.9, dampening=0.5)", "--to", "optax"]) == 2
    assert "dampening=0 can be ported" in capsys.readouterr().err


def test_config_is_plain_data():
    assert {field.name for field in dataclasses.fields(port.Config)} == {"spec", "to", "code", "loop", "off", "notes"}
    with pytest.raises(ValueError, match="must be one of optax, torch, keras, lrtheory"):
        port.config("sgd()", to="tensorflow")
