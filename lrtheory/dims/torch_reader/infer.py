"""Units of a PyTorch optimizer, from running its own unmodified code on numbers that carry units."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from ...units import PARAM, Units
from .._kernel.equations import Demand, UnknownOperationError
from .._kernel.expression import Expression
from .._kernel.ledger import HYPER, LEARNING_RATE, STATE, Ledger
from .._kernel.value import PURE_VALUE, Value, number
from .._verdict import diagnose, dimensions
from ..dimensions import Dimensions
from .mode import UnitsMode
from .numbers import UnitFloat, standing_in
from .problem import Problem, needs_closure

# RAdam's branch changes after five steps, so eight see both.
STEPS = 8
# What a number that is 0 by default is run with, so that the code it switches on is seen.
SWITCHED_ON = 0.01

Numbers = dict[str, float]


class NotAnOptimizerError(TypeError):
    """The class cannot be run as an optimizer."""


def default_numbers(optimizer: type, given: Mapping[str, Any]) -> tuple[Numbers, dict[str, Any]]:
    """The numbers of a constructor, by name (``betas[0]`` for an entry of a tuple), and its other arguments.

    A parameter is a number if it is a float, or an integer whose annotation allows a float.
    """
    numbers: Numbers = {}
    others: dict[str, Any] = {}
    for name, parameter in inspect.signature(optimizer).parameters.items():
        if name == "params" or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if name not in given and parameter.default is parameter.empty:
            continue
        value = given.get(name, parameter.default)
        if isinstance(value, tuple) and any(isinstance(v, float) for v in value):
            numbers.update({f"{name}[{i}]": float(v) for i, v in enumerate(value) if isinstance(v, (int, float))})
            others[name] = value
        elif isinstance(value, float) or (
            isinstance(value, int)
            and not isinstance(value, bool)
            and ("float" in str(parameter.annotation) or isinstance(parameter.default, float))
        ):
            numbers[name] = float(value)
        elif name in given:
            others[name] = value
    unexpected = set(given) - set(numbers) - set(others)
    others.update({name: given[name] for name in unexpected if not isinstance(given[name], tuple)})
    return numbers, others


def infer_torch(
    optimizer: type,
    *,
    hyper: Mapping[str, float] | None = None,
    expected: Mapping[str, Units] | None = None,
    target: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    **options: Any,
) -> Dimensions:
    """Units of an optimizer's numbers and state, over the branches that a few real steps take.

    Numbers that are 0 by default are run with a small value, so that what they switch on is seen; one that makes
    a law impossible when switched on is left at 0, and the notes say so.
    """
    given = {**options, **(hyper or {})}
    numbers, others = default_numbers(optimizer, given)
    zeros = {name for name, value in numbers.items() if value == 0 and name not in given}
    result = _run_forms(optimizer, numbers, others, zeros, expected or {}, target, shapes)
    if result.status == "broken" and zeros:
        plain = _run_forms(optimizer, numbers, others, set(), expected or {}, target, shapes)
        if plain.status != "broken":
            return plain
    return result


def _run_forms(
    optimizer: type,
    numbers: Numbers,
    others: Mapping[str, Any],
    switched_on: set[str],
    expected: Mapping[str, Units],
    target: str | None,
    shapes: Mapping[str, tuple[int, ...]] | None,
) -> Dimensions:
    """Dense matrices and vectors first, then the forms that some optimizers insist on."""
    failures = []
    for form in (dict(shapes),) if shapes else (dict(_DENSE), {"matrix": (4, 3)}, {"sparse": (4, 3)}):
        fewer = [switched_on - {name} for name in sorted(switched_on)]  # one of them may exclude an option
        for names in [switched_on, *fewer, set()] if switched_on else [set()]:
            try:
                return _run(optimizer, numbers, others, names, expected, form, target)
            except UnknownOperationError as error:
                return Dimensions(target or optimizer.__name__, unknown=str(error))
            except Exception as error:
                failures.append(error)
    raise NotAnOptimizerError(f"{target or optimizer.__name__} cannot be run: {failures[0]}") from failures[0]


_DENSE = {"matrix": (4, 3), "vector": (5,)}


def _run(
    optimizer: type,
    numbers: Numbers,
    others: Mapping[str, Any],
    switched_on: set[str],
    expected: Mapping[str, Units],
    shapes: Mapping[str, tuple[int, ...]],
    target: str | None,
) -> Dimensions:
    ledger = Ledger()
    numbers = {name: SWITCHED_ON if name in switched_on else value for name, value in numbers.items()}
    unknowns = {name: ledger.unknown(name, LEARNING_RATE if name == "lr" else HYPER) for name in numbers}
    for name, units in expected.items():
        if name not in unknowns:
            raise ValueError(f"{optimizer.__name__} has no number {name!r}: it has {', '.join(unknowns)}")
        ledger.demand(unknowns[name], Expression(units), f"expects {name} in {units}:", Demand())
    carried = {name: UnitFloat(x, Value(unknowns[name], name=name), ledger) for name, x in numbers.items()}
    mode = UnitsMode(ledger)
    problem = Problem(shapes, note=lambda tensor, units: mode.note(tensor, _measured(units)))
    state: dict[str, Expression] = {}
    paths: dict[str, None] = {}

    with standing_in(_modules(optimizer)):
        ledger.muted = True  # the constructor checks ranges
        with mode:
            instance = optimizer(list(problem.params.values()), **constructor_arguments(carried, others))
        ledger.muted = False
        getattr(instance, "train", lambda: None)()  # schedule-free ones step in this mode alone
        if not (hasattr(instance, "step") and hasattr(instance, "state")):
            raise NotAnOptimizerError(f"{optimizer.__name__}(...) is not a torch.optim.Optimizer")
        for step in range(STEPS):
            problem.give_gradients(step)
            with mode:
                instance.step(*([mode.paused_while(problem.evaluate)] if needs_closure(instance) else []))
            for name, p in problem.params.items():
                moved = mode.known(p)
                ledger.demand(moved.or_pure, Expression(PARAM), "moves parameters by", moved.origin)
                for path, value in _state_values(mode, instance.state.get(p, {}), name):
                    paths[path] = None
                    if value is not PURE_VALUE and value.units is not None:
                        if path not in state:
                            state[path] = ledger.unknown(path, STATE)
                        what = f"updates the state {path}:"
                        ledger.demand(state[path], value.units, what, value.origin, value.constant)

    notes = [
        f"covers the branches that {STEPS} steps took" + ("" if len(shapes) > 1 else f" on a {next(iter(shapes))}")
    ]
    if switched_on:
        notes.append(f"{', '.join(sorted(switched_on))}: 0 by default, run with {SWITCHED_ON:g} to see what it does")
    name = target or f"torch.optim.{optimizer.__name__}"
    found = dimensions(name, ledger, diagnose(ledger), unknowns, state, paths, list(shapes), notes=notes)
    if found.status == "proven" and not _numbers_agree(optimizer, numbers, others, found, shapes):
        return replace(found, unknown="numbers do not obey these units: one of them left through code that drops units")
    return found


def _measured(units: Units) -> Value:
    return Value(Expression(units), measured=True)


def _numbers_agree(
    optimizer: type, numbers: Numbers, others: Mapping[str, Any], found: Dimensions, shapes: Mapping[str, Any]
) -> bool:
    """Whether plain runs, without any units, obey the law: they would not if a number had escaped the walk."""

    def run(loss: float, params: float) -> list[torch.Tensor]:
        scaled = {name: value * found.hyper[name].factor(loss, params) for name, value in numbers.items()}
        problem = Problem(shapes, loss, params)
        instance: Any = optimizer(list(problem.params.values()), **constructor_arguments(scaled, others))
        getattr(instance, "train", lambda: None)()
        for step in range(STEPS):
            problem.give_gradients(step)
            instance.step(*([problem.evaluate] if needs_closure(instance) else []))
        return [p.detach() / params for p in problem.params.values()]

    return all(
        torch.allclose(a, b, rtol=1e-6, atol=1e-9)  # loose: what escapes is off by factors of two
        for loss, params in ((16.0, 1.0), (1.0, 16.0))
        for a, b in zip(run(1.0, 1.0), run(loss, params), strict=True)
    )


def constructor_arguments(numbers: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments, with the entries of tuples put back."""
    arguments: dict[str, Any] = {name: value for name, value in others.items() if not isinstance(value, tuple)}
    for name, value in others.items():
        if isinstance(value, tuple):
            arguments[name] = tuple(numbers.get(f"{name}[{i}]", v) for i, v in enumerate(value))
    arguments.update({name: value for name, value in numbers.items() if "[" not in name})
    return arguments


def _modules(optimizer: type) -> list[Any]:
    """The modules whose code runs: the class's own, its bases', and torch's optimizers."""
    names = {base.__module__ for base in optimizer.__mro__} | {m for m in sys.modules if m.startswith("torch.optim.")}
    return [sys.modules[name] for name in sorted(names) if name not in ("builtins", "typing") and name in sys.modules]


def _state_values(mode: UnitsMode, entries: Any, name: str) -> Iterator[tuple[str, Value]]:
    """What is known of each piece of a parameter's state, by path."""
    if isinstance(entries, torch.Tensor):
        value = mode.known(entries)
        yield name, value if entries.is_floating_point() else PURE_VALUE
    elif isinstance(entries, (list, tuple)):
        for entry in entries:
            yield from _state_values(mode, entry, name)
    elif isinstance(entries, Mapping):
        for key, entry in entries.items():
            yield from _state_values(mode, entry, f"{key}.{name}")
    elif isinstance(entries, UnitFloat):
        yield name, entries.value
    elif isinstance(entries, (int, float)) and not isinstance(entries, bool):
        yield name, PURE_VALUE if isinstance(entries, int) else number(entries)
