"""From what a user gives (text, a class, a factory, a transformation, a rule) to a target."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from lrtheory.dims.target import Numbered, TargetError
from lrtheory.dims.target import target as numbered
from lrtheory.rules import Rule
from lrtheory.spec import Spec, SpecError, is_torch, parse, part, read
from lrtheory.spec import resolve as resolve_spec

from ..outcome import told
from .jax_target import OptaxTarget, RuleTarget
from .target import DEFAULT_LR, RATES, Target

EXPECTED = (
    "an optax transformation or a factory of one, a torch.optim.Optimizer class or a factory of one, a rule, or a SPEC "
    "such as 'optax.adam' or 'torch.optim.SGD(lr=0.1)'"
)


def resolve(target: Any, arguments: Mapping[str, Any] | None = None) -> Target:
    """The target that was meant, by text or as an object, with arguments of its class, factory or, of a rule, ``hyper``.

    Raises TargetError if it cannot be imported, needs arguments, or is no optimizer.
    """
    given = dict(arguments or {})
    if isinstance(target, Target):
        return target
    if isinstance(target, str):
        try:
            spec = parse(target)
            return _of_spec(spec, given)
        except SpecError as error:
            raise TargetError(str(error)) from error
    imports, expression = _code(target)
    return _of_object(target, given, (_name(target), imports, expression))


def _of_spec(spec: Spec, given: dict[str, Any]) -> Target:
    names = (spec.text, "", repr(spec.text))
    if spec.is_rule:
        reading = read(spec.text)
        return _of_object(reading.rule, {**reading.hyper._asdict(), **given}, names)
    if spec.module is not None and not spec.called:
        return _of_object(resolve_spec(spec), given, names)
    target, root = numbered(spec), part(spec)
    if target.kind is not None:
        return _of_object(target.kind, {**target.make({}), **given}, names)
    if root.through is None and not any(root.inner()):
        return _of_object(root.factory, {**root.values(), **given}, names)
    return _of_tree(target, given, names)


def _of_tree(target: Numbered, given: dict[str, Any], names: tuple[str, str, str]) -> Target:
    """A composition, as a factory of its numbers."""
    argument = {name: "_".join(reversed(name.rsplit(".", 1))).replace(".", "_") for name in target.numbers}

    def made(**numbers: Any) -> Any:
        return target.make({name: numbers[a] for name, a in argument.items() if a in numbers})

    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(argument[n], kind, default=v) for n, v in target.numbers.items()]
    made.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    rate = next((r for r in RATES if r in target.numbers and r not in target.curves), None)
    given = {**({rate: target.numbers[rate]} if rate else {}), **given}
    return OptaxTarget(made, given, *names, target.notes, rate=rate)


def _of_object(target: Any, given: dict[str, Any], names: tuple[str, str, str]) -> Target:
    if isinstance(target, Rule):
        try:
            return RuleTarget(target, given, *names)
        except (TypeError, ValueError) as error:
            raise TargetError(str(error)) from error
    if hasattr(target, "init") and hasattr(target, "update"):
        if given:
            raise TargetError(f"{names[0]} is a transformation already: give arguments to its factory")
        return OptaxTarget(target, {}, *names)
    if not callable(target):
        raise TargetError(f"{names[0]} is {type(target).__name__}: expected {EXPECTED}")
    if _is_torch(target):
        from lrtheory.dims.torch_reader.completing import completed

        from .torch_target import TorchTarget

        if isinstance(target, functools.partial) and not target.args:  # the class itself can be followed further
            target, given = target.func, {**target.keywords, **given}
        notes, made = _with_rate(target, given, skip=1), target
        if hasattr(target, "__name__") and _parameters(target, 0):
            made, chosen = completed(target, given)
            notes = (*notes, *chosen, *_with_rate(made, given, skip=1))
        _refuse_lacking(names[0], made, given, skip=1)
        return TorchTarget(made, given, *names, notes, written=target)
    return _of_factory(target, given, names)


def _of_factory(factory: Any, given: dict[str, Any], names: tuple[str, str, str]) -> Target:
    notes = _with_rate(factory, given, skip=0)
    _refuse_lacking(names[0], factory, given, skip=0)
    try:
        made = factory(**given)
    except (Exception, SystemExit) as error:
        raise TargetError(f"{names[0]} cannot be called: it {told(error)}") from error
    if isinstance(made, Rule):
        return _of_object(made, {}, names)
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise TargetError(f"{names[0]} returned {type(made).__name__}: expected {EXPECTED}")
    return OptaxTarget(factory, given, *names, notes, rate=next((rate for rate in RATES if rate in given), None))


def _parameters(factory: Any, skip: int) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(factory).parameters.values())[skip:]
    except (TypeError, ValueError):
        return []


def _with_rate(factory: Any, given: dict[str, Any], skip: int) -> tuple[str, ...]:
    """Fill in the lr."""
    notes: tuple[str, ...] = ()
    for p in _parameters(factory, skip):
        if p.name not in RATES or p.name in given:
            continue
        absent = p.default is p.empty
        if isinstance(p.default, (int, float)):
            given[p.name] = p.default
        elif absent or (p.default is None and skip == 0):
            given[p.name] = DEFAULT_LR
            lacking = "has no default" if absent else "is None by default, which is no lr"
            notes += (f"{p.name} {lacking}: {DEFAULT_LR:g}",)
    return notes


def _refuse_lacking(name: str, factory: Any, given: Mapping[str, Any], skip: int) -> None:
    for p in _parameters(factory, skip):
        if p.default is p.empty and p.name not in given and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            raise TargetError(f"{name} needs arguments: give {p.name}, as in {name}({p.name}=...)")


def _is_torch(target: Any) -> bool:
    """Whether it makes torch optimizers."""
    plain = target.func if isinstance(target, functools.partial) else target
    if isinstance(plain, type):
        return is_torch(plain)
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
