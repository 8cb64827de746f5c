"""Trees of state dicts into files that are whole, or as they were."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..outputs import replace_all
from . import _safetensors
from .checkpoint import CheckpointError

TORCH = (".pt", ".pth", ".ckpt", ".bin")


def write(path: str | Path, tree: Mapping[str, Any]) -> None:
    """Write a checkpoint that :func:`lrtheory.checkpoints.read` reads: beside its place first, and then renamed.

    Parameters
    ----------
    path : path
        One that ends in ``.safetensors`` gets a JSON file beside it with all that is no array; ``.pt``, ``.pth``, ``.ckpt`` and
        ``.bin`` are written by ``torch.save``.
    tree : mapping
        Such as ``{"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": …, "epoch": 3}``: nested dicts
        and lists of arrays, numbers, texts and ``None``.

    Raises
    ------
    CheckpointError
        For another ending, a folder that is not there, and what cannot be held; nothing is written then.
    """
    path = Path(path)
    if path.suffix not in (".safetensors", *TORCH):
        raise CheckpointError(f"{path} does not end in .safetensors, {', '.join(TORCH[:-1])} or {TORCH[-1]}")
    if not path.parent.is_dir():
        raise CheckpointError(f"no folder {path.parent}: make it first")
    try:
        if path.suffix == ".safetensors":
            replace_all(_safetensors.contents(path, tree))
        else:
            import torch

            replace_all({path: lambda file: torch.save(tree, file)})
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written ({error.strerror or error})") from error
