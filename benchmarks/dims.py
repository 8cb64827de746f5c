"""Time of one inference after warm-up, for every rule and some optimizers of optax and torch.

Run ``python -m benchmarks.dims``; exits with 1 if any median is above the limit of 100 ms.
"""

from __future__ import annotations

import sys

from lrtheory import rules
from lrtheory.dims.target import infer_target

from .harness import interleaved

LIMIT = 0.1
REPEATS = 5
OTHERS = (
    "optax.adam",
    "optax.lamb",
    "optax.adafactor",
    "optax.contrib.muon",
    "torch.optim.Adam",
    "torch.optim.RMSprop",
)


def median(target: str) -> float:
    """Seconds of one inference."""
    return interleaved({target: lambda: infer_target(target)}, rounds=REPEATS, warm_up=1).time(target).median


def main() -> int:
    """Print a line for each target."""
    slow = 0
    for target in (*rules.names(), *OTHERS):
        seconds = median(target)
        slow += seconds > LIMIT
        print(f"{target:24} {seconds * 1e3:7.1f} ms{'  above the limit' if seconds > LIMIT else ''}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
