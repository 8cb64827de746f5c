"""SPECs of optax: an optimizer, or a chain of parts that are one, with what is around it. optax is asked for signatures.

A chain is read by its structure: the parts that an alias of optax is made of are that alias, so that
``optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(1e-3))`` is ``optax.adam(1e-3)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import rules, wrappers
from ..names.optax import CHAINS, EXECUTION, NAMES
from ..wrappers import Wrapper
from ._reading import NoRuleError, Reading, check_made, made
from .curves import Curve, of_part
from .parts import Part, part
from .text import Spec, SpecError, Unread, is_number, short, written

_CLIPS: dict[str, tuple[str, Callable[[Any], Wrapper], str]] = {
    "clip": ("max_delta", wrappers.clip_by_value, "clip_value"),
    "clip_by_global_norm": ("max_norm", lambda rule: wrappers.clip_by_global_norm(rule, homogeneous=True), "max_norm"),
}
#: What an alias is made of, "lr" standing for whatever multiplies by the lr.
_MADE_OF: Mapping[tuple[str, ...], str] = {
    ("lr",): "sgd",
    ("trace", "lr"): "sgd",
    ("scale_by_adam", "lr"): "adam",
    ("scale_by_adam", "add_decayed_weights", "lr"): "adamw",
    ("scale_by_adam", "add_decayed_weights", "scale_by_trust_ratio", "lr"): "lamb",
    ("scale_by_adamax", "lr"): "adamax",
    ("scale_by_belief", "lr"): "adabelief",
    ("scale_by_lion", "lr"): "lion",
    ("scale_by_lion", "add_decayed_weights", "lr"): "lion",
    ("scale_by_rms", "lr"): "rmsprop",
    ("scale_by_rms", "lr", "trace"): "rmsprop",
    ("scale_by_stddev", "lr"): "rmsprop",
    ("scale_by_stddev", "lr", "trace"): "rmsprop",
    ("scale_by_adadelta", "lr"): "adadelta",
    ("scale_by_sign", "lr"): "sign_sgd",
    ("scale_by_sign", "add_decayed_weights", "lr"): "signsgd",
    ("ema", "scale_by_sign", "lr"): "signum",
    ("ema", "scale_by_sign", "add_decayed_weights", "lr"): "signum",
    ("add_decayed_weights", "scale_by_trust_ratio", "lr", "trace"): "lars",
}
_RENAMED = {("trace", "decay"): "momentum", ("ema", "decay"): "momentum"}
#: Arguments of a part that must be as they are by default for the alias to be made of it.
_DEFAULT = {
    "lamb": ("scale_by_trust_ratio", ("min_norm", "trust_coefficient", "eps")),
    "lars": ("scale_by_trust_ratio", ("min_norm",)),
}
_RATES = {"scale_by_learning_rate": "learning_rate", "scale": "step_size", "scale_by_schedule": "step_size_fn"}
_MASKS = ("mask", "weight_decay_mask")


@dataclass(frozen=True)
class _Place:
    """Where a number stands: an argument of a part, times a factor."""

    part: Part
    argument: str
    factor: float = 1.0

    @property
    def value(self) -> Any:
        given = self.part.value(self.argument)
        return given * self.factor if is_number(given) and self.factor != 1 else given

    @property
    def is_given(self) -> bool:
        return self.argument in self.part.given


@dataclass(frozen=True)
class _Alias:
    """A factory of optax by name, and where each of its arguments stands."""

    name: str
    places: Mapping[str, _Place]


def read_optax(spec: Spec) -> Reading:
    """The rule, wrapped as the chain has it.

    Raises
    ------
    NoRuleError
        For a chain of other parts, or a factory that is none of our rules.
    """
    root = part(spec)
    check_made(root, "optax")
    notes = [note for p in root.all() for note in p.notes]
    every, inside = 1, root
    if root.name == "MultiSteps":
        every, inside = _every(root), next(root.inner())
        notes.append(
            f"a step is every {every} calls, and schedules count steps: optax.MultiSteps takes the mean of {every} gradients"
        )
    clips, sequence, bounds = [], _sequence(inside, notes), {}
    while len(sequence) > 1 and sequence[0].name in _CLIPS:
        argument, wrap, number = _CLIPS[sequence[0].name]
        clips.append(wrap)
        bounds[number] = _Place(sequence[0], argument)
        sequence = sequence[1:]
    rule, own = _ruled(spec, sequence)
    places = {**own, **bounds}
    for wrap in reversed(clips):
        try:
            rule = wrap(rule)
        except ValueError as error:
            raise NoRuleError.of(spec, error) from error
    numbers, curve = _numbers(spec, places, notes)
    if every > 1:
        rule = wrappers.accumulate(rule, every=every)
    hyper = made(spec, rule, numbers, {number: place.argument for number, place in places.items()})

    def write(new: Any, lr: float, batch: float) -> str:
        changed: dict[str, Any] = {}
        for number, place in places.items():
            before, after = getattr(hyper, number), getattr(new, number)
            name = place.part.path + place.argument
            if curve is not None and isinstance(place.part.value(place.argument), Part):
                if (lr, batch) != (1, 1):
                    changed[name] = Unread(curve.rescaled(lr, batch).text)
            elif after != before and number in numbers:
                changed[name] = after / place.factor
        return root.write(changed)

    return Reading(spec.text, "optax", rule, hyper, write, tuple(notes), curve)


def optax_rule(spec: Spec, sequence: list[Part]) -> tuple[Any, dict[str, Any]]:
    """The rule that parts in a row are, whose numbers all are known, and its numbers.

    Raises
    ------
    NoRuleError
        For other parts; the message is of ``spec``.
    """
    rule, places = _ruled(spec, sequence)
    numbers, _ = _numbers(spec, places, [])
    return rule, numbers


def _ruled(spec: Spec, sequence: list[Part]) -> tuple[Any, dict[str, _Place]]:
    """Our rule, and where its numbers stand."""
    before = sequence[0] if len(sequence) > 1 and sequence[0].name == "add_decayed_weights" else None
    if before is None or _made_of(sequence) in _MADE_OF:
        return _rule(spec, _alias(spec, sequence), False)
    rule, places = _rule(spec, _alias(spec, sequence[1:]), True)
    if "weight_decay" in places and places["weight_decay"].value:
        raise NoRuleError.of(
            spec, f"decay added before {sequence[1].name}, which has its own, is none of our rules; give one of both"
        )
    return rule, {**places, "weight_decay": _Place(before, "weight_decay")}


def _made_of(sequence: list[Part]) -> tuple[str, ...]:
    names = ["lr" if p.name in _RATES else p.name for p in sequence]
    return tuple(name for i, name in enumerate(names) if name != "lr" or names[i - 1 : i] != ["lr"])


def _every(root: Part) -> int:
    every = root.value("every_k_schedule")
    if not isinstance(every, int) or isinstance(every, bool):
        raise NoRuleError.of(root.spec, "a number of calls a step that changes is none of our wrappers")
    if every < 1:
        raise SpecError.of(root.spec, f"every_k_schedule={every}: no step is ever taken; it must be 1 or more")
    if root.value("use_grad_mean") is not True or root.value("should_skip_update_fn") is not None:
        raise NoRuleError.of(root.spec, "only the mean of the gradients of all calls is one of our wrappers")
    return every


def _sequence(root: Part, notes: list[str]) -> list[Part]:
    """The transformations one after the other, with what does nothing to a finite step taken off."""
    if root.name in ("chain", "named_chain"):
        given = next(iter(root.given.values()), ())
        entries = given
        if root.name == "named_chain":
            entries = [e[1] if isinstance(e, tuple) and len(e) == 2 and isinstance(e[0], str) else e for e in given]
        inner = [entry for entry in entries if isinstance(entry, Part)]
        if not inner or len(inner) < len(entries):
            raise SpecError.of(
                root.spec,
                f"optax.{root.name} takes transformations, as in optax.chain(optax.clip(1.0), optax.sgd(0.1))",
            )
        return [found for p in inner for found in _sequence(p, notes)]
    if root.name in ("apply_if_finite", "with_extra_args_support"):
        inner = next(root.inner(), None)
        if inner is not None:
            if root.name == "apply_if_finite":
                notes.append("steps that are not finite are left out; all that is said is of finite ones")
            return _sequence(inner, notes)
    return [] if root.name == "identity" else [root]


#: Factories that give groups of parameters what is not for all.
_BY_GROUP = ("partition", "multi_transform", "masked", "selective_transform")


def _alias(spec: Spec, sequence: list[Part]) -> _Alias:
    if len(sequence) == 1 and sequence[0].name in NAMES:
        only = sequence[0]
        return _Alias(only.name, {a: _Place(only, a) for a in only.parameters})
    made_of, places = _made_of(sequence), {}
    for p in sequence:
        if p.name not in _RATES:
            places |= {_RENAMED.get((p.name, argument), argument): _Place(p, argument) for argument in p.parameters}
    name = _MADE_OF.get(made_of)
    if name in _DEFAULT:
        part_name, arguments = _DEFAULT[name]
        at = next(p for p in sequence if p.name == part_name)
        if any(at.value(a) != at.parameters[a].default for a in arguments):
            name = None
        places = {a: place for a, place in places.items() if a not in arguments}
    if name is None:
        unknown = next(
            (p for p in sequence if p.name not in {n for made in _MADE_OF for n in made} | set(_RATES)), None
        )
        what = (unknown or sequence[0]).spec.text if sequence else spec.text
        hint = (
            ": give the SPEC of one group of parameters"
            if (unknown or spec).name.rpartition(".")[2] in _BY_GROUP
            else ""
        )
        raise NoRuleError(
            f"{short(what)} is none of our rules{hint}" if what == spec.text
            else f"{short(spec.text)} is none of our rules and wrappers, with {short(what)} where it stands{hint}"
        )  # fmt: skip
    if name == "lamb":
        places["eps"], places["eps_root"] = (_Place(sequence[0], a) for a in ("eps", "eps_root"))
    if "scale_by_stddev" in made_of:
        places["centered"] = _Place(Part(sequence[0].spec, sequence[0].factory, {}, {"centered": True}), "centered")
    return _Alias(name, {**places, "learning_rate": _rate(spec, [p for p in sequence if p.name in _RATES])})


def _rate(spec: Spec, rates: list[Part]) -> _Place:
    """The lr as a product of what it is multiplied by, one of which carries it."""
    factors = []  # part, value, and the sign of what it multiplies by
    for p in rates:
        flips = p.name == "scale_by_learning_rate" and p.value("flip_sign") is True
        factors.append((p, p.value(_RATES[p.name]), -1.0 if flips else 1.0))
    bare = [f for f in factors if is_number(f[1]) and abs(f[1]) == 1]
    carriers = [f for f in factors if f not in bare] or bare[:1]
    if len(carriers) != 1:
        raise NoRuleError.of(spec, f"its lr is a product of {len(carriers)} numbers, and is read of one alone")
    carrier, value, sign = carriers[0]
    factor = -sign * math.prod(s * v for p, v, s in factors if p is not carrier)
    if value is None:
        raise NoRuleError.of(carrier.spec, "without a learning_rate optax neither scales nor turns the gradient's sign")
    if not (isinstance(value, Part) or is_number(value)):
        raise SpecError(_not_evaluated(carrier, _RATES[carrier.name]))
    if factor * (1 if isinstance(value, Part) else value) < 0:
        raise NoRuleError(f"{short(spec.text)} moves up the gradient, as {short(carrier.spec.text)} has it")
    if isinstance(value, Part) and factor != 1:
        raise NoRuleError.of(spec, f"a schedule times {factor:g} is not read; write the factor into the schedule")
    return _Place(carrier, _RATES[carrier.name], factor)


def _not_evaluated(p: Part, argument: str) -> str:
    return (
        f"{short(p.spec.text)}: {argument}={written(p.value(argument))} is not evaluated; write a number, or the call of a "
        "schedule such as optax.cosine_decay_schedule(0.1, 1000)"
    )


def _rule(spec: Spec, alias: _Alias, coupled: bool) -> tuple[Any, dict[str, _Place]]:
    """Our rule, and where its numbers stand."""
    name = {**NAMES, **CHAINS}[alias.name]
    values = {argument: place.value for argument, place in alias.places.items()}
    other = {a: v for a, v in name.required.items() if a not in _MASKS and a in values and values[a] != v}
    if other:
        told = " and ".join(f"{argument}={value!r}" for argument, value in other.items())
        raise NoRuleError(f"{short(spec.text)} is another rule than {name.rule}: only with {told} are they the same")
    if coupled and not name.coupled:
        raise NoRuleError.of(spec, f"decay added before {alias.name} is not what {name.rule} has as weight_decay")
    options = {**name.options, **{ours: values[a] for a, ours in name.switches.items() if a in values}}
    known = {*name.numbers, *name.switches, *name.required, *EXECUTION, *_MASKS}
    unknown = [a for a, place in alias.places.items() if place.is_given and a not in known]
    if unknown:
        raise NoRuleError.of(spec, f"with {unknown[0]} it is none of our rules")
    if name.options.get("nesterov") is None and options.get("nesterov") and values.get("momentum", 0) is None:
        options["nesterov"] = False  # optax looks ahead with momentum alone
    try:
        rule = rules.get(name.rule)(**options)
    except (TypeError, ValueError) as error:
        raise SpecError.of(spec, error) from error
    return rule, {ours: alias.places[a] for a, ours in name.numbers.items() if a in alias.places}


def _numbers(spec: Spec, places: Mapping[str, _Place], notes: list[str]) -> tuple[dict[str, Any], Curve | None]:
    """Values by number, the peak for a schedule, and the schedule of the lr."""
    numbers: dict[str, Any] = {}
    curve = None
    for number, place in places.items():
        value = place.value
        if isinstance(value, Part):
            found = of_part(value)
            if number == "lr":
                curve = found
            elif found.start.lr != found.peak.lr or found.end.lr != found.peak.lr:
                raise NoRuleError.of(spec, f"{place.argument} follows a schedule, and rules have one for lr alone")
            value = found.peak.lr
        elif value is None and number == "lr":
            raise NoRuleError.of(
                place.part.spec, "without a learning_rate optax neither scales nor turns the gradient's sign"
            )
        elif isinstance(value, (Spec, Unread)) and number == "lr":
            raise SpecError(_not_evaluated(place.part, place.argument))
        if number == "weight_decay":
            mask = next((place.part.value(m) for m in _MASKS if m in place.part.parameters), None)
            if mask is False:
                notes.append(f"{short(place.part.spec.text)}: its mask is False, so nothing decays")
                continue
            if mask not in (None, True):
                notes.append(f"what is said of weight decay is of parameters that its mask picks: {written(mask)}")
        numbers[number] = 0.0 if value is None else value
    return numbers, curve


def as_alias(spec: Spec) -> tuple[str, dict[str, Any]] | None:
    """The optimizer of optax that a chain of its parts is, with the arguments that have a value; ``None`` for any other."""
    root = part(spec)
    try:
        sequence = _sequence(root, [])
        alias = _alias(spec, sequence)
    except SpecError:
        return None
    arguments = {argument: place.value for argument, place in alias.places.items()}
    if (
        sequence == [root]
        or alias.name not in NAMES
        or any(isinstance(v, (Part, Spec, Unread)) for v in arguments.values())
    ):
        return None
    return f"optax.{alias.name}", arguments
