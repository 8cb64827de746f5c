"""Run in a process of its own with eight virtual devices: the programs of docs/scale.md at small size, and wrong ones."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from unittest import mock

import jax
from jax.sharding import AxisType, PartitionSpec

from benchmarks import layout, scale
from lrtheory import rules, sharding, wrappers
from lrtheory.effective import _summary as summary

SMALL = layout.Model(layers=1, width=128, hidden=256, heads=8, key_heads=2, head=8, vocabulary=256)


def of(name: str, program: str = "step") -> dict:
    """Figures of one program."""
    model = replace(SMALL, layers=4) if name == "muon, stacked" else SMALL  # its layers are divided by 4
    laid, record = scale.sizes(name, model, layout.mesh_of((4, 2)))
    return {**record, "numbers": len(jax.tree.leaves(laid.hyper)), **scale.figures(scale.PROGRAMS[program](laid))}


def measured(exact: bool) -> dict:
    """Figures of a measurement of two parameters, one of them larger than a sample."""
    layer = SMALL.parameters()["layers"][0]
    two = {name: layer[name] for name in ("down", "key_norm")}
    laid = layout.Laid.out(rules.adamw(), two, layout.mesh_of((4, 2)))
    sizes = [math.prod(p.shape) for p in jax.tree.leaves(laid.params)]
    typed = jax.make_mesh((4, 2), ("fsdp", "tensor"), axis_types=(AxisType.Explicit, AxisType.Explicit))
    try:
        layout.Laid.out(rules.adamw(), two, typed).measured(exact)
        refused = ""
    except Exception as error:
        refused = type(error).__name__
    return {"sizes": sizes, "refused where layouts are types": refused, **scale.figures(laid.measured(exact).compile())}


@contextlib.contextmanager
def everywhere() -> Iterator[None]:
    """A layout that leaves the whole state on every device."""

    def replicated(rule, params, specs):
        return jax.tree.map(lambda _: PartitionSpec(), jax.eval_shape(rule.init, params))

    with mock.patch.object(sharding, "state_specs", replicated):
        yield


class Clipped:
    """AdamW with gradients clipped by the norm of all, its numbers given."""

    rule = wrappers.clip_by_global_norm(rules.adamw())
    State, init, step = rule.State, staticmethod(rule.init), staticmethod(rule.step)

    def hyper(self):
        return self.rule.hyper(max_norm=1.0)


def flattened():
    """Coordinates taken from the flattened array."""

    def spread(x, sample):
        flat = x.ravel()
        return flat[:: -(-flat.size // sample)] if flat.size > sample else flat

    return mock.patch.object(summary, "spread", spread)


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 8)
    short = {"muon": rules.muon(ns_steps=1), "muon, stacked": layout.Stacked(rules.muon(ns_steps=1))}
    few = mock.patch.object(layout, "MATRICES", ("query", "gate", "down"))
    with mock.patch.dict(layout.RULES, short), few:
        found = {"steps": {name: of(name) for name in layout.RULES}}
    whole = {"query": ((8, 16, 16), PartitionSpec(("fsdp", "tensor")))}  # one layer a device
    found["whole matrices"] = scale.figures(
        layout.Laid.out(short["muon, stacked"], whole, layout.mesh_of((4, 2))).step()
    )
    found["measured"] = [measured(exact) for exact in (True, False)]
    found["effective_lr"] = of("lamb", "effective_lr")
    found["arrays"] = len(jax.tree.leaves(SMALL.parameters(), is_leaf=lambda x: isinstance(x, tuple)))
    with everywhere():
        found["state everywhere"] = of("adamw")
    with mock.patch.dict(layout.RULES, {"adamw": Clipped()}):
        found["global norm"] = of("adamw")
    with flattened():
        found["flattened"] = measured(exact=False)
    json.dump(found, sys.stdout)
