"""A directory to write to, tried before anything is measured."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .errors import BadInput


def check_directory(out: Path, option: str) -> None:
    """Make the directory, and refuse one that cannot be made or written to."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except (FileExistsError, NotADirectoryError) as error:
        raise BadInput(f"{option} {out} is or lies under a file; give a directory") from error
    except OSError as error:
        raise BadInput(f"{option} {out} cannot be written to ({error.strerror}); give another directory") from error
