"""From a file or folder to what is in it, by what it looks like inside rather than by its name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import _distributed, _keras, _orbax, _safetensors, _torch, _tree
from .checkpoint import Checkpoint, CheckpointError

#: What the Hugging Face Trainer and Accelerate call the optimizer's file, and the others beside it. Accelerate numbers more
#: than one: ``optimizer_1.bin``, ``model_1.safetensors``.
OPTIMIZER = ("optimizer.pt", "optimizer.bin")
SCHEDULER = ("scheduler.pt", "scheduler.bin")
STATE = "trainer_state.json"
WEIGHTS = (
    "model.safetensors", "model-*.safetensors", "adapter_model.safetensors", "pytorch_model.bin", "pytorch_model-*.bin",
)  # fmt: skip
BESIDE = ("rng_state*.pth", "random_states*.pkl", "scaler.pt", "training_args.bin", "sampler*.bin")


def read(path: str | Path) -> Checkpoint:
    """Read a checkpoint; nothing in it is run, and it is not changed.

    Parameters
    ----------
    path : path of a file or folder
        A file of ``torch.save`` (a state dict, or dicts of them, as Lightning and most scripts save it); a checkpoint folder of the
        Hugging Face Trainer or Accelerate; a folder of ``torch.distributed.checkpoint`` or of orbax; ``.safetensors`` with a JSON
        file of that name beside it; ``.keras`` or ``.weights.h5`` of Keras 3.

    Raises
    ------
    CheckpointError
        For what is not there, is none of these, is cut off, or would have to be unpickled.
    ModuleNotFoundError
        Without the library that such a file needs.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path)
        if not path.is_file():
            raise CheckpointError(f"no file or folder {path}: give a checkpoint")
        if _keras.is_archive(path) or _keras.is_weights(path):
            return _keras.read(path)
        if path.suffix == ".safetensors":
            return _tree.checkpoint(_safetensors.load(path), str(path), "safetensors")
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error})") from error
    tree: Any = _torch.load(path)
    lightning = isinstance(tree, dict) and "pytorch-lightning_version" in tree
    return _tree.checkpoint(tree, str(path), "Lightning" if lightning else "torch")


def _folder(path: Path) -> Checkpoint:
    inside = sorted(entry.name for entry in path.iterdir())
    if not inside:
        raise CheckpointError(f"{path} is an empty folder: give a checkpoint")
    if own := [name for name in OPTIMIZER if name in inside]:
        return _trained(path, own[0])
    if _distributed.INDEX in inside:
        return _tree.checkpoint(_distributed.load(path), str(path), "torch.distributed")
    if _orbax.INDEX in inside:
        return _tree.checkpoint(_orbax.load(path), str(path), "orbax")
    if (path / "default" / _orbax.INDEX).is_file():
        return _folder(path / "default")
    below = [name for name in inside if (path / name).is_dir()]
    told = (
        f"it has the folders {', '.join(below[:4])}: give one of them" if below else f"it has {', '.join(inside[:4])}"
    )
    raise CheckpointError(f"{path} is no checkpoint that is known; {told}")


def _trained(path: Path, optimizer: str) -> Checkpoint:
    """A folder of the Hugging Face Trainer or of Accelerate."""
    files = [path / optimizer, *sorted(path.glob("optimizer_*.bin"))]
    files += [path / name for name in SCHEDULER if (path / name).is_file()]
    tree: dict[str, Any] = {file.stem: _torch.load(file) for file in (*files, *sorted(path.glob("scheduler_*.bin")))}
    log: list[Any] = []
    if (path / STATE).is_file():
        try:
            kept = json.loads((path / STATE).read_text())
            tree["global_step"], log = kept["global_step"], kept.get("log_history") or []
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path / STATE} is not what the Trainer writes ({error})") from error
    weights: dict[str, Any] = {}
    for pattern in WEIGHTS:
        for file in sorted(path.glob(pattern)) if not weights else ():
            weights |= _safetensors.tensors(file) if file.suffix == ".safetensors" else _torch.load(file)
    tree |= {"model": weights} if weights else {}
    for file in (*sorted(path.glob("model_*.safetensors")), *sorted(path.glob("pytorch_model_*.bin"))):
        tree[file.stem] = _safetensors.tensors(file) if file.suffix == ".safetensors" else _torch.load(file)
    found = _tree.checkpoint(tree, str(path), "Hugging Face")
    others = tuple(file.name for pattern in BESIDE for file in sorted(path.glob(pattern)))
    return replace(found, ordered=False, others=(*found.others, *others), log=tuple(log))
