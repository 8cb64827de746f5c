"""An implementation as a black box: gradients and an lr in, parameters out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lrtheory import rules, spec
from lrtheory.dims.target import target as read_target
from lrtheory.rules import Rule
from lrtheory.spec import Part, Spec, SpecError

from ..drivers.in_keras import load_keras
from .probe import AVERAGE, Path, Probe
from .run import RUNS, ours, with_optax, with_torch
from .schedules import CLOSED, SCHEDULES, TORCH, runner
from .vocabulary import MEMBERS, WORDS, completed
from .words import Words

#: The lr of an implementation whose SPEC gives none and that has no default.
LR = 1e-3

INJECT = "optax.inject_hyperparams"


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
    def is_known(self) -> bool:
        """Whether its family is known."""
        return bool(self.family) or inner_name(self.name) in WORDS

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
    parsed = spec.parse(target)
    name = parsed.name.rpartition(".")[2] if parsed.is_rule else parsed.name
    if parsed.name.startswith("keras."):
        load_keras()  # on the backend that is there
    if spec.is_schedule(parsed):
        return _of_schedule(replace(parsed, name=name))
    if parsed.is_rule:
        return _of_our_spec(parsed)
    arguments = _bound(parsed, spec.part(parsed))
    if name not in WORDS or any(isinstance(value, Part) for value in arguments.values()):
        return _of_tree(parsed)
    return _of(parsed.text, name if parsed.through is None else f"{INJECT}({name})", arguments)


def _of_tree(parsed: Spec) -> Implementation:
    """Of what is no single optimizer of a known family: by its parts if they are one, else as it is."""
    if parsed.name.startswith("optax."):
        found = spec.as_alias(parsed)
        if found is not None and found[0] in WORDS:
            defaults = _bound(parsed, spec.part(spec.parse(found[0])))
            return _of(parsed.text, found[0], {**defaults, **found[1]})
    made = read_target(parsed)
    name = parsed.text  # which is no entry of the vocabulary
    if made.kind is not None:
        arguments = {"lr": 1.0, **made.make({})}
        return Implementation(parsed.text, name, arguments, lambda probe: with_torch(made.kind, name, arguments, probe))
    rate = {n: v for n, v in made.numbers.items() if n == "learning_rate" and not made.curves} or {"learning_rate": 1.0}

    def factory(learning_rate: Any) -> Any:
        import optax

        if made.numbers.keys() & rate.keys() and not made.curves:
            return made.make({"learning_rate": learning_rate})
        moving: list[Any] = [optax.scale_by_schedule(learning_rate)] if callable(learning_rate) else []  # type: ignore[arg-type]
        return optax.chain(made.make({}), *moving)

    return Implementation(parsed.text, name, rate, lambda probe: with_optax(factory, name, rate, probe))


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


def with_arguments(base: Implementation, changes: Mapping[str, Any]) -> Implementation:
    """The same implementation with some arguments changed."""
    arguments = {**base.arguments, **changes}
    if base.name in SCHEDULES or CLOSED in base.arguments:
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
    given = other.arguments.get("lr", 0)
    lr = LR if given is None else other.numbers()["lr"] if other.is_known else given or LR
    return with_arguments(base, {"lr": lr})


def of_family(base: Implementation, family: str) -> Implementation:
    """The same implementation as a member of a wider family, where it is one: what it has beside must be 0."""
    if (inner_name(base.name), family) not in MEMBERS:
        return base
    wider = replace(base, family=family)
    return base if any(value for name, value in base.numbers().items() if name not in wider.words.numbers) else wider


def _of_schedule(parsed: Spec) -> Implementation:
    ours: dict[str, Any] = {}  # arguments that the factory does not take
    if parsed.name.startswith(TORCH):
        ours = {"lr": parsed.kwargs.get("lr"), CLOSED: parsed.kwargs.get(CLOSED, False)}
        parsed = replace(parsed, kwargs={k: v for k, v in parsed.kwargs.items() if k not in ours})
    arguments = _bound(parsed, spec.part(parsed)) | ours
    return Implementation(parsed.text, parsed.name, arguments, runner(parsed.name, arguments))


def _bound(parsed: Spec, part: Part) -> dict[str, Any]:
    """All arguments, defaults included; calls among them stay parts."""
    defaults = {k: p.default for k, p in part.parameters.items() if p.default is not inspect.Parameter.empty}
    return defaults | part.values()


def _of_our_spec(parsed: Spec) -> Implementation:
    reading = spec.read(parsed.text)
    return _of_rule(parsed.text, reading.rule, reading.hyper._asdict())


def _of_rule(text: str, rule: Any, numbers: Mapping[str, float]) -> Implementation:
    hyper = rule.hyper(**{name: value for name, value in numbers.items() if value is not None})
    arguments = {**rule.options, **hyper._asdict()}
    return Implementation(text, rule.name, arguments, lambda probe: ours(rule, hyper, probe))
