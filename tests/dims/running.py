"""Trajectories of an optimizer and of its rescaled self, in float64 with every number traced: no units are walked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory.compiling import quickly_compiled
from lrtheory.dims import Dimensions, Units
from lrtheory.rules import Rule, SparseGradient

STEPS = 30
SHAPES = {"matrix": (4, 3), "vector": (5,)}


@dataclass(frozen=True, eq=False)
class Runnable:
    """An optimizer as pure functions of numbers given by name."""

    name: str
    numbers: Mapping[str, float]
    init: Callable[[Any, Any], Any]
    step: Callable[[Any, Any, Any, Any, Any], tuple[Any, Any]]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: SHAPES)

    @functools.cached_property
    def compiled(self) -> Callable[..., tuple[Any, Any]]:
        """Parameters after every step and the last state, compiled once for every value of every number."""
        return quickly_compiled()(functools.partial(trajectory, self))


def of_rule(rule: Rule, numbers: Mapping[str, float] | None = None, **more: Any) -> Runnable:
    """A Rule, with some numbers of one's own."""
    values = {**rule.Hyper._field_defaults, **rule.array_rule.defaults, **(numbers or {})}
    given = {n: v for n, v in values.items() if v is not None}
    hyper = rule.Hyper(**values)

    def step(numbers: Any, state: Any, grads: Any, params: Any, loss: Any) -> tuple[Any, Any]:
        if rule.name == "sparse_adam":
            grads = jax.tree.map(SparseGradient.from_dense, grads)
        return rule.step(hyper._replace(**numbers), params, state, grads)

    return Runnable(repr(rule), given, lambda numbers, params: rule.init(params), step, **more)


def of_optax(factory: Callable[..., Any], numbers: Mapping[str, float], **options: Any) -> Runnable:
    """An optax factory."""

    def step(numbers: Any, state: Any, grads: Any, params: Any, loss: Any) -> tuple[Any, Any]:
        transformation = factory(**numbers, **options)
        extra = {"value": loss} if "value" in str(transformation.update.__code__.co_varnames) else {}
        updates, state = transformation.update(grads, state, params, **extra)
        return jax.tree.map(jnp.add, params, updates), state

    return Runnable(factory.__name__, dict(numbers), lambda n, p: factory(**n, **options).init(p), step)


def streams(seed: int, steps: int = STEPS, shapes: Mapping[str, tuple[int, ...]] = SHAPES) -> tuple[Any, Any, Any]:
    """Parameters, gradients that change sign and size, and losses: a walk, with no relation to the gradients."""
    rng = np.random.default_rng(seed)
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    sizes = 10.0 ** rng.uniform(-2, 2, size=steps)
    grads = {
        name: rng.normal(size=(steps, *shape)) * sizes.reshape(-1, *[1] * len(shape)) for name, shape in shapes.items()
    }
    return params, grads, 5.0 + np.abs(rng.normal(size=steps))


def trajectory(run: Runnable, numbers: Any, params: Any, grads: Any, losses: Any) -> tuple[Any, Any]:
    """Parameters after every step, and the last state."""

    def body(carry: Any, inputs: Any) -> tuple[Any, Any]:
        params, state = carry
        grads, loss = inputs
        params, state = run.step(numbers, state, grads, params, loss)
        return (params, state), params

    (_, state), path = jax.lax.scan(body, (params, run.init(numbers, params)), (grads, losses))
    return path, state


def rescaled(tree: Any, factor: float) -> Any:
    """A pytree times a number."""
    return jax.tree.map(lambda x: x * factor, tree)


def transformed(numbers: Mapping[str, float], units: Mapping[str, Units], loss: float, params: float) -> dict[str, Any]:
    """Numbers for another loss and parameter scale."""
    return {name: jnp.float64(value * units[name].factor(loss, params)) for name, value in numbers.items()}


def pairs(run: Runnable, found: Dimensions, loss: float, params: float, seed: int) -> tuple[Any, Any, Any, Any]:
    """The trajectory times the parameters' scale and its state, and those of the rescaled run, in numpy."""
    with jax.enable_x64(True):
        first, grads, losses = streams(seed, shapes=run.shapes)
        units = {**dict.fromkeys(run.numbers, Units.parse("1")), **found.hyper}
        plain = run.compiled(transformed(run.numbers, units, 1, 1), first, grads, losses)
        other = run.compiled(
            transformed(run.numbers, units, loss, params),
            rescaled(first, params),
            rescaled(grads, loss / params),
            losses * loss,
        )
        plain, other = jax.tree.map(np.asarray, (plain, other))
        return rescaled(plain[0], params), plain[1], other[0], other[1]


def assert_law_is_bitwise(run: Runnable, found: Dimensions, loss: float, params: float, seed: int = 0) -> None:
    """The rescaled run is the run itself, bit for bit, in parameters and in state."""
    expected, state, path, other_state = pairs(run, found, loss, params, seed)
    for name, array in expected.items():
        assert np.all(np.isfinite(array)), f"{run.name}: {name} is not finite, nothing is compared"
        assert np.ptp(array) > 0, f"{run.name}: {name} does not move"
        np.testing.assert_array_equal(path[name], array, err_msg=f"{run.name}: {name}")
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    for (where, leaf), other in zip(leaves, jax.tree.leaves(other_state), strict=True):
        key = jax.tree_util.keystr(where, simple=True, separator=".")
        units = found.state.get(key) or found.state.get(key.rpartition(".")[0])
        if units is None or not np.issubdtype(leaf.dtype, np.inexact):
            continue
        np.testing.assert_array_equal(other, leaf * units.factor(loss, params), err_msg=f"{run.name}: state {key}")


def distance(run: Runnable, found: Dimensions, loss: float, params: float, seed: int = 0) -> float:
    """How far the rescaled run is from the run, over the distance travelled."""
    expected, _, path, _ = pairs(run, found, loss, params, seed)
    apart = max(float(np.max(np.abs(path[n] - expected[n]))) for n in expected)
    moved = max(float(np.max(np.abs(expected[n] - expected[n][0]))) for n in expected)
    return apart / moved
