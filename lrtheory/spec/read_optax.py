"""SPECs of optax: one factory, or ``optax.chain`` of clipping, decay and a factory. optax is asked for signatures alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import rules, wrappers
from ..names.optax import EXECUTION, NAMES, SCHEDULE_COUNTS, SCHEDULE_LEVELS
from ..rules import Rule
from ..wrappers import Wrapper
from . import written
from .reading import NoRuleError, Reading, made
from .text import Spec, SpecError

_CLIPS: dict[str, tuple[str, Callable[[Any], Wrapper], str]] = {
    "optax.clip": ("max_delta", wrappers.clip_by_value, "clip_value"),
    "optax.clip_by_global_norm": (
        "max_norm",
        lambda rule: wrappers.clip_by_global_norm(rule, homogeneous=True),
        "max_norm",
    ),
}


@dataclass(frozen=True)
class _Piece:
    """A part of a chain: the numbers it gives, and how it is written with new ones."""

    numbers: dict[str, Any]
    write: Callable[[Any, float], str]


def read_optax(spec: Spec) -> Reading:
    """The rule, wrapped as the chain has it.

    Raises
    ------
    NoRuleError
        For a chain of other parts, or a factory that is none of our rules.
    """
    if spec.name == "optax.MultiSteps":
        return _multi_steps(spec)
    parts = parts_of(spec)
    notes: list[str] = []
    clips: list[str] = []
    pieces: list[_Piece] = []
    coupled = False
    for part in parts[:-1]:
        if part.name in _CLIPS and not coupled:
            argument, _, number = _CLIPS[part.name]
            clips.append(part.name)
            pieces.append(_piece(part, {argument: number}))
        elif part.name == "optax.add_decayed_weights" and not coupled:
            coupled = True
            pieces.append(_piece(part, {"weight_decay": "weight_decay"}))
        elif part.name == "optax.identity":
            pieces.append(_Piece({}, lambda new, batch: "optax.identity()"))
        else:
            raise NoRuleError(f"{part.text} in {spec.text} has no counterpart among our rules and wrappers, there")
    rule, numbers, piece = _factory(spec, parts[-1], notes, coupled=coupled)
    numbers = {**numbers, **{name: v for p in pieces for name, v in p.numbers.items()}}
    for name in reversed(clips):
        try:
            rule = _CLIPS[name][1](rule)
        except ValueError as error:
            raise NoRuleError(f"{spec.text}: {error}") from error
    hyper = made(spec, rule, numbers)
    pieces.append(piece)

    def write(new: Any, batch: float) -> str:
        # A decay that the chain adds is written there, and not in the factory behind it.
        code = [p.write(new, batch) for p in pieces]
        return code[0] if spec.name != "optax.chain" else f"optax.chain({', '.join(code)})"

    return Reading(spec.text, "optax", rule, hyper, write, tuple(notes))


def parts_of(spec: Spec) -> list[Spec]:
    """The parts of a chain, chains in it unfolded."""
    if spec.name != "optax.chain":
        return [spec]
    if not spec.args or spec.kwargs or not all(isinstance(part, Spec) for part in spec.args):
        raise SpecError(
            f"{spec.text}: optax.chain takes transformations, as in optax.chain(optax.clip(1.0), optax.sgd(0.1))"
        )
    return [inner for part in spec.args for inner in parts_of(part)]


def _multi_steps(spec: Spec) -> Reading:
    given = by_name(spec)
    inside, every = given.pop("opt", None), given.pop("every_k_schedule", None)
    if not isinstance(inside, Spec) or not isinstance(every, int) or given:
        raise NoRuleError(
            f"{spec.text}: only optax.MultiSteps(optimizer, every_k_schedule=NUMBER) is one of our wrappers"
        )
    reading = read_optax(inside)
    rule = wrappers.accumulate(reading.rule, every=every)
    hyper = rule.Hyper(*reading.hyper, examples=1.0)
    return Reading(
        spec.text,
        "optax",
        rule,
        hyper,
        lambda new, batch: written.call(spec.name, {"every_k_schedule": every}, reading.write(rule.inner(new), batch)),
        reading.notes,
    )


def _factory(
    spec: Spec, part: Spec, notes: list[str], *, coupled: bool
) -> tuple[Rule | Wrapper, dict[str, Any], _Piece]:
    """The optimizer at the end of a chain."""
    name = NAMES.get(part.name.removeprefix("optax."))
    if name is None:
        raise NoRuleError(f"{part.text} is none of our rules")
    given = by_name(part, notes)
    for argument, value in name.required.items():
        if given.get(argument, _defaults(part).get(argument)) != value:
            raise NoRuleError(
                f"{part.text} is another rule than {name.rule}: only with {argument}={value!r} are they the same"
            )
    if coupled and not name.coupled:
        raise NoRuleError(f"{spec.text}: decay added before {part.name} is not what {name.rule} has as weight_decay")
    options = {**name.options, **{ours: given[a] for a, ours in name.switches.items() if a in given}}
    unknown = [a for a in given if a not in {**name.numbers, **name.switches, **name.required} and a not in EXECUTION]
    if unknown:
        raise NoRuleError(f"{part.text}: with {unknown[0]} it is none of our rules")
    try:
        rule = rules.get(name.rule)(**options)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{part.text}: {error}") from error
    piece = _piece(part, dict(name.numbers), notes)
    defaults = {
        ours: _defaults(part).get(argument) or 0.0 for argument, ours in name.numbers.items() if argument not in given
    }
    return rule, {**defaults, **piece.numbers}, piece


def _piece(part: Spec, names: dict[str, str], notes: list[str] | None = None) -> _Piece:
    """A call whose arguments are numbers of ours by another name."""
    given = by_name(part, notes)
    numbers = {}
    for argument, ours in names.items():
        if argument in given:
            value = given[argument]
            numbers[ours] = _peak(part, value) if isinstance(value, Spec) else 0.0 if value is None else value
    defaults = _defaults(part)

    def write(new: Any, batch: float) -> str:
        shown = dict(given)
        for argument, ours in names.items():
            value, before = getattr(new, ours), given.get(argument, defaults.get(argument))
            if isinstance(before, Spec):
                shown[argument] = _schedule(before, value / _peak(part, before), batch)
            elif value != (before or 0.0):
                shown[argument] = value
        return written.call(part.name, shown)

    return _Piece(numbers, write)


def _signature(part: Spec) -> dict[str, inspect.Parameter]:
    import optax

    factory = getattr(optax, part.name.removeprefix("optax."), None)
    if factory is None:
        raise SpecError(f"{part.text}: optax has no {part.name.removeprefix('optax.')!r}")
    return dict(inspect.signature(factory).parameters)


def _defaults(part: Spec) -> dict[str, Any]:
    return {n: p.default for n, p in _signature(part).items() if p.default is not p.empty}


def by_name(part: Spec, notes: list[str] | None = None) -> dict[str, Any]:
    """Arguments by name, and the lr that a bare name gets."""
    parameters = _signature(part)
    if len(part.args) > len(parameters):
        raise SpecError(f"{part.text}: {len(part.args)} arguments, but {part.name} takes {len(parameters)}")
    given = dict(zip(parameters, part.args, strict=False))
    twice, unknown = set(given) & set(part.kwargs), set(part.kwargs) - set(parameters)
    if twice or unknown:
        what = (
            f"{', '.join(sorted(twice))} given twice" if twice else f"{part.name} has no {', '.join(sorted(unknown))}"
        )
        raise SpecError(f"{part.text}: {what}")
    given.update(part.kwargs)
    first = next(iter(parameters))
    if first == "learning_rate" and given.get(first) is None:
        given = {first: 1e-3, **{n: v for n, v in given.items() if n != first}}
        if notes is not None:
            notes.append("learning_rate has no default: 1e-3")
    return given


def _peak(part: Spec, schedule: Spec) -> float:
    """The largest level of a schedule."""
    levels = [
        v
        for n, v in by_name(schedule).items()
        if n in SCHEDULE_LEVELS and isinstance(v, (int, float)) and not isinstance(v, bool)
    ]
    if not schedule.name.endswith("_schedule") or not levels:
        raise SpecError(
            f"{part.text}: {schedule.text} is not a number or a schedule such as optax.cosine_decay_schedule(...)"
        )
    return float(max(levels))


def _schedule(schedule: Spec, factor: float, batch: float) -> Spec:
    """A schedule with its levels multiplied and its step counts divided."""
    given = by_name(schedule)
    for name, value in given.items():
        if name in SCHEDULE_LEVELS:
            given[name] = value * factor
        elif name in SCHEDULE_COUNTS and batch != 1:
            given[name] = max(1, round(value / batch)) if value else value
    return Spec(written.call(schedule.name, given), schedule.name, None, (), given, called=True)
