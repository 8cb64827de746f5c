"""Results on their way out: values that JSON can hold, and files that are whole or as they were."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO


def plain(value: Any) -> Any:
    """The same in plain types: numbers of numpy as Python's, and ``None`` for every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def replace_all(contents: Mapping[Path, str | Callable[[BinaryIO], Any]]) -> None:
    """Write every text (or what a function writes) beside its target first, and rename only when all are on disk."""
    written: dict[Path, Path] = {}
    try:
        for target, content in contents.items():
            temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            written[target] = temporary
            with open(temporary, "wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content.encode())
                file.flush()
                os.fsync(file.fileno())
        for target, temporary in written.items():
            os.replace(temporary, target)
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)
