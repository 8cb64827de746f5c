"""What people say, decided: the section of the catalogue, each claim with its check."""

from __future__ import annotations

from lrtheory import laws
from lrtheory.explaining.latex import readable

from ..measured import Claim, Verdict


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


def borne_out(rows: list[Claim]) -> Verdict:
    """How many of the things people say are true."""
    if not rows:
        raise ValueError("no claim was decided")
    counts = {word: sum(row["decision"] == word for row in rows) for word in ("true", "false", "depends")}
    failed = [row["claim"] for row in rows if not row["holds"]]
    return Verdict(
        id="claims",
        question="Is it true what people say about learning rates?",
        outcome="fails" if failed else "depends",
        sentence=f"The checks do not bear out {len(failed)} of our decisions, the first on: {failed[0]}"
        if failed
        else f"Of {len(rows)} common sayings, {counts['true']} are true, {counts['false']} are false, and "
        f"{counts['depends']} are true of some rules only.",
        evidence=f"{f'{len(rows) - len(failed)} of' if failed else 'All'} {len(rows)} decisions are borne out by the checks "
        "that ran for this page.",
        advice="The table says of which rules each saying is true; lrtheory laws claims shows the evidence.",
        figure="claims",
    )
