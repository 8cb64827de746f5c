"""Watching a Lightning trainer: a callback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

try:
    from lightning.pytorch import Callback  # type: ignore
except ModuleNotFoundError:
    from pytorch_lightning import Callback  # type: ignore

from . import loggers
from .in_torch import EVERY, SAMPLE, TorchWatch


class Watch(Callback):  # type: ignore
    """Watches all optimizers of a fit, and logs what each measured step was through the trainer's own loggers.

    Parameters
    ----------
    every, sample : int
        As :func:`lrtheory.watch` takes them; steps are those of an optimizer.
    out : path, optional
        Directory of the record; ``lrtheory`` in the trainer's own unless given.

    Attributes
    ----------
    watch : TorchWatch or None
        From the start of a fit on, also after it: ``.summary()``, ``.findings()``, ``.report()``.
    """

    def __init__(self, every: int = EVERY, *, sample: int = SAMPLE, out: str | Path | None = None) -> None:
        self.every, self.sample, self.out = every, sample, out
        self.watch: TorchWatch | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin, once the optimizers are there."""
        start = trainer.global_step

        def log(figures: loggers.Figures, step: int) -> None:
            for logger in trainer.loggers:
                logger.log_metrics(loggers.prefixed(figures), step=start + step)

        self.watch = TorchWatch(
            pl_module,
            every=self.every,
            sample=self.sample,
            out=Path(trainer.log_dir or trainer.default_root_dir) / "lrtheory" if self.out is None else self.out,
            log=log if trainer.loggers else None,
        )
        for optimizer in trainer.optimizers:
            self.watch.add(optimizer)
        self.watch.cover()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """End the recording, while the loggers still take figures."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """End the recording; what was measured is readable."""
        self._close()

    def _close(self) -> None:
        if self.watch is not None:
            self.watch.close()
