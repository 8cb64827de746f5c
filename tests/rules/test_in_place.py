"""The compiled step that overwrites what it is given: read from the program, and from the memory."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import in_place, rules, wrappers
from lrtheory.rules import Rule

SIDE = 256
RULES = {name: rules.get(name)() for name in rules.names() if not rules.get(name)().array_rule.sparse}
RULES["rmsprop-without-momentum"] = rules.rmsprop(momentum_buffer=False)
RULES["sgd-nesterov"] = rules.sgd(nesterov=True)
RULES["average-weights"] = wrappers.average_weights(rules.adam())
RULES["clip-by-value"] = wrappers.clip_by_value(rules.adam())
RULES["clip-by-norm"] = wrappers.clip_by_norm(rules.sgd())
RULES["clip-by-global-norm"] = wrappers.clip_by_global_norm(rules.adam())
RULES["accumulate"] = wrappers.accumulate(rules.adam(), every=4)
RULES["flatten"] = wrappers.flatten(rules.adam())

#: Temporary memory over that of parameters and state where it is more than a hundredth, and what is kept in it.
KEPT = {
    **dict.fromkeys(("adagrad", "adadelta", "adabelief", "adan", "nadam", "rprop"), "the gradient with its decay term"),
    "rmsprop": "what the gradient is divided by, for parameters, buffer and gain",
    **dict.fromkeys(("lamb", "lars"), "the update, until its norm is known"),
    **dict.fromkeys(("adafactor", "muon"), "matrices made on the way to the update"),
    **dict.fromkeys(("schedule_free_sgd", "schedule_free_adamw"), "the point the gradient was taken at"),
    "accumulate": "the step that is taken after the last micro-batch alone",
}
#: How often an array of the size of the parameters is read or written: once where all is one loop, which is the bound
#: in brackets. XLA on CPU writes each result in a loop of its own, and a coupled decay, being traced, is always read.
PASSES = {"sgd": 8, "rmsprop-without-momentum": 8, "adam": 12, "adamw": 10}  # (5, 5, 7, 7)


def arguments(rule: Rule) -> tuple[Any, Any, Any, Any]:
    """Shapes of numbers, params, state and grads."""
    params = {"w": jax.ShapeDtypeStruct((SIDE, SIDE), jnp.float32)}
    numbers = {"momentum": 0.9} if rule.options.get("nesterov") and rule.name == "sgd" else {}
    numbers |= {name: 1.0 for name in ("clip_value", "max_norm") if name in rule.Hyper._fields}
    hyper = jax.tree.map(lambda x: jax.ShapeDtypeStruct((), jnp.float32), rule.hyper(**numbers))
    return hyper, params, jax.eval_shape(rule.init, params), params


def size(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


@pytest.fixture(scope="module")
def compiled() -> Any:
    programs: dict[str, Any] = {}

    def of(name: str) -> Any:
        if name not in programs:
            programs[name] = in_place.step(RULES[name]).lower(*arguments(RULES[name])).compile()
        return programs[name]

    return of


@pytest.mark.parametrize("name", RULES)
def test_step_overwrites_parameters_and_state(name: str, compiled: Any) -> None:
    """Every byte of both is handed on, and no more than a hundredth is needed beside it."""
    _, params, state, _ = arguments(RULES[name])
    memory = compiled(name).memory_analysis()
    assert memory.alias_size_in_bytes == size((params, state))
    spare = memory.temp_size_in_bytes / size((params, state))
    assert (spare > 0.01) == (name in KEPT), f"{name} needs {spare:.4f} of parameters and state beside them"


@pytest.mark.parametrize("name", RULES)
def test_step_that_most_people_write_needs_no_more_memory(name: str, compiled: Any) -> None:
    """``jax.jit(rule.step, donate_argnums=(1, 2))``: JAX pairs what is donated with results by order."""
    plain = jax.jit(RULES[name].step, donate_argnums=(1, 2)).lower(*arguments(RULES[name])).compile()
    spare = plain.memory_analysis().temp_size_in_bytes
    assert spare <= compiled(name).memory_analysis().temp_size_in_bytes + 0.001 * size(arguments(RULES[name])[1:3])


def test_arguments_in_another_order_need_copies() -> None:
    """The checks above see what they are there to see."""
    rule = rules.adam()
    hyper, params, state, grads = arguments(rule)
    other = jax.jit(lambda state, params, hyper, grads: rule.step(hyper, params, state, grads), donate_argnums=(0, 1))
    memory = other.lower(state, params, hyper, grads).compile().memory_analysis()
    assert memory.temp_size_in_bytes > 0.3 * size((params, state))


@pytest.mark.parametrize("name", PASSES)
def test_passes_over_memory(name: str, compiled: Any) -> None:
    passes = compiled(name).cost_analysis()["bytes accessed"] / (4 * SIDE * SIDE)
    np.testing.assert_allclose(passes, PASSES[name], atol=0.1)


#: With numbers that the program knows: the same reads and writes as optax, whose numbers are all in the program.
STATIC_PASSES = {
    "sgd": (("momentum", "dampening", "weight_decay"), {"momentum": 0.9}, 6),
    "adam": (("weight_decay",), {}, 10),
    "rmsprop": (("momentum", "weight_decay"), {}, 7),
    "rmsprop-without-momentum": (("momentum", "weight_decay"), {}, 7),
}


@pytest.mark.parametrize("name", STATIC_PASSES)
def test_a_number_that_is_static_saves_passes_and_memory(name: str) -> None:
    static, numbers, passes = STATIC_PASSES[name]
    _, params, state, grads = arguments(RULES[name])
    program = (
        in_place.step(RULES[name], static=static).lower(RULES[name].hyper(**numbers), params, state, grads).compile()
    )
    np.testing.assert_allclose(program.cost_analysis()["bytes accessed"] / (4 * SIDE * SIDE), passes, atol=0.1)
    assert program.memory_analysis().temp_size_in_bytes < 0.01 * size((params, state))


def test_static_numbers_are_obeyed() -> None:
    """Each of their values, with a program for each, is the rule's step; the others stay traced."""
    rule = rules.adam()
    params, grads = {"w": jnp.array([1.0, -2.0, 3.0])}, {"w": jnp.array([0.5, 0.0, -0.25])}
    step = in_place.step(rule, static=("weight_decay",))
    before = step.program._cache_size()
    for weight_decay in (0.0, 0.1):
        for lr in (0.1, 0.2):
            hyper = rule.hyper(lr=lr, weight_decay=weight_decay)
            expected, _ = rule.step(hyper, params, rule.init(params), grads)
            found, _ = step(hyper, jax.tree.map(jnp.array, params), in_place.init(rule, params), grads)
            np.testing.assert_allclose(found["w"], expected["w"], rtol=1e-6)
    assert step.program._cache_size() == before + 2


def test_static_numbers_that_cannot_be() -> None:
    with pytest.raises(TypeError, match=r"adam\(.*\) has no hyperparameter 'momentum' to be static: it has lr, beta1"):
        in_place.step(rules.adam(), static=("momentum",))
    rule, params = rules.adam(), {"w": jnp.ones(3)}
    step = in_place.step(rule, static="weight_decay")
    assert step is in_place.step(rules.adam(), static=["weight_decay"])
    hyper = rule.hyper(weight_decay=jnp.float32(0.1))
    with pytest.raises(TypeError, match=r"weight_decay is static in this step and must be a Python number"):
        step(hyper, params, in_place.init(rule, params), params)


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop", "average-weights"])
def test_step_is_the_rules_and_compiles_once(name: str) -> None:
    """Three steps with other numbers each time, bit for bit those of ``rule.step``."""
    rule = RULES[name]
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.standard_normal((4, 3)), jnp.float32), "b": jnp.ones(3)}
    mine, state = jax.tree.map(jnp.array, params), in_place.init(rule, params)
    theirs, reference = params, rule.init(params)
    step, plain = in_place.step(rule), jax.jit(rule.step)
    before = step.program._cache_size()
    for lr in (0.1, 0.03, 0.5):
        hyper = rule.hyper(lr=lr)
        grads = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), jnp.float32), params)
        given = mine, state
        mine, state = step(hyper, mine, state, grads)
        theirs, reference = plain(hyper, theirs, reference, grads)
        assert all(array.is_deleted() for array in jax.tree.leaves(given))
    assert step.program._cache_size() == before + 1
    jax.tree.map(np.testing.assert_array_equal, (mine, state), (theirs, reference))


def test_first_state_has_memory_of_its_own() -> None:
    """A buffer can be donated once: the zeros of the two averages must not be one array."""
    params = {"w": jnp.ones((64, 64))}
    state = in_place.init(rules.adam(), params)
    assert state.m["w"].unsafe_buffer_pointer() != state.v["w"].unsafe_buffer_pointer()
    jax.tree.map(np.testing.assert_array_equal, state, rules.adam().init(params))
