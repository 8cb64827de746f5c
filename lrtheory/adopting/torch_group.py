"""One group of a torch optimizer, and what it keeps of one parameter, in our terms: plain numbers and NumPy arrays, no torch.

:func:`group_rule` reads a group's options, :func:`kept_state` the state of one parameter, of which the arrays may be a sample
of coordinates for a rule that works coordinate by coordinate. Both go by the class's name, such as ``"AdamW"``; whether an
optimizer really is that class, unchanged, is for :mod:`lrtheory.adopting.in_torch` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from .. import rules
from ..names.torch import CLASSES, EXECUTION, NAMES, UNREAD
from ..rules import Rule
from ..spec import SpecError, torch_fields, torch_rule
from ._slots import AdoptError, Kept, filled
from .adopted import joined


class GroupRule(NamedTuple):
    """A group read.

    Attributes
    ----------
    rule : Rule or None
    hyper : the rule's numbers as floats, or None
    reason : str
        Why there is no rule; empty with one.
    notes : tuple of str
        Fields that the class's step does not read.
    """

    rule: Rule | None
    hyper: Any
    reason: str = ""
    notes: tuple[str, ...] = ()


def group_rule(kind: str, group: Mapping[str, Any]) -> GroupRule:
    """The rule and numbers that a group of a class of ``torch.optim`` has.

    Parameters
    ----------
    kind : str
        The class's name.
    group : mapping
        One of ``optimizer.param_groups``; numbers may be tensors. Its ``params`` are not looked at.
    """
    if kind not in CLASSES:
        return GroupRule(None, None, rules.ABSENT.get(kind.lower(), f"torch.optim.{kind} is none of our rules"))
    fields = torch_fields(kind)
    missing = sorted(fields - set(EXECUTION) - set(group))
    if missing:
        return GroupRule(None, None, f"the group has no {missing[0]}, which a step of torch.optim.{kind} reads")
    try:
        given = {name: plain(name, group[name]) for name in fields & set(group)}
        rule, numbers = torch_rule(kind, given, f"torch.optim.{kind}")
        hyper = rule.hyper(**numbers)
    except (SpecError, TypeError, ValueError) as error:
        return GroupRule(None, None, str(error))
    notes = tuple(
        f"{name}={_said(value)} is a field of the group that a step of torch.optim.{kind} does not read"
        for name, value in group.items()
        if name not in fields and name not in UNREAD
    )
    return GroupRule(rule, hyper, "", notes)


def kept_state(
    kind: str,
    rule: Rule,
    hyper: Any,
    kept: Mapping[str, Any],
    like: Any,
    *,
    steps: int | None = None,
    floor: Any = None,
) -> Kept:
    """The rule's state of one parameter.

    Parameters
    ----------
    rule, hyper : as :func:`group_rule` gives them
    kept : mapping
        ``optimizer.state[p]`` as NumPy arrays and numbers; empty before the first step.
    like : array
        The parameter's values, in its dtype.
    steps : int, optional
        Steps taken, of which SGD and Muon keep no count.
    floor : dtype, optional
        That of the group's first parameter, whose machine epsilon Adafactor takes for all; ``like``'s unless given.

    Raises
    ------
    AdoptError
        For a slot that is missing, has another shape, or is none of the class's.
    """
    names, like = NAMES[CLASSES[kind][0]], np.asarray(like)
    kept = {key: value for key, value in kept.items() if value is not None}
    strange = sorted(set(kept) - names.keys)
    if strange:
        raise AdoptError(f"its state has {strange[0]}, which torch.optim.{kind} does not keep")
    if not kept:
        return filled(rule, hyper, {}, like)
    found: dict[str, Any] = {slot: kept.get(key) for slot, key in names.state.items()}
    found |= {slot: make(np.float64(kept[key])) for slot, (key, make, _) in names.derived.items() if key in kept}
    start = filled(rule, hyper, {}, like).state
    optional = ("buffer",) if not getattr(hyper, "momentum", 0) else ()
    for slot in (*names.state, *names.derived):
        if found.get(slot) is None and getattr(start, slot, None) is not None and slot not in optional:
            key = names.state.get(slot) or names.derived[slot].key
            raise AdoptError(f"its state has no {key}, which torch.optim.{kind} keeps with these options")
    if "initial_accumulator_value" in hyper._fields and int(found["t"]) == 0:
        if not np.all(np.asarray(found["sum"]) == hyper.initial_accumulator_value):
            raise AdoptError("its sum is not initial_accumulator_value, though no step was taken")
        return Kept(start)
    if getattr(start, "floor", None) is not None:
        found["floor"] = np.asarray(jnp.finfo(floor if floor is not None else like.dtype).eps, start.floor.dtype)
    return filled(rule, hyper, found, like, steps)


def kept_states(
    kind: str, rule: Rule, hyper: Any, kept: Mapping[str, Any], like: Mapping[str, Any], **how: Any
) -> tuple[Any, dict[str, str]]:
    """The rule's state over parameters by name, and why slots of it are unknown; ``how`` is as of :func:`kept_state`."""
    states, unknown = {}, dict[str, str]()
    for name, own in kept.items():
        try:
            states[name], missing = kept_state(kind, rule, hyper, own, like[name], **how)
        except AdoptError as error:
            raise AdoptError(f"{name}: {error}") from error
        unknown |= {slot: f"torch.optim.{kind} keeps no {slot}" for slot in missing}
    return joined(rule, states), unknown


def plain(name: str, value: Any) -> Any:
    """A number of a group as Python has it, whether it is a tensor or not."""
    if isinstance(value, (list, tuple)):
        return tuple(plain(name, entry) for entry in value)
    if hasattr(value, "item") and hasattr(value, "shape"):
        if tuple(value.shape) not in ((), (1,)):
            raise AdoptError(f"{name} has shape {tuple(value.shape)}; one number is read")
        return value.item()
    return value


def _said(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
