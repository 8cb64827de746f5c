"""From one optimizer to another: hyperparameters under which updates are as large and weight decay is as fast."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from .adopting.adopted import own_spec
from .rescaling.length import rate
from .rules import Rule
from .spec import Reading, Spec, SpecError, Unread, call, parse, read, short
from .theory import NoLaw
from .theory.momentum import decay_time_scale
from .theory.updates import update_rms
from .wrappers import Wrapper, innermost

NOT_THE_SAME = (
    "a matching of size, not an equivalence: under gradients that are pure noise updates have the same root mean square, and "
    "decay takes as many steps; the paths are different ones. Start from it and tune lr"
)


@dataclass(frozen=True)
class Translated:
    """Hyperparameters of another rule that match the size of updates and the time scale of weight decay.

    Attributes
    ----------
    spec, to : str
        What was given.
    rule, hyper : Rule and its hyperparameters
        What it comes to.
    code : str
        The same as a SPEC, to be pasted.
    ratio : float
        The new lr over the old: what a schedule of lr is multiplied by.
    update_rms : float
        Root mean square of an update of both, under noise; [param].
    decay_time_scale : float
        Steps in which weight decay of both divides a parameter by e; inf without decay.
    notes : tuple of str
        What was assumed, and what is not matched.
    """

    spec: str
    to: str
    rule: Rule
    hyper: Any
    code: str
    ratio: float
    update_rms: float
    decay_time_scale: float
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        numbers = {name: float(value) for name, value in self.hyper._asdict().items() if value is not None}
        return {**vars(self), "rule": repr(self.rule), "hyper": numbers, "notes": list(self.notes)}


def translate(
    spec: str, *, to: str, gradient_rms: float | None = None, shape: tuple[int, int] | None = None
) -> Translated:
    r"""Hyperparameters of another rule whose updates are as large, and whose weight decay has the same time scale.

    The size is the root mean square of an update under gradients that are pure noise, of :func:`lrtheory.theory.updates.update_rms`:
    :math:`lr\sqrt{(1-\beta_1)/(1+\beta_1)}` of Adam, lr of Lion. So Lion's lr is 0.229 of that of Adam at beta1 = 0.9, and its
    weight_decay 4.36 times, which keeps lr·weight_decay.

    Parameters
    ----------
    spec : str
        A SPEC of an optimizer.
    to : str
        Another: a name such as ``"lion"``, or a SPEC such as ``"torch.optim.SGD(momentum=0.9)"``, whose arguments are kept except
        lr and weight_decay.
    gradient_rms : float, optional
        Root mean square of the gradient's coordinates, in [loss]/[param], for a rule whose updates are in proportion to it; 1 is
        assumed, and said.
    shape : (rows, columns), optional
        Of the matrices, for a rule whose updates depend on it.

    Returns
    -------
    Translated

    Raises
    ------
    SpecError
        For what is no SPEC, or none of the rules of this package.
    ValueError
        Where updates have no one size, decay has no time scale, or an argument is of no use.

    Examples
    --------
    >>> from lrtheory import translate
    >>> found = translate("adamw(lr=1e-3, weight_decay=0.1)", to="lion")
    >>> round(found.hyper.lr, 6), round(found.hyper.weight_decay, 4), round(found.decay_time_scale, -2)
    (0.000229, 0.4359, 10000.0)
    """
    for name, text in (("spec", spec), ("to", to)):
        if not isinstance(text, str):
            raise TypeError(f"{name}={text!r}: expected the text of an optimizer, such as 'adamw(lr=1e-3)'")
    if gradient_rms is not None and not 0 < gradient_rms < math.inf:
        raise ValueError(f"gradient_rms={gradient_rms}: the size of a gradient is above 0 and finite")
    source = read(spec)
    old_rule, old = innermost(source.rule, source.hyper)
    if not old.lr > 0:
        raise ValueError(f"{short(spec)}: at lr={old.lr:g} there are no updates to match; give its largest lr")
    target = _target(to, shape)
    rule, blank = innermost(target.rule, target.hyper)
    if bool(old_rule.options.get("maximize")) != bool(rule.options.get("maximize")):
        raise ValueError(
            f"{short(spec)}, {short(to)}: one goes up and the other down; give maximize=True to both or to neither"
        )
    if target.curve is not None:
        raise SpecError(f"{short(to)}: its lr is what is looked for; leave the schedule out")
    notes = [NOT_THE_SAME]
    sizes, used = [], {"gradient_rms": False, "shape": False}
    for each, hyper, text in ((old_rule, old._replace(lr=1.0), spec), (rule, blank._replace(lr=1.0), to)):
        given: dict[str, Any] = {}
        if shape is not None and len(each.facts.shape) == 2:
            given["shape"], used["shape"] = tuple(shape), True
        if each.facts.divides_by == "nothing" or (gradient_rms is not None and (getattr(hyper, "eps", None) or 0)):
            given["gradient"], used["gradient_rms"] = 1.0 if gradient_rms is None else gradient_rms, True
            if gradient_rms is None:
                notes.append(
                    f"{each!r}: its updates are in proportion to the gradient, whose root mean square is taken as 1 [loss]/[param]: "
                    f"{'multiply the new lr by yours' if each is not rule else 'divide the new lr by yours, and multiply weight_decay by it'}, "
                    "or give gradient_rms="
                )
        try:
            sizes.append(update_rms(each, hyper, **given))
        except NoLaw as reason:
            raise ValueError(f"{short(text)}: no size of its updates to match: {reason}") from reason
    for name, value in (("gradient_rms", gradient_rms), ("shape", shape)):
        if value is not None and not used[name]:
            raise ValueError(f"{name}={value}: neither optimizer's updates depend on it; leave it out")
    ratio = sizes[0] / sizes[1]
    hyper = blank._replace(lr=old.lr * ratio)
    scale = _time_scale(old_rule, old, spec)
    hyper = _decaying(
        rule, hyper, scale, rate(old_rule, old) * getattr(old, "weight_decay", 0) if scale < math.inf else 0.0, to
    )
    _refuse_clipped(target, rule)
    _refuse_clipped(source, old_rule)
    if isinstance(source.rule, Wrapper):
        notes.append(f"{source.rule!r}: what stands around the rule is not translated; put the same around the new one")
    notes += [f"{short(to)}: {note}" for note in target.notes]
    if source.curve is not None:
        after = source.curve.rescaled(ratio, 1.0).part
        after = after if after.first is None else replace(after, first=Unread("optimizer"))
        notes.append(f"lr is the peak of its schedule, which becomes {after.write()}")
    given_too = _looked_for(parse(to))
    if given_too:
        notes.append(f"{short(to)}: {' and '.join(given_too)} given there counts for nothing: it is what is looked for")
    code = target.write(target.hyper._replace(**hyper._asdict()), 1.0, 1.0)
    _check_read_back(code, hyper, to)
    return Translated(spec, to, rule, hyper, code, ratio, sizes[0] * old.lr, scale, tuple(notes))


def _target(to: str, shape: Any) -> Reading:
    """What is translated to: a bare name has its defaults, with options under which the shape of a matrix does not matter."""
    spec = parse(to)
    if spec.called:
        return read(to)
    with_lr = {"learning_rate": 1.0} if spec.name.startswith(("optax.", "keras.")) else {"lr": 1.0}
    found = read(call(spec.full_name, with_lr))
    options = innermost(found.rule, found.hyper)[0].facts.one_size
    return read(call(spec.full_name, {**with_lr, **options})) if options and shape is None else found


def _looked_for(to: Spec) -> list[str]:
    """Hyperparameters given there that are an answer: by name anywhere, or as the first number of an optimizer alone."""
    parts = [part for part in (*to.args, *to.kwargs.values()) if isinstance(part, Spec) and part.called]
    found = [name for name in ("lr", "learning_rate", "weight_decay") if name in to.kwargs]
    if not parts and any(isinstance(argument, int | float) for argument in to.args):
        found.insert(0, "lr")
    return list(dict.fromkeys([*found, *(name for part in parts for name in _looked_for(part))]))


def _time_scale(rule: Rule, hyper: Any, text: str) -> float:
    try:
        return decay_time_scale(rule, hyper)
    except NoLaw as reason:
        raise ValueError(f"{short(text)}: no time scale of its decay to match: {reason}") from reason


def _decaying(rule: Rule, hyper: Any, scale: float, removed: float, text: str) -> Any:
    """With the weight_decay that removes as much in a step."""
    if "weight_decay" not in hyper._fields or hyper.weight_decay is None:
        if scale < math.inf:
            raise ValueError(
                f"{short(text)} has no weight decay, and decay with a time scale of {scale:.4g} steps is to be matched"
            )
        return hyper
    if scale == math.inf:
        hyper = hyper._replace(weight_decay=0.0)
    else:
        _time_scale(rule, hyper._replace(weight_decay=1.0), text)
        hyper = hyper._replace(weight_decay=removed / rate(rule, hyper))
    reached = _time_scale(rule, hyper, text)
    if reached != scale and not math.isclose(reached, scale, rel_tol=0.1):
        raise ValueError(
            f"{short(text)}: its decay would have a time scale of {reached:.4g} steps, where {scale:.4g} is to be matched"
        )
    return hyper


def _check_read_back(code: str, hyper: Any, text: str) -> None:
    """Refuse a code that has no argument for what is to be matched."""
    again = read(code)
    rule, numbers = innermost(again.rule, again.hyper)
    for name, theirs in numbers._asdict().items():
        ours = getattr(hyper, name)
        if ours != theirs:
            raise ValueError(
                f"{short(text)}: nothing in it is the {name} of {rule!r}, which would be {ours:.6g}. Nearest: "
                f"{own_spec(rule, hyper)} as one of ours"
            )


def _refuse_clipped(reading: Reading, rule: Rule) -> None:
    """Refuse a clip around a rule, old or new, whose updates it makes smaller."""
    if rule.facts.divides_by == "nothing" and {"max_norm", "clip_value"} & set(reading.hyper._fields):
        raise ValueError(
            f"{short(reading.text)}: its updates are in proportion to the gradient, which is clipped, so that they have no one size; "
            "translate the rule alone"
        )
