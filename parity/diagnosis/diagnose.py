"""The setting in which two implementations differ, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lrtheory.spec import SpecError
from lrtheory.words import listed

from . import acting
from .family import MISSING, Family
from .implementation import Implementation, of_family, with_lr_of
from .members import as_argument, fitted, named, placed
from .narrow import narrowed
from .probe import cycled
from .reading import implementation
from .schedules import past
from .sides import Sides, numbers_of
from .told import Change, Diagnosis, given, shown
from .vocabulary import FAMILIES, WORDS


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
    tensors = tuple(dict.fromkeys((*one.tensors, *other.tensors)))
    family, second = (named(_asked(FAMILIES[i.words.family], dtype, missing), tensors) for i in (one, other))
    probes = [f.probe(numbers_of(i), missing=missing) for f, i in ((family, one), (second, other))]
    probes += [past(i.horizon) for i in (one, other) if i.horizon]
    probe = replace(
        max(probes, key=lambda p: p.steps),
        averaged=any(p.averaged for p in probes),
        ranks=cycled(tensors, acting.RANKS),
    )
    paths = acting.level(one.path(probe), other.path(probe))
    pair = Sides(one, other, family, probe, paths, dtype)
    if pair.size <= pair.alike:
        return _agreed(pair)
    direct = acting.enough(one, acting.differing(one, other, dtype), [(probe, paths[1])], pair.alike)
    strangers = one.name == other.name and one.name not in WORDS
    return _simplest(pair, pair.apart() if strangers else fitted(pair, second), direct)


def _asked(family: Family, dtype: str, missing: bool) -> Family:
    """The family in the dtype, and with a switch more where a gradient is missing."""
    family = narrowed(family, dtype)
    return replace(family, switches={**family.switches, **MISSING}) if missing else family


def _agreed(pair: Sides) -> Diagnosis:
    """They run alike along the probe: equal if every argument in which they differ acts, there or on a further run."""
    one, other, bound, unlike = pair.one, pair.other, pair.alike, pair.unlike()
    silent = _silent(pair, unlike)
    for further in acting.further(pair.probe, one.is_schedule) if any(silent) else ():
        ran = acting.run(one, further), acting.run(other, further)
        if ran[0] is None or ran[1] is None:
            continue
        there = replace(pair, probe=further, paths=acting.level(ran[0], ran[1]))
        silent = _silent(there, silent)
        if there.size > bound:
            found = acting.enough(one, unlike[0], [(p.probe, p.paths[1]) for p in (pair, there)], bound)
            return _direct(there, *found) if found else there.apart()
        if not any(silent):
            break
    names = [n for i, s in zip((one, other), silent, strict=True) for n in given({n: i.arguments.get(n) for n in s})]
    names += _idle(pair) if one.name != other.name else []
    if not names:
        return pair.same()
    sentence = (
        f"no difference was seen between {one.text} and {other.text}, but {listed(names)} "
        f"{'was' if len(names) == 1 else 'were'} not seen to act: of that nothing is said"
    )
    return pair.told("unseen", sentence, unseen=names)


def _silent(pair: Sides, names: tuple[Mapping[str, Any], Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Those of the arguments of each that were not seen to act."""
    one, other = (
        acting.unseen(i, given, pair.probe, path, pair.alike)
        for i, given, path in zip((pair.one, pair.other), names, pair.paths, strict=True)
    )
    return one, other


def _idle(pair: Sides) -> list[str]:
    """Numbers in which they differ and that change nothing along the probe; where one states none it has the neutral value."""
    stated = [{**pair.family.numbers, **numbers_of(i)} for i in (pair.one, pair.other)]
    idle = []
    for name in pair.family.numbers:
        if np.isclose(stated[0][name], stated[1][name], rtol=1e-12, atol=0):  # formed from others, they round
            continue
        for mine, path, value in ((pair.one, pair.paths[0], 1), (pair.other, pair.paths[1], 0)):
            arguments = as_argument(mine, name, {**stated[1 - value], name: stated[value][name]})
            changed = acting.run(mine, pair.probe, arguments) if arguments else None
            if changed is not None:
                if acting.alike(changed, path) <= pair.alike:
                    idle.append(f"{name} ({shown(stated[0][name])} and {shown(stated[1][name])})")
                break
    return idle


def _direct(pair: Sides, arguments: Mapping[str, Any], residual: float) -> Diagnosis:
    """Arguments of the first that make it the second, and no setting of a model."""
    had = pair.one.arguments
    changes = tuple(Change(n, _value(had.get(n)), _value(value), {n: value}) for n, value in arguments.items())
    return pair.told("settings", pair.equal_with(changes), changes, residual=residual)


def _value(value: Any) -> float | str:
    return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) else shown(value)


def _part(pair: Sides) -> Diagnosis | None:
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
                change = Change(part, "there", "not there", {})
                sentence = f"{mine.text} equals {theirs.text} without {part}"
            else:
                change = Change(part, "not there", "there", None)
                sentence = f"{theirs.text} equals {mine.text} with {part}, which {theirs.short} has no option for"
            return pair.told("settings", sentence, (change,), residual=residual)
    return None


def _simplest(pair: Sides, found: Diagnosis, direct: tuple[dict[str, Any], float] | None) -> Diagnosis:
    """What the model says, unless arguments alone say it in fewer words, or the model's advice is there already."""
    one, known = pair.one, found.outcome == "settings"
    advised = {name: value for change in found.changes for name, value in (change.arguments or {}).items()}
    there = [name for name, value in advised.items() if shown(one.arguments.get(name)) == shown(value)]
    if direct is not None and (not known or there or len(found.changes) > len(direct[0])):
        return _direct(pair, *direct)
    if found.outcome == "unknown" and (without := _part(pair)):
        return without
    if there and known:
        sentence = pair.apart(f": {listed(there)} is given already").sentence
        return replace(found, outcome="unknown", sentence=sentence, changes=())
    if not known or one.name != pair.other.name:
        return found
    left = {name: value for name, value in pair.unlike()[0].items() if name not in advised}
    silent = acting.unseen(one, left, pair.probe, pair.paths[0], pair.alike)
    names = tuple(given({n: one.arguments.get(n) for n in silent}))
    told = f"{found.sentence}; {listed(names)} was not seen to act" if names else found.sentence
    return replace(found, sentence=told, unseen=names)
