"""Our rules as transformations of optax: the parameters of ``rule.step``, all bits of its step, and optax's ways with a state."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

optax = pytest.importorskip("optax")

import lrtheory.optax as ours  # noqa: E402
from lrtheory import rules, schedules, wrappers  # noqa: E402
from lrtheory.compiling import quickly_compiled  # noqa: E402
from lrtheory.optax import _transformation  # noqa: E402
from lrtheory.optax._change import change  # noqa: E402

STEPS = 24
transformation: Any = ours.transformation  # whose states optax types as any tree
#: Rules and hyperparameters beside their defaults.
CASES: dict[str, tuple[Any, dict[str, float]]] = {
    name: (rules.get(name)(), {}) for name in rules.names() if name not in ("adamw", "signsgd", "sparse_adam")
} | {
    "sgd, momentum": (rules.sgd(nesterov=True), {"momentum": 0.9, "weight_decay": 0.1}),
    "adamw, maximize": (rules.adamw(amsgrad=True, maximize=True), {"weight_decay": 0.1}),
    "nadam, decoupled": (rules.nadam(decoupled=True), {"weight_decay": 0.1}),
    "radam, decoupled": (rules.radam(decoupled=True), {"weight_decay": 0.1}),
    "adan, proximal": (rules.adan(proximal=True), {"weight_decay": 0.1}),
    "adafactor, decay": (rules.adafactor(), {"weight_decay": 0.1}),
    "clipped": (wrappers.clip_by_global_norm(rules.adam()), {"max_norm": 0.1}),
    "accumulated": (wrappers.accumulate(rules.lion(), every=3), {}),
    "averaged": (wrappers.average_weights(rules.rmsprop()), {}),
}  # fmt: skip
#: Those that multiply the parameter before they subtract: the two orders of rounding differ.
MULTIPLIED = {
    "adafactor", "adafactor, decay", "adan", "adan, proximal", "asgd", "muon", "nadam, decoupled", "radam, decoupled",
}  # fmt: skip
#: One of each way to end a step; the others in float64 are for a deep run.
DOUBLED = ("sgd, momentum", "muon", "adan, proximal", "clipped")


def drawn(dtype: Any, gradients: Any = None) -> tuple[Any, Any]:
    """First parameters, and gradients with an axis of steps in front, whose size changes over two decades."""
    rng = np.random.default_rng(0)
    params = {"w": rng.standard_normal((4, 3)), "b": np.zeros((1, 3))}
    size = 10.0 ** rng.uniform(-1, 1, (STEPS, 1, 1))
    grads = {name: size * rng.standard_normal((STEPS, *p.shape)) for name, p in params.items()}
    as_arrays = lambda tree, dtype: jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)  # noqa: E731
    return as_arrays(params, dtype), as_arrays(grads, gradients or dtype)


def numbers_of(name: str) -> tuple[Any, dict[str, float]]:
    rule, numbers = CASES[name]
    return rule, {"lr": 10 * rule.hyper(**numbers).lr, **numbers}


def worst(name: str, dtype: str, gradients: str = "", compiled: Any = None) -> float:
    """How far parameters end a step from those of ``rule.step``, in units in the last place of the larger of old and new."""
    rule, numbers = numbers_of(name)
    tx, hyper = transformation(rule, **numbers), jax.tree.map(jnp.asarray, rule.hyper(**numbers))
    params, grads = drawn(dtype, gradients)

    def step(carry: Any, g: Any) -> Any:
        params, state, rule_state = carry
        updates, state = tx.update(g, state, params)
        found = optax.apply_updates(params, updates)
        moved, rule_state = rule.step(hyper, params, rule_state, g)
        return (moved, state, rule_state), (params, moved, found)

    run = lambda params, grads: jax.lax.scan(step, (params, tx.init(params), rule.init(params)), grads)[1]  # noqa: E731
    most = 0.0
    for before, after, found in zip(
        *map(jax.tree.leaves, (compiled or quickly_compiled())(run)(params, grads)), strict=True
    ):
        assert found.dtype == after.dtype == jnp.dtype(dtype)
        before, after, found = (np.asarray(x, np.float64) for x in (before, after, found))
        place = float(jnp.finfo(dtype).eps) * 2.0 ** np.floor(
            np.log2(np.maximum(np.abs(before), np.abs(after)) + 1e-300)
        )
        most = max(most, float(np.max(np.abs(found - after) / place)))
    assert any(
        np.any(np.asarray(a) != np.asarray(p)) for a, p in zip(*map(jax.tree.leaves, (after, before)), strict=True)
    )
    return most


def allowed(name: str) -> float:
    return 2.0 if name == "adan, proximal" else 1.0 if name in MULTIPLIED else 0.0


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_those_of_the_step(name):
    """Bit for bit in float32, or within one unit in the last place; with gradients in float32, in bfloat16 too."""
    assert worst(name, "float32") <= allowed(name)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in DOUBLED else pytest.mark.deep) for name in CASES]
)
def test_parameters_are_those_of_the_step_in_float64(name):
    with jax.enable_x64(True):
        assert worst(name, "float64") <= allowed(name)


@pytest.mark.parametrize("name", ["sgd, momentum", "muon", "adan, proximal", "averaged"])
def test_half_precision_comes_out_as_the_step(name):
    assert worst(name, "bfloat16", "float32") == 0
    assert worst(name, "bfloat16", "bfloat16") <= 1


def lost_bits(name: str) -> float:
    """Relative error of updates that are smaller than the last place of their parameters, which do not move."""
    rule, numbers = numbers_of(name)
    numbers |= {n: 0.0 for n in ("weight_decay", "lambd") if n in rule.Hyper._fields}
    numbers["lr"] *= 1e-6
    tx, hyper = transformation(rule, **numbers), rule.hyper(**numbers)
    params, grads = drawn("float32")
    params, grads = jax.tree.map(lambda p: 1 + jnp.abs(p), params), jax.tree.map(lambda g: g[:3], grads)

    def updates(params: Any, grads: Any) -> Any:
        return jax.lax.scan(lambda s, g: tx.update(g, s, params)[::-1], tx.init(params), grads)[1]

    def moves(params: Any, grads: Any) -> Any:
        def step(state: Any, g: Any) -> Any:
            after, state = rule.step(hyper, params, state, g)
            return state, jax.tree.map(jnp.subtract, after, params)

        return jax.lax.scan(step, rule.init(params), grads)[1]

    found = quickly_compiled()(updates)(params, grads)
    with jax.enable_x64(True):
        params, grads = jax.tree.map(lambda x: np.asarray(x, np.float64), (params, grads))
        exact = quickly_compiled()(moves)(params, grads)
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b)) for a, b in zip(*map(jax.tree.leaves, (found, exact)), strict=True)
    ]
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs)


@pytest.mark.parametrize("name", CASES)
def test_updates_have_all_bits_of_the_step(name):
    assert lost_bits(name) < 1e-6


class Ending(NamedTuple):
    """In place of a rule: a step that ends in a way of its own."""

    step: Any


@pytest.mark.parametrize(
    "end",
    [
        lambda p, x: (p - x) * 0.75,
        lambda p, x: 0.75 * p - x,
        lambda p, x: (p - x) / 1.25,
        lambda p, x: (p * 0.75 - x) / 1.25,
        lambda p, x: x + (p - 2 * x),
        lambda p, x: jnp.where(x > 0, p - x, p),
    ],
    ids=["scaled after", "scaled before", "divided after", "scaled and divided", "added", "chosen"],
)
def test_all_ways_to_end_a_step_keep_all_bits(end):
    p, x = jnp.linspace(0.5, 2.0, 7), jnp.linspace(1.0, 2.0, 7) * 3e-6
    found, _ = change(Ending(lambda hyper, p, s, g: (end(p, g), s)), 0.0, p, (), x)
    with jax.enable_x64(True):
        p, x = np.asarray(p, np.float64), np.asarray(x, np.float64)
        exact = np.asarray(end(p, x)) - p
    # two and a half roundings of float32; terms here do not cancel
    np.testing.assert_allclose(found, exact, rtol=3e-7)


def new_minus_old(rule: Any, hyper: Any, params: Any, state: Any, grads: Any) -> Any:
    after, state = rule.step(hyper, params, state, grads)
    return jax.tree.map(jnp.subtract, after, params), state


def far_off(rule: Any, hyper: Any, params: Any, state: Any, grads: Any) -> Any:
    found, state = _transformation_change(rule, hyper, params, state, grads)
    return jax.tree.map(lambda u: u * (1 + 1e-6), found), state


_transformation_change = _transformation.change


def test_checks_catch_planted_changes(monkeypatch):
    """New minus old loses the bits; a relative error of 1e-6 is not that step."""
    monkeypatch.setattr(_transformation, "change", new_minus_old)
    assert lost_bits("sgd") > 0.01
    monkeypatch.setattr(_transformation, "change", far_off)
    assert worst("sgd", "float32") > 0
    assert worst("muon", "float32") > allowed("muon")


@pytest.mark.parametrize("name", ["adam", "sgd, momentum"])
def test_optimised_programs_agree(name):
    """With jax.jit as users have it, each in a program of its own: XLA contracts products and sums in one and not in the other."""
    rule, numbers = numbers_of(name)
    tx, (params, grads) = transformation(rule, **numbers), drawn("float32")

    @jax.jit
    def theirs(hyper: Any, params: Any, grads: Any) -> Any:
        return jax.lax.scan(lambda c, g: (rule.step(hyper, *c, g), None), (params, rule.init(params)), grads)[0]

    @jax.jit
    def mine(params: Any, grads: Any) -> Any:
        def step(carry: Any, g: Any) -> Any:
            updates, state = tx.update(g, carry[1], carry[0])
            return (optax.apply_updates(carry[0], updates), state), None

        return jax.lax.scan(step, (params, tx.init(params)), grads)[0]

    expected, kept = theirs(rule.hyper(**numbers), params, grads)
    found, state = mine(params, grads)
    for a, b in zip(jax.tree.leaves((expected, kept)), jax.tree.leaves((found, state.rule_state)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=3e-7)


def test_sparse_gradients_are_taken():
    rule = rules.sparse_adam()
    tx, params = transformation(rule, 0.1), {"w": jnp.ones((4, 3))}

    @quickly_compiled()
    def both(row: Any, params: Any, state: Any, kept: Any) -> Any:
        grads = {"w": rules.SparseGradient(row.reshape(1, 1), jnp.full((1, 3), 0.5), (4, 3))}
        updates, state = tx.update(grads, state, params)
        return rule.step(rule.hyper(lr=0.1), params, kept, grads), updates, state

    state, kept = tx.init(params), rule.init(params)
    for row in (1, 3, 1):
        (after, kept), updates, state = both(jnp.int32(row), params, state, kept)
        params = optax.apply_updates(params, updates)
        np.testing.assert_array_equal(params["w"], after["w"])
    assert not np.any(updates["w"][0])


# --- optax's ways with a transformation ---

TREE: Any = {"a": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3), "b": jnp.ones(3)}
GRAD: Any = jax.tree.map(lambda p: jnp.sin(3 * p) + 0.1, TREE)


@functools.partial(jax.jit, static_argnums=0)
def after(tx: Any, steps: Any = None, tree: Any = None) -> Any:
    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        updates, state = tx.update(jax.tree.map(lambda p: jnp.sin(3 * p) + 0.1, params), state, params)
        return (optax.apply_updates(params, updates), state), None

    tree = TREE if tree is None else tree
    return jax.lax.scan(step, (tree, tx.init(tree)), None, length=6)[0]


#: Theirs and ours, in the same place of the same thing of optax.
PLACES = {
    "alone": lambda tx: tx,
    "chain": lambda tx: optax.chain(optax.clip_by_global_norm(0.5), tx, optax.scale(0.5)),
    "named_chain": lambda tx: optax.named_chain(("clip", optax.clip(0.3)), ("rule", tx)),
    "masked": lambda tx: optax.masked(tx, {"a": True, "b": False}),
    "partition": lambda tx: optax.partition({"x": tx, "y": optax.sgd(0.1)}, {"a": "x", "b": "y"}),
    "frozen": lambda tx: optax.partition({"x": tx, "y": optax.set_to_zero()}, lambda tree: {"a": "y", "b": "x"}),
    "MultiSteps": lambda tx: optax.MultiSteps(tx, 2).gradient_transformation(),
    "apply_if_finite": lambda tx: optax.apply_if_finite(tx, 3),
    "flatten": lambda tx: optax.flatten(tx),
    "lookahead of updates": lambda tx: optax.chain(tx, optax.trace(0.5)),
    "watched": lambda tx: ours.watched(tx, every=2),
}


@pytest.mark.parametrize(
    ("place", "dtype"),
    [*((place, "float32") for place in PLACES), ("MultiSteps", "bfloat16"), ("apply_if_finite", "bfloat16")],
)
def test_stands_where_optax_has_its_own(place, dtype):
    tree = jax.tree.map(lambda p: p.astype(dtype), TREE)
    expected, _ = after(PLACES[place](optax.adamw(0.01, weight_decay=0.1)), tree=tree)
    found, state = after(PLACES[place](transformation(rules.adamw(), 0.01, weight_decay=0.1)), tree=tree)
    tolerance = {"rtol": 2e-5, "atol": 1e-7} if dtype == "float32" else {"rtol": 0.03, "atol": 0.03}
    for name in TREE:
        assert found[name].dtype == jnp.dtype(dtype)
        np.testing.assert_allclose(np.float32(found[name]), np.float32(expected[name]), err_msg=name, **tolerance)
    assert np.float32(optax.tree.get(state, "weight_decay")) == np.float32(0.1)


def test_state_is_read_and_written_by_name():
    schedule = schedules.step(lr=0.5, step_size=2, gamma=0.1)
    tx = transformation(rules.adam(), schedule, beta2=lambda count: 0.9 + 0.01 * count, eps=1e-3)
    _, state = after(optax.chain(optax.clip(1.0), tx))
    for name, value in (
        ("learning_rate", 0.005),
        ("lr", 0.005),
        ("beta2", 0.95),
        ("eps", 1e-3),
        ("beta1", 0.9),
        ("count", 6),
    ):
        np.testing.assert_allclose(optax.tree.get(state, name), value, rtol=1e-6, err_msg=name)
    params = {"w": jnp.ones(2)}
    tx = transformation(rules.sgd(), 0.5)
    for written in (
        lambda s: optax.tree.set(s, learning_rate=0.25),
        lambda s: optax.tree.set(s, lr=0.25),
        lambda s: s._replace(hyper=s.hyper._replace(lr=jnp.float32(0.25))),
    ):
        state = tx.init(params)
        for _ in range(2):  # as it was given, and then as it was written, which stays
            updates, state = tx.update(params, state, params)
            assert float(updates["w"][0]) == -float(optax.tree.get(state, "lr"))
            state = written(state) if float(updates["w"][0]) == -0.5 else state
        assert float(optax.tree.get(state, "learning_rate")) == 0.25
        assert float(tx.update(params, state, params)[0]["w"][0]) == -0.25


def test_what_is_given_anew_comes_before_what_the_state_keeps():
    """As inject_hyperparams gives it, and as a run that is resumed with another lr does."""
    params = {"w": jnp.ones(2)}
    tx = optax.inject_hyperparams(lambda lr: transformation(rules.sgd(), lr))(lr=0.5)
    state: Any = tx.init(params)
    for lr in (0.5, 0.25, 0.125):
        state.hyperparams["lr"] = jnp.float32(lr)
        updates, state = tx.update(params, state, params)
        assert float(updates["w"][0]) == -lr
    moving = optax.inject_hyperparams(lambda lr: transformation(rules.sgd(), lr))(lr=optax.linear_schedule(1.0, 0.0, 4))
    state = moving.init(params)
    for lr in (1.0, 0.75, 0.5):
        updates, state = moving.update(params, state, params)
        assert float(updates["w"][0]) == -lr
    _, state = transformation(rules.sgd(), 0.5).update(params, transformation(rules.sgd(), 0.5).init(params), params)
    state = optax.tree.set(state, learning_rate=0.25)
    same, other = (transformation(rules.sgd(), lr).update(params, state, params)[0] for lr in (0.5, 0.125))
    assert (float(same["w"][0]), float(other["w"][0])) == (-0.25, -0.125)


def test_schedules_of_optax_and_ours_count_alike():
    params, counts = {"w": jnp.zeros(1)}, []
    tx = transformation(rules.sgd(), optax.linear_schedule(1.0, 0.0, 4))
    state = tx.init(params)
    for _ in range(5):
        updates, state = tx.update({"w": jnp.ones(1)}, state, params)
        counts.append(-float(updates["w"][0]))
    assert counts == [1.0, 0.75, 0.5, 0.25, 0.0]
    gathered = transformation(wrappers.accumulate(rules.sgd(), every=2), optax.linear_schedule(1.0, 0.0, 4))
    state = gathered.init(params)
    for expected in (0.0, 1.0, 0.0, 0.75):  # a schedule counts steps, not micro-batches
        updates, state = gathered.update({"w": jnp.ones(1)}, state, params)
        assert -float(updates["w"][0]) == expected


def test_numbers_are_traced():
    """One program for all values; vmap runs over them."""
    traces = []

    @jax.jit
    def step(lr: Any, eps: Any) -> Any:
        traces.append(1)
        tx = transformation(rules.adam(), lr, eps=eps)
        return tx.update(GRAD, tx.init(TREE), TREE)[0]

    assert not np.allclose(step(0.1, 1e-3)["a"], step(0.2, 1e-3)["a"])
    step(0.1, 1e-2)
    assert len(traces) == 1
    lrs = jnp.array([0.1, 0.2])
    np.testing.assert_allclose(jax.vmap(step, (0, None))(lrs, 1e-3)["a"][1], step(0.2, 1e-3)["a"], rtol=1e-6)


def test_absent_parameters_and_gradients():
    tx = transformation(rules.adamw(), 0.1)
    params = {"w": jnp.ones(2), "none": None, "nested": [None, jnp.ones(1)]}
    grads = {"w": jnp.ones(2), "none": None, "nested": [None, None]}
    state = tx.init(params)
    updates, state = tx.update(grads, state, params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    assert not np.any(updates["nested"][1])
    assert int(state.rule_state.t["nested"][1]) == 0
    assert optax.apply_updates(params, updates)["none"] is None
    assert transformation(rules.adam()).init({}).rule_state.m == {}


def zero_dim(_: Any) -> Any:
    return jnp.zeros(3)


REFUSED = {
    "a factory": (lambda: transformation(rules.adam), TypeError, "call it"),
    "optax's own": (lambda: transformation(optax.adam(0.1)), TypeError, "rule such as"),
    "another name": (lambda: transformation(rules.adam(), learning_rate=0.1), TypeError, "'learning_rate'"),
    "an option": (lambda: transformation(rules.adam(), decoupled=True), TypeError, "'decoupled'.* option"),
    "a negative lr": (lambda: transformation(rules.adam(), -0.1), ValueError, "lr=-0.1 is outside"),
    "a schedule below 0": (lambda: transformation(rules.adam(), lambda t: -0.1), ValueError, "lr=-0.1.* is outside"),
    "several": (lambda: transformation(rules.adam(), [0.1, 0.2]), ValueError, "shape \\(2,\\)"),
    "a word": (lambda: transformation(rules.adam(), "fast"), TypeError, "lr='fast'"),
    "a schedule of arrays": (lambda: transformation(rules.adam(), zero_dim), TypeError, "shape \\(3,\\)"),
    "an if": (lambda: transformation(rules.adam(), lambda t: 0.1 if t < 3 else 0.2), TypeError, "no schedule"),
    "a plateau": (lambda: transformation(rules.adam(), schedules.plateau()), TypeError, "lr=Plateau"),
    "another's state": (lambda: transformation(rules.adam()).update(GRAD, (), TREE), TypeError, "TransformationState"),
    "no parameters": (
        lambda: transformation(rules.adam()).update(GRAD, transformation(rules.adam()).init(TREE)),
        ValueError, "needs the parameters",
    ),
    "whole numbers": (lambda: transformation(rules.adam()).init({"n": jnp.arange(3)}), TypeError, "\\['n'\\] has dtype int32"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_by_name(what):
    make, error, said = REFUSED[what]
    with pytest.raises(error, match=said) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_nesterov_is_checked_while_a_program_is_traced():
    """A check of concrete momentum used a traced comparison."""
    rule = rules.sgd(nesterov=True)
    jax.jit(lambda p: rule.step(rule.hyper(momentum=0.9), p, rule.init(p), p))(TREE)
    with pytest.raises(ValueError, match="Nesterov"):
        jax.jit(lambda p: rule.step(rule.hyper(momentum=0.0), p, rule.init(p), p))(TREE)
