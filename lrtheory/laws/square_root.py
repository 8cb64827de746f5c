"""The powers of κ in the square-root rule for a batch κ times as large: stated here, verified in ``batch.sde``, applied by
``rescale``.

Malladi et al. 2022 (2205.10287), with the decay of AdamW derived from lr·wd → κ·lr·wd.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..rules import Rule

#: The decay rates of each rule that the law is about: 1 − β becomes κ(1 − β).
RATES: Mapping[str, tuple[str, ...]] = {"adam": ("beta1", "beta2"), "rmsprop": ("alpha",)}


def powers(rule: Rule) -> dict[str, float]:
    """Number → power of κ, for a rule in :data:`RATES` without momentum: lr·√κ, eps/√κ, decoupled decay·√κ.

    Coupled decay stays: it belongs to the mean gradient, which the batch does not change.
    """
    return {"lr": 0.5, "eps": -0.5} | ({"weight_decay": 0.5} if rule.options.get("decoupled") else {})
