"""A saved optimizer with the rule of each group, and each tensor's state under our names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from ..adopting import AdoptError, group_rule, kept_state
from ..adopting.state_dict import filled_in
from ..names import find, keras, optax
from ..names.torch import CLASSES, EXECUTION, NAMES, UNREAD
from ..rules import Rule
from ..spec import Reading, SpecError, read, torch_fields
from ..wrappers import innermost
from ._arrays import array, is_floating, scalar
from .checkpoint import Checkpoint, Key, SavedGroup, SavedOptimizer

#: What a count of steps is called.
COUNTS = ("step", "count", "iteration", "t", "steps")


def told_shape(raw: Mapping[str, np.ndarray]) -> tuple[int, ...] | None:
    """The shape of a parameter, as what is kept of it tells: factors of it are spread out."""
    shapes = {v.shape for name, v in raw.items() if name not in COUNTS and v.dtype != object}
    try:
        return np.broadcast_shapes(*shapes) if shapes else None
    except ValueError:
        return None


def counted(raw: Mapping[str, np.ndarray], framework: str) -> float | None:
    """Steps, as they stand there. In torch a ``t`` is none: LBFGS calls the length of its last step so."""
    names = [name for name in COUNTS if name != "t" or framework != "torch"]
    return next((count for name in names if (count := scalar(raw.get(name))) is not None), None)


def counts_of(saved: SavedOptimizer) -> list[float]:
    """The finite counts of all tensors."""
    counts = [counted(arrays_of(kept), saved.framework) for kept in saved.state.values()]
    return [n for n in counts if n is not None and np.isfinite(n)]


@dataclass(frozen=True)
class Tensor:
    """What is kept of one tensor.

    Attributes
    ----------
    key : as the state has it
    name : str
    group : int
    rule, hyper : or None
    raw : mapping of the framework's name to array
    slots : mapping of our slot to array
    count : float or None
        Steps, as they stand there.
    weight : array or None
    refused : str
        Why this is no state of the rule.
    """

    key: Key
    name: str
    group: int
    rule: Rule | None
    hyper: Any
    raw: Mapping[str, np.ndarray]
    slots: Mapping[str, np.ndarray]
    count: float | None
    weight: np.ndarray | None = None
    refused: str = ""

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What has coordinates, under our names where there are some."""
        ours = {id(value): slot for slot, value in self.slots.items()}
        return {ours.get(id(v), name): v for name, v in self.raw.items() if v.ndim or name not in COUNTS}

    @property
    def moments(self) -> dict[str, np.ndarray]:
        """Those with fractions, without counts."""
        return {slot: v for slot, v in self.arrays.items() if slot not in COUNTS and is_floating(v)}

    @property
    def shape(self) -> tuple[int, ...] | None:
        """That of the parameter, as far as the state tells: factors of it are spread out."""
        return self.told if self.weight is None else self.weight.shape

    @property
    def told(self) -> tuple[int, ...] | None:
        """The shape that the state alone tells."""
        return told_shape(self.raw)


@dataclass(frozen=True)
class Identified:
    """An optimizer.

    Attributes
    ----------
    saved : SavedOptimizer
    kind : str
        What it is called in a sentence; empty if it is not known.
    tensors : tuple of Tensor
        Those with a state.
    reason : str
        Why there is no rule.
    spec : Reading or None
        What the user says it is.
    """

    saved: SavedOptimizer
    kind: str
    tensors: tuple[Tensor, ...]
    reason: str = ""
    spec: Reading | None = None

    @property
    def slots(self) -> list[str]:
        """The moments that any tensor has, by name."""
        return sorted({slot for t in self.tensors for slot in t.moments})

    @property
    def steps(self) -> int | None:
        """The count that most tensors have."""
        counts = [t.count for t in self.tensors if t.count is not None and np.isfinite(t.count)]
        return int(max(counts, key=counts.count)) if counts else None


def identified(saved: SavedOptimizer, checkpoint: Checkpoint, spec: Reading | None = None) -> Identified:
    """Find the rule: from what the user says, from the checkpoint, or from which names its groups and its state have."""
    raw = {key: arrays_of(kept) for key, kept in saved.state.items()}
    if saved.framework == "torch":
        kinds, reason = _torch_kinds(saved, raw, spec)
    else:
        spec = spec or _own_spec(saved)
        kinds, reason = [], "" if spec else f"{saved.framework} keeps no hyperparameters in its state: give --optimizer"
    kind = kinds[0] if kinds else ""
    places = checkpoint.places(saved)
    weights = {key: own for key, name in places.items() if (own := array(checkpoint.weights[name])) is not None}
    tensors = []
    for number, group in enumerate(saved.groups):
        rule, hyper, why = _rule(saved, group, kind, spec)
        reason = reason or why
        for key in group.keys:
            if key in raw:
                tensors.append(_tensor(saved, key, number, raw[key], group, kind, rule, hyper, weights.get(key)))
    said = (
        " or ".join(f"torch.optim.{k}" for k in kinds)
        if kinds
        else saved.spec or saved.kind or (spec.text if spec else "")
    )
    return Identified(saved, said, tuple(tensors), reason, spec)


def arrays_of(kept: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """What is kept of one tensor, without what is no array."""
    found = {str(name): array(value) for name, value in kept.items() if value is not None}
    return {name: value for name, value in found.items() if value is not None}


def _rule(saved: SavedOptimizer, group: SavedGroup, kind: str, spec: Reading | None) -> tuple[Rule | None, Any, str]:
    if saved.framework == "torch":
        found = group_rule(kind, filled_in(kind, group.numbers)) if kind else None
        return (found.rule, found.hyper, found.reason) if found else (None, None, "")
    if spec is None:
        return None, None, ""
    return *innermost(spec.rule, spec.hyper), ""


def _own_spec(saved: SavedOptimizer) -> Reading | None:
    """What the checkpoint itself says it is."""
    try:
        return read(saved.spec) if saved.spec else None
    except SpecError:
        return None


def _tensor(
    saved: SavedOptimizer,
    key: Key,
    number: int,
    raw: dict[str, np.ndarray],
    group: SavedGroup,
    kind: str,
    rule: Rule | None,
    hyper: Any,
    weight: np.ndarray | None,
) -> Tensor:
    if (
        "step" not in raw and (step := array(group.numbers.get("step"))) is not None
    ):  # some fused kernels count by group
        raw = {**raw, "step": step}
    count = counted(raw, saved.framework)
    if any(value.dtype.kind == "c" for value in raw.values()):  # rules take real parameters
        rule = None
    names = slot_names(saved.framework, rule) if rule is not None else {}
    slots = {slot: raw[theirs] for slot, theirs in names.items() if theirs in raw and theirs not in COUNTS}
    tensor = Tensor(key, saved.name(key), number, rule, hyper, raw, slots, count, weight)
    if rule is None or saved.framework != "torch":
        return tensor
    corner = {name: value[tuple(slice(0, 1) for _ in value.shape)] for name, value in raw.items()}
    like = np.zeros((1,) * len(tensor.shape or ()), np.float64)
    try:
        kept_state(kind, rule, hyper, corner | {"step": 1} if "step" in raw else corner, like)
    except AdoptError as error:
        return replace(tensor, refused=str(error))
    return replace(tensor, refused=_misshapen(tensor))


def _misshapen(tensor: Tensor) -> str:
    """Which slot has not the shape that the rule gives it for a parameter of this shape."""
    if tensor.told is None:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in tensor.arrays.items())
        return f"its slots are of no one parameter: {shapes}"
    rule: Any = tensor.rule
    wanted = jax.eval_shape(rule.array_rule.init, jax.ShapeDtypeStruct(tensor.told, np.float32))
    for slot, value in tensor.slots.items():
        expected = getattr(wanted, slot)
        if expected is not None and value.shape != expected.shape:
            return f"{slot} has shape {value.shape}; of a parameter of shape {tensor.told} it is {expected.shape}"
    return ""


def slot_names(framework: str, rule: Rule) -> dict[str, str]:
    """Our slot → the framework's name of it."""
    if framework == "optax":
        return dict(optax.state_of(rule)[0])
    name = find(NAMES if framework == "torch" else keras.NAMES, rule)
    return dict(name.state) if name is not None else {}


def _torch_kinds(
    saved: SavedOptimizer, raw: Mapping[Key, Mapping[str, Any]], spec: Reading | None
) -> tuple[list[str], str]:
    """The classes of torch.optim that have these names, the likeliest first, or none and why."""
    if spec is not None:
        rule: Any = spec.rule
        name = find(NAMES, rule)
        return ([name.class_name(rule.options)], "") if name else ([], f"{spec.text} is no class of torch.optim")
    keys = set().union(*raw.values()) if raw else set()
    fields = set().union(*(group.numbers for group in saved.groups)) if saved.groups else set()
    ranked = []
    for kind, (rule_name, _) in CLASSES.items():
        known = NAMES[rule_name].keys
        needed = set(filled_in(kind, dict.fromkeys(fields))) >= torch_fields(kind) - set(EXECUTION)
        if keys <= known and needed and "lr" in fields:
            ranked.append((len(fields - torch_fields(kind) - set(UNREAD)), len(known - keys), kind))
    if not ranked:
        have = ", ".join(sorted(keys)) or "nothing"
        return (
            [],
            f"its state has {have}, with groups of {', '.join(sorted(fields))}: no class of torch.optim has those",
        )
    ranked.sort()
    best = [kind for *rank, kind in ranked if rank == list(ranked[0][:2])]
    decoupled = [group.numbers.get("decoupled_weight_decay") for group in saved.groups]
    if {"Adam", "AdamW"} <= set(best) and (all(d is True for d in decoupled) or all(d is False for d in decoupled)):
        best = ["AdamW" if decoupled[0] else "Adam"]
    return best, ""


def by_group(tensors: Iterable[Tensor]) -> dict[int, list[Tensor]]:
    """Tensors by the number of their group."""
    groups: dict[int, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.group, []).append(tensor)
    return groups
