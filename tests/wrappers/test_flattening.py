"""Small tensors in one buffer: the rule's own steps, in fewer loops."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from lrtheory import effective, explain, groups, in_place, port, rescale, rules, sharding, wrappers
from lrtheory.compiling import quickly_compiled
from lrtheory.rules import Rule

ELEMENTWISE = [rules.get(name)() for name in rules.names()]
WHOLE = {"adafactor", "lamb", "lars", "muon", "sparse_adam"}
ELEMENTWISE = [rule for rule in ELEMENTWISE if rule.name not in WHOLE]


def params_of(seed: int = 0) -> dict[str, Any]:
    """Two dtypes, a scalar, an empty tensor, and one that is too large to be joined."""
    rng = np.random.default_rng(seed)
    shapes = {
        "large": (30, 5),
        "matrix": (4, 3),
        "vector": (7,),
        "scalar": (),
        "empty": (0,),
        "half": (6,),
        "halves": (2, 2),
    }
    return {
        name: jnp.asarray(rng.standard_normal(shape), jnp.bfloat16 if name.startswith("hal") else jnp.float32)
        for name, shape in shapes.items()
    }


def assert_near(found: Any, expected: Any, ulps: float) -> None:
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        rtol = ulps * float(jnp.finfo(b.dtype).eps) if jnp.issubdtype(b.dtype, jnp.inexact) else 0
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(b, np.float64), rtol, 1e-3 * rtol)


@pytest.mark.parametrize("rule", ELEMENTWISE, ids=repr)
def test_steps_and_what_is_said_of_them_are_the_rules(rule: Rule) -> None:
    """To an ulp or two: the compiler may join a product and a sum in one loop that it does not join in the other."""
    outer = wrappers.flatten(rule, largest=20)
    numbers = {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9}
    numbers = {name: value for name, value in numbers.items() if name in rule.Hyper._fields}
    if rule.array_rule.defaults.get("momentum", 0) is None:
        del numbers["momentum"]
    hyper, own = outer.hyper(**numbers), rule.hyper(**numbers)
    theirs = mine = params_of()

    @quickly_compiled()
    def both(theirs: Any, mine: Any, state: Any, flat: Any, grads: Any) -> Any:
        p, s = rule.step(own, theirs, state, grads)
        q, f = outer.step(hyper, mine, flat, grads)
        return (p, s, q, f), [
            (rule.effective_lr(own, s), outer.effective_lr(hyper, f)),
            (rule.direction(own, theirs, s, grads), outer.direction(hyper, mine, f, grads)),
            (rule.decay(own, theirs, s, grads), outer.decay(hyper, mine, f, grads)),
            (rule.penalty(own, theirs, s), outer.penalty(hyper, mine, f)),
            (rule.scale(own, s), outer.scale(hyper, f)),
        ]

    state, flat = rule.init(theirs), outer.init(mine)
    assert set(flat.rule.t) == {"alone", "float32", "bfloat16"}
    assert len(flat.rule.t["alone"]) == 1
    for step in range(3):
        before = theirs
        (theirs, state, mine, flat), said = both(theirs, mine, state, flat, params_of(step + 1))
        assert any((theirs[name] != before[name]).any() for name in theirs)
        assert_near(mine, theirs, 4)
        for of_rule, of_flat in said:
            assert_near(of_flat, of_rule, 16)


def test_rules_that_look_at_whole_tensors_are_refused() -> None:
    for name in WHOLE:
        with pytest.raises(ValueError, match="needs norms or shapes of whole tensors, or takes sparse gradients"):
            wrappers.flatten(rules.get(name)())


@pytest.mark.parametrize("factor", [lambda p: p.size**-0.5, lambda p: 0.1 if p.ndim > 1 else 1.0], ids=["size", "ndim"])
def test_rule_that_is_given_another_lr_by_the_shape_is_refused(factor: Any) -> None:
    """Each coordinate moves by its own gradient there, and yet not as it would in a buffer."""
    sgd = rules.sgd()
    scaled = lambda h, p, s, g: sgd.array_rule.step(h._replace(lr=h.lr * factor(p)), p, s, g)  # noqa: E731
    rule = Rule(replace(sgd.array_rule, step=scaled), sgd.options)
    with pytest.raises(ValueError, match="needs norms or shapes of whole tensors"):
        wrappers.flatten(rule)


def test_one_program_of_few_loops_that_keeps_no_second_copy() -> None:
    """Fifty tensors: a loop for each to hand it back, and those of one tensor; the rule itself has five for each."""
    params = {f"w{i:02d}": jax.ShapeDtypeStruct((40 + i,), jnp.float32) for i in range(50)}
    params["large"] = jax.ShapeDtypeStruct((300, 200), jnp.float32)

    def compiled(rule: Any) -> tuple[int, Any]:
        state = jax.eval_shape(rule.init, params)
        hyper = jax.tree.map(lambda _: jax.ShapeDtypeStruct((), jnp.float32), rule.hyper())
        program = in_place.step(rule).lower(hyper, params, state, params).compile()
        held = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves((params, state)))
        assert program.memory_analysis().alias_size_in_bytes == held
        return program.as_text().count(" fusion("), program.memory_analysis().temp_size_in_bytes

    loops, kept = compiled(wrappers.flatten(rules.adamw()))
    assert loops < 50 + 20
    assert compiled(rules.adamw())[0] > 250
    small = 4 * sum(40 + i for i in range(50))
    assert kept < 4 * small  # parameters and gradients joined, before and after


def test_one_program_serves_all_values() -> None:
    rule = wrappers.flatten(rules.adam())
    params = {"w": jnp.ones(3), "b": jnp.ones(2)}
    state, step = in_place.init(rule, params), in_place.step(rule)
    before = step.program._cache_size()
    for lr in (0.1, 0.2):
        params, state = step(rule.hyper(lr=lr), params, state, {"w": jnp.ones(3), "b": jnp.ones(2)})
    assert step.program._cache_size() == before + 1
    np.testing.assert_allclose(params["b"], 1 - 0.3, rtol=1e-6)


def test_it_goes_inside_other_wrappers_and_is_measured_and_explained() -> None:
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    around = wrappers.accumulate(wrappers.flatten(rules.adamw()), every=2)
    hyper, moved, state = around.hyper(), params, around.init(params)
    for _ in range(2):
        moved, state = around.step(hyper, moved, state, params)
    assert (moved["b"] < params["b"]).all()
    rule = wrappers.flatten(rules.adamw())
    before = rule.init(params)
    moved, state = rule.step(rule.hyper(), params, before, params)
    found = effective.measure(rule, rule.hyper(), state, params, params, moved)
    plain = rules.adamw()
    after, own = plain.step(plain.hyper(), params, plain.init(params), params)
    assert_near(found, effective.measure(plain, plain.hyper(), own, params, params, after), 4)
    assert explain("flatten(adamw(lr=1e-3))").facts == explain("adamw(lr=1e-3)").facts


@pytest.mark.parametrize(
    ("around", "numbers"),
    [
        (wrappers.clip_by_global_norm, {"max_norm": 0.5}),
        (lambda rule: wrappers.accumulate(wrappers.clip_by_value(rule), every=2), {"clip_value": 0.3}),
        (wrappers.average_weights, {"ema_decay": 0.9}),
    ],
    ids=["global", "accumulated-value", "average"],
)
def test_under_other_wrappers_it_is_the_rule(around: Any, numbers: dict[str, float]) -> None:
    names = ("large", "matrix", "vector")
    params, *grads = ({name: params_of(seed)[name] for name in names} for seed in range(3))

    def run(rule: Any) -> Any:
        hyper, p, state, found = rule.hyper(lr=0.1, weight_decay=0.1, **numbers), params, rule.init(params), []
        for g in grads:
            before = p
            p, state = rule.step(hyper, p, state, g)
            found.append([rule.effective_lr(hyper, state), rule.direction(hyper, before, state, g)])
            found.append([rule.decay(hyper, before, state, g), rule.clip_factor(hyper, before, state, g)])
        return p, found, getattr(state, "average", None)

    flat, plain = quickly_compiled()(
        lambda: [run(around(r)) for r in (wrappers.flatten(rules.adamw(), largest=20), rules.adamw())]
    )()
    assert_near(flat, plain, 64)
    assert any((plain[0][name] != params[name]).any() for name in names)


def test_state_is_unpacked_to_that_of_the_rule() -> None:
    """A run goes on without joining, is evaluated by the averaged weights, and is ported."""
    rule = rules.schedule_free_adamw()
    outer, params, grads = wrappers.flatten(rule, largest=20), params_of(), params_of(1)
    moved, flat = outer.step(outer.hyper(), params, outer.init(params), grads)
    expected, own = rule.step(rule.hyper(), params, rule.init(params), grads)
    state = flat.unpacked()
    assert jax.tree.structure(state) == jax.tree.structure(own)
    assert_near(state, own, 4)
    found = [rules.evaluation_params(rule.hyper(), s, p) for s, p in ((state, moved), (own, expected))]
    assert_near(*found, ulps=16)
    assert_near(rule.step(rule.hyper(), moved, state, grads), rule.step(rule.hyper(), expected, own, grads), 16)


def test_state_is_ported_as_that_of_the_rule() -> None:
    """And an optimizer as the rule, with a note."""
    given, params = [], {"w": jnp.ones((2, 2)), "b": jnp.ones(3), "large": jnp.ones((5, 5))}
    for rule in (wrappers.flatten(rules.adam(), largest=20), rules.adam()):
        state = rule.step(rule.hyper(), params, rule.init(params), params)[1]
        given.append(port.state((rule, rule.hyper(), state, params), to=rules.adam()).state)
    assert_near(*given, ulps=4)
    assert "flatten" in port.config("flatten(adam(lr=0.1))", to="lrtheory").code
    found, plain = (port.config(spec, to="torch") for spec in ("flatten(adam(lr=0.1))", "adam(lr=0.1)"))
    assert found.code == plain.code
    assert any("flatten is left out" in note for note in found.notes)


def test_gradient_wider_than_its_parameter_is_not_rounded() -> None:
    """p/2 − g is −(1 + 5/1024), which bfloat16 has as −(1 + 8/1024); of g rounded to 1 it would be −1."""
    rule = wrappers.flatten(rules.sgd())
    params = {name: jnp.full(3, -6 / 1024, jnp.bfloat16) for name in "ab"}
    grads = {"a": jnp.full(3, 1 + 2 / 1024), "b": jnp.ones(3, jnp.bfloat16)}
    moved, _ = rule.step(rule.hyper(lr=1.0, weight_decay=0.5), params, rule.init(params), grads)
    assert float(moved["a"][0]) == -(1 + 8 / 1024)
    assert float(moved["b"][0]) == -1


def test_init_makes_one_state() -> None:
    params = {"large": jnp.ones((300, 200)), "w": jnp.ones(3), "b": jnp.ones(3)}
    own, joined = (str(jax.make_jaxpr(r.init)(params)) for r in (rules.adam(), wrappers.flatten(rules.adam())))
    assert joined.count("f32[300,200]") <= own.count("f32[300,200]")


def test_tensors_that_are_joined_have_no_hyperparameters_of_their_own() -> None:
    for rule in (
        wrappers.flatten(rules.adamw(), largest=10),
        wrappers.average_weights(wrappers.flatten(rules.adamw())),
    ):
        with pytest.raises(ValueError, match="steps small tensors together, with one set of hyperparameters"):
            rescale(rule, rule.hyper(), params={"b": 4.0})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wrappers.flatten(wrappers.clip_by_value(rules.adam())), TypeError, r"is a wrapper of one: put it around flatten\(adam\(\)\)"),
        (lambda: wrappers.flatten(rules.adam), TypeError, "flatten takes a rule .*call it, adam"),
        (lambda: wrappers.flatten(groups.by_pattern(rules.adam(), {"all": "*"})), TypeError, "of groups, flatten the rule of each"),
        (lambda: wrappers.flatten(rules.adam(), largest=-1), ValueError, "largest=-1 must be a whole number"),
        (lambda: stepped(grads={"b": None}), ValueError, r"grads\['b'\] is None; .* give zeros, or use the rule inside"),
        (lambda: stepped(grads={"b": jnp.ones(5)}), ValueError, r"grads\['b'\] has shape \(5,\); .* made for \(3,\)"),
        (lambda: stepped(params={"b": jnp.ones(4)}), ValueError, r"params\['b'\] has shape \(4,\)"),
        (lambda: stepped(params={"b": jnp.ones(3, jnp.bfloat16)}), ValueError, r"params\['b'\] is bfloat16; .* for float32"),
        (lambda: stepped(params={"c": jnp.ones(3)}), ValueError, "params do not have the structure"),
        (lambda: stepped(grads={"b": jnp.ones(3, int)}), TypeError, r"grads\['b'\] has dtype int32"),
        (lambda: stepped(grads={"b": rules.SparseGradient.from_dense(jnp.ones((3, 1)))}), TypeError, r"\.todense\(\)"),
        (lambda: wrappers.flatten(rules.adam()).init({"w": 1j}), TypeError, r"params\['w'\]"),
        (
            lambda: sharding.state_specs(wrappers.flatten(rules.adam()), PARAMS, dict.fromkeys(PARAMS, PartitionSpec())),
            ValueError,
            "joins tensors.*use the rule inside",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(call: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


PARAMS = {"w": jnp.ones((2, 2)), "b": jnp.ones(3)}


def stepped(params: Any = None, grads: Any = None) -> Any:
    rule = wrappers.flatten(rules.adam())
    return rule.step(rule.hyper(), PARAMS | (params or {}), rule.init(PARAMS), PARAMS | (grads or {}))
