"""``lrtheory report``: measure, draw, and say what was found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.text import Text

from parity.measured import Measured

from ..machine import cores
from ._terminal import console, print_json, progress_bar
from .errors import NotWritten, check_directory

STYLES = {"holds": ("✓ holds", "green"), "fails": ("✗ does not hold", "bold red"), "depends": ("◐ it depends", "cyan")}


def command(out: Path, quick: bool, seed: int, json: bool) -> int:
    """Run the command; the directory and the packages are tried before anything is measured."""
    check_directory(out, "--out")
    with progress_bar() as step:
        step("loading JAX and PyTorch", 0.0)
        # Drawing comes first: without its packages there is no use in measuring.
        import parity.report.page  # noqa: F401
        from parity import experiments
        from parity.report import write

        measured: Measured = experiments.measure(quick=quick, seed=seed, processes=min(2, cores()), progress=step)
        step("drawing", 1.0)
        try:
            page = write(measured, out)
        except OSError as error:
            raise NotWritten(f"the report could not be written to {out}: {error.strerror or error}") from error
    if json:
        print_json("report/1", summary(measured, page))
        return 0
    for verdict in measured["verdicts"]:
        words, style = STYLES[verdict["outcome"]]
        console().print(Text.assemble((f"{words:<18}", style), (verdict["question"], "bold")), soft_wrap=True)
        console().print(Text(f"{'':18}{verdict['sentence']}"), soft_wrap=True)
    print(page)
    return 0


def summary(report: Measured, page: Path) -> dict[str, Any]:
    """What the command found, without the curves."""
    training = [{k: v for k, v in run.items() if not isinstance(v, list)} for run in report["training"]]
    return {
        "page": str(page),
        "data": str(page.with_name("report.json")),
        "meta": report["meta"],
        "verdicts": report["verdicts"],
        "training": training,
    }
