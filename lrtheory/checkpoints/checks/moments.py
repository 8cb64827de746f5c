"""Averages that are gone, and averages that so many steps cannot have left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import ml_dtypes
import numpy as np

from .._arrays import sample
from .._impulse import Memory, memories, pair
from ..checkpoint import Checkpoint
from ..fault import Fault, Notes, some
from ..identified import COUNTS, Identified, Tensor

#: After so many steps a tensor whose moments are all zero has lost them, or never had a gradient.
LONG_AFTER = 100
#: How far the ratio, in the middle of the tensors, must be below what gradients leave that are noise or that have faded
#: away, or above what gradients leave that are all the same, for a fault to be likely. Empirical: Adam on digits, linear to
#: deep, lr 1e-4 to 0.1, batches of 8 to all, went below the first by 2.6 times and above the second by 1.05 times.
FAR_BELOW, FAR_ABOVE = 4.0, 2.0
#: Slots that start at a hyperparameter.
STARTS_ELSEWHERE = ("sum", "step_size", "z")
#: Steps after which a memory of squares that is much younger than the count is looked for.
GROWN = 50
#: Coordinates that a tensor needs to be judged by its mean.
ENOUGH = 8


def moments_there(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """Moments are not all zero after many steps, and all tensors that should have a state have one."""
    yield from _refused(of)
    yield from _without_state(of, notes)
    for slot in of.slots:
        kept = [t for t in of.tensors if slot in t.arrays and t.arrays[slot].size]
        zero = [t for t in kept if not np.any(t.arrays[slot])]
        if not zero or slot in _often_zero(zero[0]):
            continue
        steps = max((t.count or 0 for t in zero), default=0)
        counted = any(t.count is not None for t in zero)
        beside = [t for t in zero if any(np.any(v) for s, v in t.arrays.items() if s != slot and s not in COUNTS)]
        if len(zero) == len(kept):
            if counted and steps < 1:
                continue
            after = f" after {steps:g} steps" if counted else ""
            text = f"{slot} is zero in every tensor{after}{', though other slots are not' if beside else ''}."
            fix = "this part of the state was lost when it was saved or loaded: go back to a checkpoint that has it"
            yield Fault(
                "moments-zero",
                "proven" if beside else "likely",
                text,
                fix,
                tuple(t.name for t in zero),
                {"slot": slot, "steps": steps},
            )
        elif beside or (counted and steps >= LONG_AFTER):
            named = beside or zero
            text = f"{slot} of {some([t.name for t in named])} is zero after {steps:g} steps, "
            text += f"{'though its other slots are not' if beside else 'and that of other tensors is not'}."
            fix = "it was lost when it was saved or loaded, or this tensor has had no gradient but 0 for long"
            yield Fault(
                "moments-zero", "likely", text, fix, tuple(t.name for t in named), {"slot": slot, "steps": steps}
            )
    notes.looked_at.append(f"{', '.join(of.slots) or 'no moments'}: all there, none all zero")


def _often_zero(tensor: Tensor) -> tuple[str, ...]:
    """Slots that are zero in a sound run: those that no gradient enters at these numbers."""
    idle = ("buffer",) if tensor.rule is not None and not getattr(tensor.hyper, "momentum", 1) else ()
    return (*idle, "eta", "mu", "ax")


def _refused(of: Identified) -> Iterator[Fault]:
    by_reason: dict[str, list[str]] = {}
    for tensor in of.tensors:
        if tensor.refused:
            by_reason.setdefault(tensor.refused, []).append(tensor.name)
    for reason, names in by_reason.items():
        fix = f"a step of {of.kind} would fail, or start from what is not there: go back to a checkpoint that has it"
        yield Fault("state-does-not-fit", "proven", f"{some(names)}: {reason}.", fix, tuple(names))


def _without_state(of: Identified, notes: Notes) -> Iterator[Fault]:
    """Tensors of groups that have no state, among others that have."""
    have = {t.key for t in of.tensors}
    keys = [key for group in of.saved.groups for key in group.keys]
    bare = [key for key in keys if key not in have]
    if not bare or not have:
        return
    lone = [key for key in bare if _has_sibling(of, key, have, keys)]
    if lone:
        names = [of.saved.name(key) for key in lone]
        text = f"{some(names)} has no state, and the tensors beside it have taken {of.steps or 'some'} steps."
        fix = "it was lost, unless this tensor never had a gradient: then leave it out of the optimizer"
        yield Fault("state-missing", "likely", text, fix, tuple(names))
    rest = [of.saved.name(key) for key in bare if key not in lone]
    if rest:
        notes.not_judged.append(f"whether {some(rest)} lost a state or never had a gradient: there is none")


def _has_sibling(of: Identified, key: int | str, have: set, keys: list) -> bool:
    """Whether what belongs to the same layer has a state: by name, else by place."""
    name = of.saved.names.get(key)
    if name is not None:
        layer = name.rpartition(".")[0]
        return any(k in have for k in keys if k != key and of.saved.names.get(k, "").rpartition(".")[0] == layer)
    at = keys.index(key)
    around = [keys[i] for i in (at - 1, at + 1) if 0 <= i < len(keys)]
    return bool(around) and all(k in have for k in around)


class _Seen(NamedTuple):
    """What one pair of slots of one tensor shows: a ratio, what it can be, and whether it cannot be so."""

    tensor: Tensor
    slots: str
    ratio: float
    expected: float
    wrong: bool = False
    single: bool = False
    lowest: float = 0.0
    highest: float = np.inf
    power: int = 2


def moments_fit_counts(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """Memories of gradients and of squares are such as this many steps can leave."""
    moving = any({"max_momentum", "base_momentum"} & set(group.numbers) for group in of.saved.groups)
    seen = [each for tensor in of.tensors for each in _seen(tensor, moving)]
    proven = [s for s in seen if s.wrong]
    if proven:
        yield _off("proven", proven)
    by_count: dict[tuple[str, float], list[_Seen]] = {}
    for each in seen:
        if np.isfinite(each.ratio) and each.tensor.key not in {s.tensor.key for s in proven}:
            by_count.setdefault((each.slots, each.tensor.count or 0), []).append(each)
    for alike in by_count.values():
        middle = float(np.median([s.ratio for s in alike]))
        if sum(s.single for s in alike) >= len(alike) / 2:
            text = f"{alike[0].slots} of {some([s.tensor.name for s in alike])} hold one gradient alone, after "
            text += f"{alike[0].tensor.count:g} steps."
            fix = "the moments were started again and the count was not: go back to a checkpoint that has them"
            yield Fault("moments-of-one-gradient", "likely", text, fix, tuple(s.tensor.name for s in alike))
        elif not alike[0].lowest <= middle <= alike[0].highest:
            yield _off("likely", [s._replace(ratio=middle) for s in alike])
    if seen:
        notes.looked_at.append(f"{', '.join(sorted({s.slots for s in seen}))}: whether so many steps can leave them")
    elif moving:
        notes.not_judged.append("whether moments fit their count: a schedule moves their decay rates")
    elif any(t.count is not None for t in of.tensors):
        pairs = any(m.power == 1 for t in of.tensors[:1] if t.rule for m in memories(t.rule, t.hyper).values())
        why = of.reason or (
            "there are too few numbers other than 0"
            if pairs
            else f"{of.kind or 'this optimizer'} keeps no memory of gradients beside one of their squares"
        )
        notes.not_judged.append(f"whether moments fit their count: {why}")


def _seen(tensor: Tensor, moving: bool) -> Iterator[_Seen]:
    """What there is to see of one tensor; decay rates that move tell nothing of earlier steps."""
    count = tensor.count
    if count is None or not np.isfinite(count) or tensor.rule is None or tensor.refused:
        return
    if count == 0:
        filled = [s for s, v in tensor.slots.items() if s not in STARTS_ELSEWHERE and v.ndim and np.any(v)]
        for slot in filled[:1]:
            yield _Seen(tensor, slot, np.inf, 0.0, wrong=True)
        return
    known = {} if moving else memories(tensor.rule, tensor.hyper)
    for first, memory in known.items():
        for second, sizes in known.items():
            sized = second in tensor.rule.facts.sizes and sizes.power in (1, 2)
            if memory.power == 1 and sized and {first, second} <= set(tensor.slots):
                yield from _compared(tensor, first, second, memory, sizes, int(count))


def _compared(tensor: Tensor, first: str, second: str, memory: Memory, sizes: Memory, count: int) -> Iterator[_Seen]:
    m, v = sample(tensor.slots[first]), sample(tensor.slots[second])
    if m.shape != v.shape:
        return
    of_m, of_v = (ml_dtypes.finfo(tensor.slots[slot].dtype) for slot in (first, second))
    usable = np.isfinite(m) & np.isfinite(v) & (v > 1e3 * float(of_v.tiny)) & (np.abs(m) > 1e3 * float(of_m.tiny))
    if not usable.any():
        return
    m, v = m[usable], v[usable]
    ratio = np.abs(m) ** sizes.power / v
    slots = f"{first} beside {second}"
    eps = float(of_m.eps)
    if count == 1:
        expected = float(abs(memory.weights[0]) ** sizes.power / abs(sizes.weights[0]))
        # eps is inside of a size that is no square
        added = 4 * (getattr(tensor.hyper, "eps", 0) or 0) / v if sizes.power == 1 else 0.0
        off = np.abs(ratio / expected - 1) > 64 * eps + added
        yield _Seen(tensor, slots, float(np.median(ratio)), expected, wrong=bool(off.any()), power=sizes.power)
        return
    if not (memory.additive and sizes.additive and sizes.power == 2):
        return
    can = pair(memory, sizes, count)
    if eps < 1e-4 and np.max(ratio) > can.largest * (1 + 1e-2):
        yield _Seen(tensor, slots, float(np.max(ratio)), can.largest, wrong=True)
    elif m.size >= ENOUGH:
        one = memory.weights[0] ** 2 / sizes.weights[0]
        yield _Seen(
            tensor,
            slots,
            float(np.sum(m**2) / np.sum(v)),
            can.noise,
            single=count > 2 and bool(np.ptp(ratio) < 1e-4 * ratio[0]) and bool(np.isclose(ratio[0], one, rtol=1e-3)),
            lowest=min(can.noise, can.faded) / FAR_BELOW,
            highest=FAR_ABOVE * max(can.constant, can.noise) if count >= GROWN else np.inf,
        )


def _off(level: Literal["proven", "likely"], seen: list[_Seen]) -> Fault:
    one = seen[0]
    counts = sorted({int(s.tensor.count or 0) for s in seen})
    steps = counts[0] if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    names = some([s.tensor.name for s in seen])
    if one.tensor.count == 0:
        text = f"The count of {names} is 0, and its {one.slots} is not."
    else:
        first, size = one.slots.split(" beside ")
        square = f"{first}²" if one.power == 2 else f"|{first}|"
        leave = "" if one.tensor.count == 1 else "at most " if level == "proven" else "about "
        text = (
            f"The count of {names} {'cannot' if level == 'proven' else 'can hardly'} be {steps}: {square}/{size} is "
            f"{one.ratio:.3g}, and {'that many steps leave' if steps != 1 else 'one step leaves'} {leave}{one.expected:.3g}."
        )
    return Fault(
        "count-does-not-fit-moments",
        level,
        text,
        "the count was reset and the moments were not, or the other way round: take both from one checkpoint, or set the "
        "count to the number of steps taken",
        tuple(s.tensor.name for s in seen),
        {"ratio": one.ratio, "expected": one.expected, "counts": counts},
    )
