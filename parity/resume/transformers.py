"""A training of the Hugging Face Trainer, step by step."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from .stepwise import Stepped


class TrainerLoop(Stepped, TrainerCallback):
    """A training of the Trainer that is saved and resumed by its own checkpoint folders.

    Parameters
    ----------
    trainer : transformers.Trainer
        Made for at least as many steps as are verified.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self._saving = False
        trainer.add_callback(self)
        self._stepped(lambda: trainer.model, lambda path: trainer.train(resume_from_checkpoint=path))

    def on_step_begin(self, *called: Any, **more: Any) -> None:
        """Before the first step."""
        self._at_first_step()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """After each step."""
        self._loop.wait()
        control.should_save = self._saving
        return control

    def on_save(self, *called: Any, **more: Any) -> None:
        """When a checkpoint was written."""
        if self._saving:
            self._saving = False
            self._loop.wait()

    def state(self) -> bytes:
        """The folder that the trainer writes, as an archive."""
        self._saving = True
        self._loop.advance()
        written = Path(self.trainer.args.output_dir) / f"checkpoint-{self.trainer.state.global_step}"
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.add(written, written.name)
        return packed.getvalue()

    def load(self, state: bytes) -> None:
        """Begin from such a folder."""
        with tarfile.open(fileobj=io.BytesIO(state)) as archive:
            archive.extractall(self._folder.name, filter="data")
            self._from = str(Path(self._folder.name) / archive.getnames()[0])

    def pieces(self) -> Mapping[str, Any]:
        """The model, the optimizer and the scheduler."""
        self._begin()
        return {
            "model": self._model(),
            "optimizer": self.trainer.optimizer,
            "scheduler": self.trainer.lr_scheduler,
        }
