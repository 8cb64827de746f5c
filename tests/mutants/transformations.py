"""Transformations in optax's form with one thing broken, and the two sound ones that they are made from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = Any


class Transformation(NamedTuple):
    """Optax's form, without optax."""

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]


class Momentum(NamedTuple):
    """A count and a buffer like the parameters."""

    count: Any
    buffer: Any


class Moments(NamedTuple):
    """A count and two averages like the parameters."""

    count: Any
    m: Any
    v: Any


def _rate(learning_rate: Any, count: Any) -> Any:
    return learning_rate(count) if callable(learning_rate) else learning_rate


def heavy_ball(
    learning_rate: Any = 0.1,
    *,
    gradient: Callable[[Array], Array] = lambda g: g,
    output: Callable[[Any, Array, Array], Array] = lambda lr, buffer, p: -lr * buffer,
    rate: Callable[[Any, Any], Any] = _rate,
    zeros: Callable[[Array], Array] = jnp.zeros_like,
    count_on: Callable[[Any], Any] = lambda count: count + 1,
    is_leaf: Callable[[Any], bool] | None = None,
) -> Transformation:
    """SGD with momentum 0.9; the arguments are the parts that a mutant breaks."""

    def init(params: Any) -> Momentum:
        return Momentum(jnp.zeros((), jnp.int32), jax.tree.map(zeros, params, is_leaf=is_leaf))

    def update(grads: Any, state: Momentum, params: Any = None) -> tuple[Any, Momentum]:
        buffer = jax.tree.map(lambda b, g: 0.9 * b + gradient(g), state.buffer, grads, is_leaf=is_leaf)
        lr = rate(learning_rate, state.count)
        updates = jax.tree.map(lambda b, p: output(lr, b, p), buffer, params, is_leaf=is_leaf)
        return updates, Momentum(count_on(state.count), buffer)

    return Transformation(init, update)


def adam(
    learning_rate: Any = 1e-3,
    eps: float = 1e-8,
    *,
    weight_decay: float = 0.0,
    quotient: Callable[[Array, Array, Array], Array] | None = None,
    decay: Callable[[float, Array, Array], Array] = lambda rate, p, g: rate * p,
) -> Transformation:
    """Adam with decoupled decay and fixed decay rates."""

    def plain(m: Array, v: Array, t: Array) -> Array:
        return m / (1 - 0.9**t) / (jnp.sqrt(v / (1 - 0.999**t)) + eps)

    def init(params: Any) -> Moments:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Moments(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(grads: Any, state: Moments, params: Any = None) -> tuple[Any, Moments]:
        count = state.count + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state.v, grads)
        lr = _rate(learning_rate, state.count)

        def one(m: Array, v: Array, p: Array, g: Array) -> Array:
            direction = (quotient or plain)(m, v, count.astype(p.dtype))
            return (-lr * (direction + decay(weight_decay, p, g))).astype(p.dtype)

        return jax.tree.map(one, m, v, params, grads), Moments(count, m, v)

    return Transformation(init, update)


def counts_in_python(learning_rate: Any = 0.1) -> Transformation:
    """Counts its steps in a Python number: compiled code keeps the one it was traced with."""
    inner, taken = heavy_ball(learning_rate), []

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        taken.append(None)
        updates, state = inner.update(grads, state, params)
        return jax.tree.map(lambda u: u / len(taken), updates), state

    return Transformation(inner.init, update)


def state_in_closure(learning_rate: Any = 0.1) -> Transformation:
    """Keeps its buffer in the closure."""
    kept: dict[str, Any] = {}

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        old = kept.get("buffer") or jax.tree.map(jnp.zeros_like, grads)
        kept["buffer"] = jax.tree.map(lambda b, g: 0.9 * b + g, old, grads)
        return jax.tree.map(lambda b: -_rate(learning_rate, 0) * b, kept["buffer"]), state

    return Transformation(lambda params: (), update)


def branches_on_a_value(learning_rate: Any = 0.1) -> Transformation:
    """Asks in Python whether a gradient is large."""
    return heavy_ball(learning_rate, gradient=lambda g: g / 2 if jnp.sum(g * g) > 1e3 else g)


def single_state(learning_rate: Any = 0.1) -> Transformation:
    """Starts its buffer in float32: with other parameters the state and the update change their dtype."""
    return heavy_ball(learning_rate, zeros=lambda p: jnp.zeros(p.shape, jnp.float32))


def double_rate(learning_rate: Any = 0.1) -> Transformation:
    """Turns the lr into a NumPy number, which promotes the update to float64."""
    return heavy_ball(learning_rate, rate=lambda lr, count: jnp.asarray(_rate(lr, count), jnp.float64))


def late_state(learning_rate: Any = 0.1) -> Transformation:
    """Has a buffer from its second step on only."""

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        buffer = grads if state is None else jax.tree.map(lambda b, g: 0.9 * b + g, state, grads)
        return jax.tree.map(lambda b: -_rate(learning_rate, 0) * b, buffer), buffer

    return Transformation(lambda params: None, update)


def no_scalars(learning_rate: Any = 0.1) -> Transformation:
    """Gives every scalar one dimension."""
    return heavy_ball(learning_rate, output=lambda lr, b, p: jnp.atleast_1d(-lr * b))


def count_becomes_float(learning_rate: Any = 0.1) -> Transformation:
    """Starts its count as an integer and goes on with a real number."""
    return heavy_ball(learning_rate, count_on=lambda count: count + 1.0)


def host_callback(learning_rate: Any = 0.1) -> Transformation:
    """Takes the sign on the host, in a callback that cannot be vmapped."""

    def gradient(g: Array) -> Array:
        return jax.pure_callback(lambda x: np.sign(np.asarray(x)), jax.ShapeDtypeStruct(g.shape, g.dtype), g)

    return heavy_ball(learning_rate, gradient=gradient)


def noise_from_host(learning_rate: Any = 0.1) -> Transformation:
    """Adds noise from a generator of NumPy that is not part of the state."""
    generator = np.random.default_rng()

    def gradient(g: Array) -> Array:
        noise = jax.pure_callback(
            lambda x: generator.standard_normal(np.shape(x)).astype(np.asarray(x).dtype),
            jax.ShapeDtypeStruct(g.shape, g.dtype),
            g,
            vmap_method="sequential",
        )
        return g + 1e-3 * noise

    return heavy_ball(learning_rate, gradient=gradient)


def noise_when_traced(learning_rate: Any = 0.1) -> Transformation:
    """Draws noise from NumPy's global generator while it is traced."""
    return heavy_ball(learning_rate, gradient=lambda g: g + 1e-3 * np.random.standard_normal(g.shape))  # noqa: NPY002


def prints(learning_rate: Any = 0.1) -> Transformation:
    """Tells its progress from compiled code."""

    def rate(lr: Any, count: Any) -> Any:
        jax.debug.print("step {count}", count=count)
        return _rate(lr, count)

    return heavy_ball(learning_rate, rate=rate)


def scales_in_place(learning_rate: Any = 0.1) -> Transformation:
    """Halves gradients in place where they are arrays of NumPy."""

    def gradient(g: Any) -> Any:
        if isinstance(g, np.ndarray) and g.flags.writeable:
            g *= 0.5
            return g
        return 0.5 * g

    return heavy_ball(learning_rate, gradient=gradient)


def hidden_constant(learning_rate: Any = 1e-3) -> Transformation:
    """Has a bare 1e-8 inside the root."""
    return adam(learning_rate, quotient=lambda m, v, t: m / (1 - 0.9**t) / jnp.sqrt(v / (1 - 0.999**t) + 1e-8))


def decay_times_gradient(learning_rate: Any = 1e-3, weight_decay: float = 0.1) -> Transformation:
    """Multiplies the decay by the gradient."""
    return adam(learning_rate, weight_decay=weight_decay, decay=lambda rate, p, g: rate * p * g)


def uncorrected_squares(learning_rate: Any = 1e-3) -> Transformation:
    """Corrects the bias of the average and not that of the squares: the first steps are too long."""
    return adam(learning_rate, quotient=lambda m, v, t: m / (1 - 0.9**t) / (jnp.sqrt(v) + 1e-8))


def no_eps(learning_rate: Any = 1e-3) -> Transformation:
    """Divides by a root that can be 0."""
    return adam(learning_rate, quotient=lambda m, v, t: m / (1 - 0.9**t) / jnp.sqrt(v / (1 - 0.999**t)))


def tiny_norm(learning_rate: Any = 0.1) -> Transformation:
    """Divides by a norm whose fourth powers underflow in float32 for small gradients."""

    def gradient(g: Array) -> Array:
        norm = jnp.sum(g.astype(jnp.float32) ** 4) ** 0.25
        return jnp.where(g == 0, g, (g / norm).astype(g.dtype))

    return heavy_ball(learning_rate, gradient=gradient)


def nan_everywhere(learning_rate: Any = 0.1) -> Transformation:
    """Adds zero times the sum of all gradients to each: a nan in one reaches all."""
    inner = heavy_ball(learning_rate)

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        total = 0.0 * jnp.stack([jnp.sum(g) for g in jax.tree.leaves(grads)]).sum()
        return inner.update(jax.tree.map(lambda g: g + total.astype(g.dtype), grads), state, params)

    return Transformation(inner.init, update)


def schedule_read_once(learning_rate: Any = 0.1) -> Transformation:
    """Asks its schedule for the first lr only."""
    return heavy_ball(learning_rate, rate=lambda lr, count: _rate(lr, 0))


def schedule_one_late(learning_rate: Any = 0.1) -> Transformation:
    """Takes each step with the lr of the step before."""
    return heavy_ball(learning_rate, rate=lambda lr, count: _rate(lr, jnp.maximum(count - 1, 0)))


def always_decaying(learning_rate: Any = 0.1) -> Transformation:
    """Decays by a fixed share, whatever the lr."""
    return heavy_ball(learning_rate, output=lambda lr, b, p: -lr * b - 0.001 * p)


def python_rate(learning_rate: Any = 0.1) -> Transformation:
    """Turns the lr into a Python number, which no traced lr can become."""
    return heavy_ball(learning_rate, rate=lambda lr, count: lr(count) if callable(lr) else float(lr))


def tuples_are_leaves(learning_rate: Any = 0.1) -> Transformation:
    """Takes every tuple for an array, and so the empty nodes of a mask."""
    return heavy_ball(learning_rate, is_leaf=lambda x: isinstance(x, tuple))


def refuses_first_step(learning_rate: Any = 0.1) -> Transformation:
    """Cannot take a step."""

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        raise NotImplementedError("steps come later")

    return heavy_ball(learning_rate)._replace(update=update)


def ascends(learning_rate: Any = 0.1) -> Transformation:
    """Forgets the minus."""
    return heavy_ball(learning_rate, output=lambda lr, b, p: lr * b)


def leaves_gradients(learning_rate: Any = 0.1) -> Transformation:
    """Hands the gradients of vectors on as updates, as a mask does that nothing comes after."""
    return heavy_ball(learning_rate, output=lambda lr, b, p: b if p.ndim == 1 else -lr * b)


def starts_from_parameters(learning_rate: Any = 0.1, weight_decay: float = 0.0) -> Transformation:
    """Starts its buffer from the parameters, and not from zeros."""
    return heavy_ball(learning_rate, zeros=lambda p: p)


def decays_what_it_freezes(learning_rate: Any = 0.1) -> Transformation:
    """Sets the gradients of vectors to zero, and decays them all the same."""
    gradient = lambda g: jnp.zeros_like(g) if g.ndim == 1 else g  # noqa: E731
    return heavy_ball(learning_rate, gradient=gradient, output=lambda lr, b, p: -lr * (b + 0.01 * p))


def by_its_place(learning_rate: Any = 0.1) -> Transformation:
    """Divides the step of each tensor by its place among all."""
    inner = heavy_ball(learning_rate)

    def update(grads: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, state = inner.update(grads, state, params)
        leaves, structure = jax.tree.flatten(updates)
        return jax.tree.unflatten(structure, [u / place for place, u in enumerate(leaves, 1)]), state

    return Transformation(inner.init, update)
