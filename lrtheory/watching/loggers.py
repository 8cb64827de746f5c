"""Where figures go: functions of a flat mapping and a step, one for each tracker, as ``log=`` takes them.

Any function ``log(figures, step)`` will do, such as ``lambda figures, step: print(step, figures)``.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..outputs import plain

Figures = Mapping[str, float]
Log = Callable[[Figures, int], None]

PREFIX = "lrtheory"
STEP = f"{PREFIX}/step"
#: Figures that loggers are given, the first of them under a name of its own.
LOGGED = {"effective_lr": "harmonic_mean"} | {name: name for name in (
    "relative_update", "rotation", "absorbed", "clip_factor", "eps_dominated", "decay_share", "step_over_gradient",
    "grad_norm",
)}  # fmt: skip


def flat(tensor: str, figures: Mapping[str, Any]) -> dict[str, float]:
    """Those of a tensor that are known, by ``figure/tensor``."""
    known = {name: float(figures[figure]) for name, figure in LOGGED.items() if figure in figures}
    return {f"{name}/{tensor}": value for name, value in known.items() if math.isfinite(value)}


def several(*logs: Log) -> Log:
    """Log to each of them."""

    def log(figures: Figures, step: int) -> None:
        for one in logs:
            one(figures, step)

    return log


def jsonl(path: str | Path) -> Log:
    """Append a line to a file: ``{"step": 100, "figures": {"relative_update/fc1.weight": 0.001, …}}``."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)

    def log(figures: Figures, step: int) -> None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": int(step), "figures": plain(dict(figures))}, ensure_ascii=False) + "\n")

    return log


def tensorboard(writer: Any) -> Log:
    """Scalars of TensorBoard.

    Parameters
    ----------
    writer
        What has ``add_scalar(tag, value, step)``, as torch's ``SummaryWriter``; or a directory, which ``tensorboard`` alone
        writes to.
    """
    if isinstance(writer, (str, Path)):
        writer = _Events(str(writer))

    def log(figures: Figures, step: int) -> None:
        for name, value in figures.items():
            writer.add_scalar(f"{PREFIX}/{name}", value, step)
        writer.flush()

    return log


class _Events:
    """Scalars in event files, by ``tensorboard`` alone."""

    def __init__(self, folder: str) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # type: ignore

        self._writer = EventFileWriter(folder)
        self.flush = self._writer.flush

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore

        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))


def wandb(run: Any = None) -> Log:
    """Weights & Biases: figures against a step of their own, so that they may come later than what else is logged.

    Parameters
    ----------
    run
        What ``wandb.init()`` returned; the one that is active unless given.
    """
    if run is None:
        import wandb as library  # type: ignore

        run = library.run
        if run is None:
            raise ValueError("no run of wandb is active: call wandb.init() first, or give its run")
    run.define_metric(STEP, hidden=True)
    run.define_metric(f"{PREFIX}/*", step_metric=STEP)
    return lambda figures, step: run.log({**prefixed(figures), STEP: step})


def trackio(run: Any = None) -> Log:
    """Trackio.

    Parameters
    ----------
    run
        What has ``log(metrics, step=…)``: what ``trackio.init()`` returned, or the module unless given.
    """
    if run is None:
        import trackio as library  # type: ignore

        run = library
    return lambda figures, step: run.log(prefixed(figures), step=step)


def prefixed(figures: Figures) -> dict[str, float]:
    """The figures under names that are told from what else a run logs."""
    return {f"{PREFIX}/{name}": float(value) for name, value in figures.items()}
