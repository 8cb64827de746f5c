r"""Terms that the formulas of several rules share: averages, norms, weight decay.

Averages and their bias corrections are formed so that nothing cancels in float32. A decay rate :math:`\beta` reaches a rule already rounded to the dtype it computes in. For
:math:`\beta \ge 1/2` the difference :math:`1-\beta` is then exact (Sterbenz), and
:math:`1-\beta^t` comes from ``expm1`` and ``log1p`` with a relative error of a few ulp, where the
difference of a rounded power is wrong in the sixth digit at :math:`\beta = 0.999`. Both moments and
corrections use this one rounded :math:`\beta`, so that a constant gradient is averaged to itself.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ..numbers import is_concrete

LAST_COUNT = 2**31 - 1


def following(t: Array) -> Array:
    """The step count after ``t``, which stays at the last one."""
    return jnp.minimum(t, LAST_COUNT - 1) + 1


def lerp(start: Array, end: Array, weight: Array) -> Array:
    """``start + weight·(end − start)``, exact at both ends and with torch's way of meeting inf.

    Two algebraically equal forms are switched at weight 1/2, as ``torch.lerp`` does
    (``aten/src/ATen/native/Lerp.h``, torch 2.13), so that weight 1 gives ``end`` bit for bit.
    """
    from_start = start + weight * (end - start)
    from_end = end - (end - start) * (1 - weight)
    return jnp.where(weight < 0.5, from_start, from_end)


def average_of_squares(v: Array, g: Array, beta: Array) -> Array:
    """``β·v + (1−β)·g²``: a sum, not a lerp, so that an overflowed square stays inf as in torch.

    The square is formed with the weight inside, as ``addcmul`` does: at β = 1 a gradient whose square overflows has none.
    """
    return beta * v + ((1 - beta) * g) * g


def one_minus_power(beta: Array, t: Array) -> Array:
    """``1 − βᵗ`` for 0 ≤ β < 1 and t ≥ 1, accurate even where βᵗ is near 1, and exactly ``1 − β`` at t = 1.

    To 3 ulp in float32; to 2e-14 in float64, where XLA's ``log1p`` on CPU is that far off for β near 0.6.

    While βᵗ is above 1/2, the ratio of two ``expm1`` cancels what the logarithm was rounded by, so that the first step of
    a bias-corrected average returns the gradient itself. Below, the difference is the more accurate: it is rounded once
    more than βᵗ, whose own error shrinks with it.
    """
    complement = 1 - beta
    log_beta = jnp.log1p(-complement)
    log_power = t.astype(beta.dtype) * log_beta
    power = jnp.exp(log_power)
    return jnp.where(power < 0.5, 1 - power, complement * (jnp.expm1(log_power) / jnp.expm1(log_beta)))


def root_of_average(v: Array, weights: Array) -> Array:
    """``√(v/weights)`` for weights down to 2⁻⁶⁰, also where the quotient overflows and its root does not.

    torch, which divides roots, steps there too. Powers of two change no bit, and being constants they cost no loop: a
    condition on the quotient, or another scale for the weights, is one more loop for each tensor (XLA on CPU, jaxlib 0.10.2).
    """
    over = jnp.isinf(v * 2.0**60)
    return jnp.sqrt(jnp.where(over, v * 2.0**-60, v) / weights) * jnp.where(over, 2.0**30, 1.0)


def euclidean_norm(x: Array) -> Array:
    """Scaled by the largest entry, so that its squares neither overflow nor vanish; nan and inf pass through."""
    largest = jnp.max(jnp.abs(x), initial=0)
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return scale * jnp.sqrt(jnp.sum((x / scale) ** 2))


def trust_ratio(coefficient: Array, p: Array, update: Array, eps: Array) -> Array:
    """``coefficient·‖p‖/(‖update‖ + eps)``, and 1 where either norm is 0, as optax 0.2.8 has it.

    The coefficient does not enter where a norm is 0: a tensor that starts at zero takes full steps until it has moved.
    """
    p_norm, update_norm = euclidean_norm(p), euclidean_norm(update)
    absent = (p_norm == 0) | (update_norm == 0)
    return jnp.where(absent, 1, coefficient * p_norm / (jnp.where(absent, 1, update_norm) + eps))


def per_unit(step: Array, gradient: Array) -> Array:
    """``step/|gradient|``, the effective lr of a rule that follows signs; 0 where the gradient is 0 and nothing moves."""
    size = jnp.abs(gradient)
    return jnp.where(size == 0, 0, step / jnp.where(size == 0, 1, size))


def decayed(weight: Array, p: Array) -> Array:
    """``weight·p``, and 0 where the weight is 0: a parameter at inf would give 0·inf = nan, where torch skips the term."""
    return jnp.where(weight == 0, 0, weight * p)


def coupled_decay(h: Any, p: Array) -> Array:
    """What coupled weight decay adds to the gradient."""
    return decayed(h.weight_decay, p)


def decoupled_decay(h: Any, p: Array) -> Array:
    """What decoupled weight decay removes in a step of lr."""
    return decayed(h.lr * h.weight_decay, p)


def again(h: Any, t: Array) -> Any:
    """The same numbers, but other values to the compiler: what is made with them is made anew in the loop that needs it.

    XLA on CPU writes each new array in a loop of its own. An array that several loops need, such as the gradient with
    its decay term, it stores in memory when one of them also reads the result of another: as much memory again as the
    parameters, and two more passes. No step count ``t`` is negative, but the compiler does not know. A number that is a
    constant of the program stays one, so that a term of weight 0 vanishes.
    """
    return jax.tree.map(lambda number: number if is_concrete(number) else jnp.where(t >= 0, number, 0), h)
