"""A live optimizer of torch, read without touching it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from ..names.torch import EXECUTION
from ..spec import call, torch_fields
from ._slots import AdoptError
from .adopted import Adopted, Group
from .torch_group import group_rule, kept_states, plain

#: What a subclass, or an object, may have of its own under a name that its parent has, and still take its parent's steps.
_HARMLESS = frozenset((
    "__init__", "__doc__", "__module__", "__annotations__", "__repr__", "__slotnames__", "step", "zero_grad",
    "add_param_group", "state_dict", "load_state_dict", "_zero_grad_profile_name",
    # what Python itself puts into every class, from 3.13 and 3.14 on
    "__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__",
))  # fmt: skip
_READ = ("state", "param_groups", "defaults")
#: Dtypes that NumPy has from ml_dtypes → torch's integers of their width.
_BITS = {"bfloat16": "int16", **dict.fromkeys(("float8_e4m3fn", "float8_e5m2"), "uint8")}


def to_numpy(tensor: Any, copy: bool = True) -> np.ndarray:
    """An array with the same numbers and dtype, of its own unless ``copy`` is off; dtypes that are not NumPy's go by their bits."""
    import torch

    tensor = torch.as_tensor(tensor).detach()
    tensor = (tensor.to_dense() if tensor.layout != torch.strided else tensor).cpu()
    name = str(tensor.dtype).removeprefix("torch.")
    if name in _BITS:
        own = tensor.view(getattr(torch, _BITS[name])).numpy().view(getattr(ml_dtypes, name))
    else:
        own = tensor.numpy()
    return own.copy() if copy else own


def to_torch(values: Any) -> Any:
    """A tensor of its own with the same numbers and dtype; NumPy's bfloat16 is not torch's, and goes by its bits."""
    import torch

    values = np.asarray(values)
    if values.dtype == ml_dtypes.bfloat16:
        return torch.tensor(values.view(np.int16)).view(torch.bfloat16)
    return torch.tensor(values)


def kind_of(optimizer: Any) -> tuple[str, str]:
    """The class of ``torch.optim`` whose steps an optimizer takes, and "", or its own name and why there is none."""
    import torch

    own, classes = type(optimizer), []
    for base in own.__mro__:
        if base is not torch.optim.Optimizer and getattr(torch.optim, base.__name__, None) is base:
            break
        classes.append(base)
    else:
        inside = "; the optimizer inside it is its .optimizer: adopt that" if hasattr(optimizer, "optimizer") else ""
        return own.__name__, f"{_name(own)} is none of torch.optim's classes{inside}"
    for where, found in [*((_name(c), {**vars(c)}) for c in classes), ("it", vars(optimizer))]:
        others = sorted(n for n in found if (hasattr(base, n) or (n in _READ and where != "it")) and n not in _HARMLESS)
        if others:
            return (
                own.__name__,
                f"{where} has a {others[0]} of its own, so that its steps may be others than those of torch.optim.{base.__name__}",
            )
    step = optimizer.step
    while True:  # functools.wraps gives a function another's name: where its code stands tells whose it is
        home = getattr(getattr(step, "__func__", step), "__globals__", {}).get("__name__", "")
        if not f"{home}.".startswith("torch."):
            name = getattr(step, "__qualname__", type(step).__name__)
            return own.__name__, f"its step is {home}.{name}, not that of torch.optim.{base.__name__}"
        if not hasattr(step, "__wrapped__"):
            break
        step = step.__wrapped__
    module, name = getattr(step, "__module__", ""), getattr(step, "__qualname__", "")
    if not f"{module}.".startswith("torch.optim.") or name not in {f"{c.__name__}.step" for c in base.__mro__}:
        return own.__name__, f"its step is {module}.{name}, not that of torch.optim.{base.__name__}"
    return base.__name__, ""


def adopt_torch(
    optimizer: Any,
    model: Any = None,
    names: Mapping[int, str] | None = None,
    *,
    arrays: bool = True,
    steps: int | None = None,
) -> Adopted:
    """Read an optimizer; ``names`` are those of parameters by their ``id``, and ``model`` gives them as it has them."""
    kind, reason = kind_of(optimizer)
    given = {id(p): name for name, p in model.named_parameters()} if model is not None else dict(names or {})
    groups, position = [], 0
    for number, group in enumerate(optimizer.param_groups):
        params = list(group["params"])
        own = group.get("param_names") or [str(position + i) for i in range(len(params))]
        called = tuple(given.get(id(p), name) for p, name in zip(params, own, strict=True))
        position += len(params)
        groups.append(_group(optimizer, kind, reason, number, called, arrays, steps))
    hooks = [*optimizer._optimizer_step_pre_hooks.values(), *optimizer._optimizer_step_post_hooks.values()]
    notes = tuple(f"{_name(hook)} is called at every step; what it changes is not seen" for hook in hooks)
    return Adopted("torch", kind, tuple(groups), notes)


def _name(named: Any) -> str:
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', type(named).__name__)}"


def _spec(kind: str, group: Mapping[str, Any]) -> str:
    """The group as code; how it is computed is left out."""
    fields = torch_fields(kind) - set(EXECUTION)
    given = {name: plain(name, value) for name, value in group.items() if name in fields}
    if "decoupled_weight_decay" in given and kind in ("Adam", "AdamW"):
        kind = "AdamW" if given.pop("decoupled_weight_decay") else "Adam"
    return call(f"torch.optim.{kind}", given)


def _unreadable(names: tuple[str, ...], params: Mapping[str, Any]) -> str:
    """What keeps parameters from being those of a rule."""
    if len(params) < len(names):
        return "two of its parameters have one name"
    for name, p in params.items():
        if not p.is_floating_point():
            dtype = str(p.dtype).removeprefix("torch.")
            return f"{name} is {dtype}, and rules take real floating-point parameters"
        if p.device.type == "meta":
            return f"{name} is on the device meta, where there are no numbers to read"
    return ""


def _group(
    optimizer: Any, kind: str, reason: str, number: int, names: tuple[str, ...], arrays: bool, steps: int | None
) -> Group:
    group = optimizer.param_groups[number]
    params = {name: p.detach() for name, p in zip(names, group["params"], strict=True)}
    lr = float(group["lr"]) if "lr" in group else None
    unreadable = _unreadable(names, params)
    rule, hyper, why, notes = (
        group_rule(kind, group) if not (reason or unreadable) else (None, None, reason or unreadable, ())
    )
    values = {name: to_numpy(p) for name, p in params.items()} if arrays and not unreadable else {}
    if rule is None or not arrays:
        return Group(names, rule, hyper, why, lr, values, notes=notes, spec=_spec(kind, group) if rule else "")
    first = next(
        (v.dtype for v, p in zip(values.values(), group["params"], strict=True) if optimizer.state.get(p)), None
    )
    own = {name: optimizer.state.get(p, {}) for name, p in zip(values, group["params"], strict=True)}
    kept = {n: {k: to_numpy(v) if hasattr(v, "detach") else v for k, v in of.items()} for n, of in own.items()}
    try:
        state, unknown = kept_states(kind, rule, hyper, kept, values, steps=steps, floor=first)
    except AdoptError as error:
        return Group(names, None, None, str(error), lr, values, notes=notes)
    return Group(names, rule, hyper, "", lr, values, state, unknown, notes, spec=_spec(kind, group))
