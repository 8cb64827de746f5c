"""``python -m lrtheory.watching DIR``: work out the figures of a record; with ``--follow``, a JSON line for each step as it comes."""

from __future__ import annotations

import sys
from pathlib import Path

from .analysis import analyse
from .following import follow
from .record import Record
from .saved import save

if __name__ == "__main__":
    out = Path(sys.argv[1])
    if "--follow" in sys.argv:
        follow(out)
    else:
        save(analyse(Record(out)))
