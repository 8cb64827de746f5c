"""Folders of orbax: the tree as nested dicts and lists, arrays as NumPy's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import CheckpointError, said

INDEX = "_METADATA"


def load(path: Path) -> Any:
    """The tree that a folder holds, whatever devices it was saved from.

    Raises
    ------
    CheckpointError
        For a folder that is cut short.
    ModuleNotFoundError
        Without orbax.
    """
    import jax
    import orbax.checkpoint as ocp

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        reader = ocp.PyTreeCheckpointer()
        found: Any = reader.metadata(path.absolute())
        tree = found.item_metadata.tree if hasattr(found, "item_metadata") else found
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), tree)
        return reader.restore(path.absolute(), restore_args=as_numpy)
    except Exception as error:  # a folder that is not what it should be can raise anything
        raise CheckpointError(f"{path} is no whole orbax checkpoint ({said(error)})") from error
    finally:
        logging.disable(before)
