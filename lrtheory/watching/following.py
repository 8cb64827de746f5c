"""Figures of a run that goes on: read what was appended, work it out, and write a JSON line for each step."""

from __future__ import annotations

import json
import os
import select
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..outputs import plain
from .analysis import Figures
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
    """One measured step as a logger takes it: flat figures by ``tensor/figure``, and the lr of each group."""
    one = record.optimizers[step.optimizer]
    found: dict[str, Any] = {"optimizer": one.fields["name"], "step": step.number}
    found |= {f"lr/{g}": group["lr"] for g, group in enumerate(step.groups) if "lr" in group}
    for tensor, values in row.items():
        name = one.tensors[tensor]["name"]
        shown = {"effective_lr": values["harmonic_mean"]} | {key: values[key] for key in LOGGED}
        found |= {f"{name}/{key}": value for key, value in shown.items() if np.isfinite(value)}
    return plain(found)


LOGGED = ("relative_update", "rotation", "absorbed", "clip_factor", "eps_dominated", "decay_share", "grad_norm")
