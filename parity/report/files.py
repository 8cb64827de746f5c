"""Writing a report so that no reader ever sees half of it and a failure leaves the old one in place."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from .data import Report


def write(report: Report, out: Path) -> Path:
    """Write ``out/index.html`` and ``out/report.json``.

    Parameters
    ----------
    report
        As measured; numbers that are not finite are stored as ``null``.
    out
        A directory; it is made if it is not there.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ModuleNotFoundError
        Without the ``report`` extra.
    OSError
        Where the directory cannot be made or written to. Files of an earlier report are then as they were.
    """
    from .page import render

    report = finite_or_none(report)
    data = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    page = render(report)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    replace_all({out / "report.json": data, out / "index.html": page})
    return out / "index.html"


def finite_or_none(value: Any) -> Any:
    """The same JSON value, every number that JSON cannot hold replaced by ``None``."""
    if isinstance(value, dict):
        return {key: finite_or_none(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def replace_all(texts: dict[Path, str]) -> None:
    """Write every text beside its target first, and rename only when all are on disk."""
    written: dict[Path, Path] = {}
    try:
        for target, text in texts.items():
            temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
            written[target] = temporary
            with open(temporary, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        for target, temporary in written.items():
            os.replace(temporary, target)
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)
