"""One of our rules as another framework calls it, or the argument that keeps it from being there."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from ..names import entry, find, keras, optax, torch
from ..rules import Rule, factory_of
from ..spec import Unread
from .calls import Call
from .errors import PortError

Options = Mapping[str, Any]
Numbers = Mapping[str, Any]
Written = TypeVar("Written")

#: Options of ours that say what is kept, not what is computed.
KEPT = ("momentum_buffer",)


class NoCounterpartError(PortError):
    """An argument, or a rule, that another framework lacks.

    Attributes
    ----------
    reason : str
    change : mapping
        Our options and numbers with other values, for which this is no reason any more; empty where none would do.
    """

    def __init__(self, reason: str, change: Mapping[str, Any] | None = None) -> None:
        self.reason, self.change = reason, change or {}
        super().__init__(f"{reason}; {advice(self.change)} can be ported" if change else reason)


def advice(change: Mapping[str, Any]) -> str:
    """Arguments with their values, as they are told to people."""
    told = [f"{n}={v:g}" if isinstance(v, float) else f"{n}={v!r}" for n, v in change.items()]
    return " and ".join(f"{one} with the loss negated" if one == "maximize=False" else one for one in told)


def changed(rule: Rule, hyper: Any, change: Mapping[str, Any]) -> tuple[Rule, Any]:
    """A rule with other options and numbers."""
    options = {**rule.options, **{o: v for o, v in change.items() if o in rule.options}}
    return factory_of(rule)(**options), hyper._replace(**{n: v for n, v in change.items() if n in hyper._fields})


def in_words(framework: str, rule: Rule, hyper: Any, change: Mapping[str, Any]) -> dict[str, Any]:
    """Changes of ours as arguments of the framework that an optimizer comes from; those that it has no argument for are left out."""
    if framework != "torch":
        arguments = {"optax": optax.ARGUMENTS, "keras": keras.ARGUMENTS}.get(framework, {})
        return {arguments.get(name, name): value for name, value in change.items()}
    names = entry(torch.NAMES, rule)
    new, numbers = changed(rule, hyper, change)
    given = names.arguments(new.options, numbers)
    told = {}
    for name in change:
        argument = names.options.get(name, name) if name in rule.options else names.argument(name)
        argument = argument[0] if isinstance(argument, tuple) else argument
        if argument is not None:
            told[argument] = given[argument]
    return told


def advised(
    write: Callable[[Rule, Any], Written],
    rule: Rule,
    hyper: Any,
    framework: str,
    more: Callable[[Rule, Any], Iterable[tuple[str, Options]]] = lambda rule, hyper: (),
) -> Written:
    """What is written of a rule, or a refusal with all that must change, in the words of the framework that it comes from.

    Parameters
    ----------
    write : (rule, hyper) -> what is written
    more : (rule, hyper) -> pairs of a reason and a change
        What else is known to keep it from running as the old, where something must change already.
    """
    reasons, change, now = [], dict[str, Any](), (rule, hyper)
    while True:
        try:
            written = write(*now)
            break
        except NoCounterpartError as error:
            if not error.change:
                raise
            reasons.append(error.reason)
            change |= error.change
            now = changed(rule, hyper, change)
    if not change:
        return written
    for reason, other in more(*now):
        reasons.append(reason)
        change |= other
    raise NoCounterpartError("; ".join(reasons), in_words(framework, rule, hyper, change))


def _none(framework: str, rule: Rule, what: str = "", change: Mapping[str, Any] | None = None) -> NoCounterpartError:
    return NoCounterpartError(f"{framework} has no {rule.name}{what}", change)


def in_torch(rule: Rule, hyper: Any) -> Call:
    """A class of torch.optim over ``params``."""
    names, options = find(torch.NAMES, rule), rule.options
    if names is None:
        raise _none("torch.optim", rule)
    given = names.arguments(options, hyper)
    defaults = {**hyper._field_defaults, **rule.array_rule.defaults}
    usual = {names.argument(n) for n, v in defaults.items() if v == 0 and getattr(hyper, n) == 0}
    on = {
        names.options.get(o, o) for o, v in factory_of(rule)().options.items() if v is True
    }  # in torch too, by default
    given = {n: v for n, v in given.items() if (v is not False or n in on) and v is not None and n not in usual}
    order = [*torch.POSITIONAL[names.class_name(options)], *given]
    given = dict(sorted(given.items(), key=lambda item: order.index(item[0])))
    return Call(f"torch.optim.{names.class_name(options)}", given, (Unread("params"),))


# --- optax ---


def in_optax(rule: Rule, numbers: Numbers, lr: Any, *, strict: bool = True) -> tuple[Call, ...]:
    """Parts of optax, one after the other.

    Parameters
    ----------
    numbers : by name; they may be traced
    lr : number, call of a schedule, or function of the count
    strict : not where the caller negates gradients for ``maximize``, and a factory of another rule of that name will do

    Raises
    ------
    NoCounterpartError
        With the argument that optax lacks, and the value with which it can be written.
    """
    options = rule.options
    if strict and options.get("maximize"):
        raise NoCounterpartError("optax has no argument maximize", {"maximize": False})
    if special := find(_SPECIAL, rule):
        return special(options, numbers, lr)
    guards = find(_REFUSED, rule) or ()
    for refuses, reason, change in guards:
        if refuses(options, numbers):
            raise NoCounterpartError(reason, change)
    on = {o for o, value in options.items() if value and o != "maximize" and o not in KEPT}
    found = {f: n for f, n in (find(optax.FACTORIES, rule) or {}).items() if not strict or guards or f in optax.NAMES}
    for factory, name in found.items():
        if on - set(name.switches.values()) != {o for o, value in name.options.items() if value}:
            continue
        defaults = _defaults(factory)
        given = {a: numbers[ours] for a, ours in name.numbers.items() if ours != "lr"}
        given = {a: v for a, v in given.items() if not (defaults[a] is None and isinstance(v, float) and v == 0)}
        switches = {a: options[ours] for a, ours in name.switches.items() if options[ours]}
        required = {a: v for a, v in name.required.items() if type(defaults[a]) is not type(v) or defaults[a] != v}
        made = Call(f"optax.{factory}", {"learning_rate": lr, **given, **switches, **required})
        decay = numbers.get("weight_decay", 0.0)
        decays = name.coupled and "weight_decay" not in given and not (isinstance(decay, float) and decay == 0)
        return (Call("optax.add_decayed_weights", {"weight_decay": decay}), made) if decays else (made,)
    if not found:
        raise _none("optax", rule, " that is the same rule")
    wanting = next(iter(sorted(on)))
    raise _none("optax", rule, f" with {wanting}", {wanting: False})


@functools.cache
def _defaults(factory: str) -> dict[str, Any]:
    """Of optax's own signature."""
    import optax as library

    return {n: p.default for n, p in inspect.signature(getattr(library, factory)).parameters.items()}


#: Rules of which optax has a part → what it lacks, and what must change for the rest to be the same.
_REFUSED: Mapping[str, tuple[tuple[Callable[[Options, Numbers], Any], str, Mapping[str, Any]], ...]] = {
    "sgd": (
        (lambda o, n: n["dampening"] != 0 and n["momentum"] != 0, "optax's trace has no dampening", {"dampening": 0.0}),
    ),
    "adan": (
        (lambda o, n: o["proximal"], "optax's Adan has no proximal decay", {"proximal": False}),
        (
            lambda o, n: n["beta2"] != 0.5,
            "optax weighs Adan's differences by 1 − beta2 where the paper has beta2",
            {"beta2": 0.5},
        ),
    ),
}


def _signum(options: Options, numbers: Numbers, lr: Any) -> tuple[Call, ...]:
    """A unit-lr update followed by AdamW's decay and the lr: optax's own has no decay."""
    average = [Call("optax.ema", {"debias": False}, (numbers["momentum"],))] if options["averaged"] else []
    decay = Call("optax.add_decayed_weights", {}, (numbers["weight_decay"],))
    return *average, Call("optax.scale_by_sign"), decay, Call("optax.scale_by_learning_rate", {}, (lr,))


def _schedule_free(options: Options, numbers: Numbers, lr: Any) -> tuple[Call, ...]:
    """What optax.contrib's two shortcuts build; its averaging counts from 1 where its lr counts from 0."""
    base = [
        Call("optax.add_decayed_weights", {}, (numbers["weight_decay"],)),
        Call("optax.scale_by_learning_rate", {}, (lr,)),
    ]
    if "beta2" in numbers:
        rms = {"decay": numbers["beta2"], "eps": numbers["eps"], "eps_in_sqrt": False, "bias_correction": True}
        base = [Call("optax.scale_by_rms", rms), *base]
    averaging = (lambda count: lr(count - 1)) if callable(lr) else lr
    given = {"learning_rate": averaging, "b1": numbers["beta1"], "weight_lr_power": numbers["weight_lr_power"]}
    return (Call("optax.contrib.schedule_free", given, (Call("optax.chain", {}, tuple(base)),)),)


_SPECIAL = {"signum": _signum, "schedule_free_sgd": _schedule_free, "schedule_free_adamw": _schedule_free}


# --- Keras ---


def by_epsilon(rule: Rule, hyper: Any, frameworks: tuple[str, str]) -> Iterator[tuple[str, Options]]:
    """What Keras does otherwise with eps, and the value for which it does not."""
    name = find(keras.NAMES, rule)
    if name is None or "keras" not in frameworks or not getattr(hyper, "eps", 0):
        return
    if name.before_correction:
        yield "Keras adds epsilon to √v before the correction of v", {"eps": 0.0}
    elif name.inside_root:
        yield "Keras adds epsilon inside the root", {"eps": 0.0}
    elif name.apart:
        yield f"Keras {name.apart}", {"eps": 0.0}


def in_keras(rule: Rule, numbers: Numbers, lr: Any, *, strict: bool = True) -> Call:
    """A class of keras.optimizers; not ``strict`` where it may have a number at a value of its own, and gradients are negated.

    Raises
    ------
    NoCounterpartError
        With the argument that Keras lacks, and the value with which it can be written.
    """
    name, options = find(keras.NAMES, rule), rule.options
    if name is None:
        raise _none("keras", rule)
    if strict and options.get("maximize"):
        raise NoCounterpartError("keras has no argument maximize", {"maximize": False})
    for ours, reason in name.zero.items():
        if options.get(ours) or numbers.get(ours):
            given = {n: v for n, v in name.instead.items() if ours not in numbers}
            raise NoCounterpartError(reason, {ours: 0.0 if ours in numbers else False, **given})
    if strict and numbers.get("eps1"):
        raise NoCounterpartError(
            f"keras's {name.optimizer} adds epsilon_1 to the squares, inside the root", {"eps1": 0.0}
        )
    if numbers.get("dampening") and numbers["momentum"]:
        raise NoCounterpartError("keras's SGD has no dampening", {"dampening": 0.0})
    if name.optimizer == "Lion" and numbers["beta1"] <= 0:
        raise NoCounterpartError("keras's Lion takes a beta_1 above 0 alone", {"beta1": 0.9})
    for ours, held in name.held.items():
        if strict and ours in numbers and numbers[ours] != held:
            raise NoCounterpartError(
                f"{ours}: keras's {name.optimizer} has {held:g}, and no argument for it", {ours: held}
            )
    decoupled = name.decoupled or options.get("decoupled", False)
    if numbers.get("weight_decay") and not decoupled:
        raise NoCounterpartError("keras's weight decay is decoupled in every optimizer", {"weight_decay": 0.0})
    on = [
        o for o, value in options.items() if value is True and o not in (*KEPT, *name.switches, "decoupled", "maximize")
    ]
    if on:
        raise NoCounterpartError(f"keras's {name.optimizer} has no {on[0]}", {on[0]: False})
    kind = "AdamW" if name.optimizer == "Adam" and decoupled else name.optimizer
    given = {keras.ARGUMENTS.get(n, n): float(numbers[n] or 0.0) for n in name.numbers if n != "lr"}
    given |= {o: True for o in name.switches if options[o]}
    if numbers.get("weight_decay") or kind == "AdamW":
        given["weight_decay"] = float(numbers["weight_decay"])
    return Call(f"keras.optimizers.{kind}", {"learning_rate": lr, **given, **name.fixed})
