"""What cannot be moved is refused by name, and nothing is changed."""

from __future__ import annotations

import copy
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import port, rules

from .test_state import FLAX, NAMES, SHAPES, _float64, adamw, same, tree

torch = pytest.importorskip("torch")
optax = pytest.importorskip("optax")

__all__ = ["_float64"]  # a fixture of all tests here
TX = optax.adamw(1e-2, weight_decay=0.1)
SQUARE = {"w.weight": (3, 3)}


def refused(match, source, **how):
    """That it is refused with these words, and that the source is as it was."""
    before = copy.deepcopy(source.state_dict()) if hasattr(source, "state_dict") else None
    with pytest.raises(port.PortError, match=re.escape(match)):
        port.state(source, **how)
    if before is not None:
        same(before, source.state_dict())


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (None, "the target has 'Conv_0/kernel', 'Dense_0/bias', 'Dense_0/kernel', which nothing becomes"),
        ({**NAMES, "layers.0.bias": "Dense_1/bias"}, "'layers.0.bias' would be 'Dense_1/bias', which the target lacks"),
        ({**NAMES, "layers.1.bias": "Dense_1/bias"}, "names= has 'layers.1.bias', which is no parameter of the source"),
        ({**NAMES, "layers.0.bias": "Dense_0/kernel"}, "both become 'Dense_0/kernel'"),
        (["a", "b"], "names= has 2 names in order, and there are 3 parameters"),
        ((r"(.*", "x"), "cannot be read"),
        ((r"(.*)", r"\2"), "cannot be done"),
    ],
)
def test_names_that_do_not_fit(names, said):
    refused(said, adamw(), to=(TX, tree()), names=names)


def test_square_matrix_needs_its_layout_said():
    names = {"w.weight": "w/kernel"}
    optimizer = adamw(SQUARE)
    target = (TX, {"w": {"kernel": jnp.zeros((3, 3))}})
    refused("both fit: say which", optimizer, to=target, names=names)
    kept = optimizer.state[optimizer.param_groups[0]["params"][0]]["exp_avg"].numpy()
    for layout, expected in (("linear", kept.T), ("same", kept)):
        found = port.state(optimizer, to=target, names=names, layouts={"w.weight": layout})
        assert np.array_equal(found.state[0].mu["w"]["kernel"], expected)
    model = torch.nn.ModuleDict({"w": torch.nn.Linear(3, 3, bias=False)})
    read = port.state(optimizer, to=target, names=names, model=model)
    assert np.array_equal(read.state[0].mu["w"]["kernel"], kept.T)


@pytest.mark.parametrize(
    ("shape", "layouts", "said"),
    [
        ((5, 3), None, "this one fits as it is: say which"),
        ((4, 3), None, "do not have one shape"),
        ((3, 5), {"layers.0.weight": "same"}, "the shape would be (5, 3)"),
        ((3, 5), {"layers.0.weight": "conv"}, "is none for 2 axes"),
        ((3, 5), {"layers.9.weight": "linear"}, "layouts= has 'layers.9.weight', which is no parameter"),
    ],
)
def test_shapes_that_do_not_fit(shape, layouts, said):
    wanted = tree({**FLAX, "Dense_0": {"kernel": shape, "bias": (5,)}})
    refused(said, adamw(), to=(TX, wanted), names=NAMES, layouts=layouts)


def test_same_name_is_not_turned_unasked():
    wanted = {
        "layers": {"0": {"weight": jnp.zeros((3, 5)), "bias": jnp.zeros(5)}},
        "conv": {"weight": jnp.zeros((4, 3, 2, 2))},
    }
    refused("it fits turned, if that is meant: layouts={'layers.0.weight': 'linear'}", adamw(), to=(TX, wanted))


@pytest.mark.parametrize(
    ("tx", "said"),
    [
        (optax.adam(1e-2), "the source has decoupled=True and the target decoupled=False"),
        (optax.adamw(1e-2, b1=0.8, weight_decay=0.1), "beta1 is 0.9 in the source and 0.8 in the target"),
        (optax.adamw(1e-2), "weight_decay is 0.1 in the source and 0.0001 in the target"),
        (optax.adamw(2e-2, weight_decay=0.1), "lr is 0.01 now in the source and 0.02 in the target"),
        (optax.lion(1e-2), "the source is adam(decoupled=True) and the target lion(), which is another rule"),
        (optax.novograd(1e-2), "the target is none of our rules"),
    ],
)
def test_another_optimizer_is_no_target(tx, said):
    refused(said, adamw(), to=tx)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_moments_that_are_not_finite(bad):
    optimizer = adamw()
    next(iter(optimizer.state.values()))["exp_avg_sq"][0, 0] = bad
    with pytest.raises(port.PortError, match=r"v has (nan|infinity) in it"):
        port.state(optimizer, to="lrtheory")


def test_counts_that_differ_have_no_place_in_optax():
    optimizer = adamw()
    next(iter(optimizer.state.values()))["step"] += 1
    refused("keeps one count for all parameters, and theirs differ: layers.0.weight 6", optimizer, to=TX)


def test_digits_that_would_be_lost():
    params = jax.tree.map(lambda p: p.astype(jnp.float32), tree())
    refused("is float64, and the target keeps float32", adamw(), to=(TX, params), names=NAMES)
    optimizer = adamw()
    next(iter(optimizer.state.values()))["step"] += 2**24
    torch.set_default_dtype(torch.float32)
    refused("layers.0.weight: step is int32, and the target keeps float32", optimizer, to=optimizer)


def test_moments_in_bfloat16_are_kept_or_refused():
    narrow = optax.adamw(1e-2, weight_decay=0.1, mu_dtype=jnp.bfloat16)
    params = {"w": jnp.ones((2, 2), jnp.float32)}
    state = narrow.init(params)
    for _ in range(3):
        _, state = narrow.update({"w": jnp.full((2, 2), 0.3, jnp.float32)}, state, params)
    p = torch.nn.Parameter(torch.ones(2, 2, dtype=torch.float32))
    target = torch.optim.AdamW([("w", p)], lr=1e-2, weight_decay=0.1)
    found = port.state((narrow, state, params), to=target)
    assert np.array_equal(found.state["state"][0]["exp_avg"].numpy(), np.asarray(state[0].mu["w"], np.float32))
    assert any("kept in bfloat16" in note for note in found.notes)
    back = port.state(found.state, to=(narrow, params), params={"w": p})
    assert back.state[0].mu["w"].dtype == jnp.bfloat16
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), back.state, state))
    refused("and the target keeps bfloat16", adamw({"w": (2, 2)}), to=(narrow, {"w": jnp.ones((2, 2))}))


def test_count_that_is_not_kept_must_be_told():
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([("w", p)], lr=0.1, momentum=0.9)
    p.grad = torch.ones(2)
    optimizer.step()
    tx = optax.sgd(optax.constant_schedule(0.1), momentum=0.9)
    refused("keeps no count here: say how many were taken, as in steps=1000", optimizer, to=tx)
    assert int(port.state(optimizer, to=tx, steps=1).state[1].count) == 1


def test_rules_that_depend_on_axes_are_not_turned():
    p = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = torch.optim.Adafactor([("w", p)], lr=0.1)
    p.grad = torch.ones(3, 2)
    optimizer.step()
    with pytest.raises(port.PortError, match="depends on which axis is which"):
        port.state(optimizer, to="lrtheory", layouts={"w": "linear"})
    assert port.state(optimizer, to="lrtheory").optimizer is rules.adafactor()


def test_complex_parameters_and_foreign_optimizers():
    p = torch.nn.Parameter(torch.ones(2, dtype=torch.complex64))
    refused("complex64, and rules take real", torch.optim.Adam([("w", p)]), to="lrtheory")
    refused("LBFGS is no rule of one step", torch.optim.LBFGS([torch.nn.Parameter(torch.ones(2))]), to="lrtheory")
    with pytest.raises(TypeError, match="to= is a torch optimizer"):
        port.state(adamw(), to="tensorflow")
    with pytest.raises(TypeError, match="adopt takes"):
        port.state(3, to="lrtheory")


def test_state_dict_that_says_too_little():
    saved = adamw().state_dict()
    assert port.state(saved, to="lrtheory").optimizer is rules.adamw()
    old = copy.deepcopy(saved)
    for group in old["param_groups"]:  # torch 1.11 had no more switches than amsgrad
        for name in ("decoupled_weight_decay", "maximize", "foreach", "capturable", "differentiable", "fused"):
            del group[name]
    for kept in old["state"].values():
        kept["step"] = int(kept["step"])
    with pytest.raises(port.PortError, match="give the class, as in kind='AdamW'"):
        port.state(old, to="lrtheory")
    assert port.state(old, to="lrtheory", kind="AdamW").optimizer is rules.adamw()
    del saved["state"][0]["exp_avg"]
    with pytest.raises(port.PortError, match="has no exp_avg"):
        port.state(saved, to="lrtheory")


def test_groups_and_injected_numbers_go_along():
    a, b = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = torch.optim.AdamW(
        [{"params": [("a", a)], "lr": 0.1}, {"params": [("b", b)], "weight_decay": 0.0}], lr=0.2
    )
    for p in (a, b):
        p.grad = torch.ones(2)
    optimizer.step()
    parts = {
        "x": optax.adamw(0.1, weight_decay=0.01),
        "y": optax.inject_hyperparams(optax.adamw)(0.5, weight_decay=0.5),
    }
    tx = optax.partition(parts, {"a": "x", "b": "y"})
    found = port.state(optimizer, to=tx)
    injected = found.state.inner_states["y"].inner_state.hyperparams
    assert float(injected["learning_rate"]) == 0.2
    assert float(injected["weight_decay"]) == 0.0
    same(optimizer.state_dict(), port.state((tx, found.state, found.params), to=optimizer).state)


@pytest.mark.parametrize("options", [{"fused": True}, {"capturable": True}, {"foreach": True}])
def test_counts_of_other_implementations(options):
    source, target = adamw(), adamw(steps=0, **options)
    port.state(source, to=target).load()
    for p, q in zip(source.param_groups[0]["params"], target.param_groups[0]["params"], strict=True):
        p.grad = q.grad = torch.ones_like(p)
    source.step()
    if "capturable" not in options:  # which steps on an accelerator alone
        target.step()
    for kept, other in zip(source.state.values(), target.state.values(), strict=True):
        assert float(kept["step"]) - float(other["step"]) == ("capturable" in options)
    again = port.state(target, to="lrtheory")
    assert {int(t) for t in again.state.t.values()} == {5 if "capturable" in options else 6}


def test_names_of_shapes_are_those_of_the_tests():
    assert set(SHAPES) == {"layers.0.weight", "layers.0.bias", "conv.weight"}


def test_a_step_half_gathered_is_not_dropped():
    tx = optax.MultiSteps(optax.adamw(1e-2, weight_decay=0.1), 2).gradient_transformation()
    params = {"w": jnp.ones(2)}
    state = tx.init(params)
    for calls in (1, 2):
        _, state = tx.update({"w": jnp.ones(2)}, state, params)
        if calls == 1:
            with pytest.raises(port.PortError, match="in the middle of a step, at 1 of 2 gradients"):
                port.state((tx, state, params), to="lrtheory")
    assert int(port.state((tx, state, params), to="lrtheory").state.t["w"]) == 1


def test_steps_that_contradict_the_count():
    refused("steps=7, and the source has counted 5", adamw(), to="lrtheory", steps=7)


def test_accumulator_of_another_dtype_is_no_moment():
    tx = optax.MultiSteps(optax.adamw(1e-2), 2).gradient_transformation()
    params = {"w": jnp.ones(2, jnp.float64)}
    state = tx.init(params)
    assert state.acc_grads["w"].dtype == jnp.float32
    assert not any("moments" in note for note in port.state((tx, state, params), to="lrtheory").notes)


def test_schedule_that_is_injected_is_told():
    tx = optax.inject_hyperparams(optax.adam)(optax.linear_schedule(1e-2, 0.0, 10), b1=optax.constant_schedule(0.9))
    params = {"w": jnp.ones(2)}
    _, state = tx.update(params, tx.init(params), params)
    told = port.state((tx, state, params), to="torch").notes
    assert "the lr follows a schedule, at count 1 of it" in told
    assert "b1 follows a schedule, at count 1 of it" in told


def test_a_clip_of_some_parameters_is_not_that_of_others():
    def clipped(**over):
        return optax.chain(optax.masked(optax.clip(0.1), over), optax.adam(0.1))

    params = {"b": jnp.ones(2), "w": jnp.ones(2)}
    source = (tx := clipped(b=False, w=True), tx.init(params), params)
    for other, named in (({"b": True, "w": False}, "b"), ({"b": True, "w": True}, "b, w")):
        words = f"clip_by_value(..., clip_value=0.1) on w in the source and clip_by_value(..., clip_value=0.1) on {named} in"
        refused(words, source, to=(clipped(**other), params))
    assert port.state(source, to=(tx, params)).names == {"w": "w", "b": "b"}
    port.state(source, to=(clipped(a={"b": False, "w": True}), {"a": params}), names=(r"(.*)", r"a/\1"))


def test_frozen_parameters_of_optax_are_left_out_and_told():
    params = {"w": jnp.ones((2, 2)), "head": jnp.ones(2)}
    tx = optax.partition({"go": optax.adam(1e-2), "stay": optax.set_to_zero()}, {"w": "stay", "head": "go"})
    _, state = tx.update(params, tx.init(params), params)
    moved = port.state((tx, state, params), to="torch")
    assert moved.names == {"head": "head"}
    assert any(note.startswith("w: frozen, and left out") for note in moved.notes)


def test_another_rule_is_told_before_a_count_is_asked_for():
    sgd = torch.optim.SGD([("w", torch.nn.Parameter(torch.ones(2)))], lr=0.1, momentum=0.9)
    refused("which is another rule", sgd, to=(optax.adam(0.1), {"w": jnp.ones(2)}))
    refused("steps=-3: it is how many steps were taken, 0 or more", sgd, to="lrtheory", steps=-3)


@pytest.mark.parametrize(
    "spec",
    [
        "optax.multi_transform({'a': optax.adam(1e-3), 'b': optax.sgd(0.1)}, {'w': 'a', 'b': 'b'})",
        "optax.chain(optax.clip_by_global_norm(1.0), optax.masked(optax.adamw(1e-3), mask={'w': True}))",
    ],
)
def test_optimizers_by_group_are_to_be_given_one_by_one(spec):
    with pytest.raises(port.PortError, match=r"none of our rules.*: give the SPEC of one group of parameters"):
        port.config(spec, to="torch")
