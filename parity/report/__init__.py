"""Measured data in, one offline HTML file out. Drawing needs the ``report`` extra; importing this package needs nothing."""

from __future__ import annotations

import json
from pathlib import Path

from lrtheory.outputs import plain, replace_all

from ..measured import Measured

__all__ = ["write"]


def write(report: Measured, out: Path) -> Path:
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

    report = plain(report)
    data = json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False)
    page = render(report)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    replace_all({out / "report.json": data, out / "index.html": page})
    return out / "index.html"
