r"""Clipping of gradients, by value, by the norm of each tensor, and by the norm of all.

A clipped gradient is the gradient times a factor. The rule inside averages clipped gradients, so its direction is a
mean of gradients whose weights sum to the mean of the factors, averaged as the rule averages gradients. That mean is
part of the effective lr here, and the direction is again a mean of the *given* gradients with weights that sum to 1:

.. math:: E = K \cdot E_{rule} \qquad d = d_{rule}/K

K is found by running the rule a second time with the factors as its gradients, on one entry a tensor (clipping by
value: on all). A rule that weighs gradients by their size (RMSprop with momentum, schedule-free AdamW) weighs the
factors by theirs; a rule that mixes entries (Muon) has no K per entry. Whatever K is, E·d is the step.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from ..numbers import NONNEGATIVE, Number
from ..rules import Rule, compute_dtype, euclidean_norm
from ._wrapper import PyTree, Wrapper

TORCH_EPS = 1e-6  # torch/nn/utils/clip_grad.py (2.13), clip_grads_with_norm_

Clip = Callable[[Any, list[Array]], tuple[list[Array], list[Array]]]


class ClippedState(NamedTuple):
    """State of a clipped rule: the rule's own, that of the rule run on the factors, and their mean K per tensor."""

    rule: Any
    factors: Any
    mean_factor: Any


@dataclass(frozen=True, eq=False, repr=False)
class Clipped(Wrapper):
    """A rule that is given clipped gradients.

    ``clip`` gives clipped gradients and factors; ``per_entry`` says that factors differ within a tensor.
    """

    clip: Clip
    per_entry: bool

    def init(self, params: PyTree) -> ClippedState:
        """State before the first step."""
        ones = jax.tree.map(lambda p: jnp.ones(self._factor_shape(p), compute_dtype(jnp.asarray(p))), params)
        return ClippedState(self.rule.init(params), self.rule.init(ones), ones)

    def step(self, hyper: Any, params: PyTree, state: ClippedState, grads: PyTree) -> tuple[PyTree, ClippedState]:
        """One step of the rule with clipped gradients."""
        inner, state = self.inner(hyper), self.own(state)
        clipped, factors = self._clipped(hyper, grads, params)
        moved, rule_state = self.rule.step(inner, params, state.rule, clipped)
        still = jax.tree.map(jnp.zeros_like, state.mean_factor)
        _, factor_state = self.rule.step(inner, still, state.factors, factors)
        mean = self.rule.direction(inner, still, factor_state, factors)
        structure = jax.tree.structure(params)
        kept = [
            old if factor is None else _usable(now)
            for old, factor, now in zip(
                structure.flatten_up_to(state.mean_factor),
                structure.flatten_up_to(factors),
                structure.flatten_up_to(mean),
                strict=True,
            )
        ]
        return moved, ClippedState(rule_state, factor_state, structure.unflatten(kept))

    def effective_lr(self, hyper: Any, state: ClippedState) -> PyTree:
        """E of the step that led to ``state``, clip factor included."""
        state = self.own(state)
        return jax.tree.map(jnp.multiply, self.rule.effective_lr(self.inner(hyper), state.rule), state.mean_factor)

    def direction(self, hyper: Any, params: PyTree, state: ClippedState, grads: PyTree) -> PyTree:
        """The mean of the gradients before clipping; state *after* the step, params before it."""
        inner, state = self.inner(hyper), self.own(state)
        clipped, _ = self._clipped(hyper, grads, params)
        return jax.tree.map(jnp.divide, self.rule.direction(inner, params, state.rule, clipped), state.mean_factor)

    def penalty(self, hyper: Any, params: PyTree, state: ClippedState) -> PyTree:
        """Coupled decay joins the clipped gradient, so that as a part of the unclipped direction it is larger."""
        added = self.rule.penalty(self.inner(hyper), params, self.own(state).rule)
        return jax.tree.map(jnp.divide, added, self.own(state).mean_factor)

    def decay(self, hyper: Any, params: PyTree, state: ClippedState, grads: PyTree) -> PyTree:
        """Decoupled weight decay, which no clipping touches."""
        inner, state = self.inner(hyper), self.own(state)
        clipped, _ = self._clipped(hyper, grads, params)
        return self.rule.decay(inner, params, state.rule, clipped)

    def clip_factor(self, hyper: Any, params: PyTree, state: ClippedState, grads: PyTree) -> PyTree:
        """The factor of this step, with that of a rule inside that clips too; 1 for a tensor without a gradient."""
        clipped, factors = self._clipped(hyper, grads, params)
        within = super().clip_factor(hyper, params, state, clipped)
        structure = jax.tree.structure(params)
        own = [jnp.ones(()) if f is None else f for f in structure.flatten_up_to(factors)]
        inside = [1.0] * len(own) if within is None else structure.flatten_up_to(within)
        return structure.unflatten([a * b for a, b in zip(own, inside, strict=True)])

    def _factor_shape(self, p: Any) -> tuple[int, ...]:
        return jnp.shape(p) if self.per_entry else (1,) * jnp.ndim(p)

    def _clipped(self, hyper: Any, grads: PyTree, params: PyTree) -> tuple[PyTree, PyTree]:
        """Clipped gradients and factors, in the dtype rules compute in."""
        structure, found = self.leaves(params, grads)
        wide = [jnp.asarray(g) for g in found if g is not None]
        wide = [g.astype(compute_dtype(g)) for g in wide]
        clipped, factors = self.clip(hyper, wide)
        shaped = [jnp.broadcast_to(f, self._factor_shape(g)) for f, g in zip(factors, wide, strict=True)]
        remaining, shapes = iter(clipped), iter(shaped)
        return (
            structure.unflatten([None if g is None else next(remaining) for g in found]),
            structure.unflatten([None if g is None else next(shapes) for g in found]),
        )


def _usable(mean: Array) -> Array:
    """A mean factor to divide by: 1 in place of 0 and nan, and without the sign that ``maximize`` gives it."""
    size = jnp.abs(mean)
    return jnp.where(size > 0, size, 1)


@functools.cache
def clip_by_value(rule: Rule | Wrapper) -> Clipped:
    r"""Each entry clipped to ``[−clip_value, clip_value]``, as ``torch.nn.utils.clip_grad_value_``.

    Adds the number ``clip_value`` : scalar in [0, inf), [loss]/[param]. An entry's factor is its clipped over its
    given value, 1 where it is 0.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from lrtheory import rules
    >>> rule = clip_by_value(rules.sgd())
    >>> params, grads = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([4.0, -0.5])}
    >>> hyper = rule.hyper(lr=1.0, clip_value=1.0)
    >>> params, state = rule.step(hyper, params, rule.init(params), grads)
    >>> params["w"].tolist(), rule.effective_lr(hyper, state)["w"].tolist()
    ([0.0, 2.5], [0.25, 1.0])
    """

    def clip(hyper: Any, grads: list[Array]) -> tuple[list[Array], list[Array]]:
        bounds = [jnp.asarray(hyper.clip_value, g.dtype) for g in grads]
        clipped = [jnp.minimum(jnp.maximum(g, -b), b) for g, b in zip(grads, bounds, strict=True)]
        factors = [jnp.where(g == 0, 1, c / jnp.where(g == 0, 1, g)) for g, c in zip(grads, clipped, strict=True)]
        return clipped, factors

    number = Number(None, NONNEGATIVE, "[loss]/[param]")
    return Clipped(rule, "clip_by_value", {"clip_value": number}, ClippedState, {}, clip, per_entry=True)


def clip_by_norm(rule: Rule | Wrapper, *, homogeneous: bool = False, norm_type: float = 2.0) -> Clipped:
    """Each tensor's gradient clipped to the norm ``max_norm`` by itself.

    As :func:`clip_by_global_norm` with one tensor at a time.
    """
    return _by_norm("clip_by_norm", rule, homogeneous, _checked(norm_type), False)


def clip_by_global_norm(rule: Rule | Wrapper, *, homogeneous: bool = False, norm_type: float = 2.0) -> Clipped:
    r"""All gradients together clipped to the norm ``max_norm``.

    .. math:: factor = \min(1, max\_norm/(\|g\| + 10^{-6})) \qquad
        (homogeneous:\; 1 \;where\; \|g\| < max\_norm,\; else \; max\_norm/\|g\|)

    Adds the number ``max_norm`` : scalar in [0, inf), [loss]/[param].

    Parameters
    ----------
    rule : Rule or Wrapper
    homogeneous : option
        Without torch's 1e-6, as ``optax.clip_by_global_norm``: a loss scaled with its max_norm is then clipped alike.
    norm_type : option
        Order of the norm, above 0; ``math.inf`` for the largest entry.

    Notes
    -----
    Half-precision gradients are clipped in float32 and not rounded before the rule takes them; torch rounds norm and
    gradient to their dtype. A norm of inf gives a factor of 0 and nan a factor of nan, as in torch
    (``error_if_nonfinite=False``).

    References
    ----------
    Pascanu et al. 2013 (1211.5063), algorithm 1; ``torch/nn/utils/clip_grad.py`` (2.13);
    ``optax/transforms/_clipping.py`` (0.2.8).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from lrtheory import rules
    >>> rule = clip_by_global_norm(rules.sgd(), homogeneous=True)
    >>> params, grads = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([3.0, -4.0])}
    >>> hyper = rule.hyper(lr=1.0, max_norm=2.5)
    >>> params, state = rule.step(hyper, params, rule.init(params), grads)
    >>> params["w"].tolist(), rule.effective_lr(hyper, state)["w"].tolist()
    ([-0.5, 4.0], [0.5, 0.5])
    """
    return _by_norm("clip_by_global_norm", rule, homogeneous, _checked(norm_type), True)


def torch_factor(max_norm: Any, norm: Any) -> Array:
    """What torch multiplies gradients of this norm by."""
    return jnp.minimum(max_norm / (norm + TORCH_EPS), 1)


@functools.cache
def _by_norm(name: str, rule: Rule | Wrapper, homogeneous: bool, norm_type: float, together: bool) -> Clipped:
    def clip(hyper: Any, grads: list[Array]) -> tuple[list[Array], list[Array]]:
        if not grads:
            return [], []
        # torch squares as they come, and a norm below 1e-19 vanishes in float32; the homogeneous one has to see it.
        size = euclidean_norm if homogeneous and norm_type == 2 else lambda x: _norm(x, norm_type)
        norms = [size(g) for g in grads]
        if together:
            total = size(jnp.stack(norms))
            norms = [total.astype(g.dtype) for g in grads]
        max_norms = [jnp.asarray(hyper.max_norm, n.dtype) for n in norms]
        if not homogeneous:
            factors = [torch_factor(m, n) for n, m in zip(norms, max_norms, strict=True)]
            return [g * f for g, f in zip(grads, factors, strict=True)], factors
        within = [(n < m) | (n == 0) for n, m in zip(norms, max_norms, strict=True)]  # 0/0 at a bound of 0
        factors = [jnp.where(w, 1, m / n) for w, n, m in zip(within, norms, max_norms, strict=True)]
        clipped = [jnp.where(w, g, g / n * m) for w, g, n, m in zip(within, grads, norms, max_norms, strict=True)]
        return clipped, factors

    number = Number(None, NONNEGATIVE, "[loss]/[param]")
    options = {"homogeneous": homogeneous, **({} if norm_type == 2 else {"norm_type": norm_type})}
    return Clipped(rule, name, {"max_norm": number}, ClippedState, options, clip, per_entry=False)


def _checked(norm_type: float) -> float:
    if isinstance(norm_type, bool) or not isinstance(norm_type, (int, float)) or not norm_type > 0:
        raise ValueError(f"norm_type={norm_type!r} must be a number above 0, or math.inf")
    return float(norm_type)


def _norm(x: Array, order: float) -> Array:
    size = jnp.abs(x)
    if math.isinf(order):
        return jnp.max(size, initial=0)
    if order == 2:
        return jnp.sqrt(jnp.sum(x * x))
    return jnp.sum(size**order) ** (1 / order)
