"""An implementation as a black box: gradients and an lr in, parameters out."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lrtheory import rules, schedules
from lrtheory.rules import Rule
from lrtheory.spec import text as spec
from lrtheory.spec.text import Spec, SpecError

from ..drivers.in_keras import load_keras
from .families import FAMILIES
from .probe import AVERAGE, Path, Probe
from .run import RUNS, ours
from .schedules import CLOSED, SCHEDULES, TORCH, runner
from .vocabulary import MEMBERS, WORDS, completed
from .words import Words

#: The lr of an implementation whose SPEC gives none and that has no default.
LR = 1e-3

#: What takes the parameters first.
OF_PARAMETERS = ("torch.", "schedulefree.")
INJECT = "optax.inject_hyperparams"
#: ``optax.inject_hyperparams(optax.adam)(0.1)``, which is no SPEC: a call of a call.
INJECTED = re.compile(re.escape(INJECT) + r"\(\s*(optax(?:\.\w+)+)\s*\)(\(.*\))", re.DOTALL)
#: What gives a number a dtype of its own.
SCALARS = [f"{module}.{dtype}" for module in ("numpy", "jax.numpy") for dtype in ("float16", "float32", "float64")]
SCALARS.append("jax.numpy.bfloat16")


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
    family : str
        A wider family that it is read as a member of; its own where it is empty.
    """

    text: str
    name: str
    arguments: Mapping[str, Any]
    run: Callable[[Probe], Path]
    family: str = ""

    @property
    def words(self) -> Words:
        """Its own names for numbers and switches."""
        name = inner_name(self.name)
        return completed(MEMBERS[name, self.family] if self.family else WORDS[name], self.library, self.arguments)

    def numbers(self) -> dict[str, float]:
        """The family's numbers as the arguments have them.

        Raises
        ------
        SpecError
            For arguments that are no numbers, or that another is divided by and are 0.
        """
        try:
            return self._numbers()
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError(
                f"{self.text} cannot be diagnosed with these arguments ({type(error).__name__}: {error}): give single "
                "numbers, and no 0 where the next value is taken as a multiple of it"
            ) from error

    def _numbers(self) -> dict[str, float]:
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
            path = self.run(probe)
        except SpecError:
            raise
        except Exception as error:
            raise SpecError(
                f"{self.text} does not run: {type(error).__name__}: {str(error).splitlines()[0]}"
            ) from error
        # What keeps no average is evaluated at its parameters.
        kept = {AVERAGE.format(key): path[key] for key in probe.start} if probe.averaged else {}
        return {**kept, **path}

    @property
    def library(self) -> str:
        """torch, schedulefree, optax, keras or lrtheory."""
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
    inner = INJECTED.fullmatch(target.strip())
    parsed = _parsed(target if inner is None else "".join(inner.groups()))
    if parsed.name.startswith("keras."):
        load_keras()  # on the backend that is there
    if parsed.name in SCHEDULES:
        return _of_schedule(parsed)
    found = spec.resolve(parsed)
    if parsed.is_rule:
        return _of_our_spec(parsed, found)
    if parsed.name not in WORDS:
        raise SpecError(f"{parsed.name} cannot be diagnosed: its family is not known. There are {', '.join(FAMILIES)}")
    name = parsed.name if inner is None else f"{INJECT}({parsed.name})"
    return _of(parsed.text if inner is None else target.strip(), name, _bound(parsed, found))


def _of(text: str, name: str, arguments: Mapping[str, Any]) -> Implementation:
    """Of a factory of torch, optax or Keras with all its arguments."""
    factory = spec.resolve(spec.parse(inner_name(name)))
    if inner_name(name) != name:
        factory = spec.resolve(spec.parse(INJECT))(factory)
    run = RUNS[name.split(".")[0]]
    return Implementation(text, name, arguments, lambda probe: run(factory, name, arguments, probe))


def inner_name(name: str) -> str:
    """The optimizer whose hyperparameters are injected."""
    return name.removeprefix(f"{INJECT}(").removesuffix(")")


def _parsed(text: str) -> Spec:
    """A SPEC whose numbers may have a dtype, such as ``numpy.float32(0.1)``."""
    parsed = spec.parse(text, nested=True)
    values = {**dict(enumerate(parsed.args)), **parsed.kwargs}
    for key, value in values.items():
        if not isinstance(value, Spec):
            continue
        if (
            value.name not in SCALARS
            or len(value.args) != 1
            or value.kwargs
            or not isinstance(value.args[0], int | float)
        ):
            return spec.parse(text)  # which says what is no literal
        values[key] = spec.resolve(value)(value.args[0])
    args = tuple(values[i] for i in range(len(parsed.args)))
    return replace(parsed, args=args, kwargs={k: values[k] for k in parsed.kwargs})


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
    return _of(base.text, base.name, arguments)


def with_lr_of(base: Implementation, other: Implementation) -> Implementation:
    """A scheduler of torch has no lr but that of its optimizer: where none is given, it is that of the other schedule."""
    if base.arguments.get("lr", 0) is not None:
        return base
    lr = LR if other.arguments.get("lr", 0) is None else other.numbers()["lr"]
    return with_arguments(base, {"lr": lr})


def of_family(base: Implementation, family: str) -> Implementation:
    """The same implementation as a member of a wider family, where it is one: what it has beside must be 0."""
    if (inner_name(base.name), family) not in MEMBERS:
        return base
    wider = replace(base, family=family)
    return base if any(value for name, value in base.numbers().items() if name not in wider.words.numbers) else wider


def _of_schedule(parsed: Spec) -> Implementation:
    factory = schedules.get(parsed.name) if parsed.is_rule else spec.resolve(parsed)
    ours: dict[str, Any] = {}  # arguments that the factory does not take
    if parsed.name.startswith(TORCH):
        ours = {"lr": parsed.kwargs.get("lr"), CLOSED: parsed.kwargs.get(CLOSED, False)}
        parsed = replace(parsed, kwargs={k: v for k, v in parsed.kwargs.items() if k not in ours})
    arguments = _bound(parsed, factory) | ours
    wanted = inspect.signature(factory).parameters
    if missing := [name for name in wanted if name not in (*arguments, "optimizer")]:
        raise SpecError(f"{parsed.text}: {', '.join(missing)} not given; it takes {', '.join(wanted)}")
    return Implementation(parsed.text, parsed.name, arguments, runner(parsed.name, arguments))


def _bound(parsed: Spec, factory: Any) -> dict[str, Any]:
    signature = inspect.signature(factory)
    args = (None, *parsed.args) if parsed.name.startswith(OF_PARAMETERS) else parsed.args
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
        raise SpecError(f"{rule.name} cannot be diagnosed: its family is not known. There are {', '.join(FAMILIES)}")
    return _of_rule(parsed.text, rule, numbers)


def _of_rule(text: str, rule: Rule, numbers: Mapping[str, float]) -> Implementation:
    hyper = rule.hyper(**numbers)
    arguments = {**rule.options, **hyper._asdict()}
    return Implementation(text, rule.name, arguments, lambda probe: ours(rule, hyper, probe))
