"""Inference for a TARGET in text: a SPEC, a bare name, or ``module:callable``."""

from __future__ import annotations

import contextlib
import io
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..spec import NoRuleError, Part, Spec, SpecError, Unread, is_schedule, is_torch, parse, part, read, resolve, short
from ..spec.curves import Curve, of_part
from ..spec.text import inside
from ..units import PARAM
from ._jaxpr.program import SHAPES
from .dimensions import Dimensions
from .infer import infer, makes_torch_optimizer


class TargetError(SpecError):
    """A target that cannot be looked at; the message says why, and what would do."""


@dataclass(frozen=True)
class Numbered:
    """An optimizer in text that can be run with other numbers."""

    text: str
    # by argument; an entry of a tuple is betas[0], and the second part of a chain has 2.eps where another has an eps
    # too. A schedule counts as its peak.
    numbers: Mapping[str, float]
    make: Callable[[Mapping[str, Any]], Any]  # numbers -> transformation of optax, or arguments of a class of torch
    write: Callable[[Mapping[str, float]], str]  # numbers -> code
    infer: Callable[[], Dimensions]
    notes: tuple[str, ...] = ()
    kind: Any = None  # a class of torch optimizers, or None
    curves: Mapping[str, Curve] = field(default_factory=dict)  # schedules by the number that follows one
    shapes: Mapping[str, tuple[int, ...]] | None = None  # of the parameters, where masks or labels in it name them

    @property
    def framework(self) -> str:
        """Its package, or the module of ``module:callable``."""
        return re.split(r"[.:(]", self.text)[0]


def infer_target(text: str) -> Dimensions:
    """Units of what a TARGET names.

    Raises TargetError if it cannot be imported or run, is no optimizer, prints, or changes global state.
    """
    try:
        spec = parse(text)
        with quiet(spec):
            result = target(spec).infer()
    except TargetError:
        raise
    except SpecError as error:
        raise TargetError(str(error)) from error
    except (Exception, SystemExit) as error:
        message = str(error).strip().splitlines() or [type(error).__name__]
        raise TargetError(f"{short(text)}: {message[0]}") from error
    return replace(result, target=spec.text)


def target(spec: Spec) -> Numbered:
    """What a SPEC names, with its numbers. Raises SpecError for arguments that do not fit, or what is no optimizer."""
    if spec.is_rule:
        return _of_rule(spec)
    if is_schedule(spec):
        first = spec.args[0] if spec.args else spec.kwargs.get("optimizer")
        if isinstance(first, Spec) and first.name.startswith("torch.optim."):
            return target(first)
        raise TargetError(
            f"{short(spec.text)} is a schedule, not an optimizer: units are those of what it is the lr of"
        )
    if spec.name.startswith("keras.") and spec.module is None:
        raise TargetError(
            f"{short(spec.text)} is of Keras, of which lrtheory explain reads what is one of our rules; diagnose and replay take it too, "
            "dims and check read torch, optax and the rules of this package"
        )
    root = part(spec)
    reads_torch = is_torch(root.factory) or (spec.module is not None and makes_torch_optimizer(root.factory))
    return _of_torch(root) if reads_torch else _of_optax(root)


def _of_rule(spec: Spec) -> Numbered:
    try:
        reading = read(spec.text)
    except NoRuleError as error:
        raise TargetError(str(error)) from error
    numbers = {name: float(value) for name, value in reading.hyper._asdict().items() if value is not None}
    return Numbered(
        spec.text,
        numbers,
        lambda new: reading.hyper._replace(**new),
        lambda new: reading.write(reading.hyper._replace(**new), 1.0, 1.0),
        lambda: infer(reading.rule),
    )


def _of_torch(root: Part) -> Numbered:
    from .torch_reader.arguments import constructor_arguments, default_numbers

    given: dict[str, Any] = root.values()
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    if root.spec.name.startswith("torch.optim.") and given.get("capturable"):
        given["capturable"] = False  # it is for a step inside a CUDA graph, and refused on a CPU
    numbers, others = default_numbers(root.factory, given)

    def write(new: Mapping[str, float]) -> str:
        before, after = (constructor_arguments(n, others) for n in (numbers, {**numbers, **new}))
        return root.write({name: value for name, value in after.items() if name not in before or value != before[name]})

    return Numbered(
        root.spec.text,
        numbers,
        lambda new: constructor_arguments({**numbers, **{n: v for n, v in new.items() if v != numbers[n]}}, others),
        write,
        lambda: infer(root.factory, **given),
        root.notes,
        root.factory,
    )


def _of_optax(root: Part) -> Numbered:
    from .optax_reader.infer import default_numbers, infer_optax, is_optimizer

    numbers: dict[str, float] = {}
    curves: dict[str, Curve] = {}
    called = [p for p in root.all() if not is_schedule(p.spec)]
    for p in called:
        p.values()  # refuses what is not read
    found = [(p, default_numbers(p.factory, {n: v for n, v in p.given.items() if not _holds_parts(v)})) for p in called]
    names = [name for _, (own, _, _) in found for name in own]
    full = len(set(names)) < len(names)  # two parts have a number of one name
    paths: dict[str, str] = {}
    sources: dict[str, tuple[Callable[..., Any], str]] = {}
    for p, (own, _, _) in found:
        for name, value in own.items():
            if p.value(name) is None or name == "every_k_schedule":  # the lr of optax.adadelta() is none; a count
                continue
            shown = p.path + name if full else name
            numbers[shown], paths[shown], sources[shown] = value, p.path + name, (p.factory, name)
        for name, value in p.given.items():
            if isinstance(value, Part) and is_schedule(value.spec) and name != "every_k_schedule":
                shown = p.path + name if full or name in numbers else name
                curves[shown] = of_part(value)
                numbers[shown], paths[shown] = curves[shown].peak.lr or 1.0, p.path + name
    shapes = _labelled(called)

    def make(new: Mapping[str, Any]) -> Any:
        values: dict[str, Any] = {}
        for shown, number in new.items():
            values[paths[shown]] = _times(curves[shown], number) if shown in curves else number
        made = root.make(values)
        return _in_pairs(made) if root.name == "lookahead" and root.spec.module is None else made

    def write(new: Mapping[str, float]) -> str:
        changed = {
            paths[n]: Unread(curves[n].rescaled(v / numbers[n]).text) if n in curves else v
            for n, v in new.items()
            if v != numbers[n]
        }
        return root.write(changed)

    def inferred() -> Dimensions:
        moves = len(called) > 1 and any(is_optimizer(p.factory) or p.name in _RATES for p in called)
        update = PARAM if moves or is_optimizer(root.factory) else None
        result = infer_optax(
            lambda **new: make(new), hyper=numbers, update=update, target=root.spec.name, shapes=shapes, sources=sources
        )
        return replace(result, notes=(*notes, *result.notes))

    notes = tuple(
        dict.fromkeys(
            note
            for p, (_, _, held) in found
            for note in (*p.notes, *held)
            if "has no default" not in note or note in p.notes
        )
    )
    return Numbered(root.spec.text, numbers, make, write, inferred, notes, None, curves, shapes)


_RATES = ("scale", "scale_by_learning_rate", "scale_by_schedule")


def _holds_parts(value: Any) -> bool:
    found = []
    inside([value], lambda entry: found.append(entry) if isinstance(entry, (Part, Spec, Unread)) else None)
    return bool(found)


def _times(curve: Curve, number: Any) -> Callable[[Any], Any]:
    """The schedule, as a number of the optimizer times a function of the step that has no units."""
    schedule, peak = curve.part.make(), curve.peak.lr or 1.0
    return lambda count: number * (schedule(count) / peak)


def _labelled(parts: list[Part]) -> dict[str, tuple[int, ...]] | None:
    """Parameters by the names that a mask or labels in the SPEC give them."""
    for p in parts:
        for name, value in p.given.items():
            if ("mask" in name or "label" in name) and isinstance(value, dict) and value:
                return dict(zip(value, [*SHAPES.values()] * len(value), strict=False))
    return None


def _in_pairs(made: Any) -> Any:
    from .optax_reader.combined import Pairs

    return Pairs(made)


@contextlib.contextmanager
def quiet(spec: Spec) -> Iterator[None]:
    """Refuse a target that prints, whose words would get between the lines of a table, or changes global state."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if spec.module is not None:
            resolve(spec)
        before = _global_state(spec)
        yield
    if printed.getvalue():
        first = (printed.getvalue().strip().splitlines() or [""])[0][:60]
        raise TargetError(f"{short(spec.text)} prints {first!r}: a target must not print")
    after = _global_state(spec)
    changed = [name for name in before if before[name] != after.get(name)]
    if changed:
        raise TargetError(
            f"{short(spec.text)} changes global state ({', '.join(changed)}): a target must leave it alone"
        )


def _global_state(spec: Spec) -> dict[str, Any]:
    """What a target could change behind one's back: random generators, and the variables of its module."""
    state: dict[str, Any] = {
        "random": hash(random.getstate()),
        "numpy.random": hash(np.random.get_state()[1].tobytes()),  # type: ignore[union-attr,index]  # noqa: NPY002
    }
    module = sys.modules.get(spec.module or "")
    for name, value in vars(module).items() if module else ():
        if not name.startswith("__"):
            simple = isinstance(value, (int, float, str, bool, list, dict, set, tuple))
            state[f"{spec.module}.{name}"] = repr(value) if simple else id(value)
    return state
