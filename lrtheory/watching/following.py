"""Figures of a run that goes on: read what was appended, work it out, and write a JSON line for each step."""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path
from typing import Any

from ..outputs import plain
from .analysis import Figures
from .loggers import flat
from .record import Record

PAUSE = 0.5


def follow(out: Path) -> None:
    """Until the record has its last line, or whoever started this closes our stdin."""
    os.nice(5)
    record, figures = Record(out), dict[int, Figures]()
    fresh = list(record.steps)
    left = False
    while True:
        for number in dict.fromkeys(step.optimizer for step in fresh):
            steps = [step for step in fresh if step.optimizer == number]
            known = figures.setdefault(number, Figures(record.run["framework"], record.optimizers[number]))
            for step, row in zip(steps, known.take(steps), strict=True):
                print(json.dumps(logged(record, step, row)), flush=True)
        if left and not fresh:
            return
        if not left:
            left = bool(select.select([sys.stdin], [], [], PAUSE)[0]) and not sys.stdin.readline()
        fresh = record.follow()
        left = left or record.end is not None


def logged(record: Record, step: Any, row: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """One measured step as a logger takes it: ``step``, and ``figures`` by ``figure/tensor``, with the lr of each group.

    Where there are several optimizers, their names stand before those of tensors and groups.
    """
    one = record.optimizers[step.optimizer]
    own = f"{one.fields['name']}/" if len(record.optimizers) > 1 else ""
    found = {f"lr/{own}{g}": group["lr"] for g, group in enumerate(step.groups) if "lr" in group}
    for tensor, values in row.items():
        found |= flat(f"{own}{one.tensors[tensor]['name']}", values)
    return plain({"step": step.number, "figures": found})
