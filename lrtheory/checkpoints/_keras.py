"""Files of Keras 3: ``.keras``, and ``.weights.h5`` with the optimizer's variables by number.

Which variable is what Keras says itself: an optimizer of that class is built, over as many parameters as fit.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..names.keras import ARGUMENTS, CLASSES
from ..spec import call, parse, resolve
from .checkpoint import Checkpoint, CheckpointError, Key, SavedGroup, SavedOptimizer, said

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
#: Arguments of an optimizer that a SPEC of it may have.
_ASKED = {*ARGUMENTS.values(), "momentum", "nesterov", "amsgrad", "centered", "weight_decay", "clipnorm", "clipvalue", "global_clipnorm",
          "use_ema", "loss_scale_factor", "gradient_accumulation_steps", "relative_step"}  # fmt: skip


def is_archive(path: Path) -> bool:
    """Whether this is a ``.keras`` file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {CONFIG, WEIGHTS} <= set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False


def is_weights(path: Path) -> bool:
    """Whether this is a file of HDF5."""
    with open(path, "rb") as file:
        return file.read(8) == b"\x89HDF\r\n\x1a\n"


def read(path: Path) -> Checkpoint:
    """A file of Keras.

    Raises
    ------
    CheckpointError
        For a file that is cut off, has no optimizer, or one of no class of Keras.
    ModuleNotFoundError
        Without h5py, or without Keras.
    """
    import h5py

    config: dict[str, Any] = {}
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                config = json.loads(archive.read(CONFIG))
                file: Any = io.BytesIO(archive.read(WEIGHTS))
        else:
            file = path
        with h5py.File(file, "r") as stored:
            variables, name = _variables(stored, "optimizer")
            weights = _weights(stored)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is no whole file of Keras ({said(error)})") from error
    if not variables:
        raise CheckpointError(
            f"{path} holds weights and no optimizer: save the model after it was compiled and trained"
        )
    given = ((config.get("compile_config") or {}).get("optimizer") or {}) if isinstance(config, dict) else {}
    bare = re.sub(r"_\d+$", "", name).replace(
        "_", ""
    )  # named after its class, adam_w, and numbered where there are more
    kind = given.get("class_name") or next((kind for kind in CLASSES if kind.lower() == bare), "")
    if kind not in CLASSES:
        raise CheckpointError(
            f"{path} holds the optimizer {kind or name!r}, which is none of Keras's {', '.join(CLASSES)}"
        )
    return Checkpoint(
        str(path), "Keras", (_optimizer(path, kind, given.get("config") or {}, variables),), weights, ordered=False
    )


def _variables(stored: Any, group: str) -> tuple[list[np.ndarray], str]:
    """In their order, and the name that the group has."""
    if f"{group}/vars" not in stored:
        return [], ""
    held = stored[f"{group}/vars"]
    return [np.asarray(held[key]) for key in sorted(held, key=int)], str(held.attrs.get("name", ""))


def _weights(stored: Any) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}

    def visit(name: str, held: Any) -> None:
        if hasattr(held, "shape") and not name.startswith("optimizer/"):
            found[name] = np.asarray(held)

    stored.visititems(visit)
    return found


def _optimizer(path: Path, kind: str, config: dict[str, Any], variables: list[np.ndarray]) -> SavedOptimizer:
    cls = resolve(parse(f"keras.optimizers.{kind}"))
    switches = {n: v for n, v in config.items() if n in _ASKED and isinstance(v, (bool, int, float)) and n != "use_ema"}
    rate = len(variables) > 1 and variables[1].ndim == 0
    if rate:
        switches["learning_rate"] = float(variables[1])
    names = _layout(cls, switches, len(variables), rate)
    if names is None:
        raise CheckpointError(f"{path} has {len(variables)} variables of {kind}, which no number of parameters gives")
    state: dict[Key, dict[str, Any]] = {}
    once = {}
    for (tensor, slot), value in zip(names, variables, strict=True):
        if tensor is None:
            once[slot] = value
        else:
            state.setdefault(tensor, {})[slot] = value
    for kept in state.values():
        kept |= {slot: value for slot, value in once.items() if slot == "iteration"}
    numbers = {**switches, "lr": switches.get("learning_rate")}
    spec = call(f"keras.optimizers.{kind}", switches) if config else ""
    return SavedOptimizer("optimizer", "keras", (SavedGroup(numbers, tuple(state)),), state, {}, kind, spec)


def _layout(cls: Any, given: dict[str, Any], total: int, rate: bool) -> list[tuple[int | None, str]] | None:
    """For each variable the place of its parameter, or ``None``, and what it is."""
    import keras

    def built(n: int) -> list[tuple[int | None, str]]:
        optimizer = cls(**given)
        optimizer.build([keras.Variable(np.zeros((1, 1), np.float32), name=f"at{i}at") for i in range(n)])
        found = []
        for variable in optimizer.variables:
            name = variable.path.rpartition("/")[2]
            hit = re.match(r"(?:.*_)?at(\d+)at_(.+)", name)
            found.append((int(hit[1]), hit[2]) if hit else (None, name))
        return found if rate else [entry for entry in found if entry[1] != "learning_rate"]

    one, two = len(built(1)), len(built(2))
    n, rest = divmod(total - one, two - one) if two > one else (0, total - one)
    return built(n + 1) if rest == 0 and n >= 0 else None
