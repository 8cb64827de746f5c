"""Diagnose every pair of implementations and write down what is found.

Run ``python benchmarks/differences.py`` to write ``found.json`` and ``precision.json`` of ``parity/differences`` and
``docs/differences.md``; exits with 1 where a pair differs and no setting explains it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lrtheory.outputs import replace_all
from parity.differences import precision
from parity.differences.found import FILE, as_text, measure
from parity.differences.page import page

ROOT = Path(__file__).parent.parent


def main() -> int:
    """Measure and write."""

    def tell(what: str, done: float) -> None:
        print(f"{done:4.0%} {what}", file=sys.stderr)

    entries, fewer_digits = measure(tell), precision.measure(tell)
    replace_all(
        {
            ROOT / "parity" / "differences" / FILE: as_text(entries),
            ROOT / "parity" / "differences" / precision.FILE: precision.as_text(fewer_digits),
            ROOT / "docs" / "differences.md": page(entries, fewer_digits),
        }
    )
    unexplained = [entry.id for entry in entries if entry.outcome == "unknown"]
    print(
        f"{len(entries)} pairs, no setting explains {unexplained or 'none of them'}"
        if unexplained
        else f"{len(entries)} pairs"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
