"""The runs of one group: the program they need, and how they are fed to it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..machine import cores
from . import axes as _axes
from . import definition, memory, tiles
from .axes import Axes
from .program import Outcome, Tile, tile_program
from .structure import Inputs, Structure

PyTree = Any


@dataclass(frozen=True, eq=False)
class Plan:
    """A compiled program and the tiles it works through: ``devices`` in a call, and ``at_once`` calls at a time."""

    compiled: Any
    digest: str
    width: int
    devices: int
    at_once: int
    tiles: list[np.ndarray]
    words: str

    @property
    def chunks(self) -> int:
        """Calls of the program."""
        return -(-len(self.tiles) // self.devices)

    def chunk(self, place: int) -> slice:
        """The tiles of a call, without those that fill it up."""
        return slice(place * self.devices, (place + 1) * self.devices)


@dataclass(frozen=True, eq=False)
class Work:
    """The runs of one group, and how they are fed to the program."""

    inputs: Inputs
    axes: Axes
    structure: Structure
    group: tiles.Group
    mesh: Mesh | None

    @property
    def name(self) -> str:
        """The group in words."""
        return f"{self.group.rule}, {'all rows' if self.group.batch_size is None else f'batch {self.group.batch_size}'}"

    @property
    def device(self) -> Any:
        """One of the devices."""
        return jax.local_devices()[0] if self.mesh is None else self.mesh.devices.flat[0]

    @property
    def devices(self) -> int:
        """How many there are."""
        return 1 if self.mesh is None else self.mesh.size

    @functools.cached_property
    def data(self) -> PyTree:
        """The data, on every device."""
        if self.mesh is None:
            return jax.device_put(self.inputs.data)
        return self._on_mesh(self.inputs.data, PartitionSpec())

    def _on_mesh(self, tree: PyTree, spec: PartitionSpec) -> PyTree:
        """Host arrays that every process holds, as arrays on the mesh."""
        assert self.mesh is not None
        sharding = NamedSharding(self.mesh, spec)
        tree = jax.tree.map(lambda x: np.asarray(jax.numpy.asarray(x)), tree)
        return jax.tree.map(lambda x: jax.make_array_from_callback(x.shape, sharding, lambda at: x[at]), tree)

    def fed(self, members: list[np.ndarray], width: int) -> Tile:
        """The arguments of a call: the tiles filled up to their width, and to one for every device."""
        members = [*members, *[members[-1]] * (self.devices - len(members))]
        made = [self.tile(np.resize(m, width)) for m in members]
        if self.mesh is None:
            return jax.device_put(made[0])
        return self._on_mesh(jax.tree.map(lambda *x: np.stack(x), *made), PartitionSpec(self.mesh.axis_names))

    def tile(self, members: np.ndarray) -> Tile:
        """One tile."""
        runs, seeds = self.group.runs[members], self.group.seeds[members]
        real = jax.numpy.result_type(float)
        numbers = {
            name: np.asarray(column[runs], real)
            for name, column in _axes.numbers(self.axes, self.axes.rules[self.group.rule]).items()
        }
        scale = self.axes.columns.get("loss_scale", np.ones(self.axes.size))[runs]
        if self.group.shared:
            first, rows = self.first(int(seeds[0])), self.rows(int(seeds[0]))
        else:
            first = jax.tree.map(lambda *p: np.stack(p), *(self.first(int(seed)) for seed in seeds))
            rows = None if self.group.batch_size is None else np.array([self.rows(int(seed)) for seed in seeds])
        return Tile(numbers, np.asarray(scale, real), first, rows)

    def first(self, seed: int) -> PyTree:
        """First parameters of a seed."""
        return self._seeded(seed)[0]

    def rows(self, seed: int) -> np.ndarray | None:
        """Batches of a seed."""
        return self._seeded(seed)[1]

    @functools.cached_property
    def _seeded(self) -> Callable[[int], tuple[PyTree, np.ndarray | None]]:
        size = self.group.batch_size

        @functools.lru_cache(maxsize=4096)
        def of_seed(seed: int) -> tuple[PyTree, np.ndarray | None]:
            return self.inputs.first_params(seed), None if size is None else self.inputs.drawn(size, seed)

        return of_seed

    @functools.cached_property
    def result_shape(self) -> Outcome:
        """Shapes of what a tile of one run leaves."""
        program = tile_program(self.structure, self.group.shared, None)
        return jax.eval_shape(program, self.tile(np.array([0])), self.inputs.data)

    def bytes_per_run(self) -> int:
        """Of parameters, gradients and state: what a run keeps between its steps."""
        first = self.first(int(self.group.seeds[0]))
        return 2 * memory.tree_bytes(first) + memory.tree_bytes(jax.eval_shape(self.structure.rule.init, first))

    def fit(self, budget: int, width: int | None) -> Plan:
        """Compile for the given width, or for the widest that fits.

        Raises
        ------
        DoesNotFit
            If that width, or a single run, exceeds the budget.
        ValueError
            If devices of the mesh would be left without a tile.
        """
        if width is not None and not (isinstance(width, int) and width >= 1):
            raise ValueError(f"width={width!r} must be an integer of 1 or more")
        tried = width or tiles.automatic_width(self.group, self.bytes_per_run(), self.device.platform, self.devices)
        while True:
            self._refuse_idle_devices(tried)
            fed = self.fed(self.group.tiles(tried)[:1], tried)
            compiled, digest = _compiled(
                self.structure, self.group.shared, self.mesh, _Shapes.of((fed, self.data), self.mesh)
            )
            needed = memory.program_bytes(compiled)
            if needed <= budget:
                break
            if width is not None or tried == 1:
                raise memory.DoesNotFit(
                    f"{self.name}: a tile of {tried} run{'s' * (tried > 1)} needs {memory.words(needed)} of a "
                    f"device, and the budget is {memory.words(budget)}; give "
                    + ("a smaller width or a larger memory_budget" if tried > 1 else "a larger memory_budget")
                )
            tried = max(1, min(tried // 2, 1 << ((tried * budget // needed) or 1).bit_length() - 1))
        found = self.group.tiles(tried)
        together = max(1, min(self._calls_at_once, len(found), self._calls_that_fit(budget, needed, fed)))
        text = f"{len(self.group.runs)} runs in {len(found)} tiles of {tried}, {memory.words(needed)} of a device each"
        if together > 1:
            text += f", {together} at a time"
        return Plan(compiled, digest, tried, self.devices, together, found, text)

    @property
    def _calls_at_once(self) -> int:
        """One for each core of a CPU; a mesh is given all its work in one call, and an accelerator queues calls itself."""
        return cores() if self.mesh is None and self.device.platform == "cpu" else 1

    def _calls_that_fit(self, budget: int, needed: int, fed: Tile) -> int:
        """Calls that fit beside each other: they share the data, and the arguments of one more wait for their turn."""
        data = memory.tree_bytes(self.data)
        return (budget - data - memory.tree_bytes(fed)) // max(1, needed - data)

    def _refuse_idle_devices(self, width: int) -> None:
        """Tiles are what the devices share: each call of the program gives every one of them a tile."""
        runs, tiles = len(self.group.runs), self.group.count(width)
        idle = -tiles % self.devices
        if not idle:
            return
        fills = [narrow for narrow in range(width, 0, -1) if self.group.count(narrow) % self.devices == 0]
        advice = (
            f"width={fills[0]} makes {self.group.count(fills[0])} tiles (the width is part of a sweep's definition)"
            if fills
            else f"{-runs % self.devices} more runs, or {runs % self.devices} fewer, can be divided"
        )
        raise ValueError(
            f"the mesh has {self.devices} devices, which do not divide the {tiles} tiles of {width} that the {runs} runs "
            f"make ({self.name}): {idle} would idle in the last of {-(-tiles // self.devices)} calls; {advice}"
        )


@dataclass(frozen=True)
class _Shapes:
    """Arguments of a program, by structure, shape, dtype and placement."""

    structure: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...]

    @classmethod
    def of(cls, arguments: Any, mesh: Mesh | None) -> _Shapes:
        leaves, structure = jax.tree.flatten(arguments)
        placed = [None if mesh is None else x.sharding for x in leaves]
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s) for x, s in zip(leaves, placed, strict=True)]
        return cls(structure, tuple(shapes))

    def arguments(self) -> Any:
        return jax.tree.unflatten(self.structure, self.leaves)

    def on_one_device(self) -> Any:
        """The same for a program without a mesh."""
        fed, data = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self.arguments())
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), fed), data


@functools.lru_cache(maxsize=32)
def _compiled(structure: Structure, shared: bool, mesh: Mesh | None, shapes: _Shapes) -> tuple[Any, str]:
    """The compiled program, and the digest of what one device computes: a definition does not depend on the mesh."""
    lowered = tile_program(structure, shared, mesh).lower(*shapes.arguments())
    alone = lowered if mesh is None else tile_program(structure, shared, None).lower(*shapes.on_one_device())
    return lowered.compile(), definition.text_digest(alone.as_text())
