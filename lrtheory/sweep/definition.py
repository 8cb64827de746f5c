"""What a sweep is, as digests: a sweep that is resumed must be the one that was begun."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np


class ChangedDefinition(ValueError):
    """A directory that holds another sweep than the one asked for; the message says what changed."""


def digest(tree: Any) -> str:
    """SHA-256 over structure, dtypes, shapes and bytes of a pytree of arrays, shortened to 16 hexadecimal digits."""
    made = hashlib.sha256(str(jax.tree.structure(tree)).encode())
    for leaf in jax.tree.leaves(tree):
        array = np.ascontiguousarray(leaf)
        made.update(f"{array.dtype}{array.shape}".encode())
        made.update(array.tobytes())
    return made.hexdigest()[:16]


def text_digest(text: str) -> str:
    """SHA-256 of a text, shortened; of a lowered program's it is of every constant and operation in it."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def name_of(function: Any) -> str:
    """What a function is called, without the address of the object."""
    if function is None:
        return "none"
    module, qualified = getattr(function, "__module__", ""), getattr(function, "__qualname__", None)
    return f"{module}.{qualified}" if qualified else re.sub(r" at 0x[0-9a-f]+", "", repr(function))


def column(values: np.ndarray) -> str:
    """An axis for reading and comparing: its ends and a digest of all of it."""
    ends = str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
    content = values.astype(str) if values.dtype.kind == "U" else values
    return f"{len(values)} values, {ends}, {text_digest(repr(content.tolist()))}"


def versions() -> dict[str, str]:
    """Versions and settings that change the last bit of a result."""
    from .. import __version__

    return {
        "lrtheory": __version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "device": device_in_words(jax.devices()[0]),
        "matmul precision": str(jax.config.jax_default_matmul_precision),  # type: ignore[attr-defined]
        "x64": str(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
    }


def device_in_words(device: Any) -> str:
    """What computes: an accelerator's model, or this machine's processor, for whose instructions XLA compiles."""
    if device.device_kind.lower() != device.platform.lower():
        return f"{device.device_kind} ({device.platform})"
    return f"{processor()} ({device.platform})"


def processor() -> str:
    """Model of the processor where Linux tells it, its architecture elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def refuse_if_changed(directory: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Compare entry by entry.

    Raises
    ------
    ChangedDefinition
        Naming every entry that differs, with both values.
    """
    entries = [*stored, *(key for key in wanted if key not in stored)]
    changed = [
        f"  {key}: {stored.get(key, 'absent')} -> {wanted.get(key, 'absent')}"
        for key in entries
        if stored.get(key) != wanted.get(key)
    ]
    if changed:
        raise ChangedDefinition(
            f"{directory} holds a sweep with another definition:\n"
            + "\n".join(changed)
            + "\nGive another directory, or undo the change"
        )
