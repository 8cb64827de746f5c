"""The factories by name: one per rule, cached per set of options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..numbers import with_parameters
from ._rule import ArrayRule, Rule

_FACTORIES: dict[str, Callable[..., Rule]] = {}

#: Optimizers that are looked for here and cannot be a rule, with the reason.
ABSENT = {
    "lbfgs": "LBFGS is no rule of one step: each call of torch.optim.LBFGS evaluates the loss many times and moves "
    "along a line search, so that it has neither an effective lr nor one gradient a step. "
    "Use torch.optim.LBFGS or optax.lbfgs",
}


def register(write: Callable[..., ArrayRule]) -> Callable[..., Rule]:
    """Turn a function from options to :class:`ArrayRule` into a factory of :class:`Rule`, known by its name.

    A rule that says nothing else of ``maximize`` gets that option, and the hyperparameters and it enter the docstring.
    """
    signature = inspect.signature(write)
    name, declared = write.__name__, write()
    entries = [number.documented(key) for key, number in declared.Hyper._numbers.items()]
    signed = declared.maximizes and "maximize" not in signature.parameters
    if signed:
        option = inspect.Parameter("maximize", inspect.Parameter.KEYWORD_ONLY, default=False, annotation="bool")
        signature = signature.replace(parameters=[*signature.parameters.values(), option])
        entries.append("maximize : option\n    Negates the gradient first.")

    on = tuple(option for option, parameter in signature.parameters.items() if parameter.default is True)

    @functools.lru_cache(maxsize=None, typed=True)  # 2.0 is no step count, though it equals 2
    def build(**options: Any) -> Rule:
        own = {key: value for key, value in options.items() if key != "maximize" or not signed}
        return Rule(write(**own).completed(name, signed and options["maximize"]), options, on)

    @functools.wraps(write)
    def factory(*unexpected: Any, **options: Any) -> Rule:
        if unexpected:
            raise TypeError(f"{name} takes options by keyword only, but {unexpected[0]!r} was given by position")
        for option in options:
            if option not in signature.parameters:
                raise TypeError(_unknown_option(name, signature, option, factory()))
        bound = signature.bind(**options)
        bound.apply_defaults()
        for option, value in bound.arguments.items():
            default = signature.parameters[option].default
            if isinstance(default, bool) and not isinstance(value, bool):
                raise TypeError(f"{name}: {option}={value!r} must be True or False")
        return build(**bound.arguments)

    factory.__doc__ = with_parameters(write.__doc__, entries)
    factory.__signature__ = signature.replace(return_annotation="Rule")  # type: ignore[attr-defined]
    add(name, factory)
    return factory


def _unknown_option(name: str, signature: inspect.Signature, option: str, rule: Rule) -> str:
    known = ", ".join(signature.parameters) or "none"
    message = f"{name} has no option {option!r}: its options are {known}"
    if option in rule.Hyper._fields or option == "betas":
        message += f". {option} is a hyperparameter: give it to {name}(...).hyper({option}=...)"
    return message


def add(name: str, factory: Callable[..., Rule]) -> None:
    """Make a factory known under a name."""
    if name in _FACTORIES:
        raise ValueError(f"a rule named {name!r} is already registered")
    _FACTORIES[name] = factory


def names() -> list[str]:
    """Names of all rules, aliases among them."""
    return sorted(_FACTORIES)


def factory_of(rule: Rule) -> Callable[..., Rule]:
    """The factory that a rule was made by."""
    return get(rule.name)


def get(name: str) -> Callable[..., Rule]:
    """The factory of that name.

    Raises
    ------
    KeyError
        With the known names, or with the reason why an optimizer is no rule.
    """
    if name.lower() in ABSENT:
        raise KeyError(ABSENT[name.lower()])
    if name not in _FACTORIES:
        raise KeyError(f"no rule named {name!r}: there are {', '.join(names())}")
    return _FACTORIES[name]
