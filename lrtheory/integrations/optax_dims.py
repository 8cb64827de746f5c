"""Units of an optax transformation, from the program that its factory builds."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ..dims.dimensions import Dimensions
from ..dims.program import Program, example_params, infer_program
from ..dims.units import LOSS, PARAM, Units

Factory = Callable[..., Any]


class NotATransformationError(TypeError):
    """What the factory returned has no ``init`` and ``update``."""


def infer_optax(
    factory: Factory,
    *,
    hyper: Mapping[str, float],
    expected: Mapping[str, Units] | None = None,
    update: Units | None = PARAM,
    target: str | None = None,
    **options: Any,
) -> Dimensions:
    """Units of a transformation's numbers and state.

    Parameters
    ----------
    factory : callable that returns a transformation
    hyper : numbers to trace, passed by name
        Those that the factory cannot take as traced numbers are held fixed, and named in the notes.
    expected : units that numbers are meant to have
    update : units of what the transformation returns; ``None`` accepts any, as for one that is to be chained
    options : passed to the factory as they are
    """
    name = target or getattr(factory, "__name__", repr(factory))
    params = example_params()
    build_with = functools.partial(_build, factory, name, options)
    extra = _extra_arguments(build_with(dict(hyper)))
    held = _held(build_with, hyper, params, extra)
    traced = {n: v for n, v in hyper.items() if n not in held}

    def build(numbers: Mapping[str, Any]) -> Any:
        return build_with({**held, **numbers})

    notes = tuple(f"{n} is held at {v:g}: the factory needs it as a plain number" for n, v in held.items())
    return infer_program(
        Program(
            target=name,
            init=lambda numbers, p: build(numbers).init(p),
            step=lambda numbers, state, grads, p, more: build(numbers).update(grads, state, p, **more),
            hyper=traced,
            params=params,
            extra=extra,
            update=update,
            held={**_hidden_numbers(factory, hyper, options), **held},
            expected=expected or {},
            notes=notes,
        )
    )


def _build(factory: Factory, name: str, options: Mapping[str, Any], numbers: Mapping[str, Any]) -> Any:
    transformation = factory(**numbers, **options)
    if not (hasattr(transformation, "init") and hasattr(transformation, "update")):
        raise NotATransformationError(
            f"{name} returned {type(transformation).__name__}, not an optimizer: "
            "an optax transformation with init and update is needed"
        )
    return transformation


def _extra_arguments(transformation: Any) -> dict[str, tuple[Any, Units]]:
    parameters = inspect.signature(transformation.update).parameters
    takes_more = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    return {"value": (jax.ShapeDtypeStruct((), jnp.float32), LOSS)} if takes_more or "value" in parameters else {}


def _held(
    build: Callable[[Mapping[str, Any]], Any],
    hyper: Mapping[str, float],
    params: Any,
    extra: Mapping[str, tuple[Any, Units]],
) -> dict[str, float]:
    """The numbers that the factory or its update cannot take as traced ones, found by tracing each alone."""

    def trace(names: set[str]) -> None:
        def run(numbers: Any, p: Any, more: Any) -> Any:
            transformation = build({**hyper, **numbers})
            return transformation.update(p, transformation.init(p), p, **more)

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


def _hidden_numbers(factory: Factory, hyper: Mapping[str, float], options: Mapping[str, Any]) -> dict[str, float]:
    """Defaults of the factory's signature that were neither traced nor passed."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return {}
    return {
        name: float(p.default)
        for name, p in parameters.items()
        if isinstance(p.default, float) and name not in hyper and name not in options
    }
