"""Units of an optax transformation, from the program that its factory builds."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from ...rules import Rule
from ...units import GRADIENT, LOSS, PARAM, Units
from .._code import takes
from .._jaxpr.program import Program, accepted_shapes, example_params, infer_program
from ..dimensions import UNREAD, Dimensions
from .loss import loss

Factory = Callable[..., Any]


LEARNING_RATES = ("learning_rate", "max_learning_rate")
#: What an update that evaluates the loss calls it: line searches, and estimates of second derivatives.
_LOSS = ("value_fn", "obj_fn")


class NotATransformationError(TypeError):
    """What the factory returned has no ``init`` and ``update``."""


def infer_optax(
    factory: Factory,
    *,
    hyper: Mapping[str, float],
    expected: Mapping[str, Units] | None = None,  # units that hyperparameters are meant to have
    update: Units | None = PARAM,  # of what is returned; None accepts any, as for one that is to be chained
    target: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    judge: bool = True,
    sources: Mapping[str, tuple[Factory, str]] | None = None,  # whose argument each number is, if not this factory's
    **options: Any,
) -> Dimensions:
    """Units of the hyperparameters and state of the transformation that a factory makes with these options.

    Hyperparameters that it cannot take as traced numbers are held fixed, and named in the notes.
    """
    name = target or getattr(factory, "__name__", repr(factory))
    build_with = functools.partial(_build, factory, name, options)
    params = example_params(shapes or accepted_shapes(lambda p: build_with(hyper).init(p)))
    extra, functions = extra_arguments(build_with(dict(hyper)), params)
    held = _held(build_with, hyper, params, extra, functions)
    program = Program(
        target=name,
        init=lambda numbers, p: build_with(numbers).init(p),
        step=lambda numbers, state, grads, p, more: build_with(numbers).update(
            grads, state, p, **{**functions, **more}
        ),
        hyper=dict(hyper),
        params=params,
        extra=extra,
        functions=tuple(functions),
        update=update,
        held=_hidden_numbers(factory, hyper, options),
        expected=expected or {},
    ).holding(dict.fromkeys(held, "the factory needs it as a plain number"))
    result = infer_program(program, judge=judge)
    if result.status == "broken" and update is None:
        note = "takes updates in [param], not gradients"
        of_updates = infer_program(replace(program, gradient=PARAM, notes=(*program.notes, note)), judge=judge)
        if of_updates.status != "broken":
            result = of_updates
    sources = sources or {n: (factory, n) for n in hyper}
    taken = {n: p for n, (whose, own) in sources.items() if (p := _parameters(whose).get(own))}  # the rest by **options
    unread = {n: UNREAD if n in taken and not takes(*sources[n]) else how for n, how in result.unread.items()}
    unusual = [n for n in sources if n not in taken or taken[n].default != hyper[n]]
    result = replace(result, unread=unread)
    return replace(result, notes=(*result.notes, *result.of_no_use(unusual)))


def _build(factory: Factory, name: str, options: Mapping[str, Any], numbers: Mapping[str, Any]) -> Any:
    transformation = factory(**numbers, **options)
    if not (hasattr(transformation, "init") and hasattr(transformation, "update")):
        if isinstance(transformation, Rule):
            raise NotATransformationError(f"{name} is the factory of a rule: call it, {name}()")
        raise NotATransformationError(
            f"{name} returned {type(transformation).__name__}, not an optimizer: "
            "an optax transformation with init and update is needed"
        )
    return transformation


def extra_arguments(transformation: Any, params: Any) -> tuple[dict[str, tuple[Any, Units]], dict[str, Any]]:
    """What the update takes beside gradients, state and parameters: traced inputs, and functions.

    The loss if it runs with it, the loss, its gradient and the function itself, or nothing.
    """
    parameters = inspect.signature(transformation.update).parameters
    if not ("value" in parameters or any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())):
        return {}, {}
    value = {"value": (jax.ShapeDtypeStruct((), jnp.float32), LOSS)}

    def runs(inputs: Mapping[str, tuple[Any, Units]], functions: Mapping[str, Any]) -> bool:
        def update(p: Any, more: Any) -> Any:
            return transformation.update(p, transformation.init(p), p, **more, **functions)

        try:
            jax.eval_shape(update, params, {name: shape for name, (shape, _) in inputs.items()})
        except (TypeError, ValueError):
            return False
        return True

    if runs(value, {}):
        return value, {}
    whole = {**value, "grad": (params, GRADIENT)}
    for name in _LOSS:
        if runs(whole, {name: loss}):
            return whole, {name: loss}
    return ({}, {}) if runs({}, {}) else (value, {})


def _held(
    build: Callable[[Mapping[str, Any]], Any],
    hyper: Mapping[str, float],
    params: Any,
    extra: Mapping[str, tuple[Any, Units]],
    functions: Mapping[str, Any],
) -> dict[str, float]:
    """The numbers that the factory or its update cannot take as traced ones, found by tracing each alone."""

    def trace(names: set[str]) -> None:
        def run(numbers: Any, p: Any, more: Any) -> Any:
            transformation = build({**hyper, **numbers})
            return transformation.update(p, transformation.init(p), p, **more, **functions)

        scalar = jax.ShapeDtypeStruct((), jnp.float32)
        jax.eval_shape(run, dict.fromkeys(names, scalar), params, {n: shape for n, (shape, _) in extra.items()})

    try:
        trace(set(hyper))
    except Exception:
        trace(set())  # what fails without any traced number is the caller's to know
    else:
        return {}
    held = {}
    for name, value in hyper.items():
        try:
            trace({name})
        except Exception:
            held[name] = value
    return held


def _parameters(factory: Factory) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}


def _hidden_numbers(factory: Factory, hyper: Mapping[str, float], options: Mapping[str, Any]) -> dict[str, float]:
    """Defaults of the factory's signature that were neither traced nor passed."""
    return {
        name: float(p.default)
        for name, p in _parameters(factory).items()
        if isinstance(p.default, float) and name not in hyper and name not in options
    }


def default_numbers(factory: Factory, given: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Any], list[str]]:
    """The numbers of a factory, its other arguments, and notes.

    A parameter is a number if it is a float, or an integer that is given where neither the annotation nor the default is
    one, or stands in the place of a float. A learning rate without a default is 1e-3, and the notes say so, as they name what could be a number
    and is held.
    """
    numbers: dict[str, float] = {}
    others: dict[str, Any] = {}
    notes = []
    held = []
    parameters = inspect.signature(factory).parameters
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        value = given.get(name, parameter.default)
        if name == "learning_rate" and (value is parameter.empty or value is None):
            value = 1e-3
            notes.append(f"{name} has no default: 1e-3")
        kind = str(getattr(parameter.annotation, "__name__", parameter.annotation))
        counts = isinstance(parameter.default, int) or ("int" in re.findall(r"\w+", kind) and "float" not in kind)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if isinstance(value, float) or (
            whole and (name in LEARNING_RATES or isinstance(parameter.default, float) or (name in given and not counts))
        ):
            numbers[name] = float(value)
            continue
        if name in given:
            others[name] = value
        entries = value if isinstance(value, (list, tuple)) else [value] if whole else []
        if any(isinstance(x, (int, float)) and not isinstance(x, bool) for x in entries):
            held.append(f"{name} = {value}")
    others.update({name: value for name, value in given.items() if name not in parameters})
    return numbers, others, notes + ([f"held as given: {', '.join(held)}"] if held else [])


def is_optimizer(factory: Factory) -> bool:
    """Whether a factory has a learning rate, so that what it returns moves parameters by itself."""
    name = getattr(factory, "__name__", "")
    parameters = inspect.signature(factory).parameters
    if name.startswith("scale_by_"):  # to be chained; some of them call a bound on their factor a learning rate
        return "learning_rate" in parameters and name != "scale_by_learning_rate"
    return any(rate in parameters for rate in LEARNING_RATES)
