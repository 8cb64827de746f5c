"""A live optimizer is explained group by group, as its SPEC with the numbers in force is."""

from __future__ import annotations

import json

import jax.numpy as jnp
import pytest

import lrtheory
from lrtheory.cli.app import run
from lrtheory.explaining import explain
from lrtheory.rescaling import Change

torch = pytest.importorskip("torch")
optax = pytest.importorskip("optax")


def test_groups_of_torch_are_explained_as_their_specs() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.5, fused=True)
    optimizer.param_groups[0]["lr"] = 0.25
    found = lrtheory.explain(optimizer, model=model)
    first, second = found.groups
    spec = "torch.optim.AdamW(lr=0.25, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.01, amsgrad=False, maximize=False)"
    assert first.explanation.facts == explain(spec).facts
    assert {n.name: n.value for n in second.explanation.numbers}["lr"] == 0.5
    text = str(found)
    assert "group of 2 parameters: 0.weight, 0.bias" in text
    assert text.count("adam(decoupled=True)") == 2
    assert found.as_json()["groups"][1]["explanation"]["numbers"]


def test_a_change_is_written_for_each_group_and_opaque_ones_say_why() -> None:
    class Mine(torch.optim.Adam):
        def step(self, closure=None):
            return super().step(closure)

    params = [torch.nn.Parameter(torch.randn(3))]
    found = explain(torch.optim.SGD(params, lr=0.1, momentum=0.9), Change(loss=10.0))
    assert "lr = 0.1" in str(found)
    assert "→ 0.01" in str(found)
    assert "torch.optim.SGD(params, lr=0.01, momentum=0.9" in str(found)
    assert "opaque, lr 0.001: its step is" in str(explain(Mine(params)))


def test_optax_is_explained_with_what_is_around_it() -> None:
    tx = optax.MultiSteps(
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1, mask={"w": True, "b": False})), 2
    )
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    found = explain((tx, tx.init(params), params))
    assert [one.explanation.title for one in found.groups] == [
        "accumulate(clip_by_global_norm(adam(), homogeneous=True), every=2)",
        "accumulate(clip_by_global_norm(adam(decoupled=True), homogeneous=True), every=2)",
    ]
    assert "clip_by_global_norm(..., homogeneous=True, max_norm=1.0) before all groups" in str(found)


@pytest.mark.parametrize("inside", ["masked", "one branch"])
def test_a_clip_of_some_parameters_is_not_said_of_the_others(inside: str) -> None:
    clip, sgd = optax.clip(0.1), optax.sgd(0.5)
    tx = optax.chain(optax.masked(clip, {"w": True, "b": False}), sgd)
    if inside == "one branch":
        tx = optax.partition({"1": optax.chain(clip, sgd), "2": sgd}, {"w": "1", "b": "2"})
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    found = explain((tx, tx.init(params), params), loss=8.0)
    said = {one.group.names: (one.explanation.title, one.explanation.effective[0].first) for one in found.groups}
    assert said == {("b",): ("sgd()", 0.5), ("w",): ("clip_by_value(sgd())", 0.05)}
    assert "clip_by_value(..., clip_value=0.1) before w\n" in str(found)


def test_what_is_neither_is_refused() -> None:
    with pytest.raises(TypeError, match="adopt takes"):
        explain(3.0)


def test_several_specs_are_groups() -> None:
    specs = {"body": "adamw(lr=1e-3, weight_decay=0.1)", "head": "sgd(lr=0.1)"}
    found = explain(specs, loss=2.0)
    assert [one.group.label for one in found.groups] == ["body", "head"]
    for one, spec in zip(found.groups, specs.values(), strict=True):
        assert one.explanation == explain(spec, loss=2.0)
    assert "group 'head'\n  sgd()\n  lr = 0.1" in str(found)
    listed = explain(list(specs.values()))
    assert [one.group.label for one in listed.groups] == ["0", "1"]
    with pytest.raises(TypeError, match="model= names"):
        explain(specs, model=torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="no rule named 'adma'"):
        explain(["sgd()", "adma()"])
    with pytest.raises(TypeError, match="must differ as text, and are '1', 1"):
        explain({"1": "sgd()", 1: "adam()"})


def test_several_specs_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "sgd(lr=0.1)", "adam(lr=0.1)", "--world-size", "4", "--json"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert [group["rule"] for group in groups] == ["sgd()", "adam()"]
    assert run(["explain", "sgd(lr=0.1)", "adam(lr=0.1)", "--tokens", "3,x"]) == 2
    assert "expected whole numbers with commas" in capsys.readouterr().err
