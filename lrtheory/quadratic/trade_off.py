r"""Steps against batch size: how soon the expected loss of a noisy quadratic is down at a target, lr tuned.

The moments after t steps need no t steps: powers :math:`A^{2^j}` and noise :math:`W_{2^j}`, with
:math:`W_{2n} = W_n + A^n W_n A^{n\top}`, are formed by doubling and combined. The part that the noise adds is
proportional to 1/B, so that one run of the doubling answers for all batch sizes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ..numbers import check_rule
from ..rules import Rule
from .linear_step import LinearStep, linear_step
from .moments import NoisyQuadratic


def _times(a: Any, b: Any) -> list[list[Array]]:
    """Product of small matrices of long vectors, written out: one pass over memory, where a batched product takes many."""
    inner = range(len(b))
    return [[sum((row[m] * b[m][j] for m in inner), jnp.zeros(())) for j in range(len(b[0]))] for row in a]


def _congruence(a: Any, s: Any) -> Any:
    """``a s a'``."""
    return _times(_times(a, s), list(zip(*a, strict=True)))


@functools.partial(jax.jit, static_argnames="doublings")
def steps_to_target(
    step: LinearStep, problem: NoisyQuadratic, batches: Array, target: Any, doublings: int = 24
) -> Array:
    """Steps of one constant map after which the expected loss is at most ``target``, for each batch size.

    The search walks from far to near: it finds a step t with the loss above the target at t−1 and at or below it at t.
    That is the first such step where the loss crosses the target once. With much momentum the loss swings on its way
    down, and the crossing found can be some steps after the first: 296 in place of 293 at momentum 0.98.

    Parameters
    ----------
    step : LinearStep with matrices (k, k)
    batches : (b,)
    target : scalar, [loss]
    doublings : static
        Runs are followed up to ``2**doublings`` steps.

    Returns
    -------
    array (b,), float
        inf where the target is not met in that many steps, or not for good: where a far later loss is above it.
    """
    A = step.transition(problem.curvature)
    k = A.shape[-1]
    noise = problem.variance * jnp.outer(step.N, step.N)[:, :, None]

    def double(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        A, W = carry
        added = jnp.array(_congruence(A, W))
        return (jnp.array(_times(A, A)), W + added), carry

    table = lax.scan(double, (A.transpose(1, 2, 0), noise), length=doublings)[1]
    first = problem.mean**2 + problem.spread

    def search(batch: Array) -> Array:
        # Of A^t only the row of the parameter is needed, and of the noise its variance.
        def nearer(carry: Any, further: Any) -> tuple[Any, None]:
            count, row, added = carry
            (A, W), stride = further
            new_row = jnp.array(_times(row[None], A)[0])
            new_added = added + _congruence(row[None], W)[0][0]
            value = 0.5 * jnp.sum(problem.curvature * (first * new_row[0] ** 2 + new_added / batch))
            go = ~(value <= target)  # a loss that overflowed to nan is above it too
            return (
                count + jnp.where(go, stride, 0),
                jnp.where(go, new_row, row),
                jnp.where(go, new_added, added),
            ), None

        strides = 2.0 ** jnp.arange(doublings)
        here = jnp.zeros((k, len(first))).at[0].set(1)
        count = lax.scan(nearer, (jnp.zeros(()), here, jnp.zeros(len(first))), (table, strides), reverse=True)[0][0]
        met_at_once = 0.5 * jnp.sum(problem.curvature * first) <= target
        return jnp.where(met_at_once, 0.0, jnp.where(count == strides.sum(), jnp.inf, count + 1))

    return lax.map(search, jnp.asarray(batches, float))


#: How far in log lr the search stays below the threshold.
_MARGIN = 1e-3


@dataclass(frozen=True)
class Tuned:
    """The best constant numbers found for each batch size.

    Attributes
    ----------
    batch, steps, lr, momentum : arrays (b,)
        The steps are those of :func:`steps_to_target`: of one crossing, where a loss that swings has several.
    """

    batch: np.ndarray
    steps: np.ndarray
    lr: np.ndarray
    momentum: np.ndarray


def tune(
    rule: Rule,
    problem: NoisyQuadratic,
    batches: Sequence[int],
    target: float,
    momenta: Sequence[float] = (0.0,),
    *,
    rounds: int = 3,
) -> Tuned:
    """Fewest steps to the target over lr and the given momenta, for each batch size, in float64.

    lr is searched on 21 points in log scale over four decades below the stability threshold, then each batch size
    around its own best: every round adds two points to either side and narrows the search to two fifths.

    Parameters
    ----------
    rule : SGD or another rule with numbers ``lr`` and ``momentum``
    momenta : each is tuned, and the best is kept
    rounds : 3 find lr to about 1 %

    Raises
    ------
    ValueError
        If no lr reaches the target for some batch size.
    """
    check_rule("quadratic.tune", rule)
    with jax.enable_x64(True):
        problem = jax.tree.map(lambda x: jnp.asarray(x, float), problem)
        best = Tuned(*(np.full(len(batches), x) for x in (0.0, np.inf, np.nan, np.nan)))
        best.batch[:] = batches
        for momentum in momenta:
            top = np.log(_critical_lr(rule, momentum, float(jnp.max(problem.curvature)))) - _MARGIN
            grid = np.broadcast_to(np.linspace(top - np.log(1e4), top, 21), (len(batches), 21))
            width, here = np.log(1e4) / 20, np.full((2, len(batches)), np.inf)  # steps and log lr of this momentum
            for _ in range(rounds + 1):
                found = _steps(rule, problem, batches, target, momentum, np.exp(grid))
                at = found.argmin(axis=1)[:, None]
                candidate = np.stack([np.take_along_axis(x, at, axis=1)[:, 0] for x in (found, grid)])
                here = np.where((candidate[0] < here[0]) | np.isinf(here[1]), candidate, here)
                grid = np.minimum(here[1][:, None] + width * np.array([-0.6, -0.2, 0.2, 0.6]), top)
                width *= 0.4
            better = here[0] < best.steps
            best.steps[better], best.lr[better] = here[0][better], np.exp(here[1][better])
            best.momentum[better] = momentum
    missed = np.asarray(batches)[~np.isfinite(best.steps)]
    if len(missed):
        raise ValueError(
            f"no lr of {rule!r} brings the expected loss to {target} with batches {missed.tolist()}: "
            "noise keeps it above; raise the target or the batch"
        )
    return best


def _critical_lr(rule: Rule, momentum: float, curvature: float) -> float:
    """Largest stable lr for the steepest direction: radius 1 is crossed once, at an eigenvalue of −1."""

    # det(A + 1) is affine in lr for these rules, so that two values of it give its root.
    def at(lr: float) -> float:
        A = np.asarray(linear_step(rule, rule.hyper(lr=lr, momentum=momentum)).transition(curvature))
        return float(np.linalg.det(A + np.eye(len(A))))

    zero, one = at(0.0), at(1.0)
    return zero / (zero - one)


def _steps(
    rule: Rule, problem: NoisyQuadratic, batches: Sequence[int], target: float, momentum: float, lrs: np.ndarray
) -> np.ndarray:
    """Steps for each batch and its own row of lrs; a grid that all batches share is followed once."""
    sizes = jnp.asarray(batches, float)
    if (lrs == lrs[0]).all():
        found = [_run(rule, problem, sizes, target, momentum, lr) for lr in lrs[0]]
        return np.stack([np.asarray(steps) for steps in found], axis=1)
    rows = [
        [np.asarray(_run(rule, problem, size[None], target, momentum, lr))[0] for lr in row]
        for size, row in zip(sizes, lrs, strict=True)
    ]
    return np.array(rows)


@functools.partial(jax.jit, static_argnames="rule")
def _run(rule: Rule, problem: NoisyQuadratic, batches: Array, target: Any, momentum: Any, lr: Any) -> Array:
    # A first gradient that enters undamped makes no difference where there is no dampening.
    return steps_to_target(linear_step(rule, rule.hyper(lr=lr, momentum=momentum)), problem, batches, target)
