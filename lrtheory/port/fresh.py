"""A target that is made for the source: the optimizer that :func:`lrtheory.port.config` would write, over new parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from . import counterparts
from .errors import PortError
from .into_keras import KerasTarget
from .into_optax import OptaxTarget
from .into_torch import TorchTarget
from .tensors import Tensor


def fresh(to: str, tensors: Mapping[str, Tensor]) -> Any:
    """A target of that framework with the source's rules and numbers in force."""
    firsts = {name: tensor.stand_in(name) for name, tensor in tensors.items()}
    groups: dict[Any, list[str]] = {}
    for name, tensor in tensors.items():
        groups.setdefault((tensor.rule, tensor.hyper), []).append(name)
    return {"torch": _torch, "optax": _optax, "keras": _keras}[to](firsts, groups)


def _torch(firsts: Mapping[str, np.ndarray], groups: Mapping[Any, list[str]]) -> TorchTarget:
    import torch

    from ..adopting.in_torch import to_torch

    params = {name: torch.nn.Parameter(to_torch(first)) for name, first in firsts.items()}
    calls = [counterparts.in_torch(rule, hyper) for rule, hyper in groups]
    if len({call.name for call in calls}) > 1:
        raise PortError(
            f"{' and '.join(sorted({call.name for call in calls}))} are two optimizers of torch: port them apart"
        )
    own = [
        {"params": [(name, params[name]) for name in names], **call.arguments}
        for call, names in zip(calls, groups.values(), strict=True)
    ]
    return TorchTarget(replace(calls[0], first=(own,), arguments={}).make())


def _optax(firsts: Mapping[str, np.ndarray], groups: Mapping[Any, list[str]]) -> OptaxTarget:
    import optax

    def made(rule: Any, hyper: Any) -> Any:
        parts = [p.make() for p in counterparts.in_optax(rule, hyper._asdict(), hyper.lr)]
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


def _keras(firsts: Mapping[str, np.ndarray], groups: Mapping[Any, list[str]]) -> KerasTarget:
    from ..spec import load_keras

    keras = load_keras()
    if len(groups) > 1:
        raise PortError("hyperparameters differ between parameters, and Keras has one set for all: port them apart")
    ((rule, hyper),) = groups
    optimizer = counterparts.in_keras(rule, hyper._asdict(), hyper.lr).make()
    variables = [
        keras.Variable(first, dtype=str(first.dtype), name=name.replace("/", "_")) for name, first in firsts.items()
    ]
    optimizer.build(variables)
    target = KerasTarget(optimizer)
    target.variables = dict(zip(firsts, variables, strict=True))
    target.found = replace(target.found, groups=tuple(replace(g, names=tuple(firsts)) for g in target.found.groups))
    return target
