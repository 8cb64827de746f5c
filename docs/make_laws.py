"""Write docs/laws.md, the catalogue of ``lrtheory.laws``: ``python docs/make_laws.py``. A test holds the page to it."""

from __future__ import annotations

from pathlib import Path

from lrtheory import laws

PAGE = Path(__file__).with_name("laws.md")
TITLES = {"scaling": "Loss scale and parameter scale", "invariance": "Scale-invariant weights", "batch": "Batch size"}
HEAD = """# Laws

Every law of the catalogue: statement, kind, scope and source. `lrtheory laws ID` runs its check on the rules themselves, prints the
evidence, and shows that wrong versions of the law fail it. [Claims](claims.md) decides sentences that people say.

- **exact**: holds in real arithmetic. **bitwise**: bit for bit in floating point too, for powers of two.
- **asymptotic**: holds in a limit that the scope names. **statistical**: holds on average over the noise of batches.
- **false**: often believed; the statement is a counterexample.
"""


def as_entry(law: laws.Law) -> str:
    """One law under a heading that links can name: ``laws.md#batch-accumulation``."""
    name = law.title[0].upper() + law.title[1:]
    said = f"> {law.claim}\n> **{law.decision}**\n\n" if law.claim else ""
    return (
        f"({law.id.replace('.', '-')})=\n### {name}\n\n{said}$$\n{law.statement}\n$$\n\n"
        f"**{law.kind}**: {law.scope}\n\nSource: {law.source}. `lrtheory laws {law.id}`\n"
    )


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for section in laws.SECTIONS:
        parts.append(f"## {TITLES.get(section, section.capitalize())}\n")
        parts += [as_entry(law) for law in laws.catalogue().values() if law.section == section]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
