"""The square-root rule of Adam and RMSprop for a batch κ times as large, and means of means.

Malladi et al. 2022 (2205.10287), with the decay of AdamW derived from lr·wd → κ·lr·wd.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..numbers import check_hyper
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
    check_hyper(rule, hyper)
    if rule.options.get("amsgrad") or rule.options.get("centered"):
        raise ValueError(f"the SDE rule is not about {rule!r}: its size of the gradient is no average of squares")
    change = rule.facts.sde(hyper)
    if change.source.startswith(SQUARE_ROOT_RULE):
        return change
    if "momentum" in change.memories and change.noise_dominates:
        raise ValueError(f"the SDE rule is not about {rule!r} with momentum={hyper.momentum}: no paper derives it")
    raise ValueError(f"the SDE rule is about adam (with adamw and amsgrad=False) and rmsprop, not {rule!r}")


def mean_of_means(tokens: Sequence[int]) -> tuple[tuple[float, ...], float]:
    r"""What the mean of the means of micro-batches is against the mean over all their tokens.

    Parameters
    ----------
    tokens : the number of tokens :math:`n_i` of each micro-batch, two or more

    Returns
    -------
    factors : tuple of float
        :math:`\bar n/n_i`: what a token of each micro-batch counts in the mean of means over what it counts in the mean over
        all. All are 1 exactly if all have as many.
    noise : float
        :math:`\bar n \cdot \overline{1/n}`, the variance of the mean of means over that of the mean over all, for tokens whose
        gradients are independent with one variance; at least 1.

    Raises
    ------
    ValueError
        For fewer than two micro-batches, or a count that is no whole number above 0.
    """
    if isinstance(tokens, (str, int, float)) or len(tokens) < 2:
        raise ValueError(f"tokens={tokens!r}: give the tokens of each micro-batch, two or more, such as (512, 1024)")
    for n in tokens:
        if isinstance(n, bool) or n != int(n) or n < 1:
            raise ValueError(f"tokens: {n!r} is no number of tokens; expected whole numbers above 0")
    mean = sum(tokens) / len(tokens)
    factors = tuple(mean / n for n in tokens)
    return factors, sum(factors) / len(factors)
