"""The course of an lr over steps as stretches, each with a closed form: read from one framework, written in another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..names.torch import SCHEDULERS
from ..spec import Curve, Part, Unread, short, written
from .calls import Call
from .counterparts import NoCounterpartError

#: Longer than any run: of what stays.
FOREVER = 10**9


class Stretch(NamedTuple):
    """From step ``at`` on, with t counted from there.

    ``hold`` is ``a``; ``power`` goes from ``a`` to ``b`` over ``n`` steps as ``(1 − t/n)^p`` falls, ``cosine`` as
    ``(½(1 + cos πt/n))^p`` does, and both stay there; ``rate`` is ``a·p^(t/n)``, of whole multiples of n where ``stairs``, and
    not beyond ``b``.
    """

    at: int
    kind: str
    a: float
    b: float = 0.0
    n: float = 1
    p: float = 1.0
    stairs: bool = False


Course = tuple[Stretch, ...]


def read_course(curve: Curve) -> Course:
    """The stretches of a schedule.

    Raises
    ------
    NoCounterpartError
        For one that is not read.
    """
    return tuple(_read(curve.part, curve.lr))


def _read(part: Part, lr: float | None) -> Iterator[Stretch]:
    v = {n: part.value(n) for n in part.parameters}
    if not any(isinstance(x, Unread) for x in part.given.values()):
        if part.spec.name.startswith("optax."):
            yield from _of_optax(part, v)
            return
        if part.spec.name.startswith("keras."):
            yield from _of_keras(part, v)
            return
        if part.spec.name.startswith("torch.") and lr is not None:
            yield from _of_torch(part, v, lr)
            return
    raise _not_read(part)


def _not_read(part: Part, **plain: Any) -> NoCounterpartError:
    """That a schedule is not read; with the values of its arguments for which it is."""
    if plain:
        return NoCounterpartError(f"{short(part.spec.text)} is not read", plain)
    return NoCounterpartError(
        f"{short(part.spec.text)} is not read stretch by stretch; constant, linear, polynomial, cosine, exponential and piecewise "
        "constant schedules, and what joins them, can be ported"
    )


def _of_optax(part: Part, v: Mapping[str, Any]) -> Iterator[Stretch]:
    match part.name:
        case "constant_schedule":
            yield Stretch(0, "hold", v["value"])
        case "linear_schedule" | "polynomial_schedule":
            begin, p = v["transition_begin"], v.get("power", 1.0)
            if begin > 0:
                yield Stretch(0, "hold", v["init_value"])
            yield Stretch(max(begin, 0), "power", v["init_value"], v["end_value"], v["transition_steps"], p)
        case "cosine_decay_schedule":
            yield Stretch(0, "cosine", v["init_value"], v["alpha"] * v["init_value"], v["decay_steps"], v["exponent"])
        case "exponential_decay":
            if v["transition_begin"] or v["end_value"] is not None:
                raise _not_read(part, transition_begin=0, end_value=None)
            yield Stretch(0, "rate", v["init_value"], 0, v["transition_steps"], v["decay_rate"], bool(v["staircase"]))
        case "piecewise_constant_schedule":
            level = v["init_value"]
            yield Stretch(0, "hold", level)
            for at, scale in sorted((v["boundaries_and_scales"] or {}).items()):
                level *= scale
                yield Stretch(at, "hold", level)
        case "warmup_constant_schedule":
            yield Stretch(0, "power", v["init_value"], v["peak_value"], v["warmup_steps"])
        case "warmup_cosine_decay_schedule":
            rise = v["warmup_steps"]
            yield Stretch(0, "power", v["init_value"], v["peak_value"], rise)
            yield Stretch(rise, "cosine", v["peak_value"], v["end_value"], v["decay_steps"] - rise, v["exponent"])
        case "join_schedules":
            yield from _joined(part, v["schedules"], v["boundaries"], None)
        case _:
            raise _not_read(part)


def _joined(part: Part, schedules: Sequence[Any], boundaries: Sequence[int], lr: float | None) -> Iterator[Stretch]:
    """Schedules one after the other, each from its own first step on."""
    for inner, at, end in zip(schedules, (0, *boundaries), (*boundaries, FOREVER), strict=True):
        if not isinstance(inner, Part):
            raise _not_read(part)
        yield from (s._replace(at=s.at + at) for s in _read(inner, lr) if s.at + at < end)


def _of_keras(part: Part, v: Mapping[str, Any]) -> Iterator[Stretch]:
    first: Any = v.get("initial_learning_rate")
    match part.name:
        case "CosineDecay":
            rise, peak = v["warmup_steps"], v["warmup_target"]
            if peak is not None:
                yield Stretch(0, "power", first, peak, rise)
            top = first if peak is None else peak
            yield Stretch(0 if peak is None else rise, "cosine", top, v["alpha"] * top, v["decay_steps"])
        case "ExponentialDecay":
            yield Stretch(0, "rate", first, 0, v["decay_steps"], v["decay_rate"], bool(v["staircase"]))
        case "PolynomialDecay" if v["cycle"]:
            raise _not_read(part, cycle=False)
        case "PolynomialDecay":
            yield Stretch(0, "power", first, v["end_learning_rate"], v["decay_steps"], v["power"])
        case "PiecewiseConstantDecay":
            for at, level in zip((-1, *v["boundaries"]), v["values"], strict=True):
                yield Stretch(at + 1, "hold", level)
        case _:
            raise _not_read(part)


def _of_torch(part: Part, v: Mapping[str, Any], lr: float) -> Iterator[Stretch]:
    match part.name:
        case "ConstantLR":
            yield Stretch(0, "hold", v["factor"] * lr)
            yield Stretch(v["total_iters"], "hold", lr)
        case "LinearLR":
            yield Stretch(0, "power", v["start_factor"] * lr, v["end_factor"] * lr, v["total_iters"])
        case "ExponentialLR":
            yield Stretch(0, "rate", lr, 0, 1, v["gamma"])
        case "StepLR":
            yield Stretch(0, "rate", lr, 0, v["step_size"], v["gamma"], True)
        case "MultiStepLR":
            level = lr
            yield Stretch(0, "hold", level)
            for at in sorted(v["milestones"]):
                level *= v["gamma"]
                yield Stretch(at, "hold", level)
        case "CosineAnnealingLR":
            yield Stretch(0, "cosine", lr, v["eta_min"], v["T_max"])
        case "PolynomialLR":
            yield Stretch(0, "power", lr, 0.0, v["total_iters"], v["power"])
        case "SequentialLR":
            yield from _joined(part, v["schedulers"], v["milestones"], lr)
        case _:
            raise _not_read(part)


def _ratio(after: float, before: float) -> float:
    """A quotient, as it would be written where a rounding is all that is between."""
    return float(f"{after / before:.15g}")


# --- optax ---


def in_optax(course: Course) -> Call:
    """One schedule of optax, or several joined."""
    if len(course) > 1 and all(s.kind == "hold" and s.a for s in course):
        scales = {s.at: _ratio(s.a, before.a) for before, s in itertools.pairwise(course)}
        return Call("optax.piecewise_constant_schedule", {"init_value": course[0].a, "boundaries_and_scales": scales})
    match course:
        case (Stretch(kind="power", p=1, a=low, b=top, n=rise), Stretch(kind="cosine", a=also, at=at) as fall) if (
            top == also and at == rise
        ):
            given = {"init_value": low, "peak_value": top, "warmup_steps": rise, "decay_steps": rise + fall.n}
            given |= {"end_value": fall.b} | ({"exponent": fall.p} if fall.p != 1 else {})
            return Call("optax.warmup_cosine_decay_schedule", given)
    calls = [_one_in_optax(s) for s in course]
    if len(calls) == 1:
        return calls[0]
    return Call("optax.join_schedules", {"schedules": calls, "boundaries": [s.at for s in course[1:]]})


def _one_in_optax(s: Stretch) -> Call:
    match s.kind:
        case "hold":
            return Call("optax.constant_schedule", {"value": s.a})
        case "power" if s.p == 1:
            return Call("optax.linear_schedule", {"init_value": s.a, "end_value": s.b, "transition_steps": s.n})
        case "power":
            given = {"init_value": s.a, "end_value": s.b, "power": s.p, "transition_steps": s.n}
            return Call("optax.polynomial_schedule", given)
        case "cosine":
            given = {"init_value": s.a, "decay_steps": s.n, **({"alpha": s.b / s.a} if s.b else {})}
            return Call("optax.cosine_decay_schedule", given | ({"exponent": s.p} if s.p != 1 else {}))
    given = {"init_value": s.a, "transition_steps": s.n, "decay_rate": s.p}
    return Call("optax.exponential_decay", given | ({"staircase": True} if s.stairs else {}))


# --- Keras ---


def in_keras(course: Course) -> Call:
    """One schedule of Keras."""
    room = "keras.optimizers.schedules"
    if all(s.kind == "hold" for s in course):
        given = {"boundaries": [s.at - 1 for s in course[1:]], "values": [_ratio(s.a, 1.0) for s in course]}
        return Call(f"{room}.PiecewiseConstantDecay", given)
    match course:
        case (Stretch(kind="cosine", p=1) as s,) if s.a:
            return Call(f"{room}.CosineDecay", {"initial_learning_rate": s.a, "decay_steps": s.n, "alpha": s.b / s.a})
        case (Stretch(kind="power") as s,):
            given = {"initial_learning_rate": s.a, "decay_steps": s.n, "end_learning_rate": s.b, "power": s.p}
            return Call(f"{room}.PolynomialDecay", given)
        case (Stretch(kind="rate") as s,):
            given = {"initial_learning_rate": s.a, "decay_steps": s.n, "decay_rate": s.p, "staircase": s.stairs}
            return Call(f"{room}.ExponentialDecay", given)
        case (Stretch(kind="power", p=1) as rise, Stretch(kind="cosine", p=1) as fall) if (
            rise.b == fall.a and fall.at == rise.n
        ):
            given = {
                "initial_learning_rate": rise.a, "decay_steps": fall.n, "alpha": fall.b / fall.a,
                "warmup_target": fall.a, "warmup_steps": rise.n,
            }  # fmt: skip
            return Call(f"{room}.CosineDecay", given)
    raise NoCounterpartError(
        f"keras.optimizers.schedules has none with these stretches: {', '.join(s.kind for s in course)}; one of them alone, or a linear "
        "rise before a cosine, can be ported"
    )


# --- torch, and ours by the same names ---


def in_torch(course: Course) -> tuple[float, Call]:
    """The lr of the optimizer, and a scheduler of it; a function of the step where none of torch's has these stretches."""
    kind = "torch.optim.lr_scheduler"
    optimizer = (Unread("optimizer"),)
    levels = [s.a for s in course]
    if all(s.kind == "hold" for s in course):
        ratios = {b / a for a, b in itertools.pairwise(levels)} if all(levels) else {0.0, 1.0}
        if len(course) == 1:
            return levels[0], Call(f"{kind}.ConstantLR", {"factor": 1.0, "total_iters": 0}, optimizer)
        if max(ratios) - min(ratios) < 1e-15:
            given = {"milestones": [s.at for s in course[1:]], "gamma": _ratio(levels[1], levels[0])}
            return levels[0], Call(f"{kind}.MultiStepLR", given, optimizer)
    match course:
        case (Stretch(kind="rate", n=1) as s,):
            return s.a, Call(f"{kind}.ExponentialLR", {"gamma": s.p}, optimizer)
        case (Stretch(kind="rate", stairs=True) as s,):
            return s.a, Call(f"{kind}.StepLR", {"step_size": s.n, "gamma": s.p}, optimizer)
        case (Stretch(kind="rate") as s,):
            return s.a, Call(f"{kind}.ExponentialLR", {"gamma": s.p ** (1 / s.n)}, optimizer)
        case (Stretch(kind="power", p=1) as s,) if 0 < s.a <= s.b or (0 <= s.b <= s.a and s.a):
            top = max(s.a, s.b)
            given = {"start_factor": s.a / top, "end_factor": s.b / top, "total_iters": s.n}
            return top, Call(f"{kind}.LinearLR", given, optimizer)
        case (Stretch(kind="power", b=0) as s,):
            return s.a, Call(f"{kind}.PolynomialLR", {"total_iters": s.n, "power": s.p}, optimizer)
        case (Stretch(kind="cosine", p=1) as s,):
            return s.a, Call(f"{kind}.CosineAnnealingLR", {"T_max": s.n, "eta_min": s.b}, optimizer)
    top = max(max(s.a, s.b) for s in course) or 1.0
    share = [s._replace(a=s.a / top, b=s.b / top) for s in course]
    return top, Call(f"{kind}.LambdaLR", {"lr_lambda": Unread(f"lambda t: {expression(share, 'math')}")}, optimizer)


def in_ours(course: Course) -> Call | Unread:
    """One of :mod:`lrtheory.schedules`, which has torch's by their names; a function of the step for others."""
    lr, scheduler = in_torch(course)
    ours = {theirs: name for name, theirs in SCHEDULERS.items()}.get(scheduler.name.rpartition(".")[2])
    if ours is None:
        if len(course) == 1 and course[0].kind == "hold":
            return Call("lrtheory.schedules.constant", {"lr": lr})
        return Unread(f"lambda t: {expression(course, 'jnp')}")
    return Call(f"lrtheory.schedules.{ours}", {"lr": lr, **scheduler.arguments})


def expression(course: Any, library: str) -> str:
    """The lr at step ``t`` as code, with functions of ``math`` or ``jnp``."""
    least, cos, pi = ("min", "math.cos", "math.pi") if library == "math" else ("jnp.minimum", "jnp.cos", "jnp.pi")

    def one(s: Stretch) -> str:
        t = f"(t - {s.at})" if s.at else "t"
        gap, floor = written(s.a - s.b), f" + {written(s.b)}" if s.b else ""
        power = "" if s.p == 1 else f" ** {written(s.p)}"
        match s.kind:
            case "hold":
                return written(s.a)
            case "power":
                return f"{gap} * (1 - {least}({t}, {s.n}) / {s.n}){power}{floor}"
            case "cosine":
                return f"{gap} * (0.5 * (1 + {cos}({pi} * {least}({t}, {s.n}) / {s.n}))){power}{floor}"
        return f"{written(s.a)} * {written(s.p)} ** ({t} {'//' if s.stairs else '/'} {s.n})"

    text = one(course[-1])
    for before, after in zip(reversed(course[:-1]), reversed(course[1:]), strict=True):
        text = (
            f"{one(before)} if t < {after.at} else {text}"
            if library == "math"
            else f"jnp.where(t < {after.at}, {one(before)}, {text})"
        )
    return text


def same_until(one: Any, other: Any, horizon: int) -> int | None:
    """The step from which two functions of arrays of steps part, or None where they do not up to twice the horizon."""
    t = (
        np.unique(np.linspace(0, 2 * horizon + 10, 4000).astype(np.int64))
        if horizon > 2000
        else np.arange(2 * horizon + 10)
    )
    a, b = np.asarray(one(t)), np.asarray(other(t))
    size = max(float(np.max(np.abs(a))), 1e-300)
    apart = np.flatnonzero(~(np.abs(a - b) <= 2e-6 * size))  # optax and Keras make them in float32
    return int(t[apart[0]]) if apart.size else None
