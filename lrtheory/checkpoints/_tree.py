"""Optimizers, weights, schedulers and counters in nested dicts, as people save them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..adopting.state_dict import is_state_dict
from ..names.optax import DERIVED, STATE
from .checkpoint import Checkpoint, CheckpointError, Key, SavedGroup, SavedOptimizer

#: What counts the steps or epochs of a run, under the names that are usual.
COUNTERS = frozenset((
    "epoch", "current_epoch", "step", "steps", "global_step", "num_steps", "iteration", "iterations", "iter", "iter_num",
    "num_updates", "it",
))  # fmt: skip
#: What parts of optax call what they keep of each parameter.
FIELDS = frozenset(
    [name for names in STATE.values() for slot, name in names.items() if slot not in ("t", "max_lr")]
    + [entry.key for names in DERIVED.values() for entry in names.values()]
) - {"t", "step_count", "weight_sum", "max_lr"}
#: How deep is looked.
DEPTH = 6
#: Parts of a path to weights that are an average of the model's, or another model's.
AVERAGES = ("ema", "average", "averaged", "swa", "teacher", "target")


def is_flat_optimizer(value: Any) -> bool:
    """Whether this is an optimizer's state with one key for each number, as ``torch.distributed`` flattens it."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(k, str) and k.startswith(("state.", "param_groups.")) for k in value)
    )


def is_part_of_optax(value: Any) -> bool:
    """Whether this is the state of one part of an optax transformation, as orbax restores it."""
    if not isinstance(value, Mapping) or not (kept := FIELDS & set(value)):
        return False
    trees = [value[key] for key in kept]
    # What has a count may keep more that is like its moments, such as the largest squares of AMSGrad.
    alike = [_paths(tree) for tree in trees if isinstance(tree, Mapping)] if "count" in value else []
    return all(isinstance(tree, Mapping) or is_array(tree) for tree in trees) and not any(
        _is_large(key, entry) and not (isinstance(entry, Mapping) and _paths(entry) in alike)
        for key, entry in value.items()
        if key not in kept
    )


def _paths(tree: Mapping[str, Any]) -> set[str]:
    return {path for path, _ in _leaves(tree)}


def _is_large(key: str, entry: Any) -> bool:
    """Whether an entry is more than the numbers that stand beside a part's moments: then the dict is a run's own, with an ``ema``."""
    if isinstance(entry, (Mapping, list, tuple)):
        return bool(entry) and key != "base_optimizer_state" and any(map(is_array, _inside(entry)))
    return is_array(entry) and bool(getattr(entry, "ndim", 0))


def _inside(value: Any) -> Iterator[Any]:
    """What dicts and lists in one another hold."""
    if isinstance(value, (Mapping, list, tuple)):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from _inside(entry)
    else:
        yield value


def is_scheduler(value: Any) -> bool:
    """Whether this is the state of a learning-rate scheduler."""
    return isinstance(value, Mapping) and ("last_epoch" in value or {"_schedulers", "_last_lr"} <= set(value))


def is_array(value: Any) -> bool:
    """Whether this is an array of any library."""
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _as_weights(value: Any) -> dict[str, Any] | None:
    """Arrays by name, from a dict of them or a tree of nothing else."""
    if _is_weights(value):
        return dict(value)
    leaves = dict(_leaves(value)) if isinstance(value, Mapping) else {}
    return leaves if leaves and all(map(is_array, leaves.values())) and _is_weights(leaves) else None


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Of dicts in dicts, by the path to each."""
    for key, entry in value.items():
        at = f"{path}/{key}" if path else str(key)
        if isinstance(entry, Mapping):
            yield from _leaves(entry, at)
        else:
            yield at, entry


def _is_weights(value: Any) -> bool:
    """A dict of arrays by name, perhaps with a few extras, such as a count."""
    if not isinstance(value, Mapping) or not value or not all(isinstance(key, str) for key in value):
        return False
    arrays = [entry for entry in value.values() if is_array(entry)]
    return len(arrays) > len(value) / 2 and any(
        "int" not in str(a.dtype) and "bool" not in str(a.dtype) for a in arrays
    )


@dataclass
class Found:
    """What was found so far, by path."""

    optimizers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    parts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    schedulers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def look(self, value: Any, path: str = "", depth: int = 0) -> None:
        """Walk into a value and keep what is known."""
        if is_state_dict(value):
            self.optimizers[path] = value
        elif is_flat_optimizer(value):
            self.optimizers[path] = _unflattened(value)
        elif is_part_of_optax(value):
            self.parts[path] = value
        elif is_scheduler(value):
            self.schedulers[path] = _scheduler(value)
        elif (weights := _as_weights(value)) is not None:
            self.weights[path] = weights
        elif path.rpartition(".")[2] in COUNTERS and _whole(value) is not None:
            self.counters[path] = _whole(value) or 0
        elif depth < DEPTH and isinstance(value, (Mapping, list, tuple)) and value:
            for key, entry in value.items() if isinstance(value, Mapping) else enumerate(value):
                self.look(entry, f"{path}.{key}" if path else str(key), depth + 1)
        elif path:
            self.others.append(path)


def _scheduler(value: Mapping[str, Any]) -> dict[str, Any]:
    """Its state without what is not as torch writes it."""
    kept = {key: entry for key, entry in value.items() if isinstance(key, str)}
    lists = {key: kept.pop(key) for key in ("base_lrs", "_last_lr") if key in kept}
    kept |= {k: list(v) for k, v in lists.items() if isinstance(v, (list, tuple)) and all(_number(x) for x in v)}
    if "last_epoch" in kept and (at := _whole(kept.pop("last_epoch"))) is not None:
        kept["last_epoch"] = at
    if "_schedulers" in kept:
        inner = kept.pop("_schedulers")
        if isinstance(inner, (list, tuple)) and all(isinstance(each, Mapping) for each in inner):
            kept["_schedulers"] = [_scheduler(each) for each in inner]
    return kept


def _number(value: Any) -> bool:
    if isinstance(value, (int, float)):
        return not isinstance(value, bool)
    return is_array(value) and value.shape == ()


def _whole(value: Any) -> int | None:
    """A count: a whole number, or an array of one."""
    if hasattr(value, "item") and getattr(value, "shape", None) in ((), (1,)):
        value = value.item()
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()
    return int(value) if whole else None


def checkpoint(tree: Any, path: str, kind: str) -> Checkpoint:
    """A tree of a torch file as a checkpoint.

    Raises
    ------
    CheckpointError
        For a tree without an optimizer, and for an optimizer's state that is none.
    """
    found = Found()
    found.look(tree)
    if not found.optimizers and not found.parts:
        raise CheckpointError(f"{path} {_without(tree, found)}; give the file that has optimizer.state_dict() in it")
    if found.optimizers:  # of torch: what looks like a part of optax is an average under that name
        found.others += found.parts
        found.parts = {}
    roots = {at.partition(".")[0] for at in found.parts}
    own = [p for p in found.weights if not set(AVERAGES) & set(p.lower().replace("_", ".").split("."))]
    own = [
        p for p in own if p.partition(".")[0] not in roots
    ] or own  # the others are optax's, such as sums of gradients
    models = {
        p: {name: v for name, v in found.weights[p].items() if is_array(v)}
        for p in sorted(own, key=lambda p: -len(found.weights[p]))
    }
    others = [*found.others, *(p or "weights" for p in found.weights if p not in models)]
    others = [first for p in others if (first := p.partition(".")[0]) not in roots]
    own_state = [torch_optimizer(state, at, path) for at, state in found.optimizers.items()]
    optimizers = (*own_state, *optax_optimizers(found.parts))
    return Checkpoint(
        path, kind, optimizers, next(iter(models.values()), {}), True, found.schedulers, found.counters, tuple(dict.fromkeys(others)),
        models=models,
    )  # fmt: skip


def _without(tree: Any, found: Found) -> str:
    if found.weights:
        return "holds weights and no optimizer"
    if found.schedulers:
        return "holds a scheduler and no optimizer"
    if isinstance(tree, Mapping):
        return f"has no optimizer among {', '.join(map(repr, list(tree)[:6])) or 'nothing at all'}"
    return f"holds a {type(tree).__name__}, not a dict with an optimizer's state"


def torch_optimizer(saved: Mapping[str, Any], at: str, path: str) -> SavedOptimizer:
    """What ``optimizer.state_dict()`` gave."""
    where = f"{path}: {at}" if at else path
    groups, names = [], dict[Key, str]()
    listed, state = saved["param_groups"], saved["state"]
    if isinstance(state, Mapping) and all(isinstance(key, str) and key.isdecimal() for key in state):  # as JSON has it
        state = {int(key): kept for key, kept in state.items()}
    if not isinstance(listed, (list, tuple)) or not all(isinstance(g, Mapping) and "params" in g for g in listed):
        raise CheckpointError(
            f"{where}.param_groups is no list of groups with params, as optimizer.state_dict() has it"
        )
    if not isinstance(state, Mapping) or not all(isinstance(kept, Mapping) for kept in state.values()):
        raise CheckpointError(f"{where}.state is no dict of dicts, as optimizer.state_dict() has it")
    for group in listed:
        keys, own = group["params"], () if group.get("param_names") is None else group["param_names"]
        if not isinstance(own, (list, tuple)) or not all(isinstance(name, str) for name in own):
            raise CheckpointError(f"{where}: param_names of a group is no list of names")
        if not isinstance(keys, (list, tuple)) or not all(isinstance(key, (int, str)) for key in keys):
            raise CheckpointError(f"{where}: params of a group are neither numbers nor names: this is no state_dict()")
        groups.append(SavedGroup({str(k): v for k, v in group.items() if k != "params"}, tuple(keys)))
        names |= {key: key for key in keys if isinstance(key, str)}
        names |= dict(zip(keys, own, strict=False))
    return SavedOptimizer(at, "torch", tuple(groups), state, names)


def _unflattened(value: Mapping[str, Any]) -> dict[str, Any]:
    """As ``optimizer.state_dict()`` has it; tensors with the same numbers are a group."""
    state: dict[str, dict[str, Any]] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for key, entry in value.items():
        kind, _, rest = key.partition(".")
        name, _, last = rest.rpartition(".")
        (state if kind == "state" else numbers).setdefault(name, {})[last] = entry
    groups: list[dict[str, Any]] = []
    for name, own in numbers.items():
        group = next((g for g in groups if {k: v for k, v in g.items() if k != "params"} == own), None)
        if group is None:
            groups.append(group := {**own, "params": []})
        group["params"].append(name)
    return {"state": state, "param_groups": groups}


def optax_optimizers(parts: Mapping[str, Mapping[str, Any]]) -> list[SavedOptimizer]:
    """Parts of one state put together: those that share the first step of their path."""
    found: dict[str, dict[Key, dict[str, Any]]] = {}
    for path, part in parts.items():
        state = found.setdefault(path.partition(".")[0], {})
        for slot in FIELDS & set(part):
            entries = dict(_leaves(part[slot])) if isinstance(part[slot], Mapping) else {"params": part[slot]}
            for name, value in entries.items():
                if value is not None:
                    kept = state.setdefault(name, {})
                    kept[slot] = value
                    kept |= {key: part[key] for key in ("count", "t", "step_count") if key in part}
    return [
        SavedOptimizer(path, "optax", (SavedGroup({}, tuple(state)),), state, {key: str(key) for key in state})
        for path, state in found.items()
    ]
