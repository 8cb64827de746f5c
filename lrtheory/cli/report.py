"""``lrtheory report``: measure, draw, and say what was found."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rich.console import Console
from rich.text import Text

from parity.measured import Report

from .directory import check_directory
from .errors import NotWritten
from .progress import progress_bar

STYLES = {"holds": ("✓ holds", "green"), "fails": ("✗ does not hold", "bold red"), "depends": ("◐ it depends", "cyan")}


def report(out: Path, *, quick: bool, seed: int, as_json: bool) -> int:
    """Run the command; the directory and the packages are tried before anything is measured."""
    check_directory(out, "--out")
    with progress_bar() as step:
        step("loading JAX and PyTorch", 0.0)
        # Drawing comes first: without its packages there is no use in measuring.
        import parity.report.page  # noqa: F401
        from parity import experiments
        from parity.report import write

        measured: Report = experiments.measure(
            quick=quick, seed=seed, processes=min(2, os.cpu_count() or 1), progress=step
        )
        step("drawing", 1.0)
        try:
            page = write(measured, out)
        except OSError as error:
            raise NotWritten(f"the report could not be written to {out}: {error.strerror or error}") from error
    if as_json:
        print(json.dumps(summary(measured, page), indent=1))
    else:
        _tell(measured, page)
    return 0


def summary(report: Report, page: Path) -> dict:
    """What the command found, without the curves."""
    from lrtheory.outputs import plain

    training = [{k: v for k, v in run.items() if not isinstance(v, list)} for run in report["training"]]
    return plain(
        {
            "page": str(page),
            "data": str(page.with_name("report.json")),
            "meta": report["meta"],
            "verdicts": report["verdicts"],
            "training": training,
        }
    )


def _tell(report: Report, page: Path) -> None:
    console = Console(highlight=False)
    for verdict in report["verdicts"]:
        words, style = STYLES[verdict["outcome"]]
        console.print(Text.assemble((f"{words:<18}", style), (verdict["question"], "bold")), soft_wrap=True)
        console.print(Text(f"{'':18}{verdict['sentence']}"), soft_wrap=True)
    print(page)
