"""What loggers are given of a measured step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

LOGGED = {
    "effective_lr": "harmonic_mean",
    **{
        name: name
        for name in (
            "relative_update", "rotation", "absorbed", "clip_factor", "eps_dominated", "decay_share",
            "step_over_gradient", "grad_norm",
        )
    },
}  # fmt: skip
"""Name in a logger → figure."""


def flat(tensor: str, figures: Mapping[str, Any]) -> dict[str, float]:
    """Those of a tensor that are known, by ``figure/tensor``."""
    known = {name: float(figures[figure]) for name, figure in LOGGED.items() if figure in figures}
    return {f"{name}/{tensor}": value for name, value in known.items() if np.isfinite(value)}
