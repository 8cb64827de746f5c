"""A small regression that every sweep test trains on, and a sweep of it that a process of its own can run."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np

from lrtheory import rules, sweep

ROWS, FEATURES = 12, 3
RNG = np.random.default_rng(0)
DATA = {
    "x": (RNG.standard_normal((ROWS, FEATURES)) * [2.0, 1.0, 0.5]).astype(np.float32),
    "y": RNG.standard_normal(ROWS).astype(np.float32),
}


def loss(params: Any, batch: Any) -> Any:
    """Half the mean squared error."""
    return 0.5 * jnp.mean((batch["x"] @ params["w"] + params["b"] - batch["y"]) ** 2)


def init(seed: int) -> dict[str, np.ndarray]:
    """First parameters, one set a seed."""
    rng = np.random.default_rng(seed)
    return {"w": rng.standard_normal(FEATURES).astype(np.float32), "b": np.zeros((), np.float32)}


AXES = sweep.grid(rule=rules.adam(), lr=np.geomspace(1e-3, 1e36, 16), loss_scale=[1, 10], seed=[3, 4], batch_size=4)


def whole(**options: Any) -> sweep.Sweep:
    """64 runs of Adam in eight tiles, some of which diverge."""
    return sweep.run(loss, init, DATA, AXES, steps=9, record=[1, 5, 9], width=8, **options)


def bits(found: sweep.Sweep) -> dict[str, str]:
    """Every value of the table and curves, bit for bit."""
    arrays = {**found.table(), "loss": found.values["loss"]}
    return {name: f"{a.dtype}{a.shape}" + np.ascontiguousarray(a).tobytes().hex() for name, a in arrays.items()}


if __name__ == "__main__":  # run in a directory; killed in the middle of writing the n-th tile if that is said
    directory, kill_at = sys.argv[1], int(sys.argv[2])
    replace, written = os.replace, 0

    def replace_or_die(source: Any, target: Any) -> None:
        global written
        written += str(target).endswith(".npz")
        if written == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = replace_or_die  # type: ignore[assignment]
    print(json.dumps(bits(whole(directory=directory))))
