"""A transformation of optax with its state, read without changing either: all values there are immutable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import rules
from ..groups import alone
from ..names.optax import ARGUMENTS, state_of
from ..rules import Rule
from ..spec import Part, Spec, SpecError, Unread, call, optax_rule, written
from ._closures import Made, as_part, opened
from ._slots import AdoptError, Kept, filled
from .adopted import Adopted, Around, Group, joined, own_spec

_CLIPS = {
    "clip": ("clip_by_value", "max_delta", "clip_value", {}),
    "clip_by_global_norm": ("clip_by_global_norm", "max_norm", "max_norm", {"homogeneous": True}),
}


@dataclass
class _Entry:
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
class _Row:
    """The parts in the order in which a gradient meets them."""

    entries: list[_Entry] = field(default_factory=list)
    around: list[Around] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    count: int | None = None

    def walks(self) -> Mapping[str, Callable[..., None]]:
        """What is done with a transformation that has others inside, by name."""
        return _WALKS


@dataclass
class Traced(_Row):
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
        return _slots_of(rule, hyper, name, [state for over, state in self.states if name in over])


def traced(tx: Any, state: Any, params: Any) -> Traced:
    """What the state of a transformation that has been adopted holds, where its arrays are tracers."""
    row = Traced()
    _walk(tx, state, frozenset(named(params)), row, params)
    return row


def adopt_optax(tx: Any, state: Any, params: Any, *, arrays: bool = True, check: bool = True) -> Adopted:
    """Read a transformation with its state.

    Parameters
    ----------
    params : pytree of arrays, optional
        Those that the next update is for; without them nothing is checked and groups have none.
    check : bool
        Whether one step of ours is run beside one of theirs, on random gradients: what does not come out alike is opaque.
    """
    if params is None:
        found = adopt_optax(tx, state, stand_in(state), arrays=arrays, check=False)
        return replace(found, groups=tuple(replace(group, params={}) for group in found.groups))
    by_name = named(params)
    row = _Row()
    kind = opened(tx.update, tx.init)
    reason = ""
    try:
        _walk(tx, state, frozenset(by_name), row, params)
    except (AdoptError, SpecError) as error:
        reason = str(error)
    if reason:
        groups: list[Group] = [Group(tuple(by_name), None, reason=reason, params=_copied(by_name) if arrays else {})]
        return Adopted("optax", kind.said, tuple(groups), tuple(row.notes))
    groups = []
    for names, entries, label in _alike(by_name, row):
        groups.append(_group({n: by_name[n] for n in names}, entries, label, row, arrays))
    groups = [replace(group, spec=group.spec and _written(group.spec, row.around)) for group in groups]
    found = Adopted("optax", kind.said, tuple(groups), tuple(row.notes), tuple(row.around))
    return _checked(found, tx, state, params) if check and arrays else found


def stand_in(state: Any) -> Any:
    """A tree like the parameters, from a state that keeps one.

    Raises
    ------
    AdoptError
        For a state without.
    """
    import optax

    for key in ("acc_grads", "z", "mu", "nu", "trace", "ema", "e_g"):
        for _, found in optax.tree.get_all_with_path(state, key):
            masked = jax.tree.leaves(found, is_leaf=lambda x: isinstance(x, optax.MaskedNode))
            if np.ndim(found) == 0 and not isinstance(found, (dict, list, tuple)):
                continue
            if not any(isinstance(x, optax.MaskedNode) for x in masked):
                return found
    raise AdoptError("this state keeps nothing like the parameters: give them too, as in adopt(tx, state, params)")


def named(tree: Any) -> dict[str, Any]:
    """Leaves by the path to them."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/") or "params": leaf for path, leaf in leaves}


def _copied(by_name: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in by_name.items()}


# --- the row ---

_NO_PART = Part(Spec("a rule of ours", "lrtheory"), None, {}, {})


def _walk(tx: Any, state: Any, over: frozenset[str], row: _Row, params: Any) -> None:
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
        row.entries.append(_Entry(Part(Spec(made.said, "unknown"), None, {}, {}), (), over))
    elif made.name in _CLIPS and not any(entry.over & over for entry in row.entries):
        wrapper, argument, ours, options = _CLIPS[made.name]
        row.around.append(Around(wrapper, options, {ours: float(made.cells[argument])}, tuple(sorted(over))))
    elif made.name != "identity":
        expected = state if made.init is None else jax.eval_shape(made.init, params)
        if type(expected) is not type(state):
            had, wanted = type(state).__name__, type(expected).__name__
            raise AdoptError(f"{made.said} was given a state of type {had}, and its own is {wanted}")
        row.entries.append(_Entry(as_part(made), state, over))


def _of_ours(made: Ours, state: Any, over: frozenset[str], row: _Row) -> None:
    """The groups of a rule of ours, or the one that it is."""
    if not hasattr(state, "rule_state"):
        raise AdoptError(f"a transformation of {made.rule!r} has a state of {_shown(state)}")
    still = set(over)
    for label, (rule, hyper) in alone(made.rule, made.upcoming(state)).items():
        if not isinstance(rule, Rule):
            row.entries.append(
                _Entry(_NO_PART, (), over, f"a wrapper of ours, which lrtheory.optax.rule reads: {rule!r}")
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
            row.entries.append(_Entry(_NO_PART, own, names, (rule, numbers)))
    if still:
        row.entries.append(_Entry(_NO_PART, (), frozenset(still), "frozen: these parameters do not move"))


def _chain(made: Made, state: Any, over: frozenset[str], row: _Row, params: Any) -> None:
    updates = made.cells["update_fns"]
    if not isinstance(state, tuple) or len(state) != len(updates):
        raise AdoptError(f"a chain of {len(updates)} parts has a state of {_shown(state)}")
    for update, of in zip(updates, state, strict=True):
        _walk(update, of, over, row, params)


def _named_chain(made: Made, state: Any, over: frozenset[str], row: _Row, params: Any) -> None:
    for name, tx in made.cells["transforms"]:
        _walk(tx, state[name], over, row, params)


def _masked(made: Made, state: Any, over: frozenset[str], row: _Row, params: Any) -> None:
    mask = made.cells["mask"]
    picked = named(mask(params) if callable(mask) else mask)
    if set(picked) - {"params"}:
        chosen = frozenset(name for name in over if _at(picked, name))
    else:  # one value for all
        chosen = over if picked.get("params", True) else frozenset()
    _walk(made.cells["inner"], state.inner_state, chosen, row, params)


def _at(picked: Mapping[str, Any], name: str) -> Any:
    """The value for a parameter, which may be given for the part of the tree that it is in."""
    if name in picked:
        return picked[name]
    found = [value for prefix, value in picked.items() if name.startswith(f"{prefix}/")]
    if not found:
        raise AdoptError(f"a mask or labels have no value for {name}")
    return found[0]


def _partition(made: Made, state: Any, over: frozenset[str], row: _Row, params: Any) -> None:
    labels = made.cells["param_labels"]
    label_of = named(labels(params) if callable(labels) else labels)
    for label, tx in made.cells["transforms"].items():
        chosen = frozenset(n for n in over if _at(label_of, n) == label)
        row.labels |= dict.fromkeys(chosen, str(label))
        _walk(tx, state.inner_states[label].inner_state, chosen, row, params)


def _injected(made: Made, state: Any, over: frozenset[str], row: _Row, params: Any) -> None:
    scheduled = {k: f(state.hyperparams_states[k]) for k, f in made.cells["sched_hps"].items()}
    arguments = {**made.cells["other_hps"], **state.hyperparams, **scheduled}
    row.count = int(state.count) if row.count is None else row.count
    _walk(made.cells["inner_factory"](**arguments), state.inner_state, over, row, params)


def _injected_traced(made: Made, state: Any, over: frozenset[str], row: Traced, params: Any) -> None:
    scheduled = {k: f(state.hyperparams_states[k]) for k, f in made.cells["sched_hps"].items()}
    numbers = {**state.hyperparams, **scheduled}
    row.numbers.append((over, numbers))
    inner = made.cells["inner_factory"](**{**made.cells["other_hps"], **numbers})
    _walk(inner, state.inner_state, over, row, params)


def _scheduled_traced(made: Made, state: Any, over: frozenset[str], row: Traced, params: Any) -> None:
    row.numbers.append((over, {"": made.cells["step_size_fn"](state.count)}))


def _multi_steps(made: Made, state: Any, over: frozenset[str], row: _Row, params: Any) -> None:
    owner = made.cells[""]
    if row.entries or row.around:
        raise AdoptError("optax.MultiSteps inside a chain is none of our wrappers")
    if not owner._use_grad_mean or "MultiSteps.__init__" not in owner._should_skip_update_fn.__qualname__:
        raise AdoptError("optax.MultiSteps is our wrapper only with the mean of the gradients of all calls")
    every = int(owner._every_k_schedule(state.gradient_step))
    kept = {"count": int(state.mini_step), "mean": {n: np.array(v) for n, v in named(state.acc_grads).items()}}
    row.around.append(Around("accumulate", {"every": every}, {}, tuple(sorted(over)), kept))
    _walk(owner.inner_opt, state.inner_opt_state, over, row, params)


def _if_finite(made: Made, state: Any, over: frozenset[str], row: _Row, params: Any) -> None:
    row.notes.append("optax.apply_if_finite leaves out steps that are not finite; all that is said is of finite ones")
    _walk(made.cells["inner"], state.inner_state, over, row, params)


def _scheduled(made: Made, state: Any, over: frozenset[str], row: _Row, params: Any) -> None:
    """A factor by a schedule, as the factor now in force."""
    import optax

    schedule = made.cells["step_size_fn"]
    value = float(schedule(state.count))
    row.count = int(state.count) if row.count is None else row.count
    row.notes.append(f"the lr follows a schedule, at count {int(state.count)} of it")
    scale = Made("scale", optax.scale, {"step_size": value})
    row.entries.append(_Entry(as_part(scale), (), over))


class _Averaged(NamedTuple):
    """What optax.contrib.schedule_free keeps, as our rules have it."""

    t: Any
    z: Any
    max_lr: Any = None
    weight_sum: Any = None
    pull: Any = None
    decay_pull: Any = None


def _schedule_free(made: Made, state: Any, over: frozenset[str], row: _Row, params: Any) -> None:
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
    _walk(made.cells["base_optimizer"], state.base_optimizer_state, over, row, params)
    spec = Spec(call("optax.contrib.schedule_free", given, Unread("...")), "optax.contrib.schedule_free", called=True)
    row.entries.append(_Entry(Part(spec, made.factory, {}, given), kept, over))


def _averaged_rule(spec: Spec, parts: list[Part]) -> tuple[Rule, dict[str, Any]]:
    """The schedule-free rule of optax.contrib.schedule_free around these parts, of which it is the last."""
    *base, outer = parts
    rms = next((p for p in base if p.name == "scale_by_rms"), None)
    plain, numbers = optax_rule(spec, [p for p in base if p is not rms])
    lr, momentum = numbers.pop("lr"), numbers.pop("momentum", 0.0)
    known = rms is None or (base[0] is rms and rms.value("bias_correction") and not rms.value("eps_in_sqrt"))
    if plain.name != "sgd" or momentum or not known:
        raise AdoptError(f"{spec.text} is none of our schedule-free rules, around SGD or bias-corrected RMSprop")
    if lr != outer.given["learning_rate"]:
        raise AdoptError(
            f"{spec.text} steps with lr {lr:g} and averages with {outer.given['learning_rate']:g}; ours have one"
        )
    own = {"lr": lr, "beta1": outer.given["b1"], "weight_lr_power": outer.given["weight_lr_power"]}
    if rms is None:
        return rules.schedule_free_sgd(), {**own, **numbers}
    return rules.schedule_free_adamw(), {**own, **numbers, "beta2": rms.value("decay"), "eps": rms.value("eps")}


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


# --- groups ---


def _written(text: str, around: list[Around]) -> str:
    """A group's parts as code, with what is around them."""
    if not text.startswith("optax."):  # a rule of ours
        for outer in reversed(around):
            text = str(outer).replace("...", text, 1)
        return text
    clips = [f"optax.{a.name.replace('_by_value', '')}({written(*a.numbers.values())})" for a in around if a.numbers]
    text = f"optax.chain({', '.join([*clips, text])})" if clips else text
    every = next((a.options["every"] for a in around if a.name == "accumulate"), None)
    return f"optax.MultiSteps({text}, {every})" if every else text


def _alike(by_name: Mapping[str, Any], row: _Row) -> list[tuple[tuple[str, ...], list[_Entry], str]]:
    """Parameters that meet the same parts under the same label."""
    found: dict[Any, list[str]] = {}
    for name in by_name:
        key = (row.labels.get(name, ""), tuple(i for i, entry in enumerate(row.entries) if name in entry.over))
        found.setdefault(key, []).append(name)
    return [(tuple(names), [row.entries[i] for i in at], label) for (label, at), names in found.items()]


def _group(by_name: Mapping[str, Any], entries: list[_Entry], label: str, row: _Row, arrays: bool) -> Group:
    names, parts = tuple(by_name), [entry.part for entry in entries]
    text = parts[0].spec.text if len(parts) == 1 else f"optax.chain({', '.join(p.spec.text for p in parts)})"
    params = _copied(by_name) if arrays else {}
    blank = Group(names, None, params=params, label=label, spec=text)
    if any(p.name == "set_to_zero" for p in parts):
        return replace(blank, reason="optax.set_to_zero: these parameters do not move", lr=0.0)
    if not parts:
        return replace(blank, reason="no part acts on them: what is added is the gradient itself")
    own = next((entry.own for entry in entries if entry.own is not None), None)
    if own is not None and len(entries) > 1:
        return replace(blank, reason="other parts stand beside a rule of ours")
    if isinstance(own, str):
        return replace(blank, reason=own, lr=0.0 if own.startswith("frozen") else None)
    try:
        read = _averaged_rule if parts[-1].name == "schedule_free" else optax_rule
        if own is not None:
            rule, hyper = own
        else:
            rule, numbers = read(Spec(text, "optax.chain", called=True), parts)
            hyper = rule.hyper(**numbers)
        if own is not None or read is _averaged_rule:
            blank = replace(blank, spec=own_spec(rule, hyper))
        if not arrays:
            return replace(blank, rule=rule, hyper=hyper, lr=hyper.lr)
        kept = {n: _kept(rule, hyper, n, p, entries, row.count) for n, p in params.items()}
    except (AdoptError, SpecError, TypeError, ValueError) as error:
        return replace(blank, reason=str(error))
    unknown = {slot: f"optax keeps no {slot}" for one in kept.values() for slot in one.unknown}
    if own is None and "decay_pull" in rule.State._fields and hyper.weight_decay:
        unknown |= dict.fromkeys(("pull", "decay_pull"), "optax keeps x alone: their sum is known, and stands in pull")
    state = joined(rule, {n: one.state for n, one in kept.items()})
    derived = state_of(rule)[1] if own is None else {}
    notes = tuple(note for entry in derived.values() for note in entry.lr_inside(hyper))
    return replace(blank, rule=rule, hyper=hyper, lr=hyper.lr, state=state, unknown=unknown, notes=notes)


def _kept(rule: Rule, hyper: Any, name: str, like: np.ndarray, entries: list[_Entry], count: int | None) -> Kept:
    """The rule's state of one parameter."""
    found = _slots_of(rule, hyper, name, [entry.state for entry in entries])
    found = {slot: np.array(value) for slot, value in found.items()}
    try:
        return filled(rule, hyper, found, like, count)
    except AdoptError as error:
        raise AdoptError(f"{name}: {error}") from error


def _slots_of(rule: Rule, hyper: Any, name: str, states: list[Any]) -> dict[str, Any]:
    """Slots of a parameter's state of ours, from the states of parts."""
    theirs: dict[str, Any] = {}
    for state in states:
        if isinstance(state, rule.State):  # a rule of ours
            trees = {slot: named(tree) for slot, tree in state._asdict().items() if tree is not None}
            return {slot: tree[name] for slot, tree in trees.items() if name in tree}
        for key, value in zip(getattr(state, "_fields", ()), state, strict=False):
            theirs.setdefault(key, value if np.ndim(value) == 0 and hasattr(value, "dtype") else named(value).get(name))
    names, derived = state_of(rule)
    found = {slot: theirs[key] for slot, key in names.items() if key in theirs}
    found |= {slot: make(theirs[key], hyper) for slot, (key, make, _) in derived.items() if key in theirs}
    strange = set(theirs) - {*names.values(), *(other.key for other in derived.values()), "count"}
    if strange:
        raise AdoptError(f"{name}: the state has {sorted(strange)[0]}, which is no state of {rule!r}")
    idle = {"m"} if rule.options.get("averaged") is False else set() if getattr(hyper, "momentum", 0) else {"buffer"}
    missing = sorted(key for slot, key in names.items() if key not in theirs and slot not in idle)
    if missing:
        raise AdoptError(f"{name}: the state has no {missing[0]}, which {rule!r} needs")
    return {slot: value for slot, value in found.items() if value is not None}


# --- one step beside theirs ---

#: How far a step may end from theirs, over the largest step, by bits of the dtype.
_TOLERANCE = {64: 1e-9, 32: 1e-3, 16: 5e-2}


def _checked(found: Adopted, tx: Any, state: Any, params: Any) -> Adopted:
    """With the groups made opaque whose next step is not the transformation's."""
    import optax

    by_name, structure = named(params), jax.tree.structure(params)
    update = jax.jit(tx.update)
    rng, wrong = np.random.default_rng(0), dict[str, str]()
    for size in (1e-3, 1.0):
        drawn = {n: (size * rng.standard_normal(np.shape(p))).astype(p.dtype) for n, p in by_name.items()}
        grads = jax.tree.unflatten(structure, [jax.numpy.asarray(g) for g in drawn.values()])
        try:
            updates, _ = update(grads, state, params)
        except Exception as error:  # it asks for a value, or a function
            wrong = dict.fromkeys(
                by_name, f"its update does not run on a gradient alone ({type(error).__name__}: {error})"
            )
            break
        theirs, ours = named(optax.apply_updates(params, updates)), found.next_params(drawn)
        for name, mine in ours.items():
            p, its = np.asarray(by_name[name]), np.asarray(theirs[name])
            with np.errstate(invalid="ignore"):
                off = np.max(np.abs(its - np.asarray(mine)).astype(np.float64), initial=0.0)
                step = np.max(np.abs(its - p).astype(np.float64), initial=0.0)
                most = np.max(np.abs(p).astype(np.float64), initial=0.0)
            info = jax.numpy.finfo(p.dtype)
            if not off <= _TOLERANCE[info.bits] * step + 8 * float(info.eps) * most:
                wrong[name] = f"one step of ours beside theirs ends {off:.1e} from it, of a step of {step:.1e}"
    groups = []
    for group in found.groups:
        name = next((n for n in group.names if n in wrong), None)
        if name is not None and group.rule is not None:
            group = replace(group, rule=None, hyper=None, state=None, unknown={}, reason=f"{name}: {wrong[name]}")
        groups.append(group)
    return replace(found, groups=tuple(groups))
