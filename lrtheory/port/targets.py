"""What all targets have in common: what is written must be exactly what was read, or is refused by name."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..rules import Rule, factory_of
from ..words import some
from .counterparts import KEPT
from .errors import PortError
from .tensors import Source, Tensor

#: How far two numbers may be apart that are held in float32, over their size.
SAME_NUMBER = 2e-6


def exactly(value: Any, dtype: Any, what: str) -> np.ndarray:
    """A value in another dtype, in which it must be the same value."""
    value = np.asarray(value)
    cast = value.astype(dtype)
    if not np.array_equal(cast.astype(np.float64), value.astype(np.float64), equal_nan=True):
        raise PortError(
            f"{what} is {value.dtype}, and the target keeps {np.dtype(dtype)}, which would lose digits of it: "
            "make the target in the wider dtype"
        )
    return cast


def back(name: str, tensor: Tensor, slot: str, derived: Any) -> Any:
    """What another framework keeps in place of a slot, with its own dtype."""
    known(name, tensor, slot)
    value = getattr(tensor.state, slot)
    made = np.asarray(derived.back(value, tensor.hyper))
    return made.astype(value.dtype)


def known(name: str, tensor: Tensor, slot: str) -> None:
    """Refuse a slot that the source does not keep and the target goes by."""
    if slot in tensor.unknown:
        raise PortError(
            f"{name}: the target goes by {slot}, and {tensor.unknown[slot]}: say how many steps were taken, as in steps=1000"
        )


def counted(source: Source, why: str) -> int:
    """Steps taken, which the target keeps once for all parameters."""
    if source.count is not None:
        return source.count
    counts = {name: tensor.count for name, tensor in source.tensors.items()}
    if None in counts.values():
        raise PortError(
            f"{why} counts steps, and {source.framework} keeps no count here: say how many were taken, as in steps=1000"
        )
    told = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:4])
    raise PortError(f"{why} keeps one count for all parameters, and theirs differ: {told}")


def same_rule(name: str, tensor: Tensor, rule: Rule | None, reason: str = "") -> None:
    """Refuse a target that takes other steps."""
    if rule is None:
        raise PortError(f"{name}: the target is none of our rules, so that nothing says what its state is: {reason}")
    if same_steps(rule, tensor.rule, tensor.hyper):
        return
    if factory_of(rule) is not factory_of(tensor.rule):
        raise PortError(f"{name}: the source is {tensor.rule!r} and the target {rule!r}, which is another rule")
    ours, theirs = tensor.rule.options, rule.options
    option = next(o for o in ours if ours[o] != theirs.get(o))
    raise PortError(
        f"{name}: the source has {option}={ours[option]!r} and the target {option}={theirs.get(option)!r}: make the target "
        "with the same; lrtheory.port.config writes one"
    )


def same_steps(one: Rule, other: Rule, hyper: Any) -> bool:
    """Whether two rules take the same steps with these numbers: without a decay it is not told how it acts, nor what is kept."""
    idle = KEPT if getattr(hyper, "weight_decay", 1) else (*KEPT, "decoupled")
    plain = lambda rule: factory_of(rule)(**{n: v for n, v in rule.options.items() if n not in idle})  # noqa: E731
    return one is other or plain(one) is plain(other)


def same_numbers(name: str, tensor: Tensor, hyper: Any, skip: tuple[str, ...] = ()) -> None:
    """Refuse a target with other numbers in force."""
    for number, theirs in hyper._asdict().items():
        ours = getattr(tensor.hyper, number)
        if number in skip or theirs is None or ours is None:
            continue
        if not math.isclose(ours, theirs, rel_tol=SAME_NUMBER, abs_tol=0.0):
            now = " now" if number == "lr" else ""
            raise PortError(
                f"{name}: {number} is {ours:.10g}{now} in the source and {float(theirs):.10g} in the target: make the target with "
                "the source's, or with a schedule that comes to it at this step"
            )


def same_state(name: str, tensor: Tensor, group: Any, made: tuple[str, ...] = ()) -> None:
    """Refuse what was read back from the target and is not what was to be written; ``made`` are made of other slots by the reader."""
    kept = group.state._asdict()
    idle: set[str] = set() if getattr(tensor.hyper, "momentum", 1) else {"buffer"}
    if idle and {*kept} <= {"t", "buffer", "weight"}:  # of plain gradient descent
        idle = {*kept}
    for slot, column in kept.items():
        ours = getattr(tensor.state, slot)
        if column is None or ours is None or slot in {*group.unknown, *tensor.unknown, *made, *idle}:
            continue
        theirs = np.asarray(column[name])
        gap = np.max(np.abs(theirs.astype(np.float64) - ours.astype(np.float64)), initial=0.0)
        size = np.max(np.abs(ours.astype(np.float64)), initial=0.0)
        # A buffer that has the lr inside is multiplied by it and divided again: two roundings.
        if (
            theirs.shape != ours.shape
            or gap > 2 * float(jnp.finfo(theirs.dtype).eps if theirs.dtype.kind != "i" else 0) * size
        ):
            raise PortError(f"{name}: {slot} was written, and is not what is read back from the target")


def same_around(source: Source, around: tuple[Any, ...], target: str, moved: Collection[str] = ()) -> tuple[str, ...]:
    """Notes on clipping and accumulation that one side does in its loop; refused where both have their own and they differ.

    ``moved`` are the parameters as the target has them, by whose names both sides go.
    """
    ours, theirs = (
        [(a.name, dict(a.numbers), a.options.get("every"), {*a.over}.intersection(moved)) for a in side]
        for side in (source.around, around)
    )
    if ours == theirs:
        return ()
    alike = [entry[:3] for entry in ours] == [entry[:3] for entry in theirs]  # they differ in what they act on

    def said(side: tuple[Any, ...]) -> str:
        return " and ".join(f"{a} on {some(a.over, 3)}" if alike else str(a) for a in side) or "nothing"

    meet = f"before the rule gradients meet {said(source.around)} in the source and {said(around)} in the target"
    if source.framework == "torch" or target == "torch" or "lrtheory" in (source.framework, target):
        return (f"{meet}: the rest is for the loop to do",)
    raise PortError(f"{meet}: give a target in to= that has the same")
