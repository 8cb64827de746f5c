"""An implementation as a black box: gradients and an lr in, parameters out."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lrtheory import rules, spec
from lrtheory.rules import Rule
from lrtheory.spec import Part, Spec, SpecError
from lrtheory.spec.parts import is_torch, plain
from lrtheory.spec.text import inside, is_number

from ..drivers.in_keras import load_keras
from .probe import AVERAGE, Path, Probe
from .run import RUNS, ours, with_optax, with_torch
from .schedules import CLOSED, TORCH, run_schedule
from .vocabulary import MEMBERS, WORDS, completed
from .words import Words

#: The lr of an implementation whose SPEC gives none and that has no default.
LR = 1e-3

INJECT = "optax.inject_hyperparams"

#: From arguments to a run.
Bind = Callable[[Mapping[str, Any]], Callable[[Probe], Path]]


@dataclass(frozen=True)
class Implementation:
    """One implementation with its arguments."""

    text: str  # what it is called in a sentence
    name: str  # its entry in the vocabulary; one name is one factory
    arguments: Mapping[str, Any]  # all of them, defaults included
    run: Callable[[Probe], Path]  # run(probe) -> path, in float64
    family: str = ""  # the family that it is read as a member of; its own where it is empty
    bind: Bind | None = None  # from other arguments to the run with them
    defaults: Mapping[str, Any] = field(default_factory=dict)  # those of the arguments that have one
    library: str = "lrtheory"  # torch, schedulefree, optax, keras or lrtheory
    is_schedule: bool = False
    # parts of a composition → the SPEC that is left without them
    without: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether its family is known."""
        return bool(self.family) or inner_name(self.name) in WORDS

    @property
    def short(self) -> str:
        """Its name in a sentence."""
        return self.name.partition("+")[0]

    @property
    def words(self) -> Words:
        """Its own names for numbers and switches."""
        name = inner_name(self.name)
        words = MEMBERS.get((name, self.family), Words(self.family)) if self.family else WORDS[name]
        return completed(words, self.library, self.arguments)

    @property
    def spoken(self) -> set[str]:
        """Arguments that its words speak of."""
        words, read = self.words, _Watched(self.arguments)
        for function in words.read.values():
            with contextlib.suppress(Exception):
                function(read)
        named = {a if isinstance(a, str) else a[0] for a in words.numbers.values()} | set(words.write)
        given = {key for option in words.options.values() if isinstance(option, Mapping) for key in option}
        return named | given | read.asked

    def numbers(self) -> dict[str, float]:
        """The family's numbers as the arguments have them.

        Raises SpecError for arguments that are no numbers, or that another is divided by and are 0.
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
        """Its parameters along a probe. Raises SpecError with the cause, where it does not run."""
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


def _made(
    text: str, name: str, arguments: Mapping[str, Any], follow: Callable[[Mapping[str, Any], Probe], Path], **more: Any
) -> Implementation:
    """An implementation that other arguments can be given to: ``follow(arguments, probe) -> path``."""

    def bind(given: Mapping[str, Any]) -> Callable[[Probe], Path]:
        return lambda probe: follow(given, probe)

    return Implementation(text, name, arguments, bind(arguments), bind=bind, **more)


class _Watched(dict[str, Any]):
    """Arguments that remember which of them were asked for."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__(arguments)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)


def implementation(target: str | Rule, **numbers: float) -> Implementation:
    """Of a SPEC, or of a Rule with numbers.

    Raises SpecError for a text that is no SPEC, or arguments that do not fit.
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
        reading = spec.read(parsed.text)
        return _of_rule(parsed.text, reading.rule, reading.hyper._asdict())
    part = spec.part(parsed)
    arguments = _bound(part)
    if name not in WORDS or any(isinstance(value, Part) for value in arguments.values()):
        return _of_tree(parsed, part)
    return _of(parsed.text, name if parsed.through is None else f"{INJECT}({name})", arguments, part)


def _of(text: str, name: str, arguments: Mapping[str, Any], part: Part) -> Implementation:
    """Of a factory of torch, optax or Keras with all its arguments."""
    factory = spec.resolve(spec.parse(inner_name(name)))
    if inner_name(name) != name:
        factory = spec.resolve(spec.parse(INJECT))(factory)
    library = name.split(".")[0]

    def follow(given: Mapping[str, Any], probe: Probe) -> Path:
        return RUNS[library](factory, name, given, probe)

    return _made(text, name, arguments, follow, defaults=_defaults(part), library=library)


def _of_tree(parsed: Spec, root: Part) -> Implementation:
    """Of what is no single optimizer of a known family: by its parts if they are one, else as it is."""
    if parsed.name.startswith("optax."):
        found = spec.as_alias(parsed)
        if found is not None and found[0] in WORDS:
            alias = spec.part(spec.parse(found[0]))
            return _of(parsed.text, found[0], {**_bound(alias), **found[1]}, alias)
    if is_torch(root.factory) or root.first is not None:
        name = parsed.full_name

        def follow(given: Mapping[str, Any], probe: Probe) -> Path:
            return with_torch(root.factory, name, given, probe)

        return _made(parsed.text, name, _bound(root), follow, defaults=_defaults(root), library="torch")
    return _composed(parsed, root)


def _composed(parsed: Spec, root: Part) -> Implementation:
    """Of a tree of optax, or a factory of one's own: its arguments are those of all its parts."""
    parts = [p for p in root.all() if not spec.is_schedule(p.spec)]
    places: dict[str, str] = {}
    for p in parts:
        for name in {**p.parameters, **p.given}:
            places[p.path + name if any(name in {**q.parameters, **q.given} for q in parts if q is not p) else name] = (
                p.path + name
            )
    values = {p.path + name: value for p in parts for name, value in {**_defaults(p), **p.given}.items()}
    arguments = {shown: values[place] for shown, place in places.items() if place in values}
    arguments = {shown: inside(value, _leaf) for shown, value in arguments.items()}
    name = "+".join(p.spec.full_name for p in root.all())
    rate = next((n for n in ("learning_rate", "lr") if is_number(arguments.get(n))), None)

    def made(values: Mapping[str, Any]) -> Any:
        if name.partition("+")[0] != "optax.lookahead":
            return root.make(values)
        from lrtheory.dims.optax_reader.combined import Pairs

        return Pairs(root.make(values))  # of parameters, of which the fast ones are compared

    def follow(given: Mapping[str, Any], probe: Probe) -> Path:
        new = {places[n]: v for n, v in given.items() if v is not arguments[n] and v != arguments[n]}

        def factory(learning_rate: Any) -> Any:
            import optax

            if rate is not None and not callable(learning_rate):
                return made({**new, places[rate]: learning_rate})
            if rate is not None:
                with contextlib.suppress(TypeError, ValueError):  # which takes no schedule
                    return made({**new, places[rate]: learning_rate})
            base = float(given[rate]) if rate is not None else 1.0
            return optax.chain(made(new), optax.scale_by_schedule(lambda count: learning_rate(count) / base))  # type: ignore[operator]

        return with_optax(factory, name, {"learning_rate": given[rate] if rate else 1.0}, probe)

    defaults = {n: value for p in parts for n, value in _defaults(p).items() if places.get(n) == p.path + n}
    more = {"defaults": defaults, "library": "optax", "without": _without(parsed, root)}
    return _made(parsed.text, name, arguments, follow, **more)


def _without(parsed: Spec, root: Part) -> dict[str, str]:
    """What is left of a chain without one of its parts, and of a wrapper without itself."""
    inner = [p for p in root.inner() if not spec.is_schedule(p.spec)]
    texts = [p.spec.text for p in inner]
    if parsed.name != "optax.chain":
        return {parsed.full_name: texts[0]} if len(texts) == 1 else {}
    rest = {text: [*texts[:i], *texts[i + 1 :]] for i, text in enumerate(texts)}
    return {
        part: left[0] if len(left) == 1 else f"optax.chain({', '.join(left)})" for part, left in rest.items() if left
    }


def _leaf(value: Any) -> Any:
    return value if isinstance(value, Part) or type(value).__name__ == "Unread" else plain(value)


def inner_name(name: str) -> str:
    """The optimizer whose hyperparameters are injected."""
    return name.removeprefix(f"{INJECT}(").removesuffix(")")


def with_arguments(base: Implementation, changes: Mapping[str, Any]) -> Implementation:
    """The same implementation with some arguments changed."""
    arguments = {**base.arguments, **changes}
    assert base.bind is not None, base.text
    return replace(base, arguments=arguments, run=base.bind(arguments))


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
        ours = {"lr": plain(parsed.kwargs.get("lr")), CLOSED: parsed.kwargs.get(CLOSED, False)}
        parsed = replace(parsed, kwargs={k: v for k, v in parsed.kwargs.items() if k not in ours})
    part = spec.part(parsed)

    def follow(given: Mapping[str, Any], probe: Probe) -> Path:
        called = {n: inside(v, lambda x: x.make() if isinstance(x, Part) else x) for n, v in given.items()}
        return run_schedule(parsed.name, called, probe)

    library = parsed.name.split(".")[0] if "." in parsed.name else "lrtheory"
    more = {"defaults": _defaults(part), "library": library, "is_schedule": True}
    return _made(parsed.text, parsed.name, _bound(part) | ours, follow, **more)


def _defaults(part: Part) -> dict[str, Any]:
    found = {k: p.default for k, p in part.parameters.items() if p.default is not inspect.Parameter.empty}
    return {k: value for k, value in found.items() if k not in ("params", "optimizer")}


def _bound(part: Part) -> dict[str, Any]:
    """All arguments, defaults included; calls among them stay parts."""
    return _defaults(part) | part.values()


def _of_rule(text: str, rule: Any, numbers: Mapping[str, float]) -> Implementation:
    hyper = rule.hyper(**{name: value for name, value in numbers.items() if value is not None})
    arguments = {**rule.options, **hyper._asdict()}

    def bind(given: Mapping[str, Any]) -> Callable[[Probe], Path]:
        factory = rules.factory_of(rule)
        fields = set(inspect.signature(factory).parameters)
        made = factory(**{k: v for k, v in given.items() if k in fields})
        own = made.hyper(**{k: v for k, v in given.items() if k not in fields and v is not None})
        return lambda probe: ours(made, own, probe)

    return Implementation(text, rule.name, arguments, lambda probe: ours(rule, hyper, probe), bind=bind)
