"""Files of safetensors, read and written by their format: a header in JSON, then the numbers.

Beside ``run.safetensors`` stands ``run.json``, the rest of the tree, with ``null`` where the tensors are; a tensor is called by
its place there, as a JSON pointer: ``/optimizer/state/0/exp_avg``. Files of others, whose tensors are called
``optimizer.state.0.exp_avg`` or by the names of weights alone, are read too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from ._arrays import array
from .checkpoint import CheckpointError

#: The format's dtypes.
DTYPES = {
    "F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": ml_dtypes.bfloat16, "I64": np.int64, "I32": np.int32,
    "I16": np.int16, "I8": np.int8, "U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "U64": np.uint64, "BOOL": np.bool_,
    "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
}  # fmt: skip
LARGEST_HEADER = 100_000_000
_FLAT = re.compile(r"(?:(?P<at>.+)\.)?state\.(?P<tensor>.+)\.(?P<slot>[^.]+)")


def tensors(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, mapped and not copied.

    Raises
    ------
    CheckpointError
        For a file that is cut off, or is none.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, LARGEST_HEADER):
                raise ValueError(f"its header would be {length} bytes long")
            header = json.loads(file.read(length))
        start, found = 8 + length, {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            dtype, shape, (begin, end) = np.dtype(DTYPES[entry["dtype"]]), tuple(entry["shape"]), entry["data_offsets"]
            count = int(np.prod(shape, dtype=np.int64))
            if begin < 0 or end - begin != count * dtype.itemsize or start + end > size:
                raise ValueError(f"{name} would end at byte {start + end} of {size}")
            if count:
                found[name] = (
                    np.memmap(path, dtype, "r", start + begin, shape) if shape else _one(path, dtype, start + begin)
                )
            else:
                found[name] = np.empty(shape, dtype)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is no whole safetensors file ({error}): it is cut off, or is something else"
        ) from error
    return found


def _one(path: Path, dtype: np.dtype, at: int) -> np.ndarray:
    with open(path, "rb") as file:
        file.seek(at)
        return np.frombuffer(file.read(dtype.itemsize), dtype).reshape(())


def load(path: Path) -> Any:
    """The tree of a file and of the JSON beside it."""
    found, beside = tensors(path), path.with_suffix(".json")
    tree: Any = {}
    if beside.is_file():
        try:
            tree = json.loads(beside.read_text())
        except ValueError as error:
            raise CheckpointError(f"{beside} is no JSON ({error})") from error
        if not isinstance(tree, dict):
            raise CheckpointError(f"{beside} holds no object with the rest of {path.name}")
    loose = {}
    for name, value in found.items():
        if name.startswith("/"):
            _put(
                tree, [part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/")], value, name, beside
            )
        elif hit := _FLAT.fullmatch(name):
            at = hit["at"].split(".") if hit["at"] else []
            _put(tree, [*at, "state", hit["tensor"], hit["slot"]], value, name, beside)
        else:
            loose[name] = value
    if loose:
        first = {name.partition(".")[0] for name in loose}
        own = first == {"model"} or first == {"params"}
        tree.setdefault("model", {name.partition(".")[2] if own else name: value for name, value in loose.items()})
    return tree


def _put(tree: Any, parts: list[str], value: Any, name: str, beside: Path) -> None:
    """Into its place, which a list must already have."""
    at: Any = tree
    try:
        for i, part in enumerate(parts):
            key: Any = int(part) if isinstance(at, list) else part
            if i == len(parts) - 1:
                at[key] = value
            else:
                if (at[key] if isinstance(at, list) else at.get(key)) is None:
                    at[key] = {}
                at = at[key]
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise CheckpointError(f"{beside} has no place for the tensor {name}") from error


def contents(path: Path, tree: Mapping[str, Any]) -> dict[Path, str | Callable[[BinaryIO], Any]]:
    """What goes into a file of safetensors and into the JSON beside it, made before anything is written."""
    arrays: dict[str, np.ndarray] = {}
    rest = _split(tree, "", arrays)
    codes = {np.dtype(dtype): code for code, dtype in DTYPES.items()}
    header, at = dict[str, Any](), 0
    for name, value in arrays.items():
        if value.dtype not in codes:
            raise CheckpointError(f"{name} has the dtype {value.dtype}, which safetensors has not")
        header[name] = {
            "dtype": codes[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [at, at + value.nbytes],
        }
        at += value.nbytes

    def numbers(file: BinaryIO) -> None:
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        file.write(len(text).to_bytes(8, "little") + text)
        for value in arrays.values():
            file.write(np.ascontiguousarray(value).tobytes())

    return {path: numbers, path.with_suffix(".json"): json.dumps(rest, indent=1)}


def _split(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    """What is no array, with ``None`` in the places of those that are."""
    if isinstance(value, Mapping):
        parts = {str(key): str(key).replace("~", "~0").replace("/", "~1") for key in value}
        return {str(key): _split(entry, f"{place}/{parts[str(key)]}", arrays) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_split(entry, f"{place}/{at}", arrays) for at, entry in enumerate(value)]
    if hasattr(value, "dtype") and (found := array(value)) is not None:
        arrays[place] = found
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CheckpointError(f"{place[1:]} is a {type(value).__name__}, which is neither an array nor JSON")
