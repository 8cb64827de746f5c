"""State in mid-run under other names and in another layout, and what is refused."""

from __future__ import annotations

import copy
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import port, rules
from lrtheory.spec import load_keras

torch = pytest.importorskip("torch")
optax = pytest.importorskip("optax")

SHAPES = {"layers.0.weight": (5, 3), "layers.0.bias": (5,), "conv.weight": (4, 3, 2, 2)}
FLAX = {"Dense_0": {"kernel": (3, 5), "bias": (5,)}, "Conv_0": {"kernel": (2, 2, 3, 4)}}
NAMES = {r"layers\.(\d+)\.weight": r"Dense_\1/kernel", "layers.0.bias": "Dense_0/bias", "conv.weight": "Conv_0/kernel"}
BACK = {"Dense_0/kernel": "layers.0.weight", "Dense_0/bias": "layers.0.bias", "Conv_0/kernel": "conv.weight"}
RNG = np.random.default_rng(0)
ADAMW = {"lr": 1e-2, "weight_decay": 0.1}


@pytest.fixture(autouse=True)
def _float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    with jax.enable_x64(True):
        yield
    torch.set_default_dtype(before)


@pytest.fixture
def keras_float64():
    """Keras keeps the lr in its default dtype."""
    keras = load_keras()
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


def adamw(shapes=SHAPES, named: bool = True, steps: int = 5, **options):
    params = [(name, torch.nn.Parameter(torch.randn(shape))) for name, shape in shapes.items()]
    optimizer = torch.optim.AdamW(params if named else [p for _, p in params], **{**ADAMW, **options})
    for _ in range(steps):
        for _, p in params:
            p.grad = torch.randn(p.shape)
        optimizer.step()
    return optimizer


def tree(shapes=FLAX):
    return jax.tree.map(lambda shape: jax.numpy.zeros(shape), shapes, is_leaf=lambda x: isinstance(x, tuple))


def same(a, b) -> None:
    """Two state dicts, bit for bit."""
    assert a["param_groups"] == b["param_groups"]
    assert set(a["state"]) == set(b["state"])
    for key, kept in a["state"].items():
        assert set(kept) == set(b["state"][key])
        for slot, value in kept.items():
            other = b["state"][key][slot]
            assert value.dtype == other.dtype
            assert torch.equal(value, other), (key, slot)


def test_there_and_back_under_other_names_is_bitwise():
    optimizer = adamw()
    saved = copy.deepcopy(optimizer.state_dict())
    tx = optax.adamw(**{"learning_rate": 1e-2, "weight_decay": 0.1})
    there = port.state(optimizer, to=(tx, tree()), names=NAMES)
    (adam, *_) = there.state
    assert int(adam.count) == 5
    kept = optimizer.state[optimizer.param_groups[0]["params"][0]]
    assert np.array_equal(adam.mu["Dense_0"]["kernel"], kept["exp_avg"].numpy().T)
    assert np.array_equal(there.params["Conv_0"]["kernel"].shape, (2, 2, 3, 4))
    back = port.state((tx, there.state, there.params), to=optimizer, names=BACK)
    same(saved, back.state)
    same(saved, optimizer.state_dict())
    for name, p in zip(SHAPES, optimizer.param_groups[0]["params"], strict=True):
        assert torch.equal(back.params[name], p.detach())


def test_state_dict_without_names_goes_by_position():
    optimizer = adamw(named=False)
    saved = optimizer.state_dict()
    tx = optax.adamw(1e-2, weight_decay=0.1)
    order = ["Dense_0/kernel", "Dense_0/bias", "Conv_0/kernel"]
    there = port.state(
        saved, to=(tx, tree()), names=order, layouts={"Dense_0/kernel": "linear", "Conv_0/kernel": "conv"}
    )
    back = port.state((tx, there.state), to=optimizer, names=dict(zip(order, "012", strict=True)), params=tree(),
                      layouts={"Dense_0/kernel": "linear", "Conv_0/kernel": "conv"})  # fmt: skip
    same(saved, back.state)
    with pytest.raises(
        port.PortError, match="the target has 'Conv_0/kernel', 'Dense_0/bias', 'Dense_0/kernel', which nothing"
    ):
        port.state(saved, to=(tx, tree()))


def test_own_rule_and_back_is_bitwise():
    optimizer = adamw()
    ours = port.state(optimizer, to="lrtheory")
    assert ours.optimizer is rules.adamw()
    assert ours.hyper == rules.adamw().hyper(**ADAMW)
    same(optimizer.state_dict(), port.state((ours.optimizer, ours.hyper, ours.state, ours.params), to=optimizer).state)


def test_loaded_state_is_that_of_the_source():
    source, target = adamw(steps=5), adamw(steps=2, lr=0.5)
    port.state(source, to=target).load()
    same(source.state_dict(), target.state_dict())
    for a, b in zip(source.param_groups[0]["params"], target.param_groups[0]["params"], strict=True):
        assert torch.equal(a, b)


def test_our_rule_inside_optax_is_a_target_and_a_source():
    from lrtheory import optax as ours

    optimizer = adamw()
    tx = optax.chain(
        optax.identity(), ours.transformation(rules.adamw(), lr=optax.constant_schedule(1e-2), weight_decay=0.1)
    )
    there = port.state(optimizer, to=(tx, tree()), names=NAMES)
    assert int(there.state[1].count) == 5
    same(optimizer.state_dict(), port.state((tx, there.state, there.params), to=optimizer, names=BACK).state)


@pytest.mark.parametrize("to", ["torch", "optax", "keras"])
def test_a_framework_by_name_makes_an_optimizer_of_the_same_numbers(to, request):
    if to == "keras":
        request.getfixturevalue("keras_float64")
    optimizer = adamw(eps=0.0)
    there = port.state(optimizer, to=to)
    source = (there.optimizer, there.state, there.params) if to == "optax" else there.optimizer
    same(optimizer.state_dict(), port.state(source, to=optimizer).state)
    again = port.state(source, to="lrtheory")
    assert again.hyper == rules.adamw().hyper(**ADAMW, eps=0.0)
    for name, p in zip(SHAPES, optimizer.param_groups[0]["params"], strict=True):
        assert np.array_equal(np.asarray(again.params[name]), p.detach().numpy())


@pytest.mark.parametrize("to", ["torch", "optax"])
def test_groups_go_along_by_name(to):
    a, b = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = torch.optim.AdamW(
        [{"params": [("a", a)], "lr": 0.1}, {"params": [("b", b)], "weight_decay": 0.0}], lr=0.2
    )
    for p in (a, b):
        p.grad = torch.ones(2)
    optimizer.step()
    there = port.state(optimizer, to=to)
    source = (there.optimizer, there.state, there.params) if to == "optax" else there.optimizer
    same(optimizer.state_dict(), port.state(source, to=optimizer).state)


@pytest.mark.parametrize(
    "given", [list, dict, lambda pairs: [p for _, p in pairs]], ids=["pairs", "by name", "in order"]
)
def test_weights_of_a_state_dict_go_along(given):
    optimizer = adamw()
    pairs = list(zip(SHAPES, optimizer.param_groups[0]["params"], strict=True))
    there = port.state(optimizer.state_dict(), to=optax.adamw(1e-2, weight_decay=0.1), params=given(pairs))
    assert all(np.array_equal(there.params[name], p.detach().numpy()) for name, p in pairs)


@pytest.mark.parametrize("to", ["mask", "optax", "torch"])
def test_no_decay_on_biases_goes_along(to):
    """Where nothing decays it is not told how decay acts: optax's mask leaves Adam there, torch's group an AdamW."""
    tx = optax.adamw(1e-2, weight_decay=0.1, mask=lambda p: jax.tree.map(lambda x: x.ndim > 1, p))
    params = {name: jnp.asarray(RNG.normal(size=shape)) for name, shape in {"w": (3, 2), "b": (2,)}.items()}
    state = tx.init(params)
    gradients = [{n: jnp.asarray(RNG.normal(size=p.shape)) for n, p in params.items()} for _ in range(6)]
    for grads in gradients[:3]:
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    there = port.state((tx, state, params), to="torch").optimizer
    assert type(there) is torch.optim.AdamW
    assert {g["weight_decay"] for g in there.param_groups} == {0.0, 0.1}
    back = port.state(there, to=(tx, params) if to == "mask" else to)
    for grads in gradients[3:]:
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        for group in there.param_groups:
            for name, p in zip(group["param_names"], group["params"], strict=True):
                p.grad = torch.tensor(np.asarray(grads[name]))
        there.step()
        if to != "torch":
            updates, new = back.optimizer.update(grads, back.state, back.params)
            back = replace(back, state=new, params=optax.apply_updates(back.params, updates))
    for group in there.param_groups:
        for name, p in zip(group["param_names"], group["params"], strict=True):
            np.testing.assert_allclose(p.detach().numpy(), params[name], rtol=1e-12)
            if to != "torch":
                np.testing.assert_allclose(back.params[name], params[name], rtol=1e-12)


@pytest.mark.parametrize("injected", [False, True])
def test_momentum_of_0_keeps_nothing_that_must_go_along(injected):
    """As in a sweep over momentum: optax keeps the last gradient there, which no step reads."""
    make = optax.inject_hyperparams(optax.sgd) if injected else optax.sgd
    tx, params = make(learning_rate=0.1, momentum=0.0), {"w": jnp.asarray(RNG.normal(size=3))}
    _, state = tx.update(params, tx.init(params), params)
    assert port.state((tx, state, params), to="torch").optimizer.param_groups[0]["momentum"] == 0
    for to in ("optax", (tx, params), (optax.sgd(0.1), params)):
        there = port.state((tx, state, params), to=to)
        (ours, _), (theirs, _) = (t.update(params, s, params) for t, s in ((tx, state), (there.optimizer, there.state)))
        np.testing.assert_array_equal(ours["w"], theirs["w"])
