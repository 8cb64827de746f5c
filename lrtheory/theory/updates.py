r"""How large a rule's updates are: measured by its own step on gradients that are pure noise.

Of Adam, whose size of the gradient hardly moves, the root mean square is that of an exponential average of unit noise,

.. math:: lr \sqrt{\frac{1 - \beta_1}{1 + \beta_1}}

0.229 lr at 0.9; of Lion and signum it is lr. That is where Muon's 0.2 comes from, by which its updates are as large as Adam's.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..compiling import quickly_compiled
from ..rules import Rule, SparseGradient
from .asking import NoLaw, number, numbers_of
from .momentum import impulse_response, steady_effective_lr

__all__ = ["update_rms"]

#: Coordinates of a rule that takes each by itself, and rows and columns of one that takes matrices, in two forms.
_COORDINATES, _SQUARE, _WIDE = (512,), (64, 64), (16, 256)
#: A measurement within this of the closed form is that, the difference being the memory of the size that is divided by.
_SAME = 0.08
#: Sizes that are further apart fall or grow; those of two shapes, or of two runs that differ by a factor, are two.
_SETTLED, _APART = 0.05, 0.25
#: Lengths of runs: a few, which share compiled programs. Matrices have more coordinates to take the mean over.
_LENGTHS = (100, 400, 4_000, 20_000)
_LR = 1e-3
#: Entries of the largest matrix that is run: thousands of steps of it take a minute.
_LARGEST = 2**14


def update_rms(rule: Rule, hyper: Any, *, gradient: float | None = None, shape: tuple[int, int] | None = None) -> float:
    r"""Root mean square of a coordinate's update when gradients have long been independent noise; weight decay is left out.

    The rule's own step is run. Where the result is that of the impulse response, weights :math:`w_k` of past gradients, to
    within the noise of the size that the rule divides by, it is :math:`\sqrt{\sum_k w_k^2}` exactly.

    Parameters
    ----------
    rule, hyper : Rule and its hyperparameters
    gradient : float, optional
        Root mean square of the noise, in [loss]/[param]. Without one it is far above eps, and 1 for a rule whose updates are in
        proportion to it.
    shape : (rows, columns), optional
        Of the matrix, for a rule whose updates depend on it.

    Returns
    -------
    float
        In [param].

    Raises
    ------
    NoLaw
        Where updates grow or fall over the run, follow the size of the parameters, or are not in proportion to lr.
    ValueError
        For a shape that is needed and not given, or given and of no use.

    Examples
    --------
    >>> from lrtheory import rules
    >>> adam, lion = rules.adam(), rules.lion()
    >>> round(update_rms(adam, adam.hyper(lr=1.0)), 4), round(update_rms(lion, lion.hyper(lr=1.0)), 4)
    (0.2294, 1.0)
    """
    h = numbers_of(rule, hyper)
    h = h._replace(**{name: 0.0 for name in ("weight_decay",) if number(h, name)})
    if gradient is None and number(h, "eps") and rule.units["eps"].loss == 1:
        h = h._replace(eps=0.0)
    if gradient is not None and not 0 < gradient < math.inf:
        raise ValueError(f"gradient={gradient}: the size of a gradient is above 0 and finite")
    matrices = len(rule.facts.shape) == 2
    if shape is not None and not matrices:
        raise ValueError(f"shape={shape}: updates of {rule!r} are as large for every shape; leave it out")
    if shape is not None and (len(shape) != 2 or any(isinstance(n, bool) or n != int(n) or n < 1 for n in shape)):
        raise ValueError(f"shape={shape}: expected the rows and columns of a matrix")
    if shape is not None and math.prod(shape) > _LARGEST:
        raise ValueError(
            f"shape={shape}: the size is measured by a run of thousands of steps, too long for {math.prod(shape):,} entries; "
            f"give a matrix of at most {_LARGEST:,}"
        )
    shapes = (_COORDINATES,) if not matrices else (_SQUARE, _WIDE) if shape is None else (shape,)
    exact = _of_impulses(rule, h._replace(lr=_LR), gradient or 1.0)
    found = [_measured(rule, h._replace(lr=_LR), gradient or 1.0, one, exact) for one in shapes]
    if len(found) > 1 and not math.isclose(*found, rel_tol=_APART):
        raise ValueError(f"{rule!r}: its updates depend on the shape of the matrix: give shape=(rows, columns)")
    return h.lr / _LR * (exact if exact is not None and math.isclose(exact, found[0], rel_tol=_SAME) else found[0])


def _of_impulses(rule: Rule, h: Any, gradient: float) -> float | None:
    try:
        weights = impulse_response(rule, h._replace(lr=1.0), np.arange(min(4 * _steps(rule, h), _LENGTHS[-1])))
        steady = steady_effective_lr(rule, h, gradient)
    except NoLaw:
        return None
    return float(steady * gradient * np.sqrt(np.sum(weights**2)) / abs(np.sum(weights)))


def _steps(rule: Rule, h: Any) -> int:
    """Steps after which averages have forgotten their start."""
    memories = [1 / (1 - b) for b in (number(h, n) for n in (*rule.facts.averages, "momentum")) if 0 < b < 1]
    lengths = _LENGTHS[len(rule.facts.shape) == 1 :]
    return next((n for n in lengths if n >= 4 * max(memories, default=1)), lengths[-1])


@functools.cache
def _measured(rule: Rule, h: Any, gradient: float, shape: tuple[int, ...], limit: float | None = None) -> float:
    """By runs that differ in lr, in the size of the parameters, and in nothing; ``limit`` where it is seen to be approached."""
    runs = np.array([(h.lr, gradient, 1.0), (h.lr / 2, gradient, 1.0), (h.lr, gradient, 8.0)])
    with jax.enable_x64(True):
        early, late = np.asarray(_program(rule, _steps(rule, h), shape)(h._replace(lr=0.0), runs))
    if not math.isclose(late[1] * 2, late[0], rel_tol=_APART):
        raise NoLaw(f"{rule!r}: the size of its updates is not in proportion to lr")
    if not math.isclose(late[2], late[0], rel_tol=_APART):
        raise NoLaw(f"{rule!r}: the size of its updates follows that of the parameters")
    if (
        limit is not None
        and math.isclose(late[0], limit, rel_tol=_APART)
        and abs(late[0] - limit) < abs(early[0] - limit) / 1.2
    ):
        return limit
    if not math.isclose(early[0], late[0], rel_tol=_SETTLED):
        raise NoLaw(
            f"{rule!r}: the size of its updates does not settle: {early[0] / h.lr:.3g} lr in the third quarter of "
            f"{_steps(rule, h)} steps, {late[0] / h.lr:.3g} lr in the last"
        )
    return float(late[0])


@functools.cache
def _program(rule: Rule, steps: int, shape: tuple[int, ...]) -> Any:
    """Root mean squares of the updates in the last two quarters of a run, for each run of (lr, gradient, size)."""

    def one(h: Any, run: Any) -> Any:
        lr, gradient, size = run
        start = {"w": size * jax.random.normal(jax.random.key(0), shape)}

        def step(carry: Any, key: Any) -> Any:
            params, state = carry
            g = gradient * jax.random.normal(key, shape)
            given: Any = {"w": SparseGradient.from_dense(g) if rule.array_rule.sparse else g}
            after, state = rule.step(h._replace(lr=lr), params, state, given)
            return (after, state), jnp.mean((after["w"] - params["w"]) ** 2)

        keys = jax.random.split(jax.random.key(1), steps)
        squares = jax.lax.scan(step, (start, rule.init(start)), keys)[1]
        return jnp.sqrt(squares[steps // 2 :].reshape(2, -1).mean(1))

    return quickly_compiled()(lambda h, runs: jax.vmap(functools.partial(one, h), out_axes=1)(runs))
