"""Memory: what a compiled tile takes, and what does not fit."""

from __future__ import annotations

import math
import os
from typing import Any

import jax
import numpy as np


class DoesNotFit(ValueError):
    """A sweep that does not fit its memory budget; the message has the numbers."""


def default_budget(device: Any) -> int:
    """Half of this machine's memory on a CPU, nine tenths of the device's on an accelerator."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(0.9 * stats["bytes_limit"])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def tree_bytes(tree: Any) -> int:
    """Bytes of the arrays, or of those that the shapes stand for."""
    return sum(math.prod(x.shape) * np.dtype(x.dtype).itemsize for x in jax.tree.leaves(tree))


def program_bytes(compiled: Any) -> int:
    """Bytes of one device that a compiled program needs: arguments, results and what it keeps in between."""
    found = compiled.memory_analysis()
    return (
        found.argument_size_in_bytes + found.output_size_in_bytes + found.temp_size_in_bytes - found.alias_size_in_bytes
    )


def words(count: int) -> str:
    """Bytes for reading: ``1.5 MB``."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
