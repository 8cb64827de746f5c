"""Files of torch: tensors, numbers and plain containers are read, and nothing else is ever unpickled."""

from __future__ import annotations

import argparse
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import CheckpointError, said

_REFUSED = re.compile(r"GLOBAL (\S+) (?:was not|whose module)")


def _plain_data() -> list[Any]:
    """What is let through beside torch's own list: NumPy's arrays and numbers, and bags of options; data, and no code."""
    core: Any = np._core.multiarray  # type: ignore[attr-defined]
    made = [core._reconstruct, core.scalar]
    old = [(f, f"numpy.core.multiarray.{f.__name__}") for f in made]
    dtypes = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdUSO"]
    return [np.ndarray, np.dtype, argparse.Namespace, *made, *old, *dtypes]


def load(path: Path) -> Any:
    """The tree that a file holds, on the CPU; a large file is mapped, not copied.

    Raises
    ------
    CheckpointError
        For a file that is cut off, that torch did not write, or that holds what only running code would make.
    """
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error})") from error
    return loaded(path, path, mmap=zipfile.is_zipfile(path))


def loaded(file: Any, path: Path, **how: Any) -> Any:
    """What a file, or an open one of that path, holds."""
    import torch

    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_plain_data()):
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True, **how)
    except Exception as error:  # a file that is not what it should be can raise anything
        raise CheckpointError(f"{path} {reason(str(error))}") from error


def reason(text: str) -> str:
    """Why a file was refused, and what to do."""
    if found := _REFUSED.search(text):
        return (
            f"holds {found[1]}, an object that only running its code would make, and nothing is unpickled here: where you "
            "trust the file, save its state dicts alone, as in torch.save({'optimizer': optimizer.state_dict()}, path)"
        )
    told = said(text.split("WeightsUnpickler error:")[-1].split("Check the documentation")[0])
    return f"is no whole file of torch.save{f' ({told})' if told else ''}: it is cut off, or something else wrote it"
