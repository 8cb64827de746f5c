"""The front door: the commands of ``lrtheory``.

Whatever is slow to import is imported inside the commands, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import sys

from .errors import missing_package, written


def main() -> None:
    """Run the command line and exit: 0 if all went well, 1 if a gate fails or nothing could be written, 2 for input."""
    if sys.argv[1:] == ["--version"]:  # needs no package of any extra
        from lrtheory import __version__

        print(f"lrtheory {__version__}")
        return
    try:
        from .app import run
    except ModuleNotFoundError as error:
        sys.exit(missing_package(error, sys.argv[1] if len(sys.argv) > 1 else None))
    with written():
        sys.exit(run(sys.argv[1:]))
