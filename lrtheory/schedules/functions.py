"""An lr given by a function: of the step, or of the ratio from one step to the next."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..numbers import POSITIVE, REAL, as_number, is_concrete
from ._schedule import Factor, Scalar, Schedule, Whole, add, as_float, level, option, pytree, register


@pytree
class Lambda(Schedule):
    r"""An lr times a function of the step count.

    .. math:: \eta(t) = lr \cdot function(t, *numbers)

    Parameters
    ----------
    function : function of an array of step counts, and of ``numbers``
        Written with ``jax.numpy`` operations, for whole arrays of steps. A program is compiled for each function
        object, so make it once.
    numbers : tuple of scalars
        What the function depends on: traced, so that one program serves all values.

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``LambdaLR``.

    Examples
    --------
    >>> lambda_lr(lr=0.5, function=lambda t, rate: rate**t, numbers=(0.5,))([0, 1, 2]).tolist()
    [0.5, 0.25, 0.125]
    """

    lr: Any = level()
    function: Callable[..., Any] = option(dataclasses.MISSING)
    numbers: tuple[Any, ...] = ()

    one_length = "its factor is a function of the step that cannot be read. Nearest: write it in terms of t·κ"

    @classmethod
    def prepared(cls, given: dict[str, Any]) -> dict[str, Any]:
        """The function, refused when it is none, and its numbers, each checked."""
        if not callable(given["function"]):
            raise TypeError(f"lambda_lr: function={given['function']!r} must be a function of the step count")
        checked = (Scalar(None, REAL).checked("lambda_lr", f"numbers[{i}]", n) for i, n in enumerate(given["numbers"]))
        return {**given, "numbers": tuple(checked)}

    def lr_at(self, t: Array) -> Array:
        """See :func:`lambda_lr`."""
        try:
            return as_float(self.lr) * as_float(self.function(t, *self.numbers))
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError, ValueError) as error:
            if isinstance(error, ValueError) and "truth value" not in str(error):
                raise
            raise TypeError(
                f"lambda_lr: {self.function!r} looks at the value of a single t, but is given traced arrays of them; write it with jax.numpy "
                "(jnp.where, jnp.minimum) in place of if, min and math"
            ) from error


lambda_lr = register("lambda_lr", Lambda)


@pytree
class Multiplicative(Factor):
    """``lr`` times a product that is looked up in a table."""

    lr: Any
    products: Any

    one_length = "its factors are one a step, taken from a function. Nearest: multiply κ of them into one"

    def factor_at(self, t: Array) -> Array:
        """See :func:`multiplicative`."""
        products = as_float(self.products)
        last = products.shape[0] - 1
        index = jnp.clip(jnp.floor(t), 0, last).astype(jnp.int32)
        return jnp.where(t <= last, products[index], jnp.nan)


def multiplicative(*, lr: Any, function: Callable[[int], Any], total_steps: int) -> Multiplicative:
    r"""An lr that is multiplied at every step by a function of the step count.

    .. math:: \eta(t) = lr \cdot \prod_{k=1}^{t} function(k)

    The product has a closed form only where the function has: a constant factor is
    :func:`~lrtheory.schedules.exponential`. For any other it is formed once, in double precision for functions that
    return plain numbers, and kept as a table: a call looks it up, whatever ``t`` is.

    Parameters
    ----------
    lr : scalar in [0, inf)
    function : function of a step count, a Python integer from 1 to ``total_steps``
        Called when the schedule is made, as torch calls it. It may return traced numbers.
    total_steps : integer in (0, inf)
        Steps to tabulate. After more than these the lr is nan.

    Returns
    -------
    Schedule

    References
    ----------
    ``torch/optim/lr_scheduler.py`` (2.13), ``MultiplicativeLR``.

    Examples
    --------
    >>> multiplicative(lr=1.0, function=lambda k: 0.5 if k < 3 else 1.0, total_steps=9)([0, 1, 2, 9]).tolist()
    [1.0, 0.5, 0.25, 0.25]
    """
    if not callable(function):
        raise TypeError(f"multiplicative: function={function!r} must be a function of the step count")
    if not isinstance(total_steps, (int, np.integer)) or isinstance(total_steps, bool):
        raise TypeError(f"multiplicative: total_steps={total_steps!r} must be an integer: it is the length of a table")
    Whole(None, POSITIVE).checked("multiplicative", "total_steps", total_steps)
    factors = [as_number("multiplicative", f"function({k})", function(k)) for k in range(1, total_steps + 1)]
    if all(isinstance(factor, float) for factor in factors):
        products = np.cumprod([1.0, *factors])
    elif all(is_concrete(factor) for factor in factors):
        products = np.cumprod(np.asarray([1.0, *factors], np.float64))
    else:
        products = jnp.cumprod(jnp.stack([as_float(factor) for factor in (1.0, *factors)]))
    return Multiplicative(lr=Scalar(None).checked("multiplicative", "lr", lr), products=products)


add("multiplicative", multiplicative)
