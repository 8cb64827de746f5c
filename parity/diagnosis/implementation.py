"""An implementation as a black box: gradients and an lr in, parameters out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lrtheory import rules, schedules, spec
from lrtheory.rules import Rule
from lrtheory.spec import Spec, SpecError

from ..backends.keras_backend import floatx, load_keras
from ..backends.torch_settings import default_dtype, single_thread
from .probe import Path, Probe
from .schedules import SCHEDULES, TORCH, runner
from .vocabulary import WORDS, Words

#: The lr of an implementation whose SPEC gives none and that has no default.
LR = 1e-3


@dataclass(frozen=True)
class Implementation:
    """One implementation with its arguments.

    Attributes
    ----------
    text : str
        What it is called in a sentence.
    name : str
        Its entry in the vocabulary.
    arguments : mapping
        All of them, defaults included.
    run : callable
        ``run(probe) -> path``, in float64.
    """

    text: str
    name: str
    arguments: Mapping[str, Any]
    run: Callable[[Probe], Path]

    @property
    def words(self) -> Words:
        """Its own names for numbers and switches."""
        return WORDS[self.name]

    def numbers(self) -> dict[str, float]:
        """The family's numbers as the arguments have them."""
        found = {}
        for name, argument in self.words.numbers.items():
            value = self.arguments[argument] if isinstance(argument, str) else self.arguments[argument[0]][argument[1]]
            if name not in self.words.read:
                found[name] = 0.0 if value is None else float(value)
        return found | {name: read(self.arguments) for name, read in self.words.read.items()}

    def path(self, probe: Probe) -> Path:
        """Its parameters along a probe.

        Raises
        ------
        SpecError
            With the cause, where it does not run.
        """
        try:
            return self.run(probe)
        except Exception as error:
            raise SpecError(
                f"{self.text} does not run: {type(error).__name__}: {str(error).splitlines()[0]}"
            ) from error

    @property
    def library(self) -> str:
        """torch, optax, keras or lrtheory."""
        return self.name.split(".")[0] if "." in self.name else "lrtheory"


def implementation(target: str | Rule, **numbers: float) -> Implementation:
    """Of a SPEC, or of a Rule with numbers.

    Raises
    ------
    SpecError
        For a text that is no SPEC, arguments that do not fit, or an optimizer whose family is not known.
    """
    if isinstance(target, Rule):
        return _of_rule(repr(target), target, numbers)
    parsed = spec.parse(target)
    if parsed.name.startswith("keras."):
        load_keras()  # on the backend that is there
    if parsed.name in SCHEDULES:
        return _of_schedule(parsed)
    found = spec.resolve(parsed)
    if parsed.is_rule:
        return _of_our_spec(parsed, found)
    if parsed.name not in WORDS:
        known = ", ".join(WORDS)
        raise SpecError(f"{parsed.name} cannot be diagnosed: its family is not known. There are {known}")
    arguments = _bound(parsed, found)
    return of(parsed.text, parsed.name, found, arguments)


def of(text: str, name: str, factory: Any, arguments: Mapping[str, Any]) -> Implementation:
    """Of a factory of torch, optax or Keras with all its arguments."""
    run = {"torch": _torch, "optax": _optax, "keras": _keras}[name.split(".")[0]]
    return Implementation(text, name, arguments, lambda probe: run(factory, name, arguments, probe))


def with_arguments(base: Implementation, changes: Mapping[str, Any]) -> Implementation:
    """The same implementation with some arguments changed."""
    arguments = {**base.arguments, **changes}
    if base.name in SCHEDULES:
        return Implementation(base.text, base.name, arguments, runner(base.name, arguments))
    if base.library == "lrtheory":
        factory, fields = rules.get(base.name), set(inspect.signature(rules.get(base.name)).parameters)
        rule = factory(**{k: v for k, v in arguments.items() if k in fields})
        numbers = {k: v for k, v in arguments.items() if k not in fields and v is not None}
        return _of_rule(base.text, rule, numbers)
    return of(base.text, base.name, spec.resolve(spec.parse(base.name)), arguments)


def with_lr_of(base: Implementation, other: Implementation) -> Implementation:
    """A scheduler of torch has no lr but that of its optimizer: where none is given, it is that of the other schedule."""
    if base.arguments.get("lr", 0) is not None:
        return base
    lr = LR if other.arguments.get("lr", 0) is None else other.numbers()["lr"]
    return with_arguments(base, {"lr": lr})


def _of_schedule(parsed: Spec) -> Implementation:
    factory = schedules.get(parsed.name) if parsed.is_rule else spec.resolve(parsed)
    lr = {}
    if parsed.name.startswith(TORCH):
        lr = {"lr": parsed.kwargs.get("lr")}
        parsed = replace(parsed, kwargs={k: v for k, v in parsed.kwargs.items() if k != "lr"})
    arguments = _bound(parsed, factory) | lr
    wanted = inspect.signature(factory).parameters
    if missing := [name for name in wanted if name not in (*arguments, "optimizer")]:
        raise SpecError(f"{parsed.text}: {', '.join(missing)} not given; it takes {', '.join(wanted)}")
    return Implementation(parsed.text, parsed.name, arguments, runner(parsed.name, arguments))


def _bound(parsed: Spec, factory: Any) -> dict[str, Any]:
    signature = inspect.signature(factory)
    args = (None, *parsed.args) if parsed.name.startswith("torch.") else parsed.args
    try:
        bound = signature.bind_partial(*args, **parsed.kwargs)
    except TypeError as error:
        raise SpecError(f"{parsed.text}: {error}; it takes {', '.join(signature.parameters)}") from error
    arguments = {k: p.default for k, p in signature.parameters.items() if p.default is not inspect.Parameter.empty}
    arguments |= bound.arguments
    for taken in ("params", "kwargs", "optimizer"):
        arguments.pop(taken, None)
    if "learning_rate" in signature.parameters and arguments.get("learning_rate") is None:
        arguments["learning_rate"] = LR
    return arguments


def _of_our_spec(parsed: Spec, factory: Any) -> Implementation:
    if parsed.args:
        raise SpecError(f"{parsed.text}: {parsed.name} takes options and numbers by keyword only")
    options = {k: v for k, v in parsed.kwargs.items() if k in inspect.signature(factory).parameters}
    numbers = {k: v for k, v in parsed.kwargs.items() if k not in options}
    try:
        rule = factory(**options)
        rule.hyper(**numbers)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{parsed.text}: {error}") from error
    if rule.name not in WORDS:
        raise SpecError(f"{rule.name} cannot be diagnosed: its family is not known. There are {', '.join(WORDS)}")
    return _of_rule(parsed.text, rule, numbers)


def _of_rule(text: str, rule: Rule, numbers: Mapping[str, float]) -> Implementation:
    hyper = rule.hyper(**numbers)
    arguments = {**rule.options, **hyper._asdict()}
    return Implementation(text, rule.name, arguments, lambda probe: _ours(rule, hyper, probe))


def _ours(rule: Rule, hyper: Any, probe: Probe) -> Path:
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        params: Any = {name: jnp.asarray(value) for name, value in probe.start.items()}
        state, path = rule.init(params), {name: [value] for name, value in probe.start.items()}
        step = jax.jit(rule.step)
        for t in range(probe.steps):
            grads = {name: jnp.asarray(values[t]) for name, values in probe.gradients.items()}
            now = hyper._replace(lr=float(hyper.lr * probe.factors[t]))
            params, state = step(now, state, grads, params)
            for name, value in params.items():
                path[name].append(np.asarray(value))
    return {name: np.stack(values) for name, values in path.items()}


def _optax(factory: Any, name: str, arguments: Mapping[str, Any], probe: Probe) -> Path:
    import jax
    import jax.numpy as jnp
    import optax

    with jax.enable_x64(True):
        given = {k: v for k, v in arguments.items() if v is not None or k in ("momentum",)}
        if name != "optax.rprop":  # whose lr is the first step size and takes no schedule
            lrs = jnp.asarray(float(arguments["learning_rate"]) * probe.factors)
            given["learning_rate"] = lambda count: lrs[count]
        optimizer = factory(**given)
        params: Any = {key: jnp.asarray(value) for key, value in probe.start.items()}
        state, path = optimizer.init(params), {key: [value] for key, value in probe.start.items()}
        update = jax.jit(optimizer.update)
        for t in range(probe.steps):
            grads = {key: jnp.asarray(values[t]) for key, values in probe.gradients.items()}
            updates, state = update(grads, state, params)
            params = optax.apply_updates(params, updates)
            for key, value in params.items():
                path[key].append(np.asarray(value))
    return {key: np.stack(values) for key, values in path.items()}


def _torch(factory: Any, name: str, arguments: Mapping[str, Any], probe: Probe) -> Path:
    import torch

    # NAdam and ASGD keep numbers in the default dtype: docs/rules.md.
    with single_thread(), default_dtype("float64"):
        params = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in probe.start.items()}
        optimizer = factory(list(params.values()), **arguments)
        base, path = float(arguments["lr"]), {key: [value] for key, value in probe.start.items()}
        for t in range(probe.steps):
            optimizer.param_groups[0]["lr"] = base if name == "torch.optim.Rprop" else base * float(probe.factors[t])
            for key, p in params.items():
                p.grad = torch.tensor(probe.gradients[key][t])
            optimizer.step()
            for key, p in params.items():
                path[key].append(p.detach().numpy().copy())
    return {key: np.stack(values) for key, values in path.items()}


def _keras(factory: Any, name: str, arguments: Mapping[str, Any], probe: Probe) -> Path:
    import jax
    import jax.numpy as jnp

    keras = load_keras()
    with jax.enable_x64(True), floatx(keras, "float64"):
        optimizer = factory(**arguments)
        variables = [keras.Variable(jnp.asarray(v), dtype="float64", name=key) for key, v in probe.start.items()]
        optimizer.build(variables)
        base, path = float(arguments["learning_rate"]), {key: [value] for key, value in probe.start.items()}
        for t in range(probe.steps):
            optimizer.learning_rate = base * float(probe.factors[t])
            grads = [jnp.asarray(values[t]) for values in probe.gradients.values()]
            optimizer.apply(grads, variables)
            for key, variable in zip(path, variables, strict=True):
                path[key].append(np.asarray(variable.value))
    return {key: np.stack(values) for key, values in path.items()}
