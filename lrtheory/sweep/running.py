"""Running a sweep: check, compile, and work through its tiles."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh

from . import at_once, definition, memory
from . import axes as _axes
from . import tiles as _tiles
from .axes import Axes
from .program import Outcome
from .result import Sweep, assemble
from .store import Store
from .structure import Inputs, Structure, shuffled
from .work import Plan, Work

PyTree = Any


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a sweep. ``so_far`` has what was done by then.

    Attributes
    ----------
    so_far : Sweep
        Where a run was not done, ``diverged_at`` is -1 and other numbers are nan (whole ones -1, truth values false).
    """

    def __init__(self, words: str, so_far: Sweep) -> None:
        super().__init__(words)
        self.so_far = so_far


Progress = Callable[[str, float], None]


def run(
    loss: Callable[[PyTree, PyTree], Any],
    params: Any,
    data: PyTree,
    over: Axes,
    *,
    steps: int,
    record: Iterable[int] = (),
    schedule: Callable[[Any], Any] | None = None,
    batches: Callable[[int, int, int, int], np.ndarray] = shuffled,
    summarise: bool = False,
    evaluate: Callable[[PyTree], PyTree] | None = None,
    explode: float = 1e6,
    memory_budget: int | None = None,
    width: int | None = None,
    mesh: Mesh | None = None,
    directory: str | Path | None = None,
    progress: Progress = lambda text, done: None,
) -> Sweep:
    """Train every run of the axes: ``vmap`` over runs, ``scan`` over steps, a compiled program per rule and batch size.

    Runs are packed into tiles of equal width, and the last is filled up, so that a run's result depends neither on where
    the work was cut nor on the number of devices. It may depend on the width in the last bits, which is therefore part of
    the definition of the sweep.

    Parameters
    ----------
    loss : (params, batch) -> scalar
        Pure, in JAX. Equal functions share compiled programs: define it once, outside of any loop.
    params : pytree of arrays, or seed -> pytree
        First parameters; a function is called once for each seed.
    data : pytree of arrays with one example a row, or whatever the loss takes where there is no ``batch_size``
    over : Axes
        From :func:`grid` or :func:`points`.
    steps : int
        Optimizer steps of every run.
    record : steps, from 1
        At which the loss is kept.
    schedule : lr -> Schedule
        Such as ``lambda lr: schedules.cosine_annealing(lr=lr, T_max=100)``; stepped once a step.
    batches : (rows, batch_size, steps, seed) -> row numbers of shape (steps, batch_size)
    summarise : bool
        Keep :func:`lrtheory.effective.measure` at the recorded steps.
    evaluate : params -> pytree of scalars
        Of the last parameters.
    explode : float
        A loss above this many times the absolute value of the run's first counts as diverged.
    memory_budget : bytes of each device
        Default: half of the machine's memory, or nine tenths of an accelerator's.
    width : runs per tile
        Chosen from the sizes by default. A resumed sweep keeps the width it began with.
    mesh : jax.sharding.Mesh
        Tiles are divided over all its axes; processes joined by ``jax.distributed`` each get the whole result.
    directory : path
        Where finished chunks are kept. A sweep that was killed and is started again with the same definition continues
        there, to bitwise the same results. With several processes: a directory that all of them see.
    progress : (text, share done) -> None

    Raises
    ------
    TypeError, ValueError
        For axes that mean nothing, lengths that do not fit, a mesh that does not divide the tiles.
    DoesNotFit
        If the results, or a tile, exceed the memory budget.
    ChangedDefinition
        If the directory holds another sweep.
    DirectoryInUse
        If another sweep is writing to the directory.
    Interrupted
        At Ctrl-C, a ``KeyboardInterrupt`` that has the results so far; when the tiles that run at that moment have ended.
    """
    inputs = Inputs(params, data, steps, batches)
    _axes.check(over, inputs.rows, seeded_init=inputs.seeded)
    store = None if directory is None else Store(directory)
    stored = None if store is None else store.stored_definition()
    found = _tiles.groups(over, seed_matters=inputs.seeded or "batch_size" in over.columns)
    structures = {
        label: Structure(
            rule, loss, steps, tuple(int(t) for t in record), schedule, summarise, evaluate, float(explode)
        )
        for label, rule in over.rules.items()
    }
    works = [Work(inputs, over, structures[group.rule], group, mesh) for group in found]
    budget = memory.default_budget(works[0].device) if memory_budget is None else int(memory_budget)
    _refuse_large_results(works, over, budget)
    widths = (stored or {}).get("width")
    widths = widths if isinstance(widths, dict) else {}
    plans = [work.fit(budget, widths.get(work.name) if width is None else width) for work in works]
    with contextlib.nullcontext() if store is None else store.held():
        if store is not None:
            store.begin(_definition(inputs, over, works, plans))
        runs, outcomes = [], []
        said = {work.name: plan.words for work, plan in zip(works, plans, strict=True)}
        try:
            _work_through(store, works, plans, progress, runs, outcomes)
        except KeyboardInterrupt as interrupt:
            count = sum(len(outcome.final_loss) for outcome in outcomes)
            so_far = assemble(over, works[0].structure.record, _filled(works, over.size, runs, outcomes), said)
            further = (
                "a directory= would have kept them: without one they have to be run again"
                if directory is None
                else f"start the same sweep again, and it goes on from {directory}"
            )
            words = f"{count} of {over.size} runs were done, and are the so_far of this exception; {further}"
            raise Interrupted(words, so_far) from interrupt
    order = np.argsort(np.concatenate(runs))
    outcome = jax.tree.map(lambda *parts: np.concatenate(parts)[order], *outcomes)
    return assemble(over, works[0].structure.record, outcome, said)


def _filled(works: list[Work], size: int, runs: list[np.ndarray], outcomes: list[Outcome]) -> Outcome:
    """The outcome of all runs, where only some were done."""

    def blank(x: Any) -> np.ndarray:
        inexact = np.issubdtype(x.dtype, np.inexact)
        return np.full(
            (size, *x.shape[1:]), np.nan if inexact else np.array(-(x.dtype != bool)).astype(x.dtype), x.dtype
        )

    found = jax.tree.map(blank, works[0].result_shape)
    for places, outcome in zip(runs, outcomes, strict=False):
        for into, done in zip(jax.tree.leaves(found), jax.tree.leaves(outcome), strict=True):
            into[places] = done
    return found


def _work_through(
    store: Store | None,
    works: list[Work],
    plans: list[Plan],
    progress: Progress,
    runs: list[np.ndarray],
    outcomes: list[Outcome],
) -> None:
    """Append runs and outcome of every tile, in the order in which they are worked through."""
    total, done = sum(plan.chunks for plan in plans), 0
    for work, plan in zip(works, plans, strict=True):
        names = [_file_name(store, work, tile) for tile in range(len(plan.tiles))]
        kept = _kept(store, names)
        chunks = [plan.chunk(place) for place in range(plan.chunks)]
        calls = (_call(work, plan, chunk, store if all(kept[chunk]) else None, names[chunk]) for chunk in chunks)
        progress(f"{work.name}: {plan.words}", done / total)
        for chunk, tiles in zip(chunks, at_once.in_order(calls, plan.at_once), strict=True):
            for name, there, tile in zip(names[chunk], kept[chunk], tiles, strict=True):
                if store is not None and not there and jax.process_index() == 0:
                    store.save(name, jax.tree.leaves(tile))
            runs += [work.group.runs[members] for members in plan.tiles[chunk]]
            outcomes += tiles
            done += 1
            progress(f"{work.name}: {plan.words}", done / total)
    progress("done", 1.0)


def _file_name(store: Store | None, work: Work, tile: int) -> str:
    """What a tile's file is called: a digest tells apart other definitions, and what is alike without its Greek letters."""
    digest = hashlib.sha256(f"{work.name} {'' if store is None else store.key}".encode()).hexdigest()[:12]
    return f"{re.sub(r'[^0-9A-Za-z=.-]+', '_', work.name)}-{digest}-{tile:06d}"


def _kept(store: Store | None, names: list[str]) -> list[bool]:
    """Which tiles are done; every process must take the same path."""
    done = np.array([store is not None and store.has(name) for name in names])
    if jax.process_count() > 1:
        done = np.asarray(multihost_utils.broadcast_one_to_all(done))
    return done.tolist()


def _call(work: Work, plan: Plan, chunk: slice, kept: Store | None, names: list[str]) -> Callable[[], list[Outcome]]:
    """What gives the outcome of each tile of a call, on the host, its runs along the first axis; from a store, if kept."""
    if kept is not None:
        structure = jax.tree.structure(work.result_shape)
        found = [jax.tree.unflatten(structure, kept.load(name)) for name in names]
        return lambda: found
    members = plan.tiles[chunk]
    fed = work.fed(members, plan.width)

    def outcomes() -> list[Outcome]:
        outcome = plan.compiled(fed, work.data)
        if jax.process_count() > 1 and work.mesh is not None:
            outcome = multihost_utils.process_allgather(outcome, tiled=True)
        outcome = jax.device_get(outcome)
        alone = work.mesh is None
        tiles = [outcome] if alone else [jax.tree.map(lambda x, i=i: x[i], outcome) for i in range(len(members))]
        return [_first_runs(tile, len(runs)) for tile, runs in zip(tiles, members, strict=True)]

    return outcomes


def _first_runs(outcome: Outcome, count: int) -> Outcome:
    """Without the runs that only fill a tile up."""
    return jax.tree.map(lambda x: x[:count], outcome)


def _refuse_large_results(works: list[Work], over: Axes, budget: int) -> None:
    """Refuse a grid whose results alone exceed the budget."""
    total = sum(len(work.group.runs) * memory.tree_bytes(work.result_shape) for work in works)
    if total > budget:
        shape = " x ".join(f"{len(values)} {name}" for name, values in over.coordinates.items())
        raise memory.DoesNotFit(
            f"the results of {over.size} runs ({shape}) take {memory.words(total)}, and the memory budget is "
            f"{memory.words(budget)}; record fewer steps, sweep fewer values, or raise memory_budget"
        )


def _definition(inputs: Inputs, over: Axes, works: list[Work], plans: list[Plan]) -> dict[str, Any]:
    """What must be the same for a sweep to be resumed, by names that a reader knows."""
    structure = works[0].structure
    seeds = sorted({int(seed) for work in works for seed in work.group.seeds})
    return {
        "axes": {name: len(values) for name, values in over.coordinates.items()},
        **{f"values of {name}": definition.column(values) for name, values in over.columns.items()},
        "steps": inputs.steps,
        "record": list(structure.record),
        "loss": definition.name_of(structure.loss),
        "schedule": definition.name_of(structure.schedule),
        "evaluate": definition.name_of(structure.evaluate),
        "summarise": structure.summarise,
        "explode": structure.explode,
        "first parameters": definition.digest([works[0].first(seed) for seed in seeds]),
        "data": definition.digest(inputs.data),
        "batches": definition.digest([work.rows(int(s)) for work in works for s in np.unique(work.group.seeds)]),
        "width": {work.name: plan.width for work, plan in zip(works, plans, strict=True)},
        "program": {work.name: plan.digest for work, plan in zip(works, plans, strict=True)},
        **definition.versions(),
    }
