"""Run in processes of their own, with several devices: the sweep of :mod:`.regression` over all of them."""

from __future__ import annotations

import json
import sys
from unittest import mock

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from lrtheory import rules, sharding, sweep
from lrtheory.sweep import work

from .regression import AXES, DATA, bits, init, loss, whole


def over_mesh(**options) -> sweep.Sweep:
    return whole(mesh=jax.make_mesh((jax.device_count(),), ("runs",)), **options)


def many(runs, **options) -> sweep.Sweep:
    axes = sweep.grid(rule=AXES.rules, lr=[0.01 * (n + 1) for n in range(runs)])
    return sweep.run(loss, init(0), DATA, axes, steps=2, **options)


def planned(run) -> tuple[sweep.Sweep, list[work.Plan]]:
    """A sweep, and what it was worked through by."""
    fit, plans = work.Work.fit, []

    def kept(self, *given):
        plans.append(fit(self, *given))
        return plans[-1]

    with mock.patch.object(work.Work, "fit", kept):
        return run(), plans


def refusal(run) -> str:
    try:
        run()
    except (ValueError, sweep.DirectoryInUse) as error:
        return str(error)
    raise AssertionError("nothing was refused")


def communicated(name: str) -> list[tuple[str | int, ...]]:
    """Collectives of a step whose parameters and state are laid out over all devices by rows."""
    rule = rules.get(name)()
    params = {"w": jax.ShapeDtypeStruct((16, 8), jnp.float32)}
    specs = {"w": PartitionSpec("rows", None)}
    mesh = jax.make_mesh((jax.device_count(),), ("rows",))

    def placed(tree):
        return jax.tree.map(lambda spec: NamedSharding(mesh, spec), tree)

    state = placed(sharding.state_specs(rule, params, specs))
    step = jax.jit(
        rule.step,
        in_shardings=(None, placed(specs), state, placed(specs)),
        out_shardings=(placed(specs), state),
    )
    compiled = step.lower(rule.hyper(), params, jax.eval_shape(rule.init, params), params).compile()
    return [tuple(found) for found in sharding.collectives(compiled)]


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    if kind == "joined":
        port, rank, directory = rest
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(rank), initialization_timeout=60)
        found = {"bits": bits(over_mesh(directory=directory)), "again": bits(over_mesh(directory=directory))}
        found["refused"] = refusal(lambda: over_mesh(directory=f"{directory}/held"))
        found |= {"devices": jax.device_count(), "processes": jax.process_count()}
    else:
        swept, plans = planned(over_mesh)
        found = {"bits": bits(swept), "devices": jax.device_count()}
        found["sent"] = [sharding.collectives(plan.compiled) for plan in plans]
        found["communicated"] = {name: communicated(name) for name in rules.names() if name != "sparse_adam"}
        grid = jax.make_mesh((2, 4), ("a", "b"))
        found["bits of a mesh of two axes"] = bits(whole(mesh=grid))
        found["refused"] = [refusal(lambda n=n: many(n, mesh=grid)) for n in (13, 24)]
        found["bits of three a tile"] = bits(many(24, mesh=grid, width=3))
    print(json.dumps(found))
