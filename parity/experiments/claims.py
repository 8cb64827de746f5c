"""What people say, decided: the section of the catalogue, each claim with its check."""

from __future__ import annotations

from lrtheory import laws
from lrtheory.explaining.latex import readable
from parity.report.data import Claim


def measure(seed: int) -> list[Claim]:
    """Verify every claim."""
    return [_decided(law, seed) for law in laws.catalogue().values() if law.section == "claims"]


def _decided(law: laws.Law, seed: int) -> Claim:
    assert law.claim is not None  # the catalogue demands both of a claim
    assert law.decision is not None
    evidence = law.verify(seed)
    return Claim(
        id=law.id,
        claim=law.claim,
        decision=law.decision,
        statement=readable(law.statement),
        scope=law.scope,
        ran=evidence.ran,
        residual=float(evidence.residual),
        bound=float(evidence.bound),
        holds=bool(evidence.holds),
    )
