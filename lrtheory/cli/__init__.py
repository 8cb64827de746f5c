"""The front door: ``lrtheory report`` and ``lrtheory replay``.

Whatever is slow to import is imported inside the commands, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import sys

from .errors import missing_package


def main() -> None:
    """Run the command line and exit: 0 if all went well, 1 if a gate fails or nothing could be written, 2 for input."""
    try:
        from .app import run
    except ModuleNotFoundError as error:
        sys.exit(missing_package(error))
    sys.exit(run(sys.argv[1:]))
