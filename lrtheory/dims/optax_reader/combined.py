"""optax's combinators, each with the plainest thing to combine, so that they too have numbers and a law to look at.

A function of the same name stands for each; its arguments are the numbers to trace.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib
import optax.tree


def _optimizer(learning_rate: Any, momentum: Any = 0.9) -> Any:
    return optax.sgd(learning_rate, momentum=momentum)


def _early(step: Any, **extra: Any) -> Any:
    return step < 100


def apply_if_finite(learning_rate=1e-3):
    """A step is left out, five times at most, if it is not finite."""
    return optax.apply_if_finite(_optimizer(learning_rate), max_consecutive_errors=5)


def chain(learning_rate=1e-3, max_norm=1.0):
    """Clipping, then Adam."""
    return optax.chain(optax.clip_by_global_norm(max_norm), optax.scale_by_adam(eps=0.0), optax.scale(-learning_rate))


def conditionally_mask(learning_rate=1e-3):
    """Updates for a hundred steps only."""
    return optax.conditionally_mask(_optimizer(learning_rate), should_transform_fn=_early)


def conditionally_transform(learning_rate=1e-3):
    """SGD for a hundred steps, in units that its input has."""
    return optax.chain(
        optax.scale_by_learning_rate(learning_rate),
        optax.conditionally_transform(optax.trace(decay=0.9), should_transform_fn=_early),
    )


def flatten(learning_rate=1e-3):
    """All parameters as one vector."""
    return optax.flatten(_optimizer(learning_rate))


def freeze(learning_rate=1e-3):
    """One of the parameters does not move."""
    return optax.chain(_optimizer(learning_rate), optax.freeze({"matrix": False, "vector": True}))


def inject_hyperparams(learning_rate=1e-3, eps=1e-8):
    """Numbers kept in the state."""
    return optax.inject_hyperparams(optax.adam)(learning_rate=learning_rate, eps=eps)


def inject_stateful_hyperparams(learning_rate=1e-3, eps=1e-8):
    """Numbers kept in the state."""
    return optax.inject_stateful_hyperparams(optax.adam)(learning_rate=learning_rate, eps=eps)


def lookahead(learning_rate=1e-3, slow_step_size=0.5):
    """Slow and fast parameters, which start alike: wrapped for optax's own pair of them."""
    return Pairs(optax.lookahead(_optimizer(learning_rate), sync_period=5, slow_step_size=slow_step_size))


class Pairs:
    """Lookahead takes and gives pairs of parameters; here the fast ones stand for both when it starts."""

    def __init__(self, transformation: Any) -> None:
        self._transformation = transformation

    def init(self, params: Any) -> Any:
        """Pairs from single parameters."""
        return params, self._transformation.init(optax.LookaheadParams(fast=params, slow=params))

    def update(self, grads: Any, state: Any, params: Any) -> Any:
        """The fast parameters' update; the slow ones are state."""
        slow, inner = state
        updates, inner = self._transformation.update(grads, inner, optax.LookaheadParams(fast=params, slow=slow))
        return updates.fast, (optax.apply_updates(slow, updates.slow), inner)


def masked(learning_rate=1e-3):
    """One of the parameters takes the update of SGD, the other its raw gradient, times the rate."""
    return optax.chain(
        optax.masked(optax.trace(decay=0.9), {"matrix": True, "vector": False}), optax.scale(-learning_rate)
    )


def measure_with_ema(decay=0.9):
    """An average of the gradient's norm, kept beside it."""
    return optax.measure_with_ema(optax.tree.norm, decay)


def partition(learning_rate=1e-3, adam_learning_rate=1e-3, eps=1e-8):
    """SGD for one parameter, Adam for the other."""
    transforms: dict[Any, Any] = {"sgd": _optimizer(learning_rate), "adam": optax.adam(adam_learning_rate, eps=eps)}
    return optax.partition(transforms, {"matrix": "sgd", "vector": "adam"})


multi_transform = partition


def named_chain(learning_rate=1e-3):
    """SGD by another name."""
    return optax.named_chain(("sgd", _optimizer(learning_rate)))


def scale_by_schedule(step_size=1e-3):
    """A step size that falls with the count of steps."""
    return optax.scale_by_schedule(lambda count: step_size / (1 + count))


def selective_transform(learning_rate=1e-3):
    """One of the parameters does not move."""
    return optax.selective_transform(_optimizer(learning_rate), freeze_mask={"matrix": False, "vector": True})


def snapshot(learning_rate=1e-3):
    """The gradient's norm, kept beside SGD."""
    return optax.chain(optax.snapshot("norm", optax.tree.norm), _optimizer(learning_rate))


def stateless(weight_decay=1e-2):
    """Decay added by hand."""
    return optax.stateless(lambda updates, params: jax.tree.map(lambda u, p: u + weight_decay * p, updates, params))


def stateless_with_tree_map(weight_decay=1e-2):
    """Decay added by hand."""

    def decayed(u: Any, p: Any) -> Any:
        return u + weight_decay * p

    return optax.stateless_with_tree_map(decayed)


def with_extra_args_support(learning_rate=1e-3):
    """SGD that is deaf to further arguments."""
    return optax.with_extra_args_support(_optimizer(learning_rate))


def mechanize(learning_rate=1e-3, weight_decay=1e-2, eps=1e-8, s_init=1e-6):
    """Mechanic on SGD."""
    return optax.contrib.mechanize(_optimizer(learning_rate), weight_decay=weight_decay, eps=eps, s_init=s_init)


def scale_by_muon(beta=0.95, eps=1e-8):
    """Muon's direction for matrices alone: by default it looks for dimension numbers that it was not given."""
    return _Matrices(optax.contrib.scale_by_muon(beta=beta, eps=eps, weight_dimension_numbers=_MATRICES))


_MATRICES = {"matrix": optax.contrib.MuonDimensionNumbers()}


class _Matrices:
    """A transformation of the matrices among the parameters; the others have no update."""

    def __init__(self, transformation: Any) -> None:
        self._transformation = transformation

    def init(self, params: Any) -> Any:
        """State for the matrices."""
        return self._transformation.init({"matrix": params["matrix"]})

    def update(self, grads: Any, state: Any, params: Any) -> Any:
        """Directions of the matrices."""
        updates, state = self._transformation.update({"matrix": grads["matrix"]}, state)
        return {**jax.tree.map(jnp.zeros_like, params), **updates}, state


class _PerExample:
    """A transformation that wants the gradients of each example; here those of two."""

    def __init__(self, transformation: Any) -> None:
        self.init, self._transformation = transformation.init, transformation

    def update(self, grads: Any, state: Any, params: Any = None) -> Any:
        """The gradient that is given, once as it is and once as of an example that differs from it."""
        each = jax.tree.map(lambda g: jnp.stack([g, g[::-1] / 2]), grads)
        return self._transformation.update(each, state, params)


def dpsgd(learning_rate=1e-3, l2_norm_clip=1.0, noise_multiplier=0.1):
    """SGD on clipped gradients of two examples, with noise."""
    return _PerExample(
        optax.contrib.dpsgd(
            learning_rate, l2_norm_clip=l2_norm_clip, noise_multiplier=noise_multiplier, seed=0, momentum=0.9
        )
    )


def differentially_private_aggregate(l2_norm_clip=1.0, noise_multiplier=0.1):
    """The mean of the clipped gradients of two examples, with noise."""
    return _PerExample(optax.contrib.differentially_private_aggregate(l2_norm_clip, noise_multiplier, 0))


def sam(learning_rate=1e-3, rho=0.05):
    """Sharpness-aware SGD, whose adversary takes a normalised step."""
    adversary = optax.chain(optax.contrib.normalize(), optax.sgd(rho))
    return optax.contrib.sam(_optimizer(learning_rate), adversary, sync_period=2)


def schedule_free(learning_rate=1e-3, b1=0.9, weight_lr_power=2.0):
    """Schedule-free SGD."""
    return optax.contrib.schedule_free(
        optax.sgd(learning_rate), learning_rate=learning_rate, b1=b1, weight_lr_power=weight_lr_power
    )


def split_real_and_imaginary(learning_rate=1e-3):
    """SGD on real and imaginary parts."""
    return optax.contrib.split_real_and_imaginary(_optimizer(learning_rate))
