"""What a transformation of optax does to a gradient: its parts in a row, each with its state and its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import numpy as np

from ..groups import alone
from ..names.optax import ARGUMENTS, state_of
from ..rules import Rule
from ..spec import Part, Spec, Unread, call
from ._closures import Made, as_part, opened
from ._slots import AdoptError
from .adopted import FROZEN, Around

_CLIPS = {
    "clip": ("clip_by_value", "max_delta", "clip_value", {}),
    "clip_by_global_norm": ("clip_by_global_norm", "max_norm", "max_norm", {"homogeneous": True}),
}


@dataclass
class Entry:
    """A part in the row, its state, and the parameters that it acts on."""

    part: Part
    state: Any
    over: frozenset[str]
    own: tuple[Rule, Any] | str | None = None
    """Of a rule of ours inside optax: it and its hyperparameters, or why there is none."""


class Ours:
    """A transformation made of a rule of ours, which :mod:`lrtheory.optax` derives from this: its functions are its methods."""

    rule: Any

    def upcoming(self, state: Any) -> Any:
        """The hyperparameters of the next step."""
        raise NotImplementedError


@dataclass
class Row:
    """The parts in the order in which a gradient meets them."""

    entries: list[Entry] = field(default_factory=list)
    around: list[Around] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    count: int | None = None

    def met_by(self, name: str) -> list[Around]:
        """What is around the parts that a parameter meets."""
        return [around for around in self.around if name in around.over]

    def walks(self) -> Mapping[str, Callable[..., None]]:
        """What is done with a transformation that has others inside, by name."""
        return _WALKS


@dataclass
class Traced(Row):
    """A state that is being traced: the states of the parts, and the numbers that states and schedules hold.

    Names of numbers are optax's; "" is a factor by a schedule.
    """

    states: list[tuple[frozenset[str], Any]] = field(default_factory=list)
    numbers: list[tuple[frozenset[str], Mapping[str, Any]]] = field(default_factory=list)

    def walks(self) -> Mapping[str, Callable[..., None]]:
        """Without what needs concrete numbers."""
        return {**_WALKS, "inject_hyperparams": _injected_traced, "scale_by_schedule": _scheduled_traced}

    def hyper(self, hyper: Any, name: str) -> Any:
        """A group's numbers in the next step, those in place that the state holds; ``name`` is one of its parameters."""
        ours = {theirs: number for number, theirs in ARGUMENTS.items()}
        for over, numbers in self.numbers:
            if name in over:
                own = {"lr" if not n else ours.get(n, n): v if n else abs(v) for n, v in numbers.items()}
                hyper = hyper._replace(**{n: v for n, v in own.items() if n in hyper._fields})
        return hyper

    def slots(self, rule: Rule, hyper: Any, name: str) -> dict[str, Any]:
        """Slots of a parameter's state that optax keeps."""
        return slots_of(rule, hyper, name, [state for over, state in self.states if name in over])


def traced(tx: Any, state: Any, params: Any) -> Traced:
    """What the state of a transformation that has been adopted holds, where its arrays are tracers."""
    row = Traced()
    walk(tx, state, frozenset(named(params)), row, params)
    return row


def named(tree: Any) -> dict[str, Any]:
    """Leaves by the path to them."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/") or "params": leaf for path, leaf in leaves}


_NO_PART = Part(Spec("a rule of ours", "lrtheory"), None, {}, {})


def walk(tx: Any, state: Any, over: frozenset[str], row: Row, params: Any) -> None:
    """Append what a transformation does to the parameters ``over``."""
    update, init = (tx.update, getattr(tx, "init", None)) if hasattr(tx, "update") else (tx, None)
    if isinstance(getattr(update, "__self__", None), Ours):
        _of_ours(update.__self__, state, over, row)
        return
    made = opened(update, init)
    walk = row.walks().get(made.name)
    if walk is not None:
        walk(made, state, over, row, params)
    elif isinstance(row, Traced):
        row.states.append((over, state))
    elif not made.name:
        row.entries.append(Entry(Part(Spec(made.said, "unknown"), None, {}, {}), (), over))
    elif made.name in _CLIPS and not any(entry.over & over for entry in row.entries):
        wrapper, argument, ours, options = _CLIPS[made.name]
        row.around.append(Around(wrapper, options, {ours: float(made.cells[argument])}, tuple(sorted(over))))
    elif made.name != "identity":
        expected = state if made.init is None else jax.eval_shape(made.init, params)
        if type(expected) is not type(state):
            had, wanted = type(state).__name__, type(expected).__name__
            raise AdoptError(f"{made.said} was given a state of type {had}, and its own is {wanted}")
        row.entries.append(Entry(as_part(made), state, over))


def _of_ours(made: Ours, state: Any, over: frozenset[str], row: Row) -> None:
    """The groups of a rule of ours, or the one that it is."""
    if not hasattr(state, "rule_state"):
        raise AdoptError(f"a transformation of {made.rule!r} has a state of {_shown(state)}")
    still = set(over)
    for label, (rule, hyper) in alone(made.rule, made.upcoming(state)).items():
        if not isinstance(rule, Rule):
            row.entries.append(
                Entry(_NO_PART, (), over, f"a wrapper of ours, which lrtheory.optax.rule reads: {rule!r}")
            )
            return
        own = getattr(state.rule_state, label) if label else state.rule_state
        names = over & frozenset(named(own.t))
        still -= names
        row.labels |= dict.fromkeys(names, label) if label else {}
        if isinstance(row, Traced):
            row.numbers.append((names, {n: v for n, v in hyper._asdict().items() if v is not None}))
            row.states.append((names, own))
        else:
            numbers = rule.Hyper(*(None if value is None else float(value) for value in hyper))
            row.entries.append(Entry(_NO_PART, own, names, (rule, numbers)))
    if still:
        row.entries.append(Entry(_NO_PART, (), frozenset(still), f"frozen: {FROZEN}"))


def _chain(made: Made, state: Any, over: frozenset[str], row: Row, params: Any) -> None:
    updates = made.cells["update_fns"]
    if not isinstance(state, tuple) or len(state) != len(updates):
        raise AdoptError(f"a chain of {len(updates)} parts has a state of {_shown(state)}")
    for update, of in zip(updates, state, strict=True):
        walk(update, of, over, row, params)


def _named_chain(made: Made, state: Any, over: frozenset[str], row: Row, params: Any) -> None:
    for name, tx in made.cells["transforms"]:
        walk(tx, state[name], over, row, params)


def _masked(made: Made, state: Any, over: frozenset[str], row: Row, params: Any) -> None:
    mask = made.cells["mask"]
    picked = named(mask(params) if callable(mask) else mask)
    if set(picked) - {"params"}:
        chosen = frozenset(name for name in over if _at(picked, name))
    else:  # one value for all
        chosen = over if picked.get("params", True) else frozenset()
    walk(made.cells["inner"], state.inner_state, chosen, row, params)


def _at(picked: Mapping[str, Any], name: str) -> Any:
    """The value for a parameter, which may be given for the part of the tree that it is in."""
    if name in picked:
        return picked[name]
    found = [value for prefix, value in picked.items() if name.startswith(f"{prefix}/")]
    if not found:
        raise AdoptError(f"a mask or labels have no value for {name}")
    return found[0]


def _partition(made: Made, state: Any, over: frozenset[str], row: Row, params: Any) -> None:
    labels = made.cells["param_labels"]
    label_of = named(labels(params) if callable(labels) else labels)
    for label, tx in made.cells["transforms"].items():
        chosen = frozenset(n for n in over if _at(label_of, n) == label)
        row.labels |= dict.fromkeys(chosen, str(label))
        walk(tx, state.inner_states[label].inner_state, chosen, row, params)


def _injected(made: Made, state: Any, over: frozenset[str], row: Row, params: Any) -> None:
    scheduled = {k: f(state.hyperparams_states[k]) for k, f in made.cells["sched_hps"].items()}
    arguments = {**made.cells["other_hps"], **state.hyperparams, **scheduled}
    for name in scheduled:
        told = "the lr" if name == "learning_rate" else name
        row.notes.append(f"{told} follows a schedule, at count {int(state.count)} of it")
    row.count = int(state.count) if row.count is None else row.count
    walk(made.cells["inner_factory"](**arguments), state.inner_state, over, row, params)


def _injected_traced(made: Made, state: Any, over: frozenset[str], row: Traced, params: Any) -> None:
    scheduled = {k: f(state.hyperparams_states[k]) for k, f in made.cells["sched_hps"].items()}
    numbers = {**state.hyperparams, **scheduled}
    row.numbers.append((over, numbers))
    inner = made.cells["inner_factory"](**{**made.cells["other_hps"], **numbers})
    walk(inner, state.inner_state, over, row, params)


def _scheduled_traced(made: Made, state: Any, over: frozenset[str], row: Traced, params: Any) -> None:
    row.numbers.append((over, {"": made.cells["step_size_fn"](state.count)}))


def _multi_steps(made: Made, state: Any, over: frozenset[str], row: Row, params: Any) -> None:
    owner = made.cells[""]
    if row.entries or row.around:
        raise AdoptError("optax.MultiSteps inside a chain is none of our wrappers")
    if not owner._use_grad_mean or "MultiSteps.__init__" not in owner._should_skip_update_fn.__qualname__:
        raise AdoptError("optax.MultiSteps is our wrapper only with the mean of the gradients of all calls")
    every = int(owner._every_k_schedule(state.gradient_step))
    kept = {"count": int(state.mini_step), "mean": {n: np.array(v) for n, v in named(state.acc_grads).items()}}
    row.around.append(Around("accumulate", {"every": every}, {}, tuple(sorted(over)), kept))
    walk(owner.inner_opt, state.inner_opt_state, over, row, params)


def _if_finite(made: Made, state: Any, over: frozenset[str], row: Row, params: Any) -> None:
    row.notes.append("optax.apply_if_finite leaves out steps that are not finite; all that is said is of finite ones")
    walk(made.cells["inner"], state.inner_state, over, row, params)


def _scheduled(made: Made, state: Any, over: frozenset[str], row: Row, params: Any) -> None:
    """A factor by a schedule, as the factor now in force."""
    import optax

    schedule = made.cells["step_size_fn"]
    value = float(schedule(state.count))
    row.count = int(state.count) if row.count is None else row.count
    row.notes.append(f"the lr follows a schedule, at count {int(state.count)} of it")
    scale = Made("scale", optax.scale, {"step_size": value})
    row.entries.append(Entry(as_part(scale), (), over))


class _Averaged(NamedTuple):
    """What optax.contrib.schedule_free keeps, as our rules have it."""

    t: Any
    z: Any
    max_lr: Any = None
    weight_sum: Any = None
    pull: Any = None
    decay_pull: Any = None


def _schedule_free(made: Made, state: Any, over: frozenset[str], row: Row, params: Any) -> None:
    if row.entries or row.labels:
        raise AdoptError("optax.contrib.schedule_free inside a chain is none of our rules")
    t = int(state.step_count) - 1
    given_lr = made.cells["learning_rate"]
    now: Any = given_lr(state.step_count) if callable(given_lr) else given_lr
    lr = float(now)
    b1, power = (float(made.cells[name]) for name in ("b1", "weight_lr_power"))
    kept = _Averaged(state.step_count - 1, state.z)
    if t and float(state.max_lr):
        weight_sum = state.weight_sum / state.max_lr**power
        left = 1 - 1 / float(weight_sum) or 1.0
        pull = jax.tree.map(lambda y, z: (y - z) / b1 / left, params, state.z)
        kept = _Averaged(kept.t, state.z, state.max_lr, weight_sum, pull, jax.tree.map(np.zeros_like, state.z))
    given = {"learning_rate": lr, "b1": b1, "weight_lr_power": power}
    walk(made.cells["base_optimizer"], state.base_optimizer_state, over, row, params)
    spec = Spec(call("optax.contrib.schedule_free", given, Unread("...")), "optax.contrib.schedule_free", called=True)
    row.entries.append(Entry(Part(spec, made.factory, {}, given), kept, over))


_WALKS: Mapping[str, Callable[..., None]] = {
    "chain": _chain,
    "named_chain": _named_chain,
    "masked": _masked,
    "partition": _partition,
    "inject_hyperparams": _injected,
    "MultiSteps": _multi_steps,
    "apply_if_finite": _if_finite,
    "scale_by_schedule": _scheduled,
    "schedule_free": _schedule_free,
}


def _shown(state: Any) -> str:
    return f"{len(state)} parts" if isinstance(state, tuple) else type(state).__name__


def slots_of(rule: Rule, hyper: Any, name: str, states: list[Any]) -> dict[str, Any]:
    """Slots of a parameter's state of ours, from the states of parts."""
    theirs: dict[str, Any] = {}
    for state in states:
        if isinstance(state, rule.State):  # a rule of ours
            trees = {slot: named(tree) for slot, tree in state._asdict().items() if tree is not None}
            return {slot: tree[name] for slot, tree in trees.items() if name in tree}
        for key, value in zip(getattr(state, "_fields", ()), state, strict=False):
            theirs.setdefault(key, value if hasattr(value, "dtype") and np.ndim(value) == 0 else named(value).get(name))
    names, derived = state_of(rule)
    found = {slot: theirs[key] for slot, key in names.items() if key in theirs}
    found |= {slot: make(theirs[key], hyper) for slot, (key, make, _) in derived.items() if key in theirs}
    strange = set(theirs) - {*names.values(), *(other.key for other in derived.values()), "count"}
    if strange:
        raise AdoptError(f"{name}: the state has {sorted(strange)[0]}, which is no state of {rule!r}")
    missing = {slot: key for slot, key in names.items() if key not in theirs}
    if rule.options.get("averaged") is False:
        missing.pop("m", None)
    elif "buffer" in missing and not getattr(hyper, "momentum", 0):  # which may be traced where there is a buffer
        del missing["buffer"]
    missing = sorted(missing.values())
    if missing:
        raise AdoptError(f"{name}: the state has no {missing[0]}, which {rule!r} needs")
    return {slot: value for slot, value in found.items() if value is not None}
