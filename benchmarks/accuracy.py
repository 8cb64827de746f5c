"""Float32 errors of every implementation of every rule against the oracle.

Run ``python benchmarks/accuracy.py`` to write ``docs/accuracy.md``; exits with 1 where ours is worse without a reason.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lrtheory.outputs import replace_all
from parity.accuracy_table import page

PAGE = Path(__file__).parent.parent / "docs" / "accuracy.md"


def main() -> int:
    """Measure and write."""
    text = page(lambda rule, done: print(f"{done:4.0%} {rule}", file=sys.stderr))
    replace_all({PAGE: text})
    print(f"{PAGE} is written")
    return 1 if "**unexplained**" in text else 0


if __name__ == "__main__":
    sys.exit(main())
