"""Every law is complete, holds, and has a check that wrong versions of it fail."""

from __future__ import annotations

import pytest

from lrtheory import laws

LAWS = laws.catalogue()
# Two wrong versions of each law in every run; the others are deep.
MUTANTS = [
    pytest.param(law, mutant, id=f"{law.id}: {name}", marks=[] if place < 2 else pytest.mark.deep)
    for law in LAWS.values()
    for place, (name, mutant) in enumerate(law.mutants.items())
]


@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_law_holds_and_is_complete(law: laws.Law) -> None:
    evidence = law.verify(0)
    assert evidence.holds is True, evidence  # a bool of Python, for JSON
    assert len(evidence.ran) > 20
    assert len(evidence.derivation) > 20
    assert evidence.bound >= 0
    if law.kind == "statistical":
        assert evidence.sample_size
        assert evidence.confidence
        assert evidence.false_alarm_rate is not None
    if law.kind == "bitwise":
        assert evidence.bound == 0
    if law.kind == "false":
        assert evidence.is_counterexample


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_law_holds_for_other_draws(law: laws.Law, seed: int) -> None:
    evidence = law.verify(seed)
    assert evidence.holds, evidence


@pytest.mark.deep
@pytest.mark.parametrize("law", LAWS.values(), ids=list(LAWS))
def test_check_fails_every_wrong_law_whatever_is_drawn(law: laws.Law) -> None:
    """Truth 6: at seeds other than 0, 26 of 4090 wrong versions passed."""
    passed = [
        (name, seed) for seed in range(1, 11) for name, mutant in law.mutants.items() if law.check(mutant, seed).holds
    ]
    assert not passed


@pytest.mark.parametrize(("law", "mutant"), MUTANTS)
def test_check_fails_a_wrong_law(law: laws.Law, mutant) -> None:
    evidence = law.check(mutant, 0)
    assert not evidence.holds, evidence
