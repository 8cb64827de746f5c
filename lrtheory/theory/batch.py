"""The square-root rule of Adam and RMSprop for a batch κ times as large.

Malladi et al. 2022 (2205.10287), with the decay of AdamW derived from lr·wd → κ·lr·wd.
"""

from __future__ import annotations

import math
from typing import Any

from ..rules import Rule
from ..rules.facts import SQUARE_ROOT_RULE, BatchChange


def sde_rule(rule: Rule, hyper: Any, kappa: float) -> Any:
    """Hyperparameters for a batch ``kappa`` times as large: lr·√κ, β → 1−κ(1−β), eps/√κ; decoupled decay·√κ.

    Coupled decay stays: it belongs to the mean gradient, which the batch does not change.

    Raises
    ------
    TypeError
        For hyperparameters of another rule.
    ValueError
        For a rule the law is not about, or κ ≥ 1/(1−β): the average would be shorter than one step.
    """
    change = _of_the_paper(rule, hyper)
    if not 0 < kappa < math.inf:
        raise ValueError(f"kappa={kappa}: a batch grows by a factor above 0")
    changed = {name: getattr(hyper, name) * kappa**power for name, power in change.powers.items()}
    for name in change.memories:
        gap = kappa * (1 - getattr(hyper, name))
        if gap > 1 - 1e-12:  # 10·(1 − 0.9) rounds to less than 1
            raise ValueError(
                f"kappa={kappa} is too large for {name}={getattr(hyper, name)}: 1 − kappa(1−{name}) would be {1 - gap:.3g}. "
                f"kappa must stay below 1/(1−{name}) = {1 / (1 - getattr(hyper, name)):.3g}"
            )
        changed[name] = 1 - gap
    return hyper._replace(**changed)


def _of_the_paper(rule: Rule, hyper: Any) -> BatchChange:
    if not isinstance(rule, Rule) or rule.facts.sde is None:
        raise ValueError(f"the SDE rule is about adam (with adamw and amsgrad=False) and rmsprop, not {rule!r}")
    if not isinstance(hyper, rule.Hyper):
        raise TypeError(f"{rule!r} takes {rule.Hyper.__name__} from its .hyper(...), not {type(hyper).__name__}")
    if rule.options.get("amsgrad") or rule.options.get("centered"):
        raise ValueError(f"the SDE rule is not about {rule!r}: its size of the gradient is no average of squares")
    change = rule.facts.sde(hyper)
    if change.source.startswith(SQUARE_ROOT_RULE):
        return change
    if "momentum" in change.memories and change.noise_dominates:
        raise ValueError(f"the SDE rule is not about {rule!r} with momentum={hyper.momentum}: no paper derives it")
    raise ValueError(f"the SDE rule is about adam (with adamw and amsgrad=False) and rmsprop, not {rule!r}")
