"""A training of Lightning's Trainer, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from .stepwise import Stepped


class LightningLoop(Stepped, Callback):
    """A fit of Lightning that is saved and resumed by its own checkpoints.

    Parameters
    ----------
    trainer : lightning.Trainer
        Made for at least as many steps as are verified.
    module : LightningModule
    **data
        As ``trainer.fit`` takes them: ``train_dataloaders=`` or ``datamodule=``.
    """

    def __init__(self, trainer: Any, module: Any, **data: Any) -> None:
        self.trainer = trainer
        trainer.callbacks.append(self)
        self._stepped(lambda: module, lambda path: trainer.fit(module, ckpt_path=path, weights_only=False, **data))

    def on_train_batch_start(self, *called: Any) -> None:
        """Before the first step."""
        self._at_first_step()

    def on_train_batch_end(self, *called: Any) -> None:
        """After each step."""
        self._loop.wait()

    def state(self) -> bytes:
        """The file that the trainer writes."""
        path = Path(self._folder.name) / "saved.ckpt"
        self.trainer.save_checkpoint(path)
        return path.read_bytes()

    def load(self, state: bytes) -> None:
        """Begin from such a file."""
        path = Path(self._folder.name) / "loaded.ckpt"
        path.write_bytes(state)
        self._from = str(path)

    def pieces(self) -> Mapping[str, Any]:
        """The module, and the trainer's optimizers, schedulers and callbacks with a state."""
        self._begin()
        found = {"model": self._model()}
        found |= {_numbered("optimizer", i): o for i, o in enumerate(self.trainer.optimizers)}
        found |= {_numbered("scheduler", i): c.scheduler for i, c in enumerate(self.trainer.lr_scheduler_configs)}
        found |= {c.state_key: c for c in self.trainer.callbacks if c is not self and c.state_dict()}
        return found


def _numbered(name: str, i: int) -> str:
    return name if i == 0 else f"{name} {i}"
