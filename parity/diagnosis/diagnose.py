"""The setting in which two implementations differ, in a sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lrtheory.spec import SpecError

from ..compare import Difference
from ..dtypes import finfo
from . import acting
from .families import FAMILIES
from .family import MISSING, Family
from .implementation import Implementation, implementation, of_family, with_arguments, with_lr_of
from .narrow import narrowed
from .probe import Path, Probe, distance, error
from .schedules import ScheduleFamily
from .search import Fit, fit, nearest
from .vocabulary import WORDS, phrase

SAME = 1e-9


@dataclass(frozen=True)
class Change:
    """One setting in which two implementations differ.

    Attributes
    ----------
    setting : str
        A number or a switch of the family.
    a, b : what each has
    arguments : mapping or None
        What to give to the first so that it has the second's; ``None`` where it has no such option.
    """

    setting: str
    a: float | str
    b: float | str
    arguments: Mapping[str, Any] | None

    @property
    def text(self) -> str:
        """The change as part of a sentence."""
        if self.arguments == {}:
            return f"without {self.setting}"
        if self.arguments is not None:
            return ", ".join(f"{name}={_shown(value)}" for name, value in self.arguments.items())
        if isinstance(self.b, str):
            return phrase(self.setting, self.b)
        if np.isinf(self.b):
            return f"{self.setting} without end"
        return f"{self.setting}={_shown(self.b)}"


@dataclass(frozen=True)
class Diagnosis:
    """What tells two implementations apart.

    Attributes
    ----------
    a, b : str
    outcome : str
        ``"same"``, ``"settings"`` (the changes make them agree), ``"unknown"`` (no setting does), or ``"unseen"``: they run
        alike, but arguments in which they differ were not seen to act.
    changes : tuple
    sentence : str
    size : float
        Largest difference of a coordinate over the farthest it moves; of a schedule, over its largest value. Infinite where
        one has a value and the other none.
    first : Difference or None
        The first step at which they differ.
    verified : str
        How it is known that the changes are enough: ``"run"`` with them in place, or ``"model"``, where the first
        implementation has no option for one, or refuses them together.
    residual : float
        What is left of the difference with the changes in place.
    unseen : tuple of str
        Arguments that were not seen to act.
    """

    a: str
    b: str
    outcome: str
    changes: tuple[Change, ...]
    sentence: str
    size: float
    first: Difference | None
    verified: str
    residual: float
    unseen: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "a": self.a,
            "b": self.b,
            "outcome": self.outcome,
            "changes": [
                {
                    "setting": c.setting,
                    "a": c.a,
                    "b": c.b,
                    "arguments": None if c.arguments is None else {k: _plain(v) for k, v in c.arguments.items()},
                }
                for c in self.changes
            ],
            "sentence": self.sentence,
            "size": self.size,
            "first_difference": None if self.first is None else self.first._asdict(),
            "verified": self.verified,
            "residual": self.residual,
            "unseen": list(self.unseen),
        }


def size_in_words(size: float) -> str:
    """A size for a page."""
    return f"{size:.1e}" if np.isfinite(size) else "without bound (one has a value where the other has none)"


def diagnose(
    a: str | Implementation, b: str | Implementation, *, dtype: str = "float64", missing: bool = False
) -> Diagnosis:
    """The smallest change of settings that makes ``a`` run as ``b`` does.

    Both are run as black boxes in float64: optimizers with gradients of every size and an lr that moves at every step,
    schedules until they have passed their horizons twice. Each is fitted by
    a model that has a switch for everything implementations are known to vary; the difference of the two members, told
    in the words of ``a``, is then tried out.

    Parameters
    ----------
    a, b : SPEC or Implementation
        Such as ``"optax.rmsprop(0.01, momentum=0.9)"`` and ``"torch.optim.RMSprop(lr=0.01, momentum=0.9)"``, or two
        schedules, such as ``"optax.cosine_decay_schedule(0.1, 50)"`` and
        ``"torch.optim.lr_scheduler.CosineAnnealingLR(T_max=50)"``: a scheduler of torch has the lr of its optimizer, given as
        ``lr=0.1``, and that of the other schedule where none is given.
    dtype : "float64", "float32" or "bfloat16"
        In a narrow dtype the lr is constant and may have a dtype of its own, as in ``"optax.sgd(numpy.float32(0.1))"``.
    missing : bool
        Whether a tensor has no gradient at first: None in torch, zeros in JAX.

    Raises
    ------
    lrtheory.spec.text.SpecError
        For what cannot be read or run.
    """
    one = implementation(a) if isinstance(a, str) else a
    other = implementation(b) if isinstance(b, str) else b
    one, other = with_lr_of(one, other), with_lr_of(other, one)
    if one.is_schedule != other.is_schedule:
        kinds = [f"{i.text} is {'a schedule' if i.is_schedule else 'an optimizer'}" for i in (one, other)]
        raise SpecError(f"{kinds[0]}, {kinds[1]}: give two of a kind")
    one, other = placed(one, other), placed(other, one)
    one, other = of_family(one, other.words.family), of_family(other, one.words.family)
    family, second = FAMILIES[one.words.family], FAMILIES[other.words.family]
    family, second = _asked(family, dtype, missing), _asked(second, dtype, missing)
    probes = [f.probe(numbers_of(i), missing=missing) for f, i in ((family, one), (second, other))]
    probe = replace(max(probes, key=lambda p: p.steps), averaged=any(p.averaged for p in probes))
    paths = acting.level(one.path(probe), other.path(probe))
    pair = _Pair(one, other, family, probe, paths, dtype)
    if pair.size <= pair.alike:
        return _agreed(pair)
    direct = acting.enough(one, acting.differing(one, other, dtype), [(probe, paths[1])], pair.alike)
    strangers = one.name == other.name and one.name not in WORDS
    return _simplest(pair, _apart(pair) if strangers else _fitted(pair, second), direct)


@dataclass(frozen=True)
class _Pair:
    """Two implementations with their paths along one probe."""

    one: Implementation
    other: Implementation
    family: Family
    probe: Probe
    paths: tuple[Path, Path]
    dtype: str

    @property
    def alike(self) -> float:
        """Up to where a difference is none."""
        return max(SAME, self.family.tolerance(self.family.base)) if self.dtype != "float64" else SAME

    @property
    def size(self) -> float:
        return distance(*self.paths)

    @property
    def first(self) -> Difference | None:
        return _first(*self.paths, self.alike, self.dtype)

    def told(self, outcome: str, sentence: str, *rest: Any, **more: Any) -> Diagnosis:
        """What is said of them."""
        return Diagnosis(self.one.text, self.other.text, outcome, rest[0] if rest else (), sentence, *rest[1:], **more)


def _agreed(pair: _Pair) -> Diagnosis:
    """They run alike along the probe: equal if every argument in which they differ acts, there or on a further run."""
    one, other, bound = pair.one, pair.other, pair.alike
    asked = ((one, acting.differing(one, other, pair.dtype)), (other, acting.differing(other, one, pair.dtype)))
    if one.name == other.name:
        asked = asked[:1]
    silent = [
        acting.unseen(i, names, pair.probe, path, bound) for (i, names), path in zip(asked, pair.paths, strict=False)
    ]
    for further in acting.further(pair.probe, one.is_schedule) if any(silent) else ():
        ran = acting.run(one, further), acting.run(other, further)
        if ran[0] is None or ran[1] is None:
            continue
        paths = acting.level(ran[0], ran[1])
        silent = [
            acting.unseen(i, s, further, path, bound) for (i, _), s, path in zip(asked, silent, paths, strict=False)
        ]
        there = replace(pair, probe=further, paths=paths)
        if there.size > bound:
            found = acting.enough(one, asked[0][1], [(pair.probe, pair.paths[1]), (further, paths[1])], bound)
            return _direct(there, *found) if found else _apart(there)
        if not any(silent):
            break
    names = [f"{n}={_shown(i.arguments.get(n))}" for (i, _), s in zip(asked, silent, strict=False) for n in s]
    names += _idle(pair) if one.name != other.name else []
    if not names:
        return _same(one, other, pair.dtype, pair.size)
    sentence = (
        f"no difference was seen between {one.text} and {other.text}, but {_listed(names)} "
        f"{'was' if len(names) == 1 else 'were'} not seen to act: of that nothing is said"
    )
    return pair.told("unseen", sentence, (), pair.size, None, "run", pair.size, unseen=tuple(names))


def _idle(pair: _Pair) -> list[str]:
    """Numbers in which they differ and that change nothing along the probe; where one states none it has the neutral value."""
    stated = [{**pair.family.numbers, **numbers_of(i)} for i in (pair.one, pair.other)]
    idle = []
    for name in pair.family.numbers:
        if np.isclose(stated[0][name], stated[1][name], rtol=1e-12, atol=0):  # formed from others, they round
            continue
        for mine, path, value in ((pair.one, pair.paths[0], 1), (pair.other, pair.paths[1], 0)):
            given = _as_argument(mine, name, {**stated[1 - value], name: stated[value][name]})
            changed = acting.run(mine, pair.probe, given) if given else None
            if changed is not None:
                if acting.alike(changed, path) <= pair.alike:
                    idle.append(f"{name} ({_shown(stated[0][name])} and {_shown(stated[1][name])})")
                break
    return idle


def _apart(pair: _Pair) -> Diagnosis:
    one, other = pair.one, pair.other
    sentence = f"no setting makes {one.text} and {other.text} agree; they first differ at {pair.first}"
    return pair.told("unknown", sentence, (), pair.size, pair.first, "", pair.size)


def _direct(pair: _Pair, given: Mapping[str, Any], residual: float) -> Diagnosis:
    """Arguments of the first that make it the second, and no setting of a model."""
    changes = tuple(
        Change(name, _value(pair.one.arguments.get(name)), _value(value), {name: value})
        for name, value in given.items()
    )
    sentence = _sentence(pair.one, pair.other, changes)
    return pair.told("settings", sentence, changes, pair.size, pair.first, "run", residual)


def _part(pair: _Pair) -> Diagnosis | None:
    """A part of a composition that one has and the other lacks."""
    for mine, theirs, path in ((pair.one, pair.other, pair.paths[1]), (pair.other, pair.one, pair.paths[0])):
        for part, left in mine.without.items():
            try:
                rest = implementation(left)
            except SpecError:  # which is no optimizer by itself
                continue
            ran = acting.run(rest, pair.probe)
            if ran is None or (residual := acting.alike(ran, path)) > pair.alike:
                continue
            if mine is pair.one:
                changes = (Change(part, "there", "not there", {}),)
                sentence = f"{mine.text} equals {theirs.text} without {part}"
            else:
                changes = (Change(part, "not there", "there", None),)
                sentence = f"{theirs.text} equals {mine.text} with {part}, which {theirs.short} has no option for"
            return pair.told("settings", sentence, changes, pair.size, pair.first, "run", residual)
    return None


def _value(value: Any) -> float | str:
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else _shown(value)


def _simplest(pair: _Pair, fitted: Diagnosis, direct: tuple[dict[str, Any], float] | None) -> Diagnosis:
    """What the model says, unless arguments alone say it in fewer words, or the model's advice is there already."""
    given = {name: value for change in fitted.changes for name, value in (change.arguments or {}).items()}
    there = [name for name, value in given.items() if _shown(pair.one.arguments.get(name)) == _shown(value)]
    if direct is not None and (fitted.outcome != "settings" or there or len(fitted.changes) > len(direct[0])):
        return _direct(pair, *direct)
    if fitted.outcome == "unknown" and (found := _part(pair)):
        return found
    if there and fitted.outcome == "settings":
        sentence = f"no setting makes {pair.one.text} and {pair.other.text} agree: {_listed(there)} is given already"
        return replace(fitted, outcome="unknown", sentence=f"{sentence}; they first differ at {pair.first}", changes=())
    left = acting.differing(pair.one, pair.other, pair.dtype) if pair.one.name == pair.other.name else {}
    left = {name: value for name, value in left.items() if name not in given}
    silent = (
        acting.unseen(pair.one, left, pair.probe, pair.paths[0], pair.alike) if fitted.outcome == "settings" else {}
    )
    if not silent:
        return fitted
    names = tuple(f"{n}={_shown(pair.one.arguments.get(n))}" for n in silent)
    return replace(fitted, sentence=f"{fitted.sentence}; {_listed(names)} was not seen to act", unseen=names)


def _fitted(pair: _Pair, second: Family) -> Diagnosis:
    """The difference of the two members of a family that run as they do."""
    one, other, family, probe, size, first = pair.one, pair.other, pair.family, pair.probe, pair.size, pair.first
    if other.words.family != family.name:
        sentence = f"no setting makes {one.text} and {other.text} agree: one is of the family of {family.name}, "
        return pair.told("unknown", f"{sentence}the other of {second.name}", (), size, first, "", size)
    kept = [
        {n: v for n, v in path.items() if family.averaged or n in probe.start or not probe.start} for path in pair.paths
    ]
    if distance(*kept) <= pair.alike:  # only the averages differ, which no member of the family keeps
        return _apart(pair)
    start = fit(family, kept[0], probe, numbers_of(one), family.base)
    end = fit(family, kept[1], probe, numbers_of(other), start.switches) if start.exact else start
    if not end.exact and size <= family.within:
        return _same(one, other, pair.dtype, size)
    if not start.exact or not end.exact:
        return _unknown(one, other, family, size, first, other if start.exact else one, end if start.exact else start)
    changes = _changes(one, family, start, end, kept[1], probe)
    verified, residual = _verified(one, family, start, changes, kept[1], probe)
    sentence = _sentence(one, other, changes)
    if residual > max(SAME, family.tolerance(end.switches)):
        sentence = f"no setting makes {one.text} and {other.text} agree: {sentence} says the model, but so it is {residual:.1e} off"
        return pair.told("unknown", sentence, changes, size, first, verified, residual)
    return pair.told("settings", sentence, changes, size, first, verified, residual)


def numbers_of(one: Implementation) -> dict[str, float]:
    """The family's numbers that its arguments state; of a stranger only those that are numbers."""
    if not one.family:
        return one.numbers()
    try:
        return one.numbers()
    except SpecError:
        return {}


def placed(one: Implementation, other: Implementation) -> Implementation:
    """An implementation of no known family, read as a member of the one that it is put beside or that comes closest."""
    if one.is_known:
        return one
    if other.is_known:
        return replace(one, family=other.words.family)
    if one.name == other.name:  # told apart by their arguments alone
        return replace(one, family="polynomial" if one.is_schedule else "sgd")
    return replace(one, family=min(_candidates(one.is_schedule), key=lambda name: _typical(one, name)))


def _candidates(schedules: bool) -> list[str]:
    return [name for name, family in FAMILIES.items() if isinstance(family, ScheduleFamily) == schedules]


def _typical(one: Implementation, name: str) -> float:
    """How far it is from the nearest member of a family with one switch turned."""
    family, as_member = FAMILIES[name], replace(one, family=name)
    try:
        numbers = numbers_of(as_member)
        probe = family.probe(numbers)
        path = {
            n: v for n, v in as_member.path(probe).items() if family.averaged or n in probe.start or not probe.start
        }
        return nearest(family, path, probe, numbers)
    except (SpecError, ArithmeticError, LookupError, TypeError, ValueError):
        return float("inf")


def _asked(family: Family, dtype: str, missing: bool) -> Family:
    """The family in the dtype, and with a switch more where a gradient is missing."""
    family = narrowed(family, dtype)
    return replace(family, switches={**family.switches, **MISSING}) if missing else family


def _same(one: Implementation, other: Implementation, dtype: str, size: float) -> Diagnosis:
    ulp = size / float(finfo(dtype).eps)
    what = f"no difference beyond {ulp:.2g} ulp of {dtype}" if dtype != "float64" and size else "no difference"
    sentence = f"{what}: {one.text} and {other.text} run alike"
    return _told(one, other, "same", (), sentence, size, None, "run", size)


def _told(one: Implementation, other: Implementation, *rest: Any) -> Diagnosis:
    return Diagnosis(one.text, other.text, *rest)


def _unknown(
    one: Implementation,
    other: Implementation,
    family: Family,
    size: float,
    first: Difference | None,
    odd: Implementation,
    near: Fit,
) -> Diagnosis:
    settings = ", ".join(phrase(name, value) for name, value in near.switches.items() if value != family.base[name])
    sentence = (
        f"no setting makes {one.text} and {other.text} agree: nothing known runs as {odd.text} does. Nearest is its family "
        f"with {settings or 'every switch as torch has it'}, {near.distance:.1e} off; they first differ at {first}"
    )
    return _told(one, other, "unknown", (), sentence, size, first, "", near.distance)


def _changes(one: Implementation, family: Family, start: Fit, end: Fit, path: Path, probe: Probe) -> tuple[Change, ...]:
    """Settings that differ and matter: each is put back, and stays out if the path is the same without it."""
    numbers, switches = dict(end.numbers), dict(end.switches)
    allowed = family.tolerance(switches)
    for name, value in start.numbers.items():
        if numbers[name] != value and distance(family.run({**numbers, name: value}, switches, probe), path) <= allowed:
            numbers[name] = value
    for name, way in start.switches.items():
        back = {**switches, name: way}
        # A switch of precision widens what is allowed: neither side's width may hide it.
        if switches[name] != way and distance(family.run(numbers, back, probe), path) <= min(
            allowed, family.tolerance(back)
        ):
            switches = back
    changed = [n for n in numbers if numbers[n] != start.numbers[n]]
    turned = [s for s in switches if switches[s] != start.switches[s]]
    return (
        *(Change(n, start.numbers[n], numbers[n], _as_argument(one, n, numbers)) for n in changed),
        *(Change(s, start.switches[s], switches[s], _option(one, s, switches[s], numbers)) for s in turned),
    )


def _option(one: Implementation, switch: str, value: str, numbers: Mapping[str, float]) -> Mapping[str, Any] | None:
    given = one.words.options.get((switch, value))
    return given(numbers) if callable(given) else given


def _as_argument(one: Implementation, number: str, numbers: Mapping[str, float]) -> Mapping[str, Any] | None:
    """What sets a number, and the arguments that have to follow it."""
    value, name, read = numbers[number], one.words.numbers.get(number), one.words.read.get(number)

    def written(write: Any) -> Any:
        return write(numbers, one.arguments)

    try:
        follows = {a: written(write) for a, (needs, write) in one.words.write.items() if number in needs}
        given = {a: v for a, v in follows.items() if v != one.arguments[a]}
        if name is None or read is not None:
            if given or not follows or read is None:
                return given or None
            # Arguments may be right as they are, such as a gamma whose milestones are not.
            every = {a: written(write) for a, (_, write) in one.words.write.items()}
            return follows if read({**one.arguments, **every}) == value else None
    except ZeroDivisionError:  # a share of 0
        return None
    if isinstance(name, str):
        return {name: int(value) if isinstance(one.arguments[name], int) and value == int(value) else value} | given
    entries = list(one.arguments[name[0]])
    entries[name[1]] = value
    return {name[0]: tuple(entries)} | given


def _merged(one: Implementation, changes: Sequence[Change]) -> dict[str, Any]:
    """All arguments of the changes together; two entries of one tuple are two changes of one argument."""
    merged: dict[str, Any] = {}
    for change in changes:
        for name, value in (change.arguments or {}).items():
            if isinstance(value, tuple):
                old = one.arguments[name]
                known = merged.get(name, old)
                value = tuple(k if v == o else v for k, v, o in zip(known, value, old, strict=True))
            merged[name] = value
    return merged


def _verified(
    one: Implementation, family: Family, start: Fit, changes: Sequence[Change], path: Path, probe: Probe
) -> tuple[str, float]:
    if all(change.arguments is not None for change in changes):
        # An implementation may refuse arguments together that it takes apart, such as Nesterov's look-ahead and dampening.
        with contextlib.suppress(SpecError, TypeError, ValueError):
            return "run", distance(with_arguments(one, _merged(one, changes)).path(probe), path)
    numbers = start.numbers | {c.setting: c.b for c in changes if not isinstance(c.b, str)}
    switches = start.switches | {c.setting: c.b for c in changes if isinstance(c.b, str)}
    return "model", distance(family.run(numbers, switches, probe), path)


def _sentence(one: Implementation, other: Implementation, changes: Sequence[Change]) -> str:
    given = _merged(one, changes)
    expressible = [f"{name}={_shown(value)}" for name, value in given.items()]
    lacking = [change.text for change in changes if change.arguments is None]
    sentence = f"{one.text} equals {other.text} with {_listed([*expressible, *lacking])}"
    if lacking:
        what = "which" if len(lacking) == 1 else f"the last {len(lacking)} of which"
        sentence += f", {what if expressible or len(lacking) == 1 else 'which'} {one.short} has no option for"
    return sentence


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _plain(value: Any) -> Any:
    """A value that JSON has; a number with a dtype is written as it would be given."""
    return _shown(value) if _has_dtype(value) else value


def _has_dtype(value: Any) -> bool:
    return isinstance(value, np.generic) and not isinstance(value, float)


def _shown(value: Any) -> str:
    if _has_dtype(value):
        return f"numpy.{value.dtype}({value})"
    if isinstance(value, tuple):
        return f"({', '.join(_shown(v) for v in value)})"
    return f"{value:.10g}" if isinstance(value, float) else repr(value)


def _first(a: Path, b: Path, alike: float, dtype: str) -> Difference | None:
    firsts = {name: error(x, b[name]) for name, x in a.items()}
    steps = {
        n: int(over[0])
        for n, e in firsts.items()
        if (over := np.flatnonzero((e > alike).reshape(len(e), -1).any(1))).size
    }
    if not steps:
        return None
    step = min(steps.values())
    name = max((n for n, s in steps.items() if s == step), key=lambda n: firsts[n][step].max())
    where = np.unravel_index(int(np.argmax(firsts[name][step])), firsts[name][step].shape)
    x, y = float(a[name][step][where]), float(b[name][step][where])
    ulp = abs(x - y) / (2.0 ** np.floor(np.log2(max(abs(x), abs(y)))) * float(finfo(dtype).eps))
    return Difference(step, name, tuple(int(i) for i in where), x, y, float(firsts[name][step][where]), ulp)
