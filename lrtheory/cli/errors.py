"""What is said when a command cannot run: one line on stderr, and an exit status."""

from __future__ import annotations

import sys

BAD_INPUT = 2
FAILED = 1
INTERRUPTED = 130

EXTRAS: dict[str, str] = dict.fromkeys(
    ("typer", "rich", "altair", "vl_convert", "jinja2", "torch", "optax", "sklearn"), "report"
)
"""The extra that brings each top-level package."""
EXTRAS["keras"] = "keras"


class BadInput(Exception):
    """Something the user gave cannot be used; the message says what, and what would do."""


class NotWritten(Exception):
    """All was measured, but the report could not be written."""


def complain(message: object) -> None:
    """One line on stderr."""
    print(f"lrtheory: {' '.join(str(message).split())}", file=sys.stderr)


def missing_package(error: ModuleNotFoundError) -> int:
    """Name the extra that brings the package, or let the error through if no extra does."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        raise error
    complain(f"this needs {package}, which is not installed: pip install 'lrtheory[{EXTRAS[package]}]'")
    return BAD_INPUT
