"""Known differences still exist, and nothing differs without being known."""

from __future__ import annotations

import pytest

import parity
from parity.differences import found
from parity.known import KNOWN, KnownDifference, known_difference


@pytest.mark.parametrize("entry", KNOWN, ids=lambda e: e.id)
def test_known_difference_still_exists(entry: KnownDifference) -> None:
    """Fails when a new version removes the difference: then remove the entry."""
    assert known_difference(entry.example, entry.backend) is entry
    theirs = parity.replay(entry.example, entry.backend)
    ours = parity.replay(entry.example, "lrtheory")
    assert parity.compare(ours, theirs).largest_error > entry.at_least
    assert entry.reason == found()[entry.pair].sentence
    assert entry.source == found()[entry.pair].source


def test_rmsprop_with_momentum_agrees_with_optax_until_the_lr_moves() -> None:
    entry = next(e for e in KNOWN if e.id == "optax-rmsprop-lr-in-buffer")
    constant = entry.example.with_(schedule=parity.LrSchedule("constant"))
    assert known_difference(constant, "optax") is None
    parity.compare(parity.replay(constant, "lrtheory"), parity.replay(constant, "optax")).require()
