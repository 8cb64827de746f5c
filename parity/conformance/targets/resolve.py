"""From what a user gives (text, a class, a factory, a transformation, a rule) to a target."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from lrtheory.rules import Rule
from lrtheory.spec.text import Spec, SpecError, parse
from lrtheory.spec.text import resolve as resolve_spec

from ..outcome import told
from .target import RATES, Target, TargetError

EXPECTED = (
    "an optax transformation or a factory of one, a torch.optim.Optimizer class or a factory of one, a rule, or a SPEC "
    "such as 'optax.adam' or 'torch.optim.SGD(lr=0.1)'"
)
DEFAULT_LR = 1e-3


def resolve(target: Any, arguments: Mapping[str, Any] | None = None) -> Target:
    """The target that was meant.

    Parameters
    ----------
    target : text, or an object
    arguments : keyword arguments of the class, factory or, for a rule, its ``hyper``

    Raises
    ------
    TargetError
        If it cannot be imported, needs arguments, or is no optimizer.
    """
    given = dict(arguments or {})
    if isinstance(target, Target):
        return target
    if isinstance(target, str):
        try:
            spec = parse(target)
            return _of_spec(spec, resolve_spec(spec), given)
        except SpecError as error:
            raise TargetError(str(error)) from error
    imports, expression = _code(target)
    return _of_object(target, given, (_name(target), imports, expression))


def _of_spec(spec: Spec, found: Any, given: dict[str, Any]) -> Target:
    names = (spec.text, "", repr(spec.text))
    if spec.is_rule:
        if spec.args:
            raise TargetError(f"{spec.text}: a rule takes arguments by name, as in {spec.name}(lr=1e-3)")
        options = {name: value for name, value in spec.kwargs.items() if isinstance(value, bool)}
        numbers = {name: value for name, value in spec.kwargs.items() if name not in options}
        try:
            return _of_object(found(**options), {**numbers, **given}, names)
        except TypeError as error:
            raise TargetError(str(error)) from error
    if not callable(found):
        if spec.called or not hasattr(found, "update"):
            raise TargetError(f"{spec.text} is {type(found).__name__}: expected {EXPECTED}")
        return _of_object(found, given, names)
    if spec.module is None and not (_is_torch(found) and isinstance(found, type)) and not _of_optax(found):
        raise TargetError(f"{spec.text} is not known to be an optimizer, and is not called: {_advice(found)}")
    skip = 1 if _is_torch(found) else 0
    parameters = list(inspect.signature(found).parameters)[skip:]
    if len(spec.args) > len(parameters):
        raise TargetError(f"{spec.text}: {len(spec.args)} arguments, but {spec.name} takes {len(parameters)}")
    by_name = dict(zip(parameters, spec.args, strict=False))
    if set(by_name) & set(spec.kwargs):
        raise TargetError(f"{spec.text}: {', '.join(sorted(set(by_name) & set(spec.kwargs)))} given twice")
    return _of_object(found, {**by_name, **spec.kwargs, **given}, names)


def _of_object(target: Any, given: dict[str, Any], names: tuple[str, str, str]) -> Target:
    if isinstance(target, Rule):
        from .jax_target import RuleTarget

        try:
            return RuleTarget(target, given, *names)
        except (TypeError, ValueError) as error:
            raise TargetError(str(error)) from error
    if hasattr(target, "init") and hasattr(target, "update"):
        from .jax_target import OptaxTarget

        if given:
            raise TargetError(f"{names[0]} is a transformation already: give arguments to its factory")
        return OptaxTarget(target, {}, *names)
    if not callable(target):
        raise TargetError(f"{names[0]} is {type(target).__name__}: expected {EXPECTED}")
    if _is_torch(target):
        from .torch_target import TorchTarget

        notes = _with_rate(names[0], target, given, skip=1)
        if isinstance(target, functools.partial) and not target.args:  # the class itself can be followed further
            target, given = target.func, {**target.keywords, **given}
        return TorchTarget(target, given, *names, notes)
    return _of_factory(target, given, names)


def _of_factory(factory: Any, given: dict[str, Any], names: tuple[str, str, str]) -> Target:
    notes = _with_rate(names[0], factory, given, skip=0)
    try:
        made = factory(**given)
    except (Exception, SystemExit) as error:
        raise TargetError(f"{names[0]} cannot be called: it {told(error)}") from error
    if isinstance(made, Rule):
        return _of_object(made, {}, names)
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise TargetError(f"{names[0]} returned {type(made).__name__}: {_advice(made)}")
    from .jax_target import OptaxTarget

    return OptaxTarget(factory, given, *names, notes, rate=next((rate for rate in RATES if rate in given), None))


def _of_optax(found: Any) -> bool:
    return str(getattr(found, "__module__", "")).partition(".")[0] == "optax"


def _advice(found: Any) -> str:
    """What to give in the place of something that is no optimizer."""
    names = [base.__name__ for base in getattr(found, "__mro__", ())]
    if "LRScheduler" in names:
        return "it is a schedule of the lr; check an optimizer, such as 'torch.optim.SGD(lr=0.1)'"
    if inspect.isfunction(found) and _of_optax(found):
        return "it is a schedule of the lr; give one to an optimizer's factory in a module of yours, and check that"
    return f"expected {EXPECTED}, or 'module:callable' for a callable of another kind"


def _with_rate(name: str, factory: Any, given: dict[str, Any], skip: int) -> tuple[str, ...]:
    """Fill in the lr, and refuse a call that lacks other arguments."""
    notes: tuple[str, ...] = ()
    try:
        parameters = list(inspect.signature(factory).parameters.values())[skip:]
    except (TypeError, ValueError):
        return notes
    for parameter in parameters:
        if parameter.name in given:
            continue
        is_rate = parameter.name in RATES
        if is_rate and isinstance(parameter.default, (int, float)):
            given[parameter.name] = parameter.default
        elif (is_rate and (parameter.default is parameter.empty or parameter.default is None) and skip == 0) or (
            is_rate and parameter.default is parameter.empty
        ):
            given[parameter.name] = DEFAULT_LR
            notes += (f"{parameter.name} has no default: {DEFAULT_LR:g}",)
        elif parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            raise TargetError(f"{name} needs arguments: give {parameter.name}, as in {name}({parameter.name}=...)")
    return notes


def _is_torch(target: Any) -> bool:
    """Whether it makes torch optimizers; torch is not imported for one that cannot."""
    plain = target.func if isinstance(target, functools.partial) else target
    if isinstance(plain, type):
        return any(base.__module__ == "torch.optim.optimizer" for base in plain.__mro__)
    try:
        return list(inspect.signature(plain).parameters)[:1] == ["params"]
    except (TypeError, ValueError):
        return False


def _name(target: Any) -> str:
    if isinstance(target, functools.partial):
        return _name(target.func)
    if isinstance(target, Rule):
        return repr(target)
    module, name = getattr(target, "__module__", ""), getattr(target, "__qualname__", "")
    return f"{module}.{name}" if module and name else type(target).__name__


def _code(target: Any) -> tuple[str, str]:
    """Imports and an expression that give the object again, where its name says where it stands."""
    if isinstance(target, Rule):
        return "from lrtheory import rules", f"rules.{target!r}"
    module, name = getattr(target, "__module__", ""), getattr(target, "__qualname__", "")
    if module and name and name.isidentifier():
        return f"from {module} import {name}", name
    return "", "target  # the object that was checked"
