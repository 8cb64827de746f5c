"""The summary of one step, per parameter."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from ..groups import Groups, of_leaves
from ..numbers import check_rule, is_concrete
from ..rules import Rule, SparseGradient, compute_dtype, euclidean_norm
from ..rules.elementwise import is_elementwise, on_coordinates
from ..wrappers import Wrapper
from ._quantiles import quantiles as quantiles_of

PyTree = Any

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SAMPLE = 4_096


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
    absorbed: Any
    """Share of coordinates that did not move although E⊙d + D is not 0 there: θ's own dtype rounds the step away."""
    clip_factor: Any
    """What a wrapper that clips multiplied this step's gradient by, a mean over coordinates; 1 without one."""
    decay_resolution: Any
    """‖D‖/‖θ‖ over a quarter of the machine epsilon of θ's dtype: below 1 decay alone rounds away at every coordinate,
    above 2 at none; 0 without decay. For decoupled decay it is lr·weight_decay over that."""
    moved_without_gradient: Any
    """Share of coordinates that moved although their gradient was 0 or ``None``: by momentum, by decay."""
    step_over_gradient: Any
    """‖Δθ‖/‖g‖ of :func:`realised`, which knows no direction; nan of :func:`measure`, where a norm of the gradient would round the
    step otherwise."""


class Whole(NamedTuple):
    """What is known of the parameter that a sample was drawn from."""

    size: Any
    """Its number of coordinates."""
    param_norm: Any
    """‖θ‖ before the step; nan where the sample has to tell."""


def measure(
    rule: Rule | Wrapper | Groups,
    hyper: Any,
    state: Any,
    grads: PyTree,
    params_before: PyTree,
    params_after: PyTree,
    *,
    quantiles: tuple[float, ...] = QUANTILES,
    sample: int = SAMPLE,
    exact: bool = True,
    whole: PyTree = None,
) -> PyTree:
    """Summaries of one step, per parameter.

    Parameters
    ----------
    rule, hyper
        As given to ``rule.step``.
    state
        The state *after* the step.
    grads, params_before, params_after
        Of that step; ``None`` may stand in place of a parameter throughout. A parameter whose gradient is ``None`` has not moved: its step, direction and decay are 0, and its
        effective lr is that of its last step.
    quantiles
        Levels of the effective lr's quantiles (static).
    sample
        Quantiles of a parameter with more coordinates than this are taken over that many, one drawn from each of as many
        equal stretches, the same in every step (static).
    exact
        Whether all other figures are over every coordinate, or over that sample too (static). Then extremes are those of
        the sample, and norms are its root mean squares times the root of the parameter's size.
    whole
        Like params with a :class:`Whole` in place of every array, where the arrays given are samples themselves.

    Returns
    -------
    pytree like params, a :class:`Summary` in place of every array
    """
    state, grads, params_before, params_after = lax.optimization_barrier((state, grads, params_before, params_after))
    wholes, whole_params = whole, params_before
    if wholes is None:
        wholes = jax.tree.map(lambda p: Whole(max(p.size, 1), jnp.nan), params_before)

    made = hyper, state, grads, params_before
    figures_of = functools.partial(parts, rule)
    if not exact and is_elementwise(figures_of, *made):
        # Computed for the sampled coordinates alone. Other rules are computed whole and sampled after that.
        figures = on_coordinates(lambda x: spread(x, sample) if x.ndim else x, figures_of, *made)
    else:
        figures = figures_of(*made)
    if not exact:
        params_before, params_after, figures = jax.tree.map(
            lambda x: spread(x, sample), (params_before, params_after, figures)
        )
    whose = of_leaves(rule, hyper, whole_params)
    return summaries(whose, params_before, params_after, figures, wholes, quantiles, sample)


def parts(rule: Any, hyper: Any, state: Any, grads: PyTree, params: PyTree) -> tuple[PyTree, ...]:
    """What a summary is made of, coordinate by coordinate; trees like params, ``None`` where the rule has no such thing."""
    check_rule("effective", rule)
    effective = rule.effective_lr(hyper, state)
    penalty = _where_stepped(grads, rule.penalty(hyper, params, state))
    return (
        effective,
        rule.direction(hyper, params, state, grads),
        rule.decay(hyper, params, state, grads),
        penalty,
        rule.scale(hyper, state),
        jax.tree.map(lambda p, g: _dense(p, g) == 0, params, grads),
        None if isinstance(rule, Rule) else rule.clip_factor(hyper, params, state, grads),
    )


def summaries(
    whose: list[tuple[Rule | None, Any]],
    params_before: PyTree,
    params_after: PyTree,
    figures: tuple[PyTree, ...],
    wholes: PyTree,
    quantiles: tuple[float, ...],
    sample: int,
) -> PyTree:
    """Summaries of what :func:`parts` found, of all coordinates or of some; ``whose`` are rule and numbers of each leaf."""

    def of_leaf(
        rule: Rule | None,
        hyper: Any,
        p: Array,
        after: Array,
        e: Array,
        d: Array,
        decayed: Array,
        coupled: Array,
        root: Array | None,
        still: Array,
        clipped: Array | None,
        whole: Whole,
    ) -> Summary:
        dtype, lost = compute_dtype(p), jnp.finfo(p.dtype).eps / 4
        if not p.size:
            return Summary(**_unknown(dtype, quantiles))
        lr, lr_power = (0.0, 1.0) if rule is None else (hyper.lr, float(rule.units["lr"].param))
        seen = _seen(p, after, still, lr, whole)
        decays = decayed + e * coupled.astype(dtype)
        decay_norm, rest_norm = euclidean_norm(decays), euclidean_norm(e * (d - coupled.astype(dtype)))
        return Summary(
            **seen,
            step_over_gradient=jnp.asarray(jnp.nan, dtype),
            minimum=jnp.min(e),
            maximum=jnp.max(e),
            quantiles=quantiles_of(spread(e, sample), quantiles),
            mean=jnp.mean(e),
            harmonic_mean=1 / jnp.mean(1 / e),
            eps_dominated=jnp.zeros((), dtype) if root is None else jnp.mean(root < hyper.eps, dtype=dtype),
            direction_rms=euclidean_norm(d) / max(d.size, 1) ** 0.5,
            decay_share=jnp.where(decay_norm == 0, 0, decay_norm / (decay_norm + rest_norm)),
            angular_lr=seen["nominal_lr"] / seen["param_norm"] ** lr_power,
            absorbed=jnp.mean((p == after) & (jnp.abs(e * d + decayed) > 0), dtype=dtype),
            clip_factor=jnp.ones((), dtype) if clipped is None else jnp.mean(clipped, dtype=dtype),
            decay_resolution=jnp.where(decay_norm == 0, 0, decay_norm / euclidean_norm(p.astype(dtype)) / lost),
        )

    structure = jax.tree.structure(params_before)
    trees = params_before, params_after, *figures, wholes
    columns = ([None] * structure.num_leaves if tree is None else structure.flatten_up_to(tree) for tree in trees)
    return structure.unflatten(
        [of_leaf(*own, *leaf) for own, leaf in zip(whose, zip(*columns, strict=True), strict=True)]
    )


def realised(
    lr: Any,
    grads: PyTree,
    params_before: PyTree,
    params_after: PyTree,
    *,
    quantiles: tuple[float, ...] = QUANTILES,
    whole: PyTree = None,
) -> PyTree:
    """Summaries of a step of which no rule is known: what can be read off it, and nan for the rest.

    ``absorbed`` is the share of coordinates that did not move although they have a gradient.

    Parameters
    ----------
    lr : scalar
        The nominal lr.
    others
        As :func:`measure` takes them.

    Returns
    -------
    pytree like params, a :class:`Summary` in place of every array
    """
    if whole is None:
        whole = jax.tree.map(lambda p: Whole(max(p.size, 1), jnp.nan), params_before)

    def of_leaf(p: Array, after: Array, g: Any, whole: Whole) -> Summary:
        g, dtype = _dense(p, g), compute_dtype(p)
        unknown = _unknown(dtype, quantiles)
        unknown["absorbed"] = jnp.mean((p == after) & (g != 0), dtype=dtype)
        unknown["step_over_gradient"] = euclidean_norm(after.astype(dtype) - p.astype(dtype)) / euclidean_norm(
            g.astype(dtype)
        )
        return Summary(**{**unknown, **_seen(p, after, g == 0, lr, whole)})

    return jax.tree.map(of_leaf, params_before, params_after, grads, whole)


def _unknown(dtype: Any, quantiles: tuple[float, ...]) -> dict[str, Array]:
    """All fields unknown."""
    nan = jnp.asarray(jnp.nan, dtype)
    return dict.fromkeys(Summary._fields, nan) | {"quantiles": jnp.full(len(quantiles), jnp.nan, dtype)}


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


def _where_stepped(grads: PyTree, tree: PyTree) -> PyTree:
    """Zero for a parameter without a gradient, which took no step."""
    return jax.tree.map(lambda x, g: jnp.zeros_like(x) if g is None else x, tree, grads)


def _dense(p: Array, g: Any) -> Array:
    if g is None:
        return jnp.zeros(p.shape)
    return g.todense() if isinstance(g, SparseGradient) else g


def _seen(p: Array, after: Array, still: Array, lr: Any, whole: Whole) -> dict[str, Array]:
    """The fields that are read off a step, whatever the rule."""
    dtype = compute_dtype(p)
    grown = (whole.size / max(p.size, 1)) ** 0.5
    p, after = p.astype(dtype), after.astype(dtype)
    moved = after - p
    step_norm = grown * euclidean_norm(moved)
    param_norm = grown * euclidean_norm(p)
    param_norm = jnp.where(jnp.isnan(whole.param_norm), param_norm, whole.param_norm).astype(dtype)
    return {
        "nominal_lr": jnp.asarray(lr, dtype),
        "param_norm": param_norm,
        "param_rms": param_norm / whole.size**0.5,
        "step_norm": step_norm,
        "step_rms": step_norm / whole.size**0.5,
        "relative_update": step_norm / param_norm,
        "rotation": _angle(p, after),
        "moved_without_gradient": jnp.mean(still & (moved != 0), dtype=dtype),
    }


def _angle(a: Array, b: Array) -> Array:
    """Angle between two vectors by Kahan's formula, accurate for small angles where arccos is not."""
    a, b = a / euclidean_norm(a), b / euclidean_norm(b)
    return 2 * jnp.arctan2(euclidean_norm(a - b), euclidean_norm(a + b))


def spread(x: Array, sample: int) -> Array:
    """At most ``sample`` coordinates of an array, as a flat one on every device: one drawn from each of as many equal stretches.

    A draw is a fixed one of the shape. Evenly spaced coordinates would all lie in a few columns of a matrix whose sides are
    powers of two. They are taken by their places: flattening an array that is laid out over devices would gather all of it
    first. JAX counts places in int32, so that an array with a longer axis is flattened and read evenly.
    """
    mesh = jax.typeof(x).sharding.mesh
    # A mesh whose layouts are part of types asks where the result goes; other meshes take no answer.
    everywhere = NamedSharding(mesh, PartitionSpec()) if AxisType.Explicit in mesh.axis_types else None
    every = max(1, -(-x.size // sample))
    if every == 1 or max(x.shape) > np.iinfo(np.int32).max:
        return (x if everywhere is None else jax.sharding.reshard(x, everywhere)).ravel()[::every]
    at = tuple(place.astype(np.int32) for place in np.unravel_index(places(x.size, sample), x.shape))
    return x.at[at].get(mode="promise_in_bounds", out_sharding=everywhere)


def places(size: int, sample: int, seed: int = 0) -> np.ndarray:
    """``sample`` of ``size`` places, rising, each drawn from a stretch of its own: the mean of a sum over draws is the sum."""
    edges = np.arange(sample + 1, dtype=np.int64) * size // sample
    return np.random.default_rng((seed, size)).integers(edges[:-1], edges[1:])
