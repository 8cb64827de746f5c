"""Inference for a TARGET in text: a SPEC, a bare name, or ``module:callable``."""

from __future__ import annotations

import contextlib
import inspect
import io
import random
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..spec.text import Spec, SpecError, parse, resolve
from ..units import PARAM
from .dimensions import Dimensions
from .infer import infer, makes_torch_optimizer


class TargetError(ValueError):
    """A target that cannot be looked at; the message says why, and what would do."""


def infer_target(text: str) -> Dimensions:
    """Units of what a TARGET names.

    Raises
    ------
    TargetError
        If it cannot be imported or run, is no optimizer, prints, or changes global state.
    """
    try:
        spec = parse(text)
        with _silent(spec):
            target = resolve(spec)
            before = _global_state(spec)
            result = _infer(spec, target)
            after = _global_state(spec)
    except TargetError:
        raise
    except SpecError as error:
        raise TargetError(str(error)) from error
    except (Exception, SystemExit) as error:
        message = str(error).strip().splitlines() or [type(error).__name__]
        raise TargetError(f"{text}: {message[0]}") from error
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if changed:
        raise TargetError(f"{text} changes global state ({', '.join(changed)}): a target must leave it alone")
    return replace(result, target=spec.text)


def _infer(spec: Spec, target: Any) -> Dimensions:
    if spec.is_rule:
        return _infer_rule(spec, target)
    if not callable(target):
        raise TargetError(f"{spec.text} is {type(target).__name__}, not an optimizer or a callable that returns one")
    if makes_torch_optimizer(target):
        return infer(target, **_named(spec, target, skip=1))

    from .optax_reader.infer import default_numbers, infer_optax, is_optimizer

    given = _named(spec, target)
    numbers, others, notes = default_numbers(target, given)
    missing = [
        name
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        and name not in numbers
        and name not in others
    ]
    if missing:
        raise TargetError(
            f"{spec.text} needs arguments: give {', '.join(missing)}, as in {spec.name}({missing[0]}=...)"
        )
    update = PARAM if is_optimizer(target) else None
    result = infer_optax(target, hyper=numbers, update=update, target=spec.name, **others)
    return replace(result, notes=(*notes, *result.notes))


def _infer_rule(spec: Spec, factory: Any) -> Dimensions:
    if spec.args:
        raise TargetError(f"{spec.text}: a rule takes arguments by name, as in {spec.name}(lr=1e-3)")
    options = {name: value for name, value in spec.kwargs.items() if isinstance(value, bool)}
    try:
        rule = factory(**options)
        rule.hyper(**{name: value for name, value in spec.kwargs.items() if name not in options})
    except (TypeError, ValueError) as error:
        raise TargetError(str(error)) from error
    return infer(rule)


def _named(spec: Spec, target: Any, skip: int = 0) -> dict[str, Any]:
    """Arguments by name; ``skip`` leaves out parameters that the reader gives, such as ``params``."""
    try:
        names = list(inspect.signature(target).parameters)[skip:]
    except (TypeError, ValueError) as error:
        raise TargetError(f"{spec.text} has no signature that could be read") from error
    if len(spec.args) > len(names):
        raise TargetError(f"{spec.text}: {len(spec.args)} arguments, but {spec.name} takes {len(names)}")
    named = dict(zip(names, spec.args, strict=False))
    twice = set(named) & set(spec.kwargs)
    if twice:
        raise TargetError(f"{spec.text}: {', '.join(sorted(twice))} given twice")
    return {**named, **spec.kwargs}


@contextlib.contextmanager
def _silent(spec: Spec) -> Iterator[None]:
    """Refuse a target that prints: its words would get between the lines of the table, or break the JSON."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    if printed.getvalue():
        first = (printed.getvalue().strip().splitlines() or [""])[0][:60]
        raise TargetError(f"{spec.text} prints {first!r}: a target must not print")


def _global_state(spec: Spec) -> dict[str, Any]:
    """What a target could change behind one's back: random generators, and the variables of its module."""
    state: dict[str, Any] = {
        "random": hash(random.getstate()),
        "numpy.random": hash(np.random.get_state()[1].tobytes()),  # type: ignore[union-attr,index]  # noqa: NPY002
    }
    module = sys.modules.get(spec.module or "")
    for name, value in vars(module).items() if module else ():
        if not name.startswith("__"):
            simple = isinstance(value, (int, float, str, bool, list, dict, set, tuple))
            state[f"{spec.module}.{name}"] = repr(value) if simple else id(value)
    return state
