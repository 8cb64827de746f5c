"""What ``state_dict()`` of a torch optimizer holds, in our terms; arrays may be tensors or NumPy's, so that it needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..names import entry
from ..names.torch import CLASSES, EXECUTION, NAMES
from ..spec import torch_fields
from ._slots import AdoptError
from .adopted import Adopted, Group
from .torch_group import group_rule, kept_states


def is_state_dict(found: Any) -> bool:
    """Whether it looks like what ``state_dict()`` of a torch optimizer returns."""
    return isinstance(found, Mapping) and {"state", "param_groups"} <= set(found)


def kind_of_groups(saved: Mapping[str, Any]) -> str:
    """The class of ``torch.optim`` whose fields the groups have, and whose keys the state has.

    Raises
    ------
    AdoptError
        Where no class fits, or several do.
    """
    keys = {key for kept in saved["state"].values() for key in kept}
    given = set.intersection(*(set(group) for group in saved["param_groups"])) if saved["param_groups"] else set()
    fields = given & set().union(*map(_fields, CLASSES))
    kinds = [kind for kind, (rule, _) in CLASSES.items() if _fields(kind) == fields and keys <= NAMES[rule].keys]
    if not kinds:
        old = fields == _fields("Adam") - {_DECOUPLED}
        raise AdoptError(
            "the state dict is of Adam or of AdamW, and does not say which: give the class, as in kind='AdamW'"
            if old
            else f"no class of torch.optim has groups with {', '.join(sorted(given - {'params'})) or 'no fields'} and a state of "
            f"{', '.join(sorted(keys)) or 'nothing'}; where it is one of them in another version, give the class, as in kind='AdamW'"
        )
    return kinds[0]  # Adam and AdamW have the same fields, one of which says which


_DECOUPLED = "decoupled_weight_decay"
#: Switches of groups that torch puts in when it loads the file of an older version.
_OFF = ("amsgrad", "maximize", "nesterov", "centered", *EXECUTION)


def filled_in(kind: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """A group with the switches that torch puts in when an older file lacks them."""
    fields = torch_fields(kind)
    own = {name: False for name in _OFF if name in fields}
    if _DECOUPLED in fields:
        own[_DECOUPLED] = kind == "AdamW"
    return {**own, **numbers}


def _fields(kind: str) -> set[str]:
    return torch_fields(kind) - set(EXECUTION)


def adopt_state_dict(
    saved: Mapping[str, Any],
    params: Mapping[str, Any] | None = None,
    *,
    kind: str | None = None,
    steps: int | None = None,
) -> Adopted:
    """Read a state dict.

    Parameters
    ----------
    saved
        With ``state`` and ``param_groups``; parameters are called by the groups' ``param_names``, else as the groups have them:
        by position.
    params : mapping of name to array, optional
        Without them each has the shape and dtype of what is kept of it, and groups have no parameters.
    kind : str, optional
        The class's name, where fields and keys do not say it.
    steps : int, optional
        As of :func:`lrtheory.adopt`.
    """
    if not is_state_dict(saved):
        raise AdoptError("a state dict of a torch optimizer has 'state' and 'param_groups'")
    kind = kind or kind_of_groups(saved)
    if kind not in CLASSES:
        raise AdoptError(f"kind={kind!r} is no class of torch.optim that is one of our rules: {', '.join(CLASSES)}")
    keys = [key for group in saved["param_groups"] for key in group["params"]]
    if strange := [key for key in saved["state"] if key not in keys]:
        raise AdoptError(f"the state has {strange[0]!r}, which is in none of the groups")
    groups = tuple(_group(saved, kind, group, params, steps) for group in saved["param_groups"])
    return Adopted("torch", kind, groups)


def names_of(group: Mapping[str, Any]) -> tuple[str, ...]:
    """What the parameters of a saved group are called."""
    own = group.get("param_names") or [str(key) for key in group["params"]]
    if len(own) != len(group["params"]):
        raise AdoptError(f"a group has {len(group['params'])} parameters and {len(own)} param_names")
    return tuple(own)


def array_of(entry: Any) -> Any:
    """A tensor as a NumPy array of its own; what is none as it is."""
    if hasattr(entry, "detach"):
        from .in_torch import to_numpy

        return to_numpy(entry)
    return np.array(entry) if hasattr(entry, "dtype") else entry


def _group(
    saved: Mapping[str, Any],
    kind: str,
    group: Mapping[str, Any],
    params: Mapping[str, Any] | None,
    steps: int | None,
) -> Group:
    names = names_of(group)
    group = filled_in(kind, group)
    rule, hyper, reason, notes = group_rule(kind, group)
    lr = float(group["lr"]) if "lr" in group else None
    if rule is None:
        return Group(names, None, None, reason, lr, notes=notes)
    own = {name: saved["state"].get(key, {}) for name, key in zip(names, group["params"], strict=True)}
    kept = {name: {slot: array_of(entry) for slot, entry in of.items()} for name, of in own.items()}
    if params is not None and (absent := [name for name in names if name not in params]):
        raise AdoptError(f"params has no {absent[0]!r}, which the state dict has")
    values = {} if params is None else {name: array_of(params[name]) for name in names}
    like = values or {name: _like(name, rule, of) for name, of in kept.items()}
    state, unknown = kept_states(kind, rule, hyper, kept, like, steps=steps)
    return Group(names, rule, hyper, "", lr, values, state, unknown, notes)


def _like(name: str, rule: Any, kept: Mapping[str, Any]) -> np.ndarray:
    """An array like the parameter, from one that is kept of it."""
    for slot, key in entry(NAMES, rule).state.items():
        if rule.State._slots[slot].kind == "array" and slot not in ("row_var", "col_var") and kept.get(key) is not None:
            return np.zeros(np.shape(kept[key]), kept[key].dtype)
    raise AdoptError(f"nothing that is kept of {name} says what shape it has: give the parameters, as in params=")
