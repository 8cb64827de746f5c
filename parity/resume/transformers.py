"""A training of the Hugging Face Trainer, step by step."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from .stepwise import Stepwise


class TrainerLoop(TrainerCallback):
    """A training of the Trainer that is saved and resumed by its own checkpoint folders.

    Parameters
    ----------
    trainer : transformers.Trainer
        Made for at least as many steps as are verified.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self._from: str | None = None
        self._begun = self._saving = False
        self._folder = tempfile.TemporaryDirectory()
        trainer.add_callback(self)
        self._loop = Stepwise(lambda: trainer.train(resume_from_checkpoint=self._from))

    # --- called by the trainer ---

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Before the first step."""
        if not self._begun:
            self._begun = True
            self._loop.wait()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """After each step."""
        self._loop.wait()
        control.should_save = self._saving
        return control

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """When a checkpoint was written."""
        if self._saving:
            self._saving = False
            self._loop.wait()

    # --- called by the verification ---

    def _begin(self) -> None:
        if not self._begun:
            self._loop.advance()

    def step(self, i: int) -> None:
        """Let the trainer take its next step."""
        self._begin()
        self._loop.advance()

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

    def params(self) -> Mapping[str, Any]:
        """Of the model."""
        self._begin()
        return dict(self.trainer.model.named_parameters())

    def pieces(self) -> Mapping[str, Any]:
        """The model, the optimizer and the scheduler."""
        self._begin()
        return {
            "model": self.trainer.model,
            "optimizer": self.trainer.optimizer,
            "scheduler": self.trainer.lr_scheduler,
        }

    def close(self) -> None:
        """End the training."""
        self._loop.close()
        self._folder.cleanup()
