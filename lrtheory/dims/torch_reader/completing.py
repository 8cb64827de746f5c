"""Arguments that a constructor insists on and a user has not given, so that its optimizer can be run at all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...spec import CHOSEN

_WANTED: Mapping[str, Any] = {**CHOSEN, **dict.fromkeys(("lr", "learning_rate", "max_lr"), 1e-3)}
_LR = inspect.Parameter("lr", inspect.Parameter.KEYWORD_ONLY, default=1e-3)


def completed(optimizer: Any, given: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """A factory whose first argument are parameters and whose others all have a default, and what was chosen for it.

    An optimizer that is made of another one is given SGD, whose lr is a number of the factory. The class itself where
    nothing is missing.
    """
    parameters = dict(inspect.signature(optimizer).parameters)
    first, chosen = next(iter(parameters), ""), {}
    for name, p in list(parameters.items())[1:]:
        missing = _is_missing(p.default) and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and name not in given
        if missing and name in _WANTED:
            chosen[name] = torch.optim.SGD if name == "base_optimizer" else _WANTED[name]
    around = first in ("optimizer", "base_optimizer")
    module = first == "model" and "params" in parameters
    if not (chosen or around):
        return optimizer, []
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    needs_lr = "lr" not in parameters and (around or ("base_optimizer" in chosen and open_ended))

    def make(params: Any, **arguments: Any) -> Any:
        arguments = {**chosen, **arguments}
        if around:
            return optimizer(torch.optim.SGD(params, lr=arguments.pop("lr")), **arguments)
        return optimizer(_module(params), params, **arguments) if module else optimizer(params, **arguments)

    rest = [p.replace(kind=p.KEYWORD_ONLY, default=chosen.get(name, p.default)) for name, p in parameters.items()
            if name not in (first, "params") and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]  # fmt: skip
    variable = [p for p in parameters.values() if p.kind is p.VAR_KEYWORD]
    params = inspect.Parameter("params", inspect.Parameter.POSITIONAL_ONLY)
    words = [
        f"{name} = {value.__name__ if isinstance(value, type) else f'{value:g}'}" for name, value in chosen.items()
    ]
    words += [f"{first} = SGD"] * around
    return _like(optimizer, make, [params, *rest, *[_LR] * needs_lr, *variable]), [
        f"{', '.join(words)}: chosen here, for want of a default"
    ]


def _is_missing(default: Any) -> bool:
    """No default, or torch's old way to say so."""
    return default is inspect.Parameter.empty or type(default).__name__ == "_RequiredParameter"


def _like(optimizer: Any, make: Callable[..., Any], parameters: list[inspect.Parameter]) -> Any:
    made: Any = make
    made.__name__, made.__qualname__, made.__module__ = optimizer.__name__, optimizer.__qualname__, optimizer.__module__
    made.__signature__ = inspect.Signature(parameters)
    return made


def _module(params: list[torch.nn.Parameter]) -> torch.nn.Module:
    module = torch.nn.Module()
    for i, p in enumerate(params):
        module.register_parameter(f"p{i}", p)
    return module
