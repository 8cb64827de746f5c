"""The state of our rule for one array, from what another framework keeps of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from ..rules import Rule

#: More steps than a sum of weights needs to come to rest.
_LONG = 100_000


class AdoptError(ValueError):
    """What keeps an optimizer, a group or a parameter's state from being read as one of our rules."""


class Kept(NamedTuple):
    """A rule's state of one array.

    Attributes
    ----------
    state : the rule's NamedTuple of NumPy arrays
    unknown : tuple of str
        Slots that the framework does not keep and that do not follow from what it keeps: nan, or a count of 1. No later
        step of the parameters depends on them; the effective lr may.
    """

    state: Any
    unknown: tuple[str, ...] = ()


def fresh(rule: Rule, like: np.ndarray) -> Any:
    """The state before the first step, as NumPy arrays in their own dtypes."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        state = rule.array_rule.init(jnp.asarray(like))
    return type(state)(*(None if value is None else np.asarray(value) for value in state))


def filled(rule: Rule, hyper: Any, found: Mapping[str, Any], like: Any, steps: int | None = None) -> Kept:
    """A state with the slots that were found, and what becomes of the others.

    Parameters
    ----------
    found : mapping
        Our slot → array; of one that is left out, ``None`` or missing, nothing is known but what follows from others.
    like : array
        The parameter, or a sample of its coordinates if the rule works coordinate by coordinate.
    steps : int, optional
        How many steps were taken, where the framework keeps no count.

    Raises
    ------
    AdoptError
        For a slot of another shape than the rule's.
    """
    like = np.asarray(like)
    start = fresh(rule, like)
    at_rest = ("buffer", "gain", "weight") if found.get("buffer") is None and not getattr(hyper, "momentum", 1) else ()
    found = {name: value for name, value in found.items() if value is not None}
    if not found:
        return Kept(start)
    count = found.get("t", steps)
    count = None if count is None else int(np.asarray(count).reshape(()))
    values, unknown = start._asdict(), list[str]()
    left = tuple(name for name, value in values.items() if value is not None and name not in found)
    weights = _weights(rule, hyper, left, count) if count is not None else {}
    for name, before in values.items():
        if before is None:
            if name in found:
                raise AdoptError(
                    f"its state has {name}, which {rule!r} does not keep of a parameter of shape {like.shape}"
                )
            continue
        if name == "t":
            values[name] = np.int32(_LONG if count is None else count)  # unknown: as after a long run, not a first step
            unknown += [] if count is not None else [name]
        elif name in found:
            value = np.asarray(found[name])
            if value.shape != before.shape:
                raise AdoptError(
                    f"{name} has shape {value.shape}; for a parameter of shape {like.shape} it is {before.shape}"
                )
            if np.issubdtype(value.dtype, np.floating) or value.dtype == ml_dtypes.bfloat16:  # no digit is lost
                values[name] = value.astype(np.promote_types(value.dtype, before.dtype))
            else:
                values[name] = value.astype(before.dtype)
        elif name in weights:
            values[name] = weights[name].astype(before.dtype)
        elif count != 0 and name not in at_rest:
            values[name] = np.full_like(before, np.nan)
            unknown.append(name)
    return Kept(type(start)(**values), tuple(unknown))


def _weights(rule: Rule, hyper: Any, slots: tuple[str, ...], steps: int) -> dict[str, np.ndarray]:
    """Scalars without units, which count steps alone, after ``steps`` with these numbers: by the rule's own step."""
    declared = rule.State._slots
    names = [name for name in slots if declared[name].kind == "scalar" and declared[name].units == "1"]
    if not names:
        return {}
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        state = _run(rule, hyper, min(steps, _LONG))
    return {name: np.asarray(getattr(state, name)) for name in names}


@functools.partial(jax.jit, static_argnums=0)
def _run(rule: Rule, hyper: Any, steps: Any) -> Any:
    p = jnp.zeros((), jnp.float64)
    h = type(hyper)(*(None if value is None else jnp.asarray(value, jnp.float64) for value in hyper))
    step = lambda i, s: rule.array_rule.step(h, p, s, jnp.ones_like(p))[1]  # noqa: E731
    return jax.lax.fori_loop(0, steps, step, rule.array_rule.init(p))
