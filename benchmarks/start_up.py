"""Start-up: what importing lrtheory costs over importing jax, and how fast the command line answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

from .harness import Record, Table, aim, interleaved, number, run

PROGRAMS = {
    "python -c pass": "pass",
    "import jax": "import jax",
    "import jax, lrtheory": "import jax, lrtheory",
    "import jax, lrtheory.rules": "import jax, lrtheory.rules",
    "import jax, all of lrtheory's core": "import jax; from lrtheory import dims, effective, laws, rules, schedules",
    "lrtheory --help": "import sys; sys.argv = ['lrtheory', '--help']; from lrtheory.cli import main; main()",
}
LIMITS = {
    "import jax, lrtheory": 0.1,
    "import jax, lrtheory.rules": 0.1,
    "lrtheory --help": 0.3,
}


def started(code: str) -> Callable[[], object]:
    """Run a program to its end in a fresh interpreter."""
    return lambda: subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def measure() -> Iterator[Record]:
    """Wall time of whole processes."""
    timings = interleaved({name: started(code) for name, code in PROGRAMS.items()}, rounds=11, seconds=40)
    for name in PROGRAMS:
        base = "import jax" if name.startswith("import jax,") else None
        pairs = zip(timings.seconds[name], timings.seconds[base or name], strict=True)
        over = sorted(a - b for a, b in pairs)[len(timings.seconds[name]) // 2]
        yield {"program": name, "seconds": timings.time(name).median, "over_jax": over if base else None}


def tables(records: list[Record]) -> dict[str, Table]:
    """Times and limits."""

    def counted(r: Record) -> float:
        return r["seconds"] if r["over_jax"] is None else r["over_jax"]

    columns = {
        "program": lambda r: r["program"],
        "time of the process": lambda r: number(r["seconds"]),
        "over import jax": lambda r: "" if r["over_jax"] is None else f"{1e3 * r['over_jax']:+.0f} ms",
        "aim": lambda r: aim(LIMITS.get(r["program"]), counted(r), number),
    }
    return {"start_up": Table.of("Start-up", records, columns)}


if __name__ == "__main__":
    run("start_up", measure, tables)
