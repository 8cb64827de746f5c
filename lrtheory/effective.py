"""What a parameter was really trained with: summaries of effective lr, step and decay, per parameter.

Everything here has a structure fixed before the run, so that it runs inside ``jit``, ``vmap`` and ``scan``, and reads
its inputs through an optimisation barrier, so that measuring does not change a bit of the trajectory. The one exception
known is schedule-free SGD, whose step XLA on CPU contracts otherwise beside a measurement: one float32 ulp.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .rules.lift import compute_dtype
from .rules.norm import euclidean_norm
from .rules.numbers import is_concrete
from .rules.rule import Rule

PyTree = Any

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SAMPLE = 65_536


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
        All other figures are over every coordinate.

    Returns
    -------
    pytree like params, a :class:`Summary` in place of every array
    """
    state, grads, params_before, params_after = lax.optimization_barrier((state, grads, params_before, params_after))
    effective = rule.effective_lr(hyper, state)
    direction = rule.direction(hyper, state, grads, params_before)
    decay = rule.decay(hyper, state, grads, params_before)
    penalty = _where_stepped(grads, rule.penalty(hyper, state, params_before))
    scale = rule.scale(hyper, state)
    if scale is None:
        scale = jax.tree.map(lambda e: None, effective)
    lr_power = float(rule.units["lr"].param)

    def of_leaf(
        p: Array, after: Array, e: Array, d: Array, decayed: Array, coupled: Array, root: Array | None
    ) -> Summary:
        dtype = compute_dtype(p)
        p, after = p.astype(dtype), after.astype(dtype)
        moved = after - p
        lr = jnp.asarray(hyper.lr, dtype)
        param_norm, step_norm = euclidean_norm(p), euclidean_norm(moved)
        decays = decayed + e * coupled.astype(dtype)
        decay_norm, rest_norm = euclidean_norm(decays), euclidean_norm(e * (d - coupled.astype(dtype)))
        count = max(p.size, 1)
        return Summary(
            nominal_lr=lr,
            minimum=jnp.min(e),
            maximum=jnp.max(e),
            quantiles=jnp.quantile(_spread(e, sample), jnp.asarray(quantiles, dtype)),
            mean=jnp.mean(e),
            harmonic_mean=1 / jnp.mean(1 / e),
            eps_dominated=jnp.zeros((), dtype) if root is None else jnp.mean(root < hyper.eps, dtype=dtype),
            direction_rms=euclidean_norm(d) / count**0.5,
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
        of_leaf, params_before, params_after, effective, direction, decay, penalty, scale, is_leaf=lambda x: x is None
    )


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
    if is_concrete(batch_size) and not jnp.all(jnp.asarray(batch_size) >= 1):
        raise ValueError(f"batch_size={batch_size}: a batch has one example or more")
    return jax.tree.map(lambda e: e / batch_size if reduction == "mean" else e, effective_lr)


def _angle(a: Array, b: Array) -> Array:
    """Angle between two vectors by Kahan's formula, accurate for small angles where arccos is not."""
    a, b = a / euclidean_norm(a), b / euclidean_norm(b)
    return 2 * jnp.arctan2(euclidean_norm(a - b), euclidean_norm(a + b))


def _spread(x: Array, sample: int) -> Array:
    """At most ``sample`` coordinates, evenly spaced over the flattened array."""
    flat = x.ravel()
    return flat[:: -(-flat.size // sample)] if flat.size > sample else flat
