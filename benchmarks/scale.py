"""A state of 10¹¹ parameters over a mesh: bytes and collectives of its programs, compiled ahead and never run.

Shapes and layouts are all that is made: virtual CPU devices stand for the mesh, and what a program takes and sends is
read from what XLA compiled for one of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from lrtheory import rules, sharding, sweep
from lrtheory.sweep.memory import words

from .harness import Record, Table, number, of_part, run
from .layout import COMMAND_R_PLUS, RULES, Laid, Model, device_bytes, mesh_of, total_bytes

PyTree = Any

MESH = (32, 8)
SIZES = (1, 2, 4)


def figures(compiled: Any) -> Record:
    """What one device needs for a compiled program, and what it communicates."""
    found = compiled.memory_analysis()
    return {
        "arguments": found.argument_size_in_bytes,
        "outputs": found.output_size_in_bytes,
        "aliased": found.alias_size_in_bytes,
        "temporaries": found.temp_size_in_bytes,
        "collectives": [list(c) for c in sharding.collectives(compiled)],
    }


PROGRAMS: dict[str, Callable[[Laid], Any]] = {
    "step": Laid.step,
    "effective_lr": Laid.effective_lr,
    "measure": lambda laid: laid.measured(exact=True).compile(),
    "measure, exact=False": lambda laid: laid.measured(exact=False).compile(),
    "scan": Laid.scanned,
}


def sizes(name: str, model: Model, mesh: Mesh) -> tuple[Laid, Record]:
    """A rule laid out, and the bytes of its parts."""
    parts = {"muon": model.matrices, "muon, stacked": model.stacked_matrices}
    laid = Laid.out(RULES[name], parts.get(name, model.parameters)(), mesh)
    count = sum(math.prod(p.shape) for p in jax.tree.leaves(laid.params))
    record = {"rule": name, "layers": model.layers, "devices": mesh.size, "parameters": count}
    for part, tree in (("params", laid.params), ("state", laid.state)):
        record |= {f"{part}_total": total_bytes(tree), f"{part}_device": device_bytes(tree)}
    return laid, record


#: What is compiled for all layers, and what for the numbers of layers in SIZES, from which its growth is seen: Muon's
#: products layer by layer, and measurements of seven hundred arrays, take the compiler many minutes.
WHOLE = {
    "step": tuple(name for name in RULES if name != "muon"),
    "effective_lr": ("adamw", "adafactor", "lamb"),
}
SMALL = {
    "step": ("adafactor", "lamb", "muon"),
    "measure": ("adamw", "adafactor"),
    "measure, exact=False": ("adamw",),
    "scan": ("adamw",),
}


def measure() -> Iterator[Record]:
    """Every program at full size or at a few layers, then tiles of a sweep."""
    jax.config.update("jax_num_cpu_devices", math.prod(MESH))
    mesh = mesh_of(MESH)
    for name in RULES:
        yield {"part": "layout", **sizes(name, COMMAND_R_PLUS, mesh)[1]}
    for layers, chosen in (*((count, SMALL) for count in SIZES), (COMMAND_R_PLUS.layers, WHOLE)):
        for program, names in chosen.items():
            for name in names:
                laid, record = sizes(name, replace(COMMAND_R_PLUS, layers=layers), mesh)
                begun = time.perf_counter()
                found = figures(PROGRAMS[program](laid))
                print(
                    f"{program}, {name}, {layers} layers: compiled in {number(time.perf_counter() - begun)}", flush=True
                )
                yield {"part": "program", "program": program, **record, **found}
    yield from tiles((1, 8, 64, 256))


def loss(params: PyTree, batch: PyTree) -> Any:
    """Of a network with 64 inputs, 32 hidden units and 10 classes."""
    x, y = batch
    logits = jnp.tanh(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))


def tiles(devices: tuple[int, ...], *, rows: int = 1797, steps: int = 100) -> Iterator[Record]:
    """Tiles of 16 runs of a small network, one a device."""
    from lrtheory.sweep.structure import Inputs, Structure
    from lrtheory.sweep.tiles import groups
    from lrtheory.sweep.work import Work

    shapes = {"w1": (64, 32), "b1": (32,), "w2": (32, 10), "b2": (10,)}
    params = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    data = (np.zeros((rows, 64), np.float32), np.zeros(rows, np.int32))
    structure = Structure(rules.adam(), loss, steps, (steps,), None, False, None, 1e6)
    for count in devices:
        axes = sweep.grid(rule=structure.rule, lr=np.geomspace(1e-4, 1, 16 * count), batch_size=64)
        (group,) = groups(axes, seed_matters=True)
        inputs = Inputs(params, data, steps, sweep.shuffled)
        mesh = jax.make_mesh((count,), ("runs",), devices=jax.devices()[:count])
        plan = Work(inputs, axes, structure, group, mesh).fit(10**12, 16)
        yield {"part": "sweep", "devices": count, "runs": axes.size, "calls": plan.chunks, **figures(plan.compiled)}


def said(collectives: list[list[Any]]) -> str:
    """Collectives for reading."""
    return "; ".join(f"{name} × {count}, {words(size)}" for name, count, size in collectives) or "none"


def received(record: Record) -> int:
    """Bytes of all results that a device receives."""
    return sum(size for _, _, size in record["collectives"])


def at(layers: int, few: list[Record]) -> int:
    """What is received at that many layers, if every layer adds as much as the second does.

    Raises ValueError if the four layers that were compiled do not keep to it.
    """
    one, two, four = (received(next(r for r in few if r["layers"] == count)) for count in SIZES)
    if four != one + 3 * (two - one):
        raise ValueError(f"{few[0]['program']}, {few[0]['rule']}: {one}, {two} and {four} bytes do not rise evenly")
    return one + (layers - 1) * (two - one)


def tables(records: list[Record]) -> dict[str, Table]:
    """Where the state goes, what a step and what reading it costs, how that grows, and tiles of a sweep."""
    layouts, programs = of_part(records, "layout"), of_part(records, "program")
    layers, devices = layouts[0]["layers"], f"{layouts[0]['devices']} devices"
    whole = [r for r in programs if r["layers"] == layers]
    state = [
        [r["rule"], f"{r['parameters'] / 1e9:.1f}·10⁹", *(words(r[p]) for p in _PARTS), words(_held(r))]
        for r in layouts
    ]
    step = [[r["rule"], *_costs(r)] for r in whole if r["program"] == "step"]
    reading = [[r["program"], r["rule"], *_costs(r)] for r in whole if r["program"] != "step"]
    growth = []
    for program, names in SMALL.items():
        for name in names:
            of_both = [r for r in programs if (r["program"], r["rule"]) == (program, name)]
            growth += [[program, name, str(r["layers"]), words(r["params_device"]), *_costs(r)[-2:]] for r in of_both]
            if of_both[-1]["layers"] != layers:
                share = next(words(r["params_device"]) for r in layouts if r["rule"] == name)
                growth.append([program, name, f"{layers}, by that law", share, "", words(at(layers, of_both))])
    tile = [[str(r["devices"]), str(r["runs"]), str(r["calls"]), *_costs(r)] for r in of_part(records, "sweep")]
    costs = ["arguments", "outputs", "of them in place", "temporaries", "collectives"]
    return {
        "state": Table(
            f"Bytes in all, and of each of {devices}",
            ["rule", "parameters", "in all", "state in all", "on a device", "state on a device", "these and gradients"],
            state,
        ),
        "step": Table(f"One step in place, each of {devices}", ["rule", *costs], step),
        "reading": Table(f"Reading what was trained, each of {devices}", ["program", "rule", *costs], reading),
        "growth": Table(
            "Programs by number of layers",
            ["program", "rule", "layers", "parameters of a device", "temporaries", "collectives"],
            growth,
        ),
        "sweep": Table("One call of a sweep, each device", ["devices", "runs", "calls", *costs], tile),
    }


_PARTS = ("params_total", "state_total", "params_device", "state_device")


def _held(r: Record) -> int:
    """Parameters, state, and gradients, which are like the parameters."""
    return 2 * r["params_device"] + r["state_device"]


def _costs(r: Record) -> list[str]:
    return [*(words(r[p]) for p in ("arguments", "outputs", "aliased", "temporaries")), said(r["collectives"])]


if __name__ == "__main__":
    run("scale", measure, tables)
