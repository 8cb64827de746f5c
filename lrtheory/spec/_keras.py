"""SPECs of Keras 3; Keras is asked for signatures, and imported on JAX where no other backend was chosen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .. import rules, wrappers
from ..names.keras import ARGUMENTS, CLASSES, NAMES
from ..wrappers import Wrapper
from ._reading import NoRuleError, Reading, check_made, made
from .curves import of_part
from .parts import Part, part
from .text import Spec, SpecError, Unread, nearest, short, written

_CLIPS: Mapping[str, tuple[str, Callable[[Any], Wrapper]]] = {
    "clipvalue": ("clip_value", wrappers.clip_by_value),
    "clipnorm": ("max_norm", lambda rule: wrappers.clip_by_norm(rule, homogeneous=True)),
    "global_clipnorm": ("max_norm", lambda rule: wrappers.clip_by_global_norm(rule, homogeneous=True)),
}
#: What makes of an optimizer another one, with the value that does not.
_PLAIN = {"use_ema": False, "loss_scale_factor": None, "gradient_accumulation_steps": None}
_ABSENT = ("weight_decay", "lr_decay", "eps_root")


def read_keras(spec: Spec) -> Reading:
    """The rule, clipped as its arguments have it.

    Raises
    ------
    NoRuleError
        For a class that is none of our rules, or arguments that make it another.
    """
    root = part(spec)
    value, text = root.value, short(spec.text)
    for argument in root.given:
        if argument not in root.parameters:
            raise SpecError(f"{text}: {spec.name} has no argument {argument!r}{nearest(argument, root.parameters)}")
    if ".legacy." in spec.name:
        raise NoRuleError(f"{text}: Keras 3 has no optimizers of Keras 2; write keras.optimizers.{root.name}")
    if root.name not in CLASSES:
        raise NoRuleError(f"{text} is none of our rules; of Keras there are {', '.join(sorted(CLASSES))}")
    rule_name = CLASSES[root.name]
    name, factory = NAMES[rule_name], rules.get(rule_name)
    wrong = [
        (f"with {argument}={written(value(argument))} it is none of our rules", f"{argument}={plain!r}")
        for argument, plain in {**_PLAIN, **name.fixed}.items()
        if value(argument) != plain
    ]
    eps = "epsilon_1" if "eps1" in name.numbers else "epsilon"
    if name.inside_root and value(eps):
        why = f"Keras adds {eps} to the squares, inside the root, which is another rule than {rule_name}"
        wrong.append((why, f"{eps}=0.0"))
    decouples = name.decoupled or "decoupled" in factory().options
    if value("weight_decay") and ("weight_decay" in name.zero or not decouples):
        why = f"Keras decays apart from the gradient, and {rule_name} has no such decay"
        wrong.append((name.zero.get("weight_decay", why), "weight_decay=None"))
    if wrong:
        reasons, plain = zip(*wrong, strict=True)
        raise NoRuleError(
            f"{text}: {'; '.join(reasons)}; {' and '.join(plain)} {'is' if len(plain) == 1 else 'are'} read"
        )
    options = {option: value(option) for option in name.switches}
    options |= {option: False for option in name.zero if option in factory().options}
    places = {ours: ARGUMENTS.get(ours, ours) for ours in name.numbers}
    if name.decoupled or value("weight_decay") or root.name == "AdamW":
        options |= {} if name.decoupled else {"decoupled": True}
        places["weight_decay"] = "weight_decay"
    rule: Any = factory(**options)
    for argument, (number, wrap) in _CLIPS.items():
        if value(argument) is not None:  # Keras takes one of them
            rule, places[number] = wrap(rule), argument
    numbers: dict[str, Any] = {absent: 0.0 for absent in _ABSENT if absent in rule.Hyper._fields}
    curve = None
    for ours, argument in places.items():
        given = value(argument)
        if isinstance(given, Part):
            curve = of_part(given)
            given = curve.peak.lr
        numbers[ours] = 0.0 if given is None and ours == "weight_decay" else given
    numbers |= name.held
    hyper, first, notes = made(spec, rule, numbers, places), None, []
    check_made(root, "Keras")
    if name.before_correction:
        first = hyper._replace(eps=hyper.eps / math.sqrt(1 - hyper.beta2))
        notes.append(
            "Keras adds epsilon to √v before the correction of v: at step t it counts as epsilon/√(1 − beta_2^t)"
        )
    if name.apart:
        notes.append(f"Keras {name.apart}, which counts where that gradient is near epsilon")
    if curve is not None and numbers.get("momentum"):
        notes.append("Keras multiplies by lr before its momentum: steps that are remembered keep the lr that they had")

    def write(new: Any, lr: float, batch: float) -> str:
        changed: dict[str, Any] = {}
        for ours, argument in places.items():
            if isinstance(value(argument), Part):
                if curve is not None and (lr, batch) != (1, 1):
                    changed[argument] = Unread(curve.rescaled(lr, batch).text)
            elif getattr(new, ours) != getattr(hyper, ours):
                changed[argument] = getattr(new, ours)
        return root.write(changed)

    return Reading(spec.text, "keras", rule, hyper, write, (*root.notes, *notes), curve, first)
