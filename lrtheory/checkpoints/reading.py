"""From a file or folder to what is in it, by what it looks like inside rather than by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import _torch, _tree
from .checkpoint import Checkpoint, CheckpointError


def read(path: str | Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is run, and it is not changed.

    Parameters
    ----------
    path : path of a file or folder
        A file of ``torch.save`` (a state dict, or dicts of them, as Lightning and most scripts save it).

    Raises
    ------
    CheckpointError
        For what is not there, is none of these, is cut off, or would have to be unpickled.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"no file or folder {path}: give a checkpoint")
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder of no known kind: give a checkpoint")
    return _torch_file(path)


def _torch_file(path: Path) -> Checkpoint:
    tree: Any = _torch.load(path)
    lightning = isinstance(tree, dict) and "pytorch-lightning_version" in tree
    return _tree.checkpoint(tree, str(path), "Lightning" if lightning else "torch")
