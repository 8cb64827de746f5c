"""What a parameter was really trained with: summaries of effective lr, step and decay, per parameter.

Everything here has a structure fixed before the run, so that it runs inside ``jit``, ``vmap`` and ``scan``, and reads
its inputs through an optimisation barrier, so that measuring does not change a bit of the trajectory. The one exception
known is schedule-free SGD, whose step XLA on CPU contracts otherwise beside a measurement: one float32 ulp.

:func:`measure` reads every coordinate several times, which costs some training steps where batches are small. ``exact=False``
reads an even sample instead; :func:`measure_every` and :func:`scan` measure one step in many.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from .elementwise import is_elementwise, on_coordinates
from .quantiles import quantiles as quantiles_of
from .rules.lift import compute_dtype
from .rules.norm import euclidean_norm
from .rules.numbers import is_concrete
from .rules.rule import Rule

PyTree = Any

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SAMPLE = 4_096
INTERVAL = 1000


class Summary(NamedTuple):
    """One parameter's step, as scalars (``quantiles`` has one entry per level asked for).

    E is the effective lr per coordinate, d the direction, Δθ the realised step, θ the parameter before it.
    """

    nominal_lr: Any
    """lr as set: what ``param_groups[i]["lr"]`` shows."""
    minimum: Any
    """Smallest E."""
    maximum: Any
    """Largest E."""
    quantiles: Any
    """Quantiles of E."""
    mean: Any
    """Arithmetic mean of E."""
    harmonic_mean: Any
    """Harmonic mean of E: for Adam ``lr/(mean of √v̂ + eps)``, never above the arithmetic mean."""
    eps_dominated: Any
    """Share of coordinates whose √v̂ is below eps; 0 for a rule without eps."""
    direction_rms: Any
    """Root mean square of d, in units of a gradient."""
    param_norm: Any
    """‖θ‖ before the step."""
    param_rms: Any
    """Root mean square of θ before the step."""
    step_norm: Any
    """‖Δθ‖."""
    step_rms: Any
    """Root mean square of Δθ."""
    relative_update: Any
    """‖Δθ‖/‖θ‖; inf for a parameter that started at zero and moved."""
    decay_share: Any
    """Share of the step that is weight decay: ‖D‖/(‖D‖ + ‖E⊙d − coupled part‖), D the part that decays θ. Coupled decay
    is part of d as a running mean of weight_decay·θ, taken here at the current θ: exact without averaging."""
    angular_lr: Any
    """lr over the power of ‖θ‖ that its units name (2 for SGD, 1 for Adam): what a scale-invariant weight feels."""
    rotation: Any
    """Angle between θ before and after, in radians."""


def measure(
    rule: Rule,
    hyper: Any,
    state: Any,
    grads: PyTree,
    params_before: PyTree,
    params_after: PyTree,
    *,
    quantiles: tuple[float, ...] = QUANTILES,
    sample: int = SAMPLE,
    exact: bool = True,
) -> PyTree:
    """Summaries of one step, per parameter.

    Parameters
    ----------
    rule, hyper
        As given to ``rule.step``.
    state
        The state *after* the step.
    grads, params_before, params_after
        Of that step. A parameter whose gradient is ``None`` has not moved: its step, direction and decay are 0, and its
        effective lr is that of its last step.
    quantiles
        Levels of the effective lr's quantiles (static).
    sample
        Quantiles of a parameter with more coordinates than this are taken over that many, evenly spaced (static).
    exact
        Whether all other figures are over every coordinate, or over that sample too (static). Then extremes are those of
        the sample, and norms are its root mean squares times the root of the parameter's size.

    Returns
    -------
    pytree like params, a :class:`Summary` in place of every array
    """
    state, grads, params_before, params_after = lax.optimization_barrier((state, grads, params_before, params_after))
    sizes = jax.tree.map(lambda p: max(p.size, 1), params_before)

    def parts(hyper: Any, state: Any, grads: PyTree, params: PyTree) -> tuple[PyTree, ...]:
        effective = rule.effective_lr(hyper, state)
        penalty = _where_stepped(grads, rule.penalty(hyper, state, params))
        scale = rule.scale(hyper, state)
        return (
            effective,
            rule.direction(hyper, state, grads, params),
            rule.decay(hyper, state, grads, params),
            penalty,
            jax.tree.map(lambda e: None, effective) if scale is None else scale,
        )

    made = hyper, state, grads, params_before
    if not exact and is_elementwise(parts, *made):
        # Computed for the sampled coordinates alone. Other rules are computed whole and sampled after that.
        figures = on_coordinates(lambda x: _spread(x, sample) if x.ndim else x, parts, *made)
    else:
        figures = parts(*made)
    effective, direction, decay, penalty, scale = figures
    lr_power = float(rule.units["lr"].param)

    def of_leaf(
        p: Array, after: Array, e: Array, d: Array, decayed: Array, coupled: Array, root: Array | None, count: int
    ) -> Summary:
        dtype = compute_dtype(p)
        if not exact:
            p, after, e, d, decayed, coupled = (_spread(x, sample) for x in (p, after, e, d, decayed, coupled))
            root = None if root is None else _spread(root, sample)
        grown = (count / max(p.size, 1)) ** 0.5
        p, after = p.astype(dtype), after.astype(dtype)
        moved = after - p
        lr = jnp.asarray(hyper.lr, dtype)
        param_norm, step_norm = grown * euclidean_norm(p), grown * euclidean_norm(moved)
        decays = decayed + e * coupled.astype(dtype)
        decay_norm, rest_norm = euclidean_norm(decays), euclidean_norm(e * (d - coupled.astype(dtype)))
        return Summary(
            nominal_lr=lr,
            minimum=jnp.min(e),
            maximum=jnp.max(e),
            quantiles=quantiles_of(_spread(e, sample), quantiles),
            mean=jnp.mean(e),
            harmonic_mean=1 / jnp.mean(1 / e),
            eps_dominated=jnp.zeros((), dtype) if root is None else jnp.mean(root < hyper.eps, dtype=dtype),
            direction_rms=euclidean_norm(d) / max(d.size, 1) ** 0.5,
            param_norm=param_norm,
            param_rms=param_norm / count**0.5,
            step_norm=step_norm,
            step_rms=step_norm / count**0.5,
            relative_update=step_norm / param_norm,
            decay_share=jnp.where(decay_norm == 0, 0, decay_norm / (decay_norm + rest_norm)),
            angular_lr=lr / param_norm**lr_power,
            rotation=_angle(p, after),
        )

    return jax.tree.map(
        of_leaf,
        params_before,
        params_after,
        effective,
        direction,
        decay,
        penalty,
        scale,
        sizes,
        is_leaf=lambda x: x is None,
    )


def measure_every(
    step: int | Array,
    rule: Rule,
    hyper: Any,
    state: Any,
    grads: PyTree,
    params_before: PyTree,
    params_after: PyTree,
    *,
    interval: int | Array = INTERVAL,
    quantiles: tuple[float, ...] = QUANTILES,
    sample: int = SAMPLE,
    exact: bool = True,
) -> PyTree:
    """:func:`measure` in steps 0, ``interval``, 2·``interval``, …; nan in every figure of the others.

    A loop that stacks the figures of every step still writes them in every step: :func:`scan` does not.

    Parameters
    ----------
    step
        Steps taken before this one; traced.
    interval
        Every how many steps to measure; traced.
    others
        As :func:`measure` takes them.

    Returns
    -------
    pytree like params, a :class:`Summary` in place of every array
        The same structure in every step, so that ``lax.scan`` stacks it.

    Raises
    ------
    ValueError
        For an interval below 1.
    """
    if is_concrete(interval) and not np.all(np.asarray(interval) >= 1):
        raise ValueError(f"interval={interval}: measure every step (1), every second (2), ...")

    def look() -> PyTree:
        given = (rule, hyper, state, grads, params_before, params_after)
        return measure(*given, quantiles=quantiles, sample=sample, exact=exact)

    def look_away() -> PyTree:
        return jax.tree.map(lambda figure: jnp.full(figure.shape, jnp.nan, figure.dtype), jax.eval_shape(look))

    return lax.cond(jnp.asarray(step) % interval == 0, look, look_away)


def scan(
    step: Callable[[Any, Any], tuple[Any, Any, Callable[[], PyTree]]],
    init: Any,
    xs: PyTree,
    *,
    interval: int = INTERVAL,
) -> tuple[Any, PyTree, PyTree]:
    """``lax.scan`` that measures steps 0, ``interval``, 2·``interval``, …, and spends nothing on the others.

    Parameters
    ----------
    step
        ``(carry, x) -> (carry, y, look)``. ``look`` takes nothing and returns what to record, such as
        ``lambda: effective.measure(rule, hyper, state, grads, before, after)``; it is called where a step is measured.
    init
        First carry.
    xs
        Arrays with one entry a step, at least one.
    interval
        Every how many steps to measure; static, as it is the length of a compiled loop.

    Returns
    -------
    carry, ys, seen
        ``ys`` has one entry a step, ``seen`` one for each measured step.

    Raises
    ------
    ValueError
        For an interval below 1, or ``xs`` without a step.
    """
    if interval < 1:
        raise ValueError(f"interval={interval}: measure every step (1), every second (2), ...")
    steps = len(jax.tree.leaves(xs)[0]) if jax.tree.leaves(xs) else 0
    if not steps:
        raise ValueError("xs has no step: give arrays with one entry a step, such as jnp.arange(steps)")

    def unmeasured(carry: Any, x: Any) -> tuple[Any, Any]:
        return step(carry, x)[:2]

    def block(carry: Any, xs: Any) -> tuple[Any, Any]:
        carry, y, look = step(carry, jax.tree.map(lambda x: x[0], xs))
        seen = look()
        carry, ys = lax.scan(unmeasured, carry, jax.tree.map(lambda x: x[1:], xs))
        return carry, (jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), y, ys), seen)

    whole = steps // interval
    carry, stacked = init, []
    for start, count, length in ((0, whole, interval), (whole * interval, 1, steps - whole * interval)):
        if count and length:
            cut = jax.tree.map(
                lambda x, at=start, by=(count, length): x[at : at + by[0] * by[1]].reshape(*by, *x.shape[1:]), xs
            )
            carry, (ys, seen) = lax.scan(block, carry, cut)
            stacked.append((jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:]), ys), seen))
    ys, seen = jax.tree.map(lambda *parts: jnp.concatenate(parts), *stacked)
    return carry, ys, seen


def _where_stepped(grads: PyTree, tree: PyTree) -> PyTree:
    """Zero for a parameter without a gradient, which took no step."""
    return jax.tree.map(lambda x, g: jnp.zeros_like(x) if g is None else x, tree, grads)


def per_example(effective_lr: PyTree, batch_size: int | Array, reduction: str) -> PyTree:
    """Effective lr for the gradient of one example.

    Parameters
    ----------
    effective_lr : pytree
    batch_size : examples the loss was reduced over
    reduction : "mean" or "sum"
        A mean divides by the batch size; in a sum every example has the whole effective lr.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r} must be 'mean' or 'sum'")
    if is_concrete(batch_size) and not np.all(np.asarray(batch_size) >= 1):
        raise ValueError(f"batch_size={batch_size}: a batch has one example or more")
    return jax.tree.map(lambda e: e / batch_size if reduction == "mean" else e, effective_lr)


def _angle(a: Array, b: Array) -> Array:
    """Angle between two vectors by Kahan's formula, accurate for small angles where arccos is not."""
    a, b = a / euclidean_norm(a), b / euclidean_norm(b)
    return 2 * jnp.arctan2(euclidean_norm(a - b), euclidean_norm(a + b))


def _spread(x: Array, sample: int) -> Array:
    """At most ``sample`` coordinates, evenly spaced over the flattened array, as a flat one on every device.

    They are taken by their places: flattening an array that is laid out over devices would gather all of it first.
    """
    mesh = jax.typeof(x).sharding.mesh
    # A mesh whose layouts are part of types asks where the result goes; other meshes take no answer.
    everywhere = NamedSharding(mesh, PartitionSpec()) if AxisType.Explicit in mesh.axis_types else None
    if x.size <= sample:
        return (x if everywhere is None else jax.sharding.reshard(x, everywhere)).ravel()
    places = np.unravel_index(np.arange(0, x.size, -(-x.size // sample)), x.shape)
    at = tuple(place.astype(np.int32) for place in places)
    return x.at[at].get(mode="promise_in_bounds", out_sharding=everywhere)
