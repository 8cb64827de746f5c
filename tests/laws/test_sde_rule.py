"""What the square-root rule of Adam and RMSprop changes, and what it refuses."""

from __future__ import annotations

import pytest

from lrtheory import rules
from lrtheory.laws.batch import sde_rule


def test_numbers_of_adamw_for_four_times_the_batch() -> None:
    rule = rules.adamw()
    found = sde_rule(rule, rule.hyper(lr=1e-3, weight_decay=0.1), 4)
    assert found == pytest.approx((2e-3, 0.6, 0.996, 5e-9, 0.2), rel=1e-12)
    back = sde_rule(rule, found, 0.25)
    assert back == pytest.approx(rule.hyper(lr=1e-3, weight_decay=0.1), rel=1e-12)


def test_coupled_decay_stays() -> None:
    rule = rules.adam()
    assert sde_rule(rule, rule.hyper(weight_decay=0.1), 4).weight_decay == 0.1


@pytest.mark.parametrize(
    ("rule", "numbers", "kappa", "message"),
    [
        (rules.adam(), {}, 10, r"too large for beta1=0.9.*below 1/\(1−beta1\) = 10"),
        (rules.rmsprop(), {"alpha": 0.5}, 2, "too large for alpha"),
        (rules.rmsprop(), {"momentum": 0.9}, 2, "with momentum=0.9"),
        (rules.rmsprop(centered=True), {}, 2, "no average of squares"),
        (rules.sgd(), {}, 2, "about adam"),
        (rules.adam(), {}, 0, "kappa=0"),
        (rules.adam(), {}, float("nan"), "kappa=nan"),
    ],
)
def test_what_the_rule_is_not_about_is_refused(rule, numbers, kappa, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        sde_rule(rule, rule.hyper(**numbers), kappa)
