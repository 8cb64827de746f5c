"""A transformation of optax as one of our rules."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from .. import wrappers
from ..adopting import Adopted, AdoptError
from ..adopting.in_optax import adopt_optax
from ._transformation import Transformation

PyTree = Any

#: What stands in for parameters that are not given: a matrix, which every rule takes.
_LIKE = {"w": (4, 3)}


def rule(tx: Any, params: PyTree = None) -> Any:
    """The rule, or wrapped rule, that a transformation is.

    Clipping before the rule and ``optax.MultiSteps`` around it are wrappers of ours. One step of the rule is compared with one
    of the transformation before it is said to be it.

    Parameters
    ----------
    tx : optax.GradientTransformation
    params : pytree of arrays, optional
        Those it is for, where masks, labels or shapes depend on them; a small matrix unless given.

    Returns
    -------
    Rule or Wrapper
        ``rule(transformation(r))`` is ``r``. Its hyperparameters are those of :func:`hyper`.

    Raises
    ------
    TypeError
        For what is no transformation.
    AdoptError
        With the reason why it is none of our rules.

    Examples
    --------
    >>> import optax
    >>> rule(optax.chain(optax.clip(1.0), optax.adamw(1e-3)))
    clip_by_value(adam(decoupled=True))
    """
    return _read(tx, params)[0]


def hyper(tx: Any, params: PyTree = None) -> Any:
    """The hyperparameters in force in the first step of a transformation, for the rule that :func:`rule` finds.

    Parameters, and what is raised, as of :func:`rule`.

    Examples
    --------
    >>> import optax
    >>> hyper(optax.sgd(0.5, momentum=0.9))
    SGDHyper(lr=0.5, momentum=0.9, dampening=0.0, weight_decay=0.0)
    """
    return _read(tx, params)[1]


def _read(tx: Any, params: PyTree) -> tuple[Any, Any]:
    if not (callable(getattr(tx, "init", None)) and callable(getattr(tx, "update", None))):
        raise TypeError(f"rule takes a transformation of optax, with init and update, not {type(tx).__name__}")
    own = getattr(tx.update, "__self__", None)
    if isinstance(own, Transformation):
        return own.rule, own.first
    given = params is not None
    params = params if given else {name: jnp.linspace(0.1, 1.0, 12).reshape(shape) for name, shape in _LIKE.items()}
    try:
        state = tx.init(params)
    except Exception as error:
        hint = "" if given else "; give its params: rule(tx, params)"
        raise AdoptError(
            f"its init does not run on {'these params' if given else 'a matrix'} ({error}){hint}"
        ) from error
    return _one(adopt_optax(tx, state, params))


def _one(found: Adopted) -> tuple[Any, Any]:
    """The one rule that all parameters have, in what is around it."""
    for group in found.groups:
        if group.rule is None:
            raise AdoptError(f"{found.kind} is none of our rules: {group.reason}")
    if len(found.groups) != 1:
        labels = ", ".join(group.label or group.names[0] for group in found.groups)
        raise AdoptError(
            f"{found.kind} has {len(found.groups)} groups of parameters ({labels}), each with a rule: read it with lrtheory.adopt"
        )
    group = found.groups[0]
    inside: Any = group.rule
    numbers = {n: v for n, v in group.hyper._asdict().items() if v is not None}
    for around in reversed(found.around):
        inside = getattr(wrappers, around.name)(inside, **around.options)
        numbers |= around.numbers
    return inside, inside.hyper(**numbers)
