"""From a SPEC, or a rule, to an implementation that can be run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lrtheory import rules, spec
from lrtheory.rules import Rule
from lrtheory.spec import Part, Spec, SpecError, is_torch
from lrtheory.spec.parts import plain
from lrtheory.spec.text import inside, is_number

from ..drivers.in_keras import load_keras
from .implementation import GROUPED, INJECT, Implementation, inner_name
from .leaves import Leaves, defaults
from .probe import Path, Probe
from .run import RUNS, ours, with_optax, with_torch
from .schedules import CLOSED, after_warmup, plateau, run
from .vocabulary import WORDS

#: Arguments that speak of parameters by name.
MASKS = ("mask", "weight_decay_mask", "param_labels")


def implementation(target: str | Rule, **numbers: float) -> Implementation:
    """Of a SPEC, or of a Rule with numbers.

    Raises SpecError for a text that is no SPEC, or arguments that do not fit.
    """
    if isinstance(target, Rule):
        return _of_rule(repr(target), target, numbers)
    parsed = spec.parse(target)
    name = parsed.name.rpartition(".")[2] if parsed.is_rule else parsed.name
    if parsed.name.startswith("keras."):
        try:
            load_keras()
        except RuntimeError as error:  # on another backend than JAX
            raise SpecError(f"{parsed.text}: {error}") from error
    if name in plateau.WORDS:
        return _of_plateau(parsed, name)
    if spec.is_schedule(parsed):
        return _of_schedule(replace(parsed, name=name))
    if parsed.is_rule:
        reading = spec.read(parsed.text)
        return _of_rule(parsed.text, reading.rule, reading.hyper._asdict())
    if groups := spec.groups(parsed):
        return _of_groups(parsed, groups)
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

    return Implementation(text, name, arguments, follow, defaults=defaults(part), library=library, tensors=named(part))


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

        return Implementation(parsed.text, name, _bound(root), follow, defaults=defaults(root), library="torch")
    return _composed(parsed, root)


def _composed(parsed: Spec, root: Part) -> Implementation:
    """Of a tree of optax, or a factory of one's own: its arguments are those of all its parts."""
    leaves = Leaves.of([p for p in root.all() if not spec.is_schedule(p.spec)])
    arguments, places = leaves.arguments, leaves.places
    name = "+".join(p.spec.full_name for p in root.all())
    rate = next((n for n in ("learning_rate", "lr") if is_number(arguments.get(n))), None)

    def tree(values: Mapping[str, Any]) -> Any:
        if name.partition("+")[0] != "optax.lookahead":
            return root.make(values)
        from lrtheory.dims.optax_reader.combined import Pairs

        return Pairs(root.make(values))  # of parameters, of which the fast ones are compared

    def follow(given: Mapping[str, Any], probe: Probe) -> Path:
        new = leaves.changed(given)

        def factory(learning_rate: Any) -> Any:
            import optax

            if rate is not None and not callable(learning_rate):
                return tree({**new, places[rate]: learning_rate})
            if rate is not None:
                with contextlib.suppress(TypeError, ValueError):  # which takes no schedule
                    return tree({**new, places[rate]: learning_rate})
            base = float(given[rate]) if rate is not None else 1.0
            return optax.chain(tree(new), optax.scale_by_schedule(lambda count: learning_rate(count) / base))  # type: ignore[operator]

        return with_optax(factory, name, {"learning_rate": given[rate] if rate else 1.0}, probe)

    more = {"defaults": leaves.defaults, "library": "optax", "without": _without(parsed, root), "tensors": named(root)}
    return Implementation(parsed.text, name, arguments, follow, **more)


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


def named(root: Part) -> tuple[str, ...]:
    """The tensors that masks and labels in a tree speak of."""
    found: dict[str, None] = {}
    for p in root.all():
        for value in (p.given.get(name) for name in MASKS):
            if isinstance(value, dict):
                if any(isinstance(entry, dict) for entry in value.values()):
                    raise SpecError(
                        f"{p.spec.text}: a mask or labels inside others are not diagnosed; write names alone, as in {{'w': True}}"
                    )
                found |= dict.fromkeys(value)
    return tuple(found)


def _alone(scheduler: Spec) -> None:
    """Raises SpecError for a scheduler that is made around an optimizer: its lr and class would be read and forgotten."""
    inner: list[Spec] = []
    inside([*scheduler.args, *scheduler.kwargs.values()], lambda x: inner.append(x) if isinstance(x, Spec) else None)
    for entry in inner:
        if entry.called and is_torch(_resolved(entry)):
            raise SpecError(
                f"{scheduler.text}: an optimizer and its schedule are diagnosed one at a time; write optimizer in the place of "
                f"{entry.text}, and lr=… as the last argument"
            )
        _alone(entry)


def _resolved(entry: Spec) -> Any:
    with contextlib.suppress(SpecError):
        return spec.resolve(entry)


def _of_schedule(parsed: Spec) -> Implementation:
    stepped = spec.is_scheduler(spec.resolve(parsed))
    ours: dict[str, Any] = {}  # arguments that the factory does not take
    if stepped:
        _alone(parsed)
        ours = {"lr": plain(parsed.kwargs.get("lr")), CLOSED: parsed.kwargs.get(CLOSED, False)}
        parsed = replace(parsed, kwargs={k: v for k, v in parsed.kwargs.items() if k not in ours})
    root = spec.part(parsed)
    parts = list(root.all())
    leaves = Leaves.of(parts)
    library = "torch" if stepped else parsed.name.split(".")[0] if "." in parsed.name else "lrtheory"

    def follow(given: Mapping[str, Any], probe: Probe) -> Path:
        new = leaves.changed(given)
        if stepped:
            resumed = any(n.endswith("last_epoch") and v != -1 for n, v in given.items())
            return run.stepped(lambda o: root.make(new, o), given["lr"], probe, closed=given[CLOSED], resumed=resumed)
        if library == "lrtheory":
            return run.ours(lambda: root.make(new), probe)
        return run.in_jax(lambda: root.make(new), probe, of_keras=library == "keras")

    name = "+".join(p.spec.full_name for p in parts)
    more = {"defaults": leaves.defaults, "library": library, "is_schedule": True}
    if name not in WORDS:
        more["horizon"] = sum(spec.counts(root))
        if root.name == "SequentialLR":
            inner = {p.path: p.name for p in root.inner()}
            more["own_words"] = after_warmup(inner, leaves.shown)
    return Implementation(parsed.text, name, {**leaves.arguments, **ours}, follow, **more)


def _of_plateau(parsed: Spec, name: str) -> Implementation:
    """Of a schedule that follows a metric; those of torch and optax have no lr of their own."""
    more: dict[str, Any] = {"is_schedule": True, "library": name.split(".")[0] if "." in name else "lrtheory"}
    if name == plateau.OURS:
        if parsed.args:
            raise SpecError(f"{parsed.text}: give the options and hyperparameters of plateau by name")
        given = {**plateau.DEFAULTS, **{n: plain(v) for n, v in parsed.kwargs.items()}}
        try:
            plateau.made(given)
        except (TypeError, ValueError) as error:
            raise SpecError(f"{parsed.text}: {error}") from error
        return Implementation(parsed.text, name, given, plateau.ours, defaults=plateau.DEFAULTS, **more)
    _alone(parsed)
    root = spec.part(replace(parsed, kwargs={n: v for n, v in parsed.kwargs.items() if n != "lr"}))
    leaves = Leaves.of([root])

    def follow(given: Mapping[str, Any], probe: Probe) -> Path:
        new, lr = leaves.changed(given), float(given["lr"])
        if name == plateau.TORCH:
            return plateau.in_torch(lambda optimizer: root.make(new, optimizer), lr, probe)
        return plateau.in_optax(lambda: root.make(new), lr, probe)

    arguments = {**leaves.arguments, "lr": plain(parsed.kwargs.get("lr"))}
    return Implementation(parsed.text, name, arguments, follow, defaults=leaves.defaults, **more)


def _of_groups(parsed: Spec, groups: list[Any]) -> Implementation:
    """Of an optimizer of torch whose groups have settings of their own, told by the names of their parameters."""
    base = replace(parsed, args=parsed.args[1:], kwargs={n: v for n, v in parsed.kwargs.items() if n != "params"})
    root = spec.part(base)
    own = [{n: inside(v, plain) for n, v in group.items() if n != "params"} for group in groups]
    labels = [g if isinstance(g := group.get("params"), str) else spec.written(g) for group in groups]
    if len(set(labels)) < len(labels) or len(parsed.args) > 1 or not all("params" in group for group in groups):
        raise SpecError(f"{parsed.text}: give groups first, each with params of its own, and other arguments by name")
    for name in {name for group in own for name in group}:
        if name not in root.parameters:
            raise SpecError(f"{parsed.text}: {parsed.full_name} has no argument {name!r} for a group")
    bound = _bound(root)
    settings = {
        f"{label}.{n}": g.get(n, bound[n]) for label, g in zip(labels, own, strict=True) for n in {**g, "lr": 0}
    }
    bound_there = {n: bound[n.rpartition(".")[2]] for n in settings}

    def follow(given: Mapping[str, Any], probe: Probe) -> Path:
        def grouped(params: Mapping[str, Any]) -> list[Any]:
            return [
                {
                    "params": [params[at]],
                    **{name: given[n] for n in settings for of, _, name in [n.rpartition(".")] if of == at},
                }
                for at in labels
            ]

        whole = {n: v for n, v in given.items() if n not in settings}
        return with_torch(root.factory, parsed.name, {**whole, "lr": bound["lr"]}, probe, grouped)

    more = {"defaults": {**defaults(root), **bound_there}, "library": "torch", "tensors": tuple(labels)}
    arguments = {**{n: v for n, v in bound.items() if n != "lr"}, **settings}  # each group has a lr
    return Implementation(parsed.text, f"{parsed.full_name}{GROUPED}", arguments, follow, **more)


def _bound(part: Part) -> dict[str, Any]:
    """All arguments, defaults included; calls among them stay parts."""
    return defaults(part) | part.values()


def _of_rule(text: str, rule: Any, numbers: Mapping[str, float]) -> Implementation:
    hyper = rule.hyper(**{name: value for name, value in numbers.items() if value is not None})
    arguments = {**rule.options, **hyper._asdict()}

    def follow(given: Mapping[str, Any], probe: Probe) -> Path:
        options = {name: given[name] for name in rule.options}
        # A rule that its factory did not make is what is diagnosed.
        other = rule if options == dict(rule.options) else rules.factory_of(rule)(**options)
        own = {name: value for name, value in given.items() if name not in options and value is not None}
        return ours(other, other.hyper(**own), probe)

    return Implementation(text, rule.name, arguments, follow)
