"""A transformation of optax with its state, read without changing either: all values there are immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from .. import rules
from ..names.optax import state_of
from ..rules import Rule
from ..spec import Part, Spec, SpecError, optax_rule, written
from ._closures import opened
from ._slots import AdoptError, Kept, filled
from .adopted import FROZEN, Adopted, Around, Group, joined, own_spec
from .optax_row import Entry, Row, named, slots_of, walk


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
    row = Row()
    kind = opened(tx.update, tx.init)
    reason = ""
    try:
        walk(tx, state, frozenset(by_name), row, params)
    except (AdoptError, SpecError) as error:
        reason = str(error)
    if reason:
        groups: list[Group] = [Group(tuple(by_name), None, reason=reason, params=_copied(by_name) if arrays else {})]
        return Adopted("optax", kind.said, tuple(groups), tuple(row.notes))
    groups = []
    for names, entries, label in _alike(by_name, row):
        groups.append(_group({n: by_name[n] for n in names}, entries, label, row, arrays))
    groups = [replace(group, spec=group.spec and _written(group.spec, row.met_by(group.names[0]))) for group in groups]
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
            if not isinstance(found, (dict, list, tuple)) and np.ndim(found) == 0:
                continue
            if not any(isinstance(x, optax.MaskedNode) for x in masked):
                return found
    raise AdoptError("this state keeps nothing like the parameters: give them too, as in adopt(tx, state, params)")


def _copied(by_name: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.array(value) for name, value in by_name.items()}


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


def _alike(by_name: Mapping[str, Any], row: Row) -> list[tuple[tuple[str, ...], list[Entry], str]]:
    """Parameters that meet the same parts, and the same around them, under the same label."""
    found: dict[Any, list[str]] = {}
    for name in by_name:
        at = tuple(i for i, entry in enumerate(row.entries) if name in entry.over)
        key = (row.labels.get(name, ""), at, tuple(id(outer) for outer in row.met_by(name)))
        found.setdefault(key, []).append(name)
    return [(tuple(names), [row.entries[i] for i in at], label) for (label, at, _), names in found.items()]


def _group(by_name: Mapping[str, Any], entries: list[Entry], label: str, row: Row, arrays: bool) -> Group:
    names, parts = tuple(by_name), [entry.part for entry in entries]
    text = parts[0].spec.text if len(parts) == 1 else f"optax.chain({', '.join(p.spec.text for p in parts)})"
    params = _copied(by_name) if arrays else {}
    blank = Group(names, None, params=params, label=label, spec=text)
    if any(p.name == "set_to_zero" for p in parts):
        return replace(blank, reason=f"optax.set_to_zero: {FROZEN}", lr=0.0)
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


def _kept(rule: Rule, hyper: Any, name: str, like: np.ndarray, entries: list[Entry], count: int | None) -> Kept:
    """The rule's state of one parameter."""
    found = slots_of(rule, hyper, name, [entry.state for entry in entries])
    found = {slot: np.array(value) for slot, value in found.items()}
    try:
        return filled(rule, hyper, found, like, count)
    except AdoptError as error:
        raise AdoptError(f"{name}: {error}") from error


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
