"""Folders of ``torch.distributed.checkpoint``: an index, and the pieces of each tensor in files beside it."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from . import _torch
from .checkpoint import CheckpointError

INDEX = ".metadata"
#: The classes of the index, which hold numbers and names; nothing else in it is made.
_CLASSES = {
    "torch.distributed.checkpoint.metadata": (
        "Metadata", "MetadataIndex", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata",
        "TensorProperties", "_MEM_FORMAT_ENCODING", "StorageMeta",
    ),
    "torch.distributed.checkpoint.filesystem": ("_StorageInfo", "_StoragePrefix"),
    "torch.serialization": ("_get_layout",),
    "collections": ("OrderedDict",),
    "pathlib": ("PosixPath", "PurePosixPath"),
}  # fmt: skip


class _Index(pickle.Unpickler):
    """Makes what an index is made of, and refuses everything else by name."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        import torch

        if module_name == "torch":
            found = getattr(torch, global_name, None)
            if found is torch.Size or isinstance(found, (torch.dtype, torch.layout)):
                return found
        if module_name == "pathlib._local":  # where Python 3.13 has what stands in pathlib before and after
            module_name = "pathlib"
        if global_name in _CLASSES.get(module_name, ()):
            return super().find_class(module_name, global_name)
        raise pickle.UnpicklingError(f"GLOBAL {module_name}.{global_name} was not allowed")


def load(path: Path) -> Any:
    """The tree that a folder holds.

    Raises
    ------
    CheckpointError
        For an index that is none, and for pieces that are missing, cut off, or would have to be unpickled.
    """
    import torch

    try:
        index = _Index(io.BytesIO((path / INDEX).read_bytes())).load()
        kept, stored = dict(index.state_dict_metadata), dict(index.storage_data)
        places = dict(index.planner_data or {})
    except Exception as error:  # a file that is not what it should be can raise anything
        raise CheckpointError(f"{path / INDEX} {_torch.reason(str(error))}") from error
    pieces: dict[str, list[tuple[Any, Any]]] = {}
    for at, where in stored.items():
        pieces.setdefault(at.fqn, []).append((at, where))
    tree: Any = {}
    for name, what in kept.items():
        if name not in pieces:
            raise CheckpointError(f"{path} has no piece of {name}: files are missing")
        read = [(at, _piece(path, where)) for at, where in pieces[name]]
        value = read[0][1]
        if hasattr(what, "size"):
            value = torch.empty(what.size, dtype=what.properties.dtype)
            filled = 0
            for at, piece in read:
                corner = tuple(at.offset or (0,) * piece.ndim)
                value[tuple(slice(o, o + n) for o, n in zip(corner, piece.shape, strict=True))] = piece
                filled += piece.numel()
            if filled < value.numel():
                raise CheckpointError(f"{path} has {filled} of {value.numel()} numbers of {name}: files are missing")
        _put(tree, tuple(places.get(name, (name,))), value)
    return _lists(tree)


def _piece(path: Path, where: Any) -> Any:
    if getattr(where, "transform_descriptors", None):
        raise CheckpointError(f"{path} is compressed ({where.transform_descriptors}): save it without transforms")
    file = path / where.relative_path
    if file.parent != path or not file.is_file():
        raise CheckpointError(f"{path} lacks the file {where.relative_path}")
    with open(file, "rb") as stream:
        stream.seek(where.offset)
        data = stream.read(where.length)
    return _torch.loaded(io.BytesIO(data), file)


def _put(tree: dict, place: tuple, value: Any) -> None:
    for part in place[:-1]:
        tree = tree.setdefault(part, {})
    tree[place[-1]] = value


def _lists(tree: Any) -> Any:
    """Dicts whose keys are all places become lists."""
    if not isinstance(tree, dict):
        return tree
    inside = {key: _lists(value) for key, value in tree.items()}
    if inside and all(type(key) is int for key in inside):
        return [inside[key] for key in sorted(inside)]
    return inside
