"""Masks, labels and groups: parts of an optimizer that act on some tensors are diagnosed on tensors of those names."""

from __future__ import annotations

from typing import Any

import pytest

from lrtheory.spec import SpecError
from parity import diagnose

GROUPS = "torch.optim.SGD([{'params': 'w', 'lr': 0.1}, {'params': 'b', 'lr': 0.01, 'weight_decay': 0.1}], momentum=0.9)"
LABELS = (
    "optax.multi_transform({'a': optax.sgd(0.1, momentum=0.9), 'c': optax.chain(optax.add_decayed_weights(0.1), "
    "optax.sgd(0.01, momentum=0.9))}, {'w': 'a', 'b': 'c'})"
)
MASKED = "optax.masked(optax.sgd(0.1), {'w': True, 'b': False})"


@pytest.mark.parametrize(
    ("a", "b", "arguments"),
    [
        (GROUPS, "torch.optim.SGD(lr=0.1, momentum=0.9)", {"b.lr": 0.1, "b.weight_decay": 0}),
        (GROUPS, GROUPS.replace("0.01", "0.02"), {"b.lr": 0.02}),
        (LABELS, LABELS.replace("optax.sgd(0.1", "optax.sgd(0.2"), {"a.learning_rate": 0.2}),
        (MASKED, MASKED.replace("False", "True"), {"mask": {"w": True, "b": True}}),
        # a mask of the decay, in a factory that is known
        (
            "optax.lion(0.1, weight_decay=0.1, mask={'w': True, 'b': False})",
            "optax.lion(0.1, weight_decay=0.1)",
            {"mask": None},
        ),
    ],
)
def test_what_differs_is_told_by_its_name(a: str, b: str, arguments: dict[str, Any]) -> None:
    now = diagnose(a, b)
    assert (now.outcome, now.verified) == ("settings", "run"), now.sentence
    assert {name: value for change in now.changes for name, value in (change.arguments or {}).items()} == arguments


@pytest.mark.parametrize(
    ("a", "b"), [(GROUPS, LABELS), ("optax.partition({'a': optax.sgd(0.1)}, {'w': 'a', 'b': 'a'})", "optax.sgd(0.1)")]
)
def test_what_runs_alike_is_the_same(a: str, b: str) -> None:
    now = diagnose(a, b)
    assert (now.outcome, now.unseen) == ("same", ()), now.sentence


def test_a_mask_alone_is_a_part_that_one_has() -> None:
    assert diagnose(MASKED, "optax.sgd(0.1)").sentence == f"{MASKED} equals optax.sgd(0.1) without optax.masked"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("torch.optim.SGD([{'params': 'w', 'lrr': 0.1}], lr=0.1)", "has no argument 'lrr' for a group"),
        ("torch.optim.SGD([{'params': 'w', 'lr': 0.1}, {'params': 'w', 'lr': 0.2}])", "each with params of its own"),
        ("torch.optim.SGD([{'lr': 0.1}, {'params': 'b', 'lr': 0.1}], lr=0.1)", "each with params of its own"),
        ("optax.masked(optax.sgd(0.1), {'w': {'a': True}})", "inside others are not diagnosed"),
        ("optax.masked(optax.sgd(0.1), lambda p: p)", "is not evaluated"),
    ],
)
def test_what_cannot_be_run_is_refused(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=r"\A[^\n]*\Z") as error:
        diagnose(text, "torch.optim.SGD(lr=0.1)")
    assert words in str(error.value)
