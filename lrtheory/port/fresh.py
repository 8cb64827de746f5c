"""A target that is made for the source: the optimizer that :func:`lrtheory.port.config` would write, over new parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..names import entry, find
from ..names import optax as optax_names
from ..names.keras import NAMES
from .counterparts import NoCounterpartError, advised, by_epsilon, in_keras, in_optax, in_torch
from .errors import PortError
from .into_keras import KerasTarget
from .into_optax import OptaxTarget
from .into_torch import TorchTarget
from .targets import same_steps
from .tensors import Tensor


def fresh(to: str, tensors: Mapping[str, Tensor], framework: str) -> Any:
    """A target with the source's rules and numbers in force; what it lacks is told in the words of the source's ``framework``."""
    firsts = {name: tensor.stand_in(name) for name, tensor in tensors.items()}
    groups: dict[Any, list[str]] = {}
    decaying = [tensor.rule for tensor in tensors.values() if getattr(tensor.hyper, "weight_decay", 0)]
    for name, tensor in tensors.items():  # those without a decay are of one class with those that have one
        rule = next((r for r in decaying if same_steps(r, tensor.rule, tensor.hyper)), tensor.rule)
        groups.setdefault((rule, tensor.hyper), []).append(name)
    return {"torch": _torch, "optax": _optax, "keras": _keras}[to](firsts, groups, framework)


def _torch(firsts: Mapping[str, np.ndarray], groups: Mapping[Any, list[str]], framework: str) -> TorchTarget:
    import torch

    from ..adopting.in_torch import to_torch

    params = {name: torch.nn.Parameter(to_torch(first)) for name, first in firsts.items()}
    calls = [advised(in_torch, rule, hyper, framework) for rule, hyper in groups]
    if len({call.name for call in calls}) > 1:
        raise PortError(
            f"{' and '.join(sorted({call.name for call in calls}))} are two optimizers of torch: port them apart"
        )
    own = [
        {"params": [(name, params[name]) for name in names], **call.arguments}
        for call, names in zip(calls, groups.values(), strict=True)
    ]
    return TorchTarget(replace(calls[0], first=(own,), arguments={}).make())


def _optax(firsts: Mapping[str, np.ndarray], groups: Mapping[Any, list[str]], framework: str) -> OptaxTarget:
    import optax

    def made(rule: Any, hyper: Any) -> Any:
        factories = find(optax_names.FACTORIES, rule)
        if factories and not set(factories) & set(optax_names.NAMES):
            told = ", ".join(factories)
            raise NoCounterpartError(f"optax.{told} is read as none of our rules, so that its state is not written")
        calls = advised(lambda r, h: in_optax(r, h._asdict(), h.lr), rule, hyper, framework)
        parts = [call.make() for call in calls]
        return parts[0] if len(parts) == 1 else optax.chain(*parts)

    if len(groups) == 1:
        return OptaxTarget(made(*next(iter(groups))))
    parts: dict[Any, Any] = {str(i): made(*key) for i, key in enumerate(groups)}
    labels = {name: str(i) for i, names in enumerate(groups.values()) for name in names}

    def label(params: Any) -> Any:
        import jax

        from ..adopting.optax_row import named

        return jax.tree.unflatten(jax.tree.structure(params), [labels[name] for name in named(params)])

    return OptaxTarget(optax.partition(parts, label))


def _keras(firsts: Mapping[str, np.ndarray], groups: Mapping[Any, list[str]], framework: str) -> KerasTarget:
    from ..spec import load_keras

    keras = load_keras()
    if len(groups) > 1:
        raise PortError("hyperparameters differ between parameters, and Keras has one set for all: port them apart")
    ((rule, hyper),) = groups
    name = find(NAMES, rule)
    if name is not None and not name.lists:
        raise NoCounterpartError(f"the state of keras.optimizers.{name.optimizer} is not written")

    def written(r: Any, h: Any) -> Any:
        made = in_keras(r, h._asdict(), h.lr)
        if not entry(NAMES, r).before_correction:  # which its next steps alone differ by
            for reason, change in by_epsilon(r, h, ("keras", framework)):
                raise NoCounterpartError(reason, change)
        return made

    optimizer = advised(written, rule, hyper, framework).make()
    variables = [
        keras.Variable(first, dtype=str(first.dtype), name=name.replace("/", "_")) for name, first in firsts.items()
    ]
    optimizer.build(variables)
    target = KerasTarget(optimizer)
    target.variables = dict(zip(firsts, variables, strict=True))
    target.found = replace(target.found, groups=tuple(replace(g, names=tuple(firsts)) for g in target.found.groups))
    return target
