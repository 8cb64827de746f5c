"""The gradients of ``step-bound`` come as near the sharp bound as can be, so that a rule that steps farther is seen."""

from __future__ import annotations

import numpy as np
import pytest

from lrtheory import rules
from lrtheory.laws.trajectory import replay
from parity.conformance.outcome import Skip
from parity.conformance.suite.laws import sharp_bound, streams


@pytest.mark.parametrize(
    ("name", "options", "numbers"),
    [
        ("adam", {}, {}),
        ("adam", {"amsgrad": True}, {"weight_decay": 0.0}),
        ("adamax", {}, {}),
        ("adagrad", {}, {"lr_decay": 0.1}),
        ("rmsprop", {}, {}),
        ("lion", {}, {"weight_decay": 0.0}),
        ("signum", {}, {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_bound_is_attained_and_never_passed(name, options, numbers) -> None:  # type: ignore[no-untyped-def]
    rule = rules.get(name)(**options)
    hyper = rule.hyper(lr=0.1, **numbers)
    steps = np.abs(replay(rule, hyper, 1e6 * np.stack(streams(hyper), axis=1)).steps)
    share = steps / sharp_bound(rule, hyper)[:, None]
    assert share.max() <= 1 + 1e-9
    assert share[-1].max() >= 1 - 1e-9


@pytest.mark.parametrize(("name", "reason"), [("sgd", "nothing bounds it"), ("rprop", "step_size_max")])
def test_rules_without_a_bound_are_skipped_with_the_reason(name: str, reason: str) -> None:
    rule = rules.get(name)()
    with pytest.raises(Skip, match=reason):
        sharp_bound(rule, rule.hyper(lr=0.1))
