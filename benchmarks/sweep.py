"""Sweeps of the digits perceptron, side by side: ``lrtheory.sweep``, ``jit(vmap)`` over optax, a plain PyTorch loop.

All train the same float32 model with Adam on the same batches, 128 learning rates and 8 seeds where there are 1,024 runs.
A PyTorch loop does one run after the other, so that a few of its runs are timed and stand for all. What is compared is
the time of a run-step: seconds over runs times steps. The final losses of all are compared as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from jax.sharding import Mesh

from lrtheory import rules, sweep
from lrtheory.machine import cores
from parity.training.digits import load_digits
from parity.training.mlp import PLAIN

from .harness import Record, Table, Timings, interleaved, number, of_part, run, times

CORES = cores()
BATCHES = (1, 4, 16, 64)
RUNS = 1024
GROWTH = (1, 10, 100, 1_000, 10_000, 100_000)
GROWTH_BATCH = 16
STEPS = 100
TORCH_RUNS = 3
LEAST_LR, LARGEST_LR = 1e-4, 1e-2
ALIKE = 1e-4
"""Of a final loss: float32 over a hundred steps, in which ten times less was seen; an lr that is 1 % off makes more than ten times as much."""
OURS, MESH, OPTAX, TORCH = "lrtheory.sweep", f"lrtheory.sweep, mesh of {CORES} CPU devices", "optax, vmap", "torch loop"


def loss(params: Any, batch: Any) -> Any:
    """Mean cross-entropy of the perceptron that the report trains."""
    return PLAIN.loss(params, batch["x"], batch["y"])


def first(seed: int) -> dict[str, np.ndarray]:
    """First parameters in float32."""
    return {name: value.astype(np.float32) for name, value in PLAIN.initial(seed).items()}


@dataclass(frozen=True)
class Grid:
    """The runs that everyone does: every lr with every seed."""

    lrs: np.ndarray
    seeds: np.ndarray
    batch: int
    steps: int
    data: dict[str, np.ndarray]

    @classmethod
    def of(cls, runs: int, batch: int, steps: int = STEPS) -> Grid:
        """So many runs, with 128 learning rates a seed at most."""
        digits = load_digits(0)
        data = {"x": digits.train_x.astype(np.float32), "y": digits.train_y.astype(np.int32)}
        lrs = min(runs, 128 if runs <= RUNS else 1000)
        return cls(np.geomspace(LEAST_LR, LARGEST_LR, lrs), np.arange(max(1, runs // lrs)), batch, steps, data)

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.lrs) * len(self.seeds)

    def rows(self, seed: int) -> np.ndarray:
        """Row numbers of every step of a seed."""
        return sweep.shuffled(len(self.data["y"]), self.batch, self.steps, seed)


Losses = np.ndarray  # final loss of each run, shape (lrs, seeds)


def ours(grid: Grid, mesh: Mesh | None = None) -> Callable[[], Losses]:
    """What a user calls."""
    over = sweep.grid(rule=rules.adam(), lr=grid.lrs, seed=grid.seeds, batch_size=grid.batch)

    def train() -> Losses:
        found = sweep.run(loss, first, grid.data, over, steps=grid.steps, mesh=mesh)
        return found.values["final_loss"]

    return train


@jax.jit
def _optax_runs(lrs: Any, params: Any, rows: Any, data: Any) -> Any:
    """All learning rates of all seeds; batches are read once for all learning rates."""

    def one(lr: Any, params: Any, rows: Any) -> Any:
        optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=lr)

        def step(carry: Any, at: Any) -> Any:
            params, state = carry
            grads = jax.grad(loss)(params, jax.tree.map(lambda x: x[at], data))
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), rows)
        return loss(params, jax.tree.map(lambda x: x[rows[-1]], data))

    return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))(lrs, params, rows)


def optax_program(grid: Grid) -> Callable[[], Losses]:
    """One compiled program with ``inject_hyperparams``; its batches and first parameters are at hand."""
    params = jax.tree.map(lambda *p: jnp.stack([*p]), *(first(int(seed)) for seed in grid.seeds))
    rows = jnp.asarray(np.stack([grid.rows(int(seed)) for seed in grid.seeds]))
    lrs, data = jnp.asarray(grid.lrs, jnp.float32), jax.tree.map(jnp.asarray, grid.data)
    return lambda: np.asarray(_optax_runs(lrs, params, rows, data))


def torch_loop(grid: Grid, runs: int = TORCH_RUNS) -> Callable[[], Losses]:
    """The first seed with a few of the learning rates, one run after the other, as it is commonly written."""
    x, y = torch.tensor(grid.data["x"]), torch.tensor(grid.data["y"], dtype=torch.int64)
    rows = torch.tensor(np.asarray(grid.rows(int(grid.seeds[0]))), dtype=torch.int64)
    start = {name: torch.tensor(value) for name, value in first(int(grid.seeds[0])).items()}

    def train() -> Losses:
        final = []
        for lr in grid.lrs[_few(grid, runs)]:
            model = PLAIN.module()
            model.load_state_dict(start)
            optimizer = torch.optim.Adam(model.parameters(), lr=lr)
            for at in rows:
                optimizer.zero_grad()
                value = torch.nn.functional.cross_entropy(model(x[at]), y[at])
                value.backward()
                optimizer.step()
            with torch.no_grad():
                final.append(torch.nn.functional.cross_entropy(model(x[rows[-1]]), y[rows[-1]]).item())
        return np.array(final)[:, None]

    return train


def _few(grid: Grid, runs: int) -> np.ndarray:
    """Places of a few learning rates from the smallest to the largest."""
    return np.unique(np.linspace(0, len(grid.lrs) - 1, runs).astype(int))


def contest(grid: Grid, *, mesh: bool = True, with_optax: bool = True) -> Mapping[str, Callable[[], Losses]]:
    """Everyone."""
    found: dict[str, Callable[[], Losses]] = {OURS: ours(grid)}
    if mesh:
        found[MESH] = ours(grid, Mesh(np.array(jax.devices()), ("runs",)))
    if with_optax:
        found[OPTAX] = optax_program(grid)
    return {**found, TORCH: torch_loop(grid)}


def disagreement(grid: Grid, candidates: Mapping[str, Callable[[], Losses]]) -> dict[str, float]:
    """Largest relative difference of a final loss to ours, over the runs that the candidate does."""
    few = _few(grid, TORCH_RUNS)
    reference = candidates[OURS]()
    found = {}
    for name, train in candidates.items():
        theirs = train()
        mine = reference if theirs.shape == reference.shape else reference[few][:, :1]
        found[name] = float(np.max(np.abs(theirs - mine) / np.abs(mine)))
    return found


def per_run_step(grid: Grid, timings: Timings) -> Timings:
    """Seconds of a run-step in place of seconds of a call."""
    few = len(_few(grid, TORCH_RUNS))
    runs = {name: few if name == TORCH else grid.runs for name in timings.seconds}
    return Timings({n: [s / (runs[n] * grid.steps) for s in taken] for n, taken in timings.seconds.items()})


def measure() -> Iterator[Record]:
    """1,024 runs at four batch sizes, then one to 10⁵ runs."""
    jax.config.update("jax_num_cpu_devices", CORES)  # for the one that shards over devices; the others use the first
    torch.set_num_threads(1)  # the faster by far: its operations are too small to divide
    for batch in BATCHES:
        grid = Grid.of(RUNS, batch)
        candidates = contest(grid)
        apart = disagreement(grid, candidates)
        if max(apart.values()) > ALIKE:
            raise RuntimeError(
                f"they do not train the same: final losses are apart by {apart}, and {ALIKE} is rounding"
            )
        timings = per_run_step(grid, interleaved(candidates, rounds=9, warm_up=1, seconds=30))
        for name in candidates:
            yield {
                "part": "runs",
                "batch": batch,
                "runs": grid.runs,
                "candidate": name,
                "seconds": timings.time(name).median,
                "faster": timings.ratio(TORCH, name),
                "apart": apart[name],
            }
    for runs in GROWTH:
        large = runs > 10_000
        grid = Grid.of(runs, GROWTH_BATCH, 20 if large else STEPS)
        candidates = contest(grid, mesh=False, with_optax=not large)  # one program for 10⁵ runs does not fit
        rounds = 1 if large else 5
        timings = per_run_step(grid, interleaved(candidates, rounds=rounds, warm_up=1, seconds=15))
        for name in candidates:
            yield {"part": "growth", "runs": runs, "candidate": name, "seconds": timings.time(name).median}


def tables(records: list[Record]) -> dict[str, Table]:
    """Time of a run-step and how many times a PyTorch loop's speed that is."""
    runs = of_part(records, "runs")
    kept = {(r["candidate"], r["batch"]): r for r in runs}
    whole = {
        "1,024 runs": lambda r: f"{r['candidate']}, batch {r['batch']}",
        "a run-step": lambda r: number(r["seconds"]),
        "run-steps a second": lambda r: f"{1 / r['seconds']:,.0f}",
        "× torch loop": lambda r: times(r["faster"], ".3g"),
        "final losses apart": lambda r: f"{r['apart']:.0e}" if r["apart"] else "",
    }
    short = {
        "batch": lambda r: str(r["batch"]),
        "a run-step of lrtheory.sweep": lambda r: number(r["seconds"]),
        "× PyTorch loop": lambda r: f"{r['faster'][1]:.3g}",
        "× vmap over optax": lambda r: f"{kept[OPTAX, r['batch']]['seconds'] / r['seconds']:.2g}",
    }
    return {
        "runs": Table.of("1,024 runs of the digits perceptron with Adam", runs, whole),
        "summary": Table.of("How many times as fast", (kept[OURS, batch] for batch in BATCHES), short),
    }


def charts(records: list[Record]) -> dict[str, Any]:
    """Run-steps a second as the runs grow."""
    from .charts import growth

    points = [(r["candidate"], r["runs"], 1 / r["seconds"]) for r in of_part(records, "growth")]
    title = f"Adam on the digits, batch {GROWTH_BATCH}"
    return {"sweep": growth(points, x="runs", y="run-steps a second", title=title)}


if __name__ == "__main__":
    run("sweep", measure, tables)
