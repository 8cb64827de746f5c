"""Keras's optimizers on JAX, as factories of transformations whose program can be read."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

#: A number that counts for nothing unless an option is on.
_OFF = ("ema_momentum",)
#: They hand gradients to another optimizer.
_AROUND = ("LossScaleOptimizer", "MultiOptimizer", "Optimizer", "OptimizerMap")


def names() -> list[str]:
    """Public optimizers, without importing Keras, which starts JAX: a process that did so is not to be forked."""
    spec = importlib.util.find_spec("keras")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("Keras is not installed")
    public = Path(next(iter(spec.submodule_search_locations)), "optimizers", "__init__.py").read_text()
    found = re.findall(r"^from keras\.src\.optimizers\.\w+ import (\w+) as", public, re.MULTILINE)
    return sorted(name for name in set(found) if name[0].isupper() and name not in _AROUND)


def factory(name: str) -> tuple[Callable[..., Any], dict[str, float]]:
    """What makes a transformation of hyperparameters, which may be traced, and their defaults."""
    from lrtheory.spec._keras_backend import load_keras

    keras = load_keras()
    if keras.backend.backend() != "jax":
        raise ImportError(f"Keras runs on {keras.backend.backend()}; it is read on JAX (KERAS_BACKEND=jax)")
    cls = getattr(keras.optimizers, name)
    parameters = inspect.signature(cls).parameters
    numbers = {n: p.default for n, p in parameters.items() if isinstance(p.default, float) and n not in _OFF}

    def make(**given: Any) -> Any:
        def init(params: Any) -> Any:
            with _as_exact(keras):
                return _init(keras, cls, given, params)

        def update(grads: Any, state: Any, params: Any) -> Any:
            with _as_exact(keras):
                return _update(keras, cls, given, grads, state, params)

        return SimpleNamespace(init=init, update=update)

    make.__name__ = name
    return make, numbers


@contextlib.contextmanager
def _as_exact(keras: Any) -> Iterator[None]:
    """Keras's own numbers are as exact as JAX has them now."""
    import jax

    before = keras.config.floatx()
    keras.config.set_floatx("float64" if jax.config.read("jax_enable_x64") else "float32")
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def _build(
    keras: Any, cls: Any, numbers: Mapping[str, Any], params: Mapping[str, Any]
) -> tuple[Any, list[tuple[str, str]]]:
    """The optimizer with its numbers in place, and for each of its variables where it stands in our state."""
    optimizer = cls()
    variables = [keras.Variable(p, name=name) for name, p in params.items()]
    for name, value in numbers.items():
        if name != "learning_rate":
            setattr(optimizer, name, value)
    optimizer.build(variables)
    places = []
    for variable in optimizer.variables:
        leaf = next((n for n in params if variable.name.startswith(f"{n}_")), "")
        slot = variable.name.removeprefix(f"{leaf}_")
        if re.fullmatch(r"variable(_\d+)?", slot):  # without a name of its own Keras counts all that were ever made
            slot = "unnamed"
        places.append((slot if (slot, leaf) not in places else f"{slot}_{len(places)}", leaf))
    return optimizer, places


def _init(keras: Any, cls: Any, numbers: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
    optimizer, places = _build(keras, cls, numbers, params)
    return _state(places, [v.value for v in optimizer.variables])


def _update(keras: Any, cls: Any, numbers: Mapping[str, Any], grads: Any, state: Any, params: Any) -> Any:
    optimizer, places = _build(keras, cls, numbers, params)
    values = [
        numbers["learning_rate"] if slot == "learning_rate" else state[slot][leaf] if leaf else state[slot]
        for slot, leaf in places
    ]
    new, after = optimizer.stateless_apply(values, [grads[n] for n in params], list(params.values()))
    return {n: x - p for (n, p), x in zip(params.items(), new, strict=True)}, _state(places, after)


def _state(places: list[tuple[str, str]], values: list[Any]) -> dict[str, Any]:
    """By slot, and by parameter in it; without the learning rate, which is a number here."""
    state: dict[str, Any] = {}
    for (slot, leaf), value in zip(places, values, strict=True):
        if slot == "learning_rate":
            continue
        if leaf:
            state.setdefault(slot, {})[leaf] = value
        else:
            state[slot] = value
    return state
