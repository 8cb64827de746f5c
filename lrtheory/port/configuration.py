"""An optimizer in text as code for another framework, constructed and run beside the old before anybody sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import wrappers
from ..names import find
from ..rules import Rule
from ..spec import Reading, SpecError, Unread, call, read, short
from . import counterparts, courses
from .beside import Beside, beside
from .calls import Call
from .counterparts import NoCounterpartError, advice, by_epsilon, in_words
from .errors import PortError

FRAMEWORKS = ("optax", "torch", "keras", "lrtheory")
Around = list[tuple[Any, Mapping[str, float]]]


@dataclass(frozen=True)
class Config:
    """An optimizer as another framework has it; its text is code to paste.

    Attributes
    ----------
    spec, to : as they were given
    code : str
        What makes the optimizer. ``params`` and ``optimizer`` are yours.
    loop : str
        What the training loop does at each step, where it is more than a step; empty otherwise.
    off : float
        Largest difference of a coordinate over the farthest that it moves, in the runs that were made.
    notes : tuple of str
    """

    spec: str
    to: str
    code: str
    loop: str
    off: float
    notes: tuple[str, ...]

    def __str__(self) -> str:
        loop = "".join(
            f"\n{line}" for line in ("# at each step, after the gradients are made:", *self.loop.splitlines())
        )
        return self.code + (loop if self.loop else "")

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        return {**vars(self), "notes": list(self.notes)}


class DiffersError(PortError):
    """The nearest that another framework has is another optimizer.

    Attributes
    ----------
    nearest : Config
    """

    def __init__(self, message: str, nearest: Config) -> None:
        super().__init__(message)
        self.nearest = nearest


@dataclass(frozen=True)
class Written:
    """Code before it was run.

    Attributes
    ----------
    code, loop : str
    every : int
        Calls a step.
    """

    code: str
    loop: str = ""
    every: int = 1


def config(spec: str, to: str = "optax") -> Config:
    """An optimizer in text as code for another framework.

    The code was run beside the old one, in float64, on gradients of every size, at a constant lr and at one that moves at every
    step, before it is returned.

    Parameters
    ----------
    spec : str
        Such as ``"torch.optim.AdamW(lr=1e-3, weight_decay=0.1)"``, with schedule, clipping and accumulation where it has them.
    to : "optax", "torch", "keras" or "lrtheory"

    Raises
    ------
    PortError
        For what has no counterpart, with the argument and the value that would make it portable; a :class:`DiffersError` where
        the nearest that there is runs otherwise.
    SpecError
        For what is no SPEC, or cannot be run.

    Examples
    --------
    >>> print(config("torch.optim.SGD(lr=0.1, momentum=0.9)", to="lrtheory"))
    rule = lrtheory.rules.sgd()
    hyper = rule.hyper(lr=0.1, momentum=0.9)
    """
    if to not in FRAMEWORKS:
        raise ValueError(f"to={to!r} must be one of {', '.join(FRAMEWORKS)}")
    try:
        reading = read(spec)
    except SpecError as error:
        raise PortError(str(error)) from error
    try:
        made, notes = _written(reading, to)
    except NoCounterpartError as error:
        reason = error.reason if short(spec) in error.reason else f"{short(spec)}: {error.reason}"
        raise NoCounterpartError(reason, error.change) from error
    seen: Beside = beside(reading, made, to)
    found = Config(spec, to, made.code, made.loop, seen.off, (*reading.notes, *notes, *seen.notes))
    if seen.differs:
        told = "; ".join([f"{short(made.code.replace(chr(10), '; '))} is {seen.differs}", *_why(reading, to)])
        raise DiffersError(f"{short(spec)}: no code of {to} is the same optimizer. Nearest: {told}", found)
    return found


def _written(reading: Reading, to: str) -> tuple[Written, list[str]]:
    if picked := next((note for note in reading.notes if "its mask picks" in note), ""):
        raise NoCounterpartError(f"{picked}; write one SPEC for the parameters that it picks and one for the others")
    wrapped, rule, hyper = wrappers.unwrapped(reading.rule, reading.hyper)
    around: Around = [
        (wrapper, {name: float(value) for name, value in own.items()})
        for wrapper, own in wrapped
        if wrapper.name != "flatten" or to == "lrtheory"
    ]
    left = [] if len(around) == len(wrapped) else ["flatten is left out: it joins small tensors and changes no step"]
    hyper = type(hyper)(*(None if v is None else float(v) for v in hyper))
    course = None if reading.curve is None else courses.read_course(reading.curve)
    write = {"torch": _in_torch, "optax": _in_optax, "keras": _in_keras, "lrtheory": _in_ours}[to]
    frameworks = to, reading.framework
    try:
        written, notes = counterparts.advised(
            lambda r, h: write(r, h, around, course, reading),
            rule,
            hyper,
            reading.framework,
            lambda r, h: _known(around, r, h, frameworks),
        )
    except NoCounterpartError as error:
        parted = moving(rule, hyper, frameworks) if error.change and course is not None else ()
        if parted:
            raise NoCounterpartError("; ".join([error.reason, *parted])) from error
        raise
    return written, [*left, *notes]


def _known(
    around: Around, rule: Rule, hyper: Any, frameworks: tuple[str, str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What is known to run otherwise though there is code for it, and what must change for it not to."""
    for wrapper, _ in around:
        clips = wrapper.name in ("clip_by_global_norm", "clip_by_norm")
        if clips and not wrapper.options.get("homogeneous") and frameworks[0] in ("optax", "keras"):
            yield (
                f"{frameworks[0]} adds nothing to the norm that it clips by, where torch adds 1e-6",
                {"homogeneous": True},
            )
    yield from by_epsilon(rule, hyper, frameworks)


def _in_torch(rule: Rule, hyper: Any, around: Around, course: Any, reading: Reading) -> tuple[Written, list[str]]:
    every, loop, notes = 1, [], []
    for wrapper, numbers in around:
        match wrapper.name:
            case "accumulate" if every == 1 and not loop:
                every = wrapper.every
                notes.append(f"divide each loss by {every}, and let the loop make a step after {every} backward passes")
            case "clip_by_global_norm" if wrapper.options.get("homogeneous"):
                loop += _clipped(numbers["max_norm"], "[p.grad for p in params]")
                notes.append("torch.nn.utils.clip_grad_norm_ is the same but for 1e-6 that it adds to the norm")
            case "clip_by_norm" if wrapper.options.get("homogeneous"):
                factor, *_ = _clipped(numbers["max_norm"], "[p.grad]")
                loop += ["for p in params:", f"    {factor}", "    p.grad.mul_(factor)"]
                notes.append("torch.nn.utils.clip_grad_norm_ is the same but for 1e-6 that it adds to the norm")
            case "clip_by_global_norm":
                loop.append(f"torch.nn.utils.clip_grad_norm_(params, max_norm={numbers['max_norm']!r})")
            case "clip_by_norm":
                loop.append(
                    f"for p in params:\n    torch.nn.utils.clip_grad_norm_(p, max_norm={numbers['max_norm']!r})"
                )
            case "clip_by_value":
                loop.append(f"torch.nn.utils.clip_grad_value_(params, clip_value={numbers['clip_value']!r})")
            case _:
                raise NoCounterpartError(f"torch.optim has no {wrapper.name}; the rule inside can be ported")
    scheduler = None
    if course is not None:
        lr, scheduler = courses.in_torch(course)
        hyper = hyper._replace(lr=lr)
    optimizer = counterparts.in_torch(rule, hyper).text
    needs = "import math\n" if scheduler is not None and "math." in scheduler.text else ""
    code = optimizer if scheduler is None else f"{needs}optimizer = {optimizer}\nscheduler = {scheduler.text}"
    steps = [*loop, "optimizer.step()", *(["scheduler.step()"] if scheduler is not None else [])]
    return Written(code, "\n".join(steps) if len(steps) > 1 else "", every), notes


def _clipped(max_norm: float, grads: str) -> list[str]:
    """Clipping by the norm of all, with nothing added to it."""
    return [
        f"factor = ({max_norm!r} / torch.nn.utils.get_total_norm({grads})).clamp(max=1.0)",
        "for p in params:",
        "    p.grad.mul_(factor)",
    ]


def _in_optax(rule: Rule, hyper: Any, around: Around, course: Any, reading: Reading) -> tuple[Written, list[str]]:
    every, clips = 1, []
    for wrapper, numbers in around:
        match wrapper.name:
            case "accumulate" if every == 1 and not clips:
                every = wrapper.every
            case "clip_by_global_norm":
                clips.append(Call("optax.clip_by_global_norm", {"max_norm": numbers["max_norm"]}))
            case "clip_by_value":
                clips.append(Call("optax.clip", {"max_delta": numbers["clip_value"]}))
            case _:
                raise NoCounterpartError(f"optax has no {wrapper.name}; the rule inside can be ported")
    lr = hyper.lr if course is None else courses.in_optax(course)
    parts = (*clips, *counterparts.in_optax(rule, hyper._asdict(), lr))
    made = parts[0] if len(parts) == 1 else Call("optax.chain", {}, parts)
    if every > 1:
        made = Call("optax.MultiSteps", {"every_k_schedule": every}, (made,), ".gradient_transformation()")
    return Written(made.text, "", every), []


_CLIPS = {"clip_by_value": "clipvalue", "clip_by_norm": "clipnorm", "clip_by_global_norm": "global_clipnorm"}


def _in_keras(rule: Rule, hyper: Any, around: Around, course: Any, reading: Reading) -> tuple[Written, list[str]]:
    every, more = 1, {}
    for wrapper, numbers in around:
        if wrapper.name == "accumulate" and not more:
            every = wrapper.every
        elif wrapper.name in _CLIPS and len(more) == 0:
            more[_CLIPS[wrapper.name]] = next(iter(numbers.values()))
        elif wrapper.name in _CLIPS:
            raise NoCounterpartError("keras takes one kind of clipping; one of them can be ported")
        else:
            raise NoCounterpartError(f"keras has no {wrapper.name}; the rule inside can be ported")
    lr = hyper.lr if course is None else courses.in_keras(course)
    made = counterparts.in_keras(rule, hyper._asdict(), lr)
    more |= {"gradient_accumulation_steps": every} if every > 1 else {}
    return Written(Call(made.name, {**made.arguments, **more}).text, "", every), []


def _in_ours(rule: Rule, hyper: Any, around: Around, course: Any, reading: Reading) -> tuple[Written, list[str]]:
    code, every = f"lrtheory.rules.{rule!r}", 1
    for wrapper, _ in reversed(around):
        own = {name: value for name, value in wrapper.options.items() if value is not False}
        code = call(f"lrtheory.wrappers.{wrapper.name}", own, Unread(code))
        every = getattr(wrapper, "every", every)
    defaults = {name: number.default for wrapper, _ in around for name, number in wrapper.numbers.items()}
    defaults |= {**rule.Hyper._field_defaults, **rule.array_rule.defaults}
    shown = {
        name: float(value)
        for name, value in reading.hyper._asdict().items()
        if value is not None and (name == "lr" or value != defaults.get(name)) and (course is None or name != "lr")
    }
    lines = [f"rule = {code}", f"hyper = {call('rule.hyper', shown)}"]
    if course is None:
        return Written("\n".join(lines), "", every), []
    schedule = courses.in_ours(course)
    text = schedule.text
    lines = [*(["import jax.numpy as jnp"] if "jnp." in text else []), *lines, f"schedule = {text}"]
    loop = "params, state = rule.step(hyper._replace(lr=schedule(t)), params, state, grads)  # t from 0"
    return Written("\n".join(lines), loop, every), []


def _why(reading: Reading, to: str) -> list[str]:
    """What is known to differ, by name, with the values that would make it portable."""
    around, rule, hyper = wrappers.unwrapped(reading.rule, reading.hyper)
    frameworks = to, reading.framework
    known = list(_known(list(around), rule, hyper, frameworks))
    reasons = [reason for reason, _ in known]
    parted = () if reading.curve is None else moving(rule, hyper, frameworks)
    if known and not parted:
        change = {name: value for _, own in known for name, value in own.items()}
        reasons[-1] += f": with {advice(in_words(reading.framework, rule, hyper, change))} it can be ported"
    return [*reasons, *parted]


#: Our rule → the frameworks in which lr stands inside what its momentum remembers.
_LR_BEFORE_MOMENTUM = {"sgd": ("keras",), "rmsprop": ("keras", "optax"), "lars": ("optax",)}


def moving(rule: Rule, hyper: Any, frameworks: tuple[str, str]) -> tuple[str, ...]:
    """Where a moving lr makes a difference."""
    if not getattr(hyper, "momentum", 0):
        return ()
    inside = find(_LR_BEFORE_MOMENTUM, rule) or ()
    found = {framework if framework in inside else "" for framework in frameworks}
    if len(found) == 1:
        return ()
    return tuple(
        f"{who.replace('keras', 'Keras')} multiplies by lr before its momentum: steps that are remembered keep the lr that they had"
        for who in found
        if who
    )
