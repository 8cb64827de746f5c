"""A state of 10¹¹ parameters over a mesh: bytes and collectives of its programs, compiled ahead and never run.

Shapes and layouts are all that is made: virtual CPU devices stand for the mesh, and what a program takes and sends is
read from what XLA compiled for one of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lrtheory import effective, in_place, rules, sharding, sweep
from lrtheory.sweep.memory import words

from .harness import Record, Table, number, run

PyTree = Any

MESH = (32, 8)
SIZES = (1, 2, 4)


@dataclass(frozen=True)
class Model:
    """A transformer with gated MLPs, grouped keys and values, normed queries and keys, and one embedding for both ends."""

    layers: int
    width: int
    hidden: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int

    def parameters(self) -> dict[str, Any]:
        """The shape and layout of each parameter, layer by layer: norms and matrices are of one layer each."""
        rows, columns = PartitionSpec("fsdp", "tensor"), PartitionSpec("tensor", "fsdp")
        keys = self.key_heads * self.head
        layer = {
            "norm": ((self.width,), PartitionSpec(("fsdp", "tensor"))),
            "query": ((self.width, self.heads * self.head), rows),
            "key": ((self.width, keys), rows),
            "value": ((self.width, keys), rows),
            "query_norm": ((self.heads, self.head), columns),
            "key_norm": ((self.key_heads, self.head), columns),
            "out": ((self.heads * self.head, self.width), columns),
            "gate": ((self.width, self.hidden), rows),
            "up": ((self.width, self.hidden), rows),
            "down": ((self.hidden, self.width), columns),
        }
        embedding = ((self.vocabulary, self.width), columns)
        return {"embedding": embedding, "norm": layer["norm"], "layers": [dict(layer) for _ in range(self.layers)]}

    def matrices(self) -> dict[str, Any]:
        """Those that Muon is for."""
        return {"layers": [{name: layer[name] for name in MATRICES} for layer in self.parameters()["layers"]]}

    def stacked_matrices(self) -> dict[str, Any]:
        """The same matrices of all layers in one array each, divided by layers and columns."""
        place = PartitionSpec("fsdp", None, "tensor")
        return {name: ((self.layers, *shape), place) for name, (shape, _) in self.matrices()["layers"][0].items()}


MATRICES = ("query", "key", "value", "out", "gate", "up", "down")

#: config.json of Command R+ (Cohere, April 2024): 104 billion parameters; all its sizes divide by 256.
COMMAND_R_PLUS = Model(layers=64, width=12288, hidden=33792, heads=96, key_heads=8, head=128, vocabulary=256000)


@dataclass(frozen=True)
class Stacked:
    """A rule for arrays with an axis of layers in front: norms and matrices are those of one layer."""

    of: Any

    @property
    def State(self) -> type:
        """The type of the rule's state."""
        return self.of.State

    def hyper(self) -> Any:
        """The rule's default numbers."""
        return self.of.hyper()

    def init(self, params: PyTree) -> Any:
        """State before the first step."""
        return jax.vmap(self.of.init)(params)

    def step(self, hyper: Any, state: Any, grads: PyTree, params: PyTree) -> tuple[PyTree, Any]:
        """One step of every layer."""
        return jax.vmap(self.of.step, in_axes=(None, 0, 0, 0))(hyper, state, grads, params)

    def effective_lr(self, hyper: Any, state: Any) -> PyTree:
        """E of every layer."""
        return jax.vmap(self.of.effective_lr, in_axes=(None, 0))(hyper, state)


RULES: dict[str, Any] = {
    "sgd, momentum": rules.sgd(),
    "lion": rules.lion(),
    "adamw": rules.adamw(),
    "adafactor": rules.adafactor(),
    "lamb": rules.lamb(),
    "muon": rules.muon(),
    "muon, stacked": Stacked(rules.muon()),
}


def mesh_of(shape: tuple[int, int]) -> Mesh:
    """Parameters are divided over both axes; where axes are explicit, JAX asks Muon's products for layouts."""
    devices = np.array(jax.devices()[: math.prod(shape)]).reshape(shape)
    return Mesh(devices, ("fsdp", "tensor"), axis_types=(AxisType.Auto, AxisType.Auto))


def _is_parameter(x: Any) -> bool:
    return isinstance(x, tuple) and len(x) == 2 and isinstance(x[1], PartitionSpec)


@dataclass(frozen=True)
class Laid:
    """Parameters and state of a rule, as shapes with their places."""

    rule: Any
    params: PyTree
    state: PyTree

    @classmethod
    def out(cls, rule: Any, parameters: PyTree, mesh: Mesh, dtype: Any = jnp.float32) -> Laid:
        """Lay out over the mesh."""
        shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p[0], dtype), parameters, is_leaf=_is_parameter)
        specs = jax.tree.map(lambda p: p[1], parameters, is_leaf=_is_parameter)
        state = jax.eval_shape(rule.init, shapes)
        return cls(
            rule,
            cls._placed(shapes, specs, mesh),
            cls._placed(state, sharding.state_specs(rule, shapes, specs), mesh),
        )

    @staticmethod
    def _placed(shapes: PyTree, specs: PyTree, mesh: Mesh) -> PyTree:
        return jax.tree.map(
            lambda x, spec: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, spec)), shapes, specs
        )

    @property
    def hyper(self) -> Any:
        """Default numbers."""
        return jax.tree.map(jnp.float32, self.rule.hyper())

    def step(self) -> Any:
        """The step in place."""
        return in_place.step(self.rule).lower(self.params, self.state, self.params, self.hyper).compile()

    def effective_lr(self) -> Any:
        """E of every coordinate."""
        return jax.jit(self.rule.effective_lr).lower(self.hyper, self.state).compile()

    def measured(self, exact: bool) -> Any:
        """``effective.measure`` of one step."""

        def look(hyper: Any, state: Any, grads: PyTree, before: PyTree, after: PyTree) -> PyTree:
            return effective.measure(self.rule, hyper, state, grads, before, after, exact=exact)

        made = (self.hyper, self.state, self.params, self.params, self.params)
        return jax.jit(look).lower(*made).compile()

    def scanned(self) -> Any:
        """``effective.scan`` over four steps in place, two of them measured on a sample; the gradient is the parameter."""

        def steps(params: PyTree, state: Any, hyper: Any) -> Any:
            def one(carry: Any, _: Any) -> Any:
                before, state = carry
                after, state = self.rule.step(hyper, state, before, before)
                made = (self.rule, hyper, state, before, before, after)
                return (after, state), None, lambda: effective.measure(*made, exact=False)

            return effective.scan(one, (params, state), jnp.arange(4), interval=2)

        return jax.jit(steps, donate_argnums=(0, 1)).lower(self.params, self.state, self.hyper).compile()


def total_bytes(tree: PyTree) -> int:
    """Bytes of all arrays."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def device_bytes(tree: PyTree) -> int:
    """Bytes of one device's part of all arrays."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))


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
    "measure": lambda laid: laid.measured(exact=True),
    "measure, exact=False": lambda laid: laid.measured(exact=False),
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


#: What is compiled for all layers, and what for the numbers of layers in SIZES, from which its growth is seen.
WHOLE = {"step": tuple(RULES), "effective_lr": tuple(RULES), "measure, exact=False": ("adamw",)}
SMALL = {
    "step": tuple(name for name in RULES if name != "muon, stacked"),  # which has its layers on 32 parts of the mesh
    "effective_lr": (),
    "measure": ("sgd, momentum", "adamw", "adafactor", "lamb", "muon"),
    "measure, exact=False": ("sgd, momentum", "adamw", "adafactor", "lamb", "muon"),
    "scan": ("adamw",),
}


def measure() -> Iterator[Record]:
    """Every program at full size or at a few layers, then tiles of a sweep."""
    jax.config.update("jax_num_cpu_devices", math.prod(MESH))
    mesh = mesh_of(MESH)
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
    from lrtheory.sweep.problem import Problem, Training
    from lrtheory.sweep.tiles import groups
    from lrtheory.sweep.work import Work

    shapes = {"w1": (64, 32), "b1": (32,), "w2": (32, 10), "b2": (10,)}
    params = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    data = (np.zeros((rows, 64), np.float32), np.zeros(rows, np.int32))
    training = Training(rules.adam(), loss, steps, (steps,), None, False, None, 1e6)
    for count in devices:
        axes = sweep.grid(rule=training.rule, lr=np.geomspace(1e-4, 1, 16 * count), batch_size=64)
        (group,) = groups(axes, seed_matters=True)
        problem = Problem(params, data, steps, sweep.shuffled)
        mesh = jax.make_mesh((count,), ("runs",), devices=jax.devices()[:count])
        plan = Work(problem, axes, training, group, mesh).fit(10**12, 16)
        yield {"part": "sweep", "devices": count, "runs": axes.size, "calls": plan.chunks, **figures(plan.compiled)}


def said(collectives: list[list[Any]]) -> str:
    """Collectives for reading."""
    return "; ".join(f"{name} × {count}, {words(size)}" for name, count, size in collectives) or "none"


def tables(records: list[Record]) -> dict[str, Table]:
    """Where the state goes, what a step and what reading it costs, how that grows, and tiles of a sweep."""
    programs = [r for r in records if r["part"] == "program"]
    layers = max(r["layers"] for r in programs)
    whole = [r for r in programs if r["layers"] == layers]
    steps = [r for r in whole if r["program"] == "step"]
    state = [
        [r["rule"], f"{r['parameters'] / 1e9:.1f}·10⁹", *(words(r[part]) for part in _PARTS), words(_held(r))]
        for r in steps
    ]
    step = [[r["rule"], *_costs(r)] for r in steps]
    reading = [[r["program"], r["rule"], *_costs(r)] for r in whole if r["program"] != "step"]
    growth = [
        [r["program"], r["rule"], str(r["layers"]), words(r["params_device"]), *_costs(r)[-2:]]
        for r in sorted(programs, key=lambda r: (list(PROGRAMS).index(r["program"]), list(RULES).index(r["rule"])))
        if r["collectives"]
    ]
    tile = [[str(r["devices"]), str(r["runs"]), str(r["calls"]), *_costs(r)] for r in records if r["part"] == "sweep"]
    costs = ["arguments", "outputs", "of them in place", "temporaries", "collectives"]
    devices = f"{steps[0]['devices']} devices"
    return {
        "state": Table(
            f"Bytes over {devices}",
            ["rule", "parameters", "parameters, all", "state, all", "parameters", "state", "with gradients"],
            state,
        ),
        "step": Table(f"One step in place, a device of {devices}", ["rule", *costs], step),
        "reading": Table(f"Reading what was trained, a device of {devices}", ["program", "rule", *costs], reading),
        "growth": Table(
            "Programs that communicate, by number of layers",
            ["program", "rule", "layers", "parameters of a device", "temporaries", "collectives"],
            growth,
        ),
        "sweep": Table("One call of a sweep, a device", ["devices", "runs", "calls", *costs], tile),
    }


_PARTS = ("params_total", "state_total", "params_device", "state_device")


def _held(r: Record) -> int:
    """Parameters, state, and gradients, which are like the parameters."""
    return 2 * r["params_device"] + r["state_device"]


def _costs(r: Record) -> list[str]:
    parts = ("arguments", "outputs", "aliased", "temporaries")
    return [*(words(r[part]) for part in parts), said(r["collectives"])]


if __name__ == "__main__":
    run("scale", measure, tables)
