"""Watching a Trainer of Hugging Face transformers: a callback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from . import loggers
from .in_torch import EVERY, SAMPLE, TorchWatch, stepped

TRACKERS = {"wandb": loggers.wandb, "trackio": loggers.trackio}
"""Of ``report_to``, those whose own callback has begun a run by the time that training begins."""


class Watch(TrainerCallback):  # type: ignore
    """Watches the trainer's optimizer, and logs what each measured step was to the trackers in its ``report_to``.

    TensorBoard's events are written to ``events`` in the directory of the record, since the trainer's own writer is out
    of a callback's reach.

    Parameters
    ----------
    every, sample : int
        As :func:`lrtheory.watch` takes them; steps are those of the optimizer.
    out : path, optional
        Directory of the record; ``lrtheory`` in the trainer's ``output_dir`` unless given.
    log : function, optional
        Another logger: ``log(figures, step)``.

    Attributes
    ----------
    watch : TorchWatch or None
        From the start of training on, also after it: ``.summary()``, ``.findings()``, ``.report()``.
    """

    def __init__(
        self, every: int = EVERY, *, sample: int = SAMPLE, out: str | Path | None = None, log: loggers.Log | None = None
    ) -> None:
        self.every, self.sample, self.out, self.log = every, sample, out, log
        self.watch: TorchWatch | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin, once the optimizer is there."""
        out = Path(args.output_dir) / "lrtheory" if self.out is None else Path(self.out)
        logs = [] if self.log is None else [self.log]
        if state.is_world_process_zero:
            logs += [make() for name, make in TRACKERS.items() if name in args.report_to]
            if "tensorboard" in args.report_to:
                logs.append(loggers.tensorboard(out / "events"))
        start = state.global_step

        def log(figures: loggers.Figures, step: int) -> None:
            for one in logs:
                one(figures, start + step)

        optimizer = stepped(kwargs["optimizer"])
        self.watch = TorchWatch(
            kwargs["model"],
            every=self.every,
            sample=self.sample,
            out=out,
            log=log if logs else None,
        )
        self.watch.add(optimizer)
        self.watch.cover()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the recording."""
        if self.watch is not None:
            self.watch.close()
