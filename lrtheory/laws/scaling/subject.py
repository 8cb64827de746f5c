"""An optimizer as pure functions of numbers given by name, and its trajectory with everything traced."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...dims import Dimensions, infer
from ...rules import Rule, SparseGradient
from ...wrappers import Wrapper, bare

LEAF = "w"

# Numbers that are 0 by default are switched on and the small ones made large, or a wrong exponent would not show.
SWITCHED_ON = {
    "weight_decay": 0.01,
    "momentum": 0.9,
    "eps": 0.3,
    "eps_root": 0.1,
    "eps1": 0.3,
    "eps2": 0.1,
    "initial_accumulator_value": 0.1,
    "lr_decay": 0.1,
    "lambd": 0.1,
    "step_size_min": 1e-3,
    "step_size_max": 0.03,
    "clip_value": 0.5,
    "max_norm": 1.0,
}


@dataclass(frozen=True, eq=False)
class Subject:
    """What a law of scale is about.

    Attributes
    ----------
    name : str
    numbers : mapping of str to float
        All numbers that the program takes, lr first; each is traced.
    init : numbers, params -> state
    step : numbers, params, state, grads -> (params, state)
    dimensions : () -> Dimensions
        Units, inferred from the same program.
    shape : tuple of int
        Of the one parameter it is run on.
    """

    name: str
    numbers: Mapping[str, float]
    init: Callable[[Any, Any], Any]
    step: Callable[[Any, Any, Any, Any], tuple[Any, Any]]
    dimensions: Callable[[], Dimensions]
    shape: tuple[int, ...] = (4,)

    @functools.cached_property
    def compiled(self) -> Callable[..., tuple[Any, Any]]:
        """The path of the parameter and the last state, compiled once for all values of everything.

        Takes numbers by name, each with one value a step; factors on the parameter and on the state before each step,
        (steps,) and by path; the first parameter; and gradients, (steps, *shape). Change of scale in mid-run is a factor
        other than 1, which leaves the bits of the other steps alone.
        """
        return jax.jit(self._trajectory)

    def _trajectory(self, numbers: Any, on_param: Any, on_state: Any, first: Any, grads: Any) -> tuple[Any, Any]:
        def body(carry: Any, inputs: Any) -> tuple[Any, Any]:
            params, state = carry
            now, param_factor, state_factors, g = inputs
            state = scaled_state(state, state_factors)
            params, state = self.step(now, {LEAF: params[LEAF] * param_factor}, state, {LEAF: g})
            return (params, state), params[LEAF]

        params = {LEAF: first}
        begun = self.init(jax.tree.map(lambda x: x[0], numbers), params)
        (_, state), path = jax.lax.scan(body, (params, begun), (numbers, on_param, on_state, grads))
        return path, state

    def paths(self) -> list[str]:
        """Paths of the floating state, as :mod:`lrtheory.dims` names them."""
        params = {LEAF: jax.ShapeDtypeStruct(self.shape, np.float32)}
        state = jax.eval_shape(lambda p: self.init(dict(self.numbers), p), params)
        leaves, _ = jax.tree_util.tree_flatten_with_path(state)
        return [_path(keys) for keys, leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]


def _path(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator=".").removesuffix(f".{LEAF}")


def scaled_state(state: Any, factors: Mapping[str, Any]) -> Any:
    """State with each leaf times the factor of its path; those that have none stay as they are."""
    return jax.tree_util.tree_map_with_path(
        lambda keys, x: x * factors[_path(keys)] if _path(keys) in factors else x, state
    )


def of_rule(rule: Rule | Wrapper, shape: tuple[int, ...] = (4,), **numbers: float) -> Subject:
    """A rule, wrapped or not, with the numbers that are off by default switched on."""
    hyper = rule.hyper(**{**{n: v for n, v in SWITCHED_ON.items() if n in _numbers_on(rule)}, **numbers})
    given = {name: value for name, value in zip(hyper._fields, hyper, strict=True) if value is not None}
    sparse = bare(rule).array_rule.sparse

    def step(numbers: Any, params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        if sparse:
            grads = jax.tree.map(SparseGradient.from_dense, grads)
        return rule.step(hyper._replace(**numbers), params, state, grads)

    # A law may hold for vectors alone: units are asked of the kind of parameter that is run.
    kind: Any = {"vector": (8,)} if len(shape) == 1 else {"matrix": (128, 130)}
    return Subject(
        repr(rule), given, lambda n, p: rule.init(p), step, lambda: infer(rule, shapes=kind, judge=False), shape
    )


def _numbers_on(rule: Any) -> set[str]:
    """Names of the numbers that no option switches off."""
    defaults = bare(rule).array_rule.defaults
    return {name for name in rule.Hyper._fields if defaults.get(name, 0) is not None}


def of_optax(name: str, numbers: Mapping[str, float], shape: tuple[int, ...] = (4,), **fixed: float) -> Subject:
    """A factory of optax by name, imported when it is run; a transformation without a learning rate is given one.

    ``fixed`` are numbers that the factory looks at in Python and that cannot be traced.
    """
    rate = "learning_rate" in numbers

    def built(numbers: Mapping[str, Any]) -> Any:
        import optax

        if rate:
            return getattr(optax, name)(**numbers, **fixed)
        others = {n: v for n, v in numbers.items() if n != "lr"}
        return optax.chain(getattr(optax, name)(**others, **fixed), optax.scale_by_learning_rate(numbers["lr"]))

    def step(numbers: Any, params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
        updates, state = built(numbers).update(grads, state, params)
        return jax.tree.map(jnp.add, params, updates), state

    def dimensions() -> Dimensions:
        def factory(**given: Any) -> Any:
            return built(given)

        factory.__name__ = name
        kind = {LEAF: (8,) if len(shape) == 1 else (128, 130)}
        return infer(factory, hyper=numbers, shapes=kind, judge=False)

    return Subject(f"optax.{name}", dict(numbers), lambda n, p: built(n).init(p), step, dimensions, shape)
