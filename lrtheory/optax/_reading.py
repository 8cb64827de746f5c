"""A transformation of optax as one of our rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .. import groups, wrappers
from ..adopting import Adopted, AdoptError, Group
from ..adopting.in_optax import adopt_optax
from ..adopting.optax_row import named
from ._transformation import Transformation

PyTree = Any

#: What stands in for parameters that are not given: a matrix, which every rule takes.
_LIKE = {"w": (4, 3)}
#: How the reason begins why parameters do not move.
_STILL = ("optax.set_to_zero", "frozen")


def rule(tx: Any, params: PyTree = None) -> Any:
    """The rule, or wrapped rule, that a transformation is.

    Clipping before the rule and ``optax.MultiSteps`` around it are wrappers of ours, ``optax.partition`` and masks make groups of
    the parameters that are given. One step of the rule is compared with one
    of the transformation before it is said to be it.

    Parameters
    ----------
    tx : optax.GradientTransformation
    params : pytree of arrays, optional
        Those it is for, where masks, labels or shapes depend on them; a small matrix unless given.

    Returns
    -------
    Rule, Wrapper or Groups
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
    return _joined(adopt_optax(tx, state, params), params)


def _joined(found: Adopted, params: PyTree) -> tuple[Any, Any]:
    """The rule that all parameters have, or the groups of them, in what is around it."""
    for group in found.groups:
        if group.rule is None and (len(found.groups) == 1 or not group.reason.startswith(_STILL)):
            raise AdoptError(f"{found.kind} is none of our rules: {group.reason}")
    if not found.groups:
        raise AdoptError(f"{found.kind} is none of our rules: it acts on no parameter")
    inside, numbers = _one(found.groups[0]) if len(found.groups) == 1 else _several(found.groups, params)
    for around in reversed(found.around):
        if len(around.over) != sum(len(group.names) for group in found.groups):
            raise AdoptError(f"{found.kind}: {around.name} acts on some of the parameters: read it with lrtheory.adopt")
        inside = getattr(wrappers, around.name)(inside, **around.options)
        numbers |= around.numbers
    return inside, inside.hyper(**numbers)


def _one(group: Group) -> tuple[Any, dict[str, Any]]:
    numbers = {} if group.hyper is None else group.hyper._asdict()
    return group.rule, {name: value for name, value in numbers.items() if value is not None}


def _unlike(name: str, known: Sequence[str]) -> str:
    return _unlike(f"{name}_", known) if name in known else name


def _several(found: tuple[Group, ...], params: PyTree) -> tuple[Any, dict[str, Any]]:
    """Groups with the labels of the transformation, where those can name a field."""
    known = [group.label for group in found]
    taken = {name for group in found if group.hyper is not None for name in (*group.hyper._fields, "lr_scale")}
    plain = [known.count(label) == 1 and groups.names_a_field(label) and label not in taken for label in known]
    labels = [
        label if ok else _unlike(f"group_{i}", known) for i, (label, ok) in enumerate(zip(known, plain, strict=True))
    ]
    each = {label: _one(group) for label, group in zip(labels, found, strict=True)}
    of = {name: label for label, group in zip(labels, found, strict=True) for name in group.names}
    tree = jax.tree.structure(params).unflatten([of[name] for name in named(params)])
    rule = groups.by_label({label: own for label, (own, _) in each.items()}, tree)
    return rule, {label: numbers for label, (own, numbers) in each.items() if own is not None}
