"""Every broken rule is caught by the comparison, and the sound one is not."""

from __future__ import annotations

import pytest
from mutants import MUTANTS, Mutant

import parity
from parity.cases import LrSchedule
from parity.compare import GATES
from parity.drivers import ours as lrtheory_backend


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_mutant_is_caught_and_the_sound_rule_passes(mutant: Mutant) -> None:
    case = mutant.case.with_(steps=40)
    theirs = parity.replay(case, "torch")
    parity.compare(parity.replay(case, "lrtheory"), theirs).require()

    broken = parity.compare(lrtheory_backend.replay(case, rule=mutant.rule()), theirs)
    with pytest.raises(AssertionError, match="differ by"):
        broken.require()
    assert broken.first_difference() is not None
    assert broken.largest_error > 1e6 * GATES["float64"], "a mutant this close to the gate is no control"


def test_forced_replay_shows_a_wrong_rule_at_the_step_it_acts() -> None:
    """Forced replay starts every step from the truth, so an error that needs history shows as soon as it acts."""
    mutant = next(m for m in MUTANTS if m.name == "adamw: decay without lr")
    case = mutant.case.with_(steps=10)
    theirs = parity.replay(case, "torch")
    forced = lrtheory_backend.replay(case, reference=theirs, rule=mutant.rule())
    first = parity.compare(forced, theirs).first_difference()
    assert first is not None
    assert first.step == 1
    assert first.tensor in case.tensors


def test_lr_one_step_late_is_caught_only_when_the_lr_moves() -> None:
    constant = parity.Case("sgd", {}, {"lr": 0.1, "momentum": 0.9}, steps=20)
    moving = constant.with_(schedule=LrSchedule("moving"))
    reference, moving_reference = parity.replay(constant, "torch"), parity.replay(moving, "torch")
    late = moving.with_(schedule=_Late("moving"))
    parity.compare(parity.replay(constant, "lrtheory"), reference).require()
    with pytest.raises(AssertionError, match="differ by"):
        parity.compare(parity.replay(late, "lrtheory"), moving_reference).require()


class _Late(LrSchedule):
    def drawn(self, lr: float, steps: int):  # type: ignore[no-untyped-def]
        values = super().drawn(lr, steps)
        return values[[0, *range(steps - 1)]]
