"""Run in processes of their own, with several devices: the sweep of :mod:`.regression` over all of them."""

from __future__ import annotations

import json
import sys

import jax
from regression import AXES, DATA, bits, init, loss, whole

from lrtheory import sweep


def over_mesh(**options) -> sweep.Sweep:
    return whole(mesh=jax.make_mesh((jax.device_count(),), ("runs",)), **options)


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "joined":
        port, rank, directory = rest
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(rank), initialization_timeout=60)
        found = {"bits": bits(over_mesh(directory=directory)), "again": bits(over_mesh(directory=directory))}
        found |= {"devices": jax.device_count(), "processes": jax.process_count()}
    else:
        found = {"bits": bits(over_mesh()), "devices": jax.device_count()}
        grid = jax.make_mesh((2, 4), ("a", "b"))
        found["bits of a mesh of two axes"] = bits(whole(mesh=grid))
        try:
            axes = sweep.grid(rule=AXES.rules, lr=[0.1] * 13)
            sweep.run(loss, init(0), DATA, axes, steps=2, mesh=grid)
        except ValueError as error:
            found["refused"] = str(error)
    print(json.dumps(found))
