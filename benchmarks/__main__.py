"""Run the benchmarks, each in a process of its own, and draw tables and charts: ``python -m benchmarks [NAME]...``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from . import pages

HERE = Path(__file__).parent
#: What a benchmark is made with, or what measures something else than this machine.
OTHERS = {"__init__", "__main__", "charts", "gpu_check", "harness", "layout", "pages"}


def names() -> list[str]:
    """All benchmarks."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in OTHERS)


def main() -> int:
    """Run what is asked for; 1 if one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure, print and draw.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names())}; all of them by default")
    parser.add_argument("--render", action="store_true", help="draw what was measured before")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in names():
            parser.error(f"no benchmark named {name!r}: there are {', '.join(names())}")
    failed = []
    for name in [] if arguments.render else arguments.names or names():
        print(f"\n{name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=HERE.parent).returncode:
            failed.append(name)
    for path in pages.write():
        print(f"written: {path.relative_to(HERE.parent)}")
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
