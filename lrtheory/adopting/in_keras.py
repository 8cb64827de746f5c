"""A Keras 3 optimizer, on any of its backends, read without changing it."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import rules
from ..names import entry
from ..names.keras import ARGUMENTS, CLASSES, NAMES, KerasName
from ..spec import Unread, call
from ._slots import AdoptError, filled
from .adopted import Adopted, Around, Group, joined, own_spec

#: What makes its steps.
_METHODS = ("update_step", "apply", "apply_gradients", "_apply_weight_decay", "_clip_gradients", "_backend_update_step")


def adopt_keras(optimizer: Any, *, arrays: bool = True) -> Adopted:
    """Read an optimizer; before it was built it has no parameters, and one group of numbers alone."""
    import keras

    if (own := inner(optimizer)) is not optimizer:
        found = adopt_keras(own, arrays=arrays)
        note = "its loss scale leaves out steps that are not finite; all that is said is of finite ones"
        return replace(found, notes=(*found.notes, note))
    kind = type(optimizer).__name__
    reason = ""
    if getattr(keras.optimizers, kind, None) is not type(optimizer):
        reason = f"{type(optimizer).__module__}.{kind} is none of Keras's own classes, so that its steps may be others"
    elif own := [name for name in _METHODS if name in vars(optimizer)]:
        reason = f"it has a {own[0]} of its own, so that its steps may be others than those of keras.optimizers.{kind}"
    elif optimizer.loss_scale_factor is not None:
        reason = "it divides its gradients by loss_scale_factor, which is none of our wrappers"
    notes = ["its average of the weights (use_ema) is not read"] if optimizer.use_ema else []
    if optimizer.use_ema and optimizer.ema_overwrite_frequency:
        reason = reason or "it puts the average of the weights in their place from time to time"
    variables = list(optimizer._trainable_variables) if optimizer.built else []
    names = distinct([v.path for v in variables])
    lr = float(to_numpy(optimizer.learning_rate))
    if reason:
        params = dict(zip(names, map(to_numpy, variables), strict=True)) if arrays else {}
        return Adopted("keras", kind, (Group(names, None, None, reason, lr, params),), tuple(notes))
    if not variables:
        return Adopted("keras", kind, (_group(optimizer, kind, lr, [], True, False, False),), tuple(notes))
    groups = []
    for decays, constrained in sorted(
        {(_decays(optimizer, v), v.constraint is not None) for v in variables}, reverse=True
    ):
        at = [
            i
            for i, v in enumerate(variables)
            if (_decays(optimizer, v), v.constraint is not None) == (decays, constrained)
        ]
        groups.append(_group(optimizer, kind, lr, [(names[i], variables[i]) for i in at], decays, constrained, arrays))
    around = _around(optimizer, names, variables, arrays)
    for step in reversed(around):
        own = {**step.options, **step.numbers}
        groups = [replace(g, spec=g.spec and call(step.name, own, Unread(g.spec))) for g in groups]
    return Adopted("keras", kind, tuple(groups), tuple(notes), around)


def inner(optimizer: Any) -> Any:
    """The optimizer inside a loss scale, which Keras puts around it where a model computes in float16; otherwise itself."""
    import keras

    return optimizer.inner_optimizer if type(optimizer) is keras.optimizers.LossScaleOptimizer else optimizer


def to_numpy(value: Any) -> np.ndarray:
    """A variable or tensor of Keras, on any backend."""
    import keras

    return np.array(keras.ops.convert_to_numpy(value.value if isinstance(value, keras.Variable) else value))


def distinct(paths: list[str]) -> tuple[str, ...]:
    """Paths, of which none is there twice."""
    return tuple(path if paths.count(path) == 1 else f"{path}:{paths[:i].count(path)}" for i, path in enumerate(paths))


def _decays(optimizer: Any, variable: Any) -> bool:
    """Whether its weight decay acts on a variable, by its own method, on an object whose cache is not its."""
    if not optimizer.weight_decay:
        return False
    asked = SimpleNamespace(_var_key=optimizer._var_key)
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(optimizer, name):
            setattr(asked, name, getattr(optimizer, name))
    return type(optimizer)._use_weight_decay(asked, variable)


def _rule(optimizer: Any, kind: str, lr: float, decays: bool) -> tuple[Any, Any, str]:
    """Rule, numbers of the next step, and why there is none."""
    if kind not in CLASSES:
        return None, None, f"keras.optimizers.{kind} is none of our rules"
    rule_name = CLASSES[kind]
    name: KerasName = NAMES[rule_name]
    for argument, value in name.fixed.items():
        if getattr(optimizer, argument) != value:
            return None, None, f"keras.optimizers.{kind} is our {rule_name} with {argument}={value!r} alone"
    decay = float(optimizer.weight_decay or 0.0) if decays else 0.0
    if decay and "weight_decay" in name.zero:
        return None, None, name.zero["weight_decay"]
    options = {switch: bool(getattr(optimizer, switch)) for switch in name.switches}
    known = rules.get(rule_name)().options
    if decay and not name.decoupled:
        if "decoupled" not in known:
            return None, None, f"Keras's weight decay is decoupled, which our {rule_name} has not"
        options["decoupled"] = True
    if "machine_eps" in known:
        options["machine_eps"] = False
    values = {n: getattr(optimizer, ARGUMENTS.get(n, n)) for n in name.numbers if n != "lr"}
    values = {n: float(v or 0.0) for n, v in values.items()} | dict(name.held)
    t = int(to_numpy(optimizer.iterations)) + 1
    apart = name.apart or ("adds epsilon inside the root" if name.inside_root else "")
    if apart and values.get("eps", values.get("eps1")):
        return None, None, f"keras.optimizers.{kind} {apart}: another rule unless its epsilon is 0"
    if name.before_correction and values["beta2"]:
        values["eps"] /= math.sqrt(-math.expm1(t * math.log(values["beta2"])))
    if options.get("nesterov") and not values.get("momentum"):
        options["nesterov"] = False  # it looks ahead with momentum alone
    try:
        rule = rules.get(rule_name)(**options)
        if "weight_decay" in rule.Hyper._fields:
            values["weight_decay"] = decay
        return rule, rule.hyper(lr=lr, **values), ""
    except (TypeError, ValueError) as error:
        return None, None, str(error)


def _group(
    optimizer: Any,
    kind: str,
    lr: float,
    variables: list[tuple[str, Any]],
    decays: bool,
    constrained: bool,
    arrays: bool,
) -> Group:
    names = tuple(name for name, _ in variables)
    rule, hyper, reason = _rule(optimizer, kind, lr, decays)
    if constrained:
        rule, reason = None, "a constraint changes them after each step"
    params = {name: to_numpy(v) for name, v in variables} if arrays else {}
    if rule is None:
        return Group(names, None, None, reason, lr, params)
    name = entry(NAMES, rule)
    notes = tuple(note for derived in name.derived.values() for note in derived.lr_inside(hyper))
    if name.before_correction:
        notes += (
            f"eps is epsilon/√(1 − beta2^t), that of the next step: Keras adds {optimizer.epsilon:g} to the uncorrected root",
        )
    blank = Group(names, rule, hyper, "", lr, params, notes=notes, spec=own_spec(rule, hyper))
    if not arrays:
        return blank
    try:
        states = {name: _kept(optimizer, rule, hyper, v, params[name]) for name, v in variables}
    except AdoptError as error:
        return Group(names, None, None, str(error), lr, params)
    unknown = {slot: f"Keras keeps no {slot}" for one in states.values() for slot in one.unknown}
    state = joined(rule, {name: one.state for name, one in states.items()})
    return Group(names, rule, hyper, "", lr, params, state, unknown, notes, spec=blank.spec)


def _kept(optimizer: Any, rule: Any, hyper: Any, variable: Any, like: np.ndarray) -> Any:
    """The rule's state of one variable, from the optimizer's variables that are named after it."""
    name, iterations = entry(NAMES, rule), int(to_numpy(optimizer.iterations))
    index = optimizer._get_variable_index(variable)
    theirs: dict[str, Any] = {"iteration": iterations}
    for attribute, suffix in name.lists.items():
        kept = getattr(optimizer, attribute, None)
        if kept is not None and not (isinstance(kept, (list, tuple)) and not kept):
            theirs[suffix] = to_numpy(kept[index] if isinstance(kept, (list, tuple)) else kept)
    if not name.lists:
        raise AdoptError(f"{variable.path}: the state of keras.optimizers.{name.optimizer} is not read")
    if not iterations:
        return filled(rule, hyper, {}, like)
    found = {slot: theirs[key] for slot, key in name.state.items() if key in theirs}
    for slot, (key, make, _) in name.derived.items():
        if key in theirs:
            with np.errstate(divide="ignore", invalid="ignore"):
                found[slot] = make(theirs[key], hyper, like, iterations)
            if not np.all(np.isfinite(found[slot])):
                raise AdoptError(f"{variable.path}: its {key} has the lr inside, which is 0 now")
    return filled(rule, hyper, found, like, iterations)


def _around(optimizer: Any, names: tuple[str, ...], variables: list[Any], arrays: bool) -> tuple[Around, ...]:
    """Accumulation first, then the one clip that Keras takes."""
    found = []
    if every := optimizer.gradient_accumulation_steps:
        count = int(to_numpy(optimizer._iterations)) % every
        kept = {"count": count}
        if arrays:
            sums = [to_numpy(optimizer._accumulated_gradients[optimizer._get_variable_index(v)]) for v in variables]
            kept["mean"] = {n: s / max(count, 1) for n, s in zip(names, sums, strict=True)}
        found.append(Around("accumulate", {"every": int(every)}, {}, names, kept))
    if optimizer.clipnorm:
        found.append(Around("clip_by_norm", {"homogeneous": True}, {"max_norm": float(optimizer.clipnorm)}, names))
    elif optimizer.global_clipnorm:
        numbers = {"max_norm": float(optimizer.global_clipnorm)}
        found.append(Around("clip_by_global_norm", {"homogeneous": True}, numbers, names))
    elif optimizer.clipvalue:
        found.append(Around("clip_by_value", {}, {"clip_value": float(optimizer.clipvalue)}, names))
    return tuple(found)
