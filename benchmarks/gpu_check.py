"""Parity, laws and speed on the accelerator that JAX finds; a table of what was found, in docs/gpu.md.

    python -m benchmarks.gpu_check          # on an accelerator: under ten minutes
    python -m benchmarks.gpu_check --dry    # the same, small, on whatever there is; prints, and writes nothing

Needs jax for the accelerator and torch (a CPU build will do, and is not timed then), optax if it is there, and no installation
of this project. On a machine without an accelerator it says so and changes nothing. Exits with 1 if a parity gate or a law fails.
The page is written after each part, so that one which is cut off leaves those before it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory import in_place, laws, rules
from lrtheory.names import find
from lrtheory.names.torch import NAMES
from lrtheory.outputs import replace_all
from lrtheory.port.counterparts import in_optax
from lrtheory.rules import Rule

from .harness import Table, facts, interleaved, number, times
from .models import MODELS, Shape

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "gpu.md"
CALLS = 10
STEPS: dict[str, tuple[Rule, dict[str, float], int]] = {
    "sgd, momentum 0.9": (rules.sgd(), {"momentum": 0.9}, 5),
    "adam": (rules.adam(), {}, 7),
    "adamw": (rules.adamw(), {}, 7),
    "rmsprop": (rules.rmsprop(momentum_buffer=False), {}, 5),
    "lion": (rules.lion(), {}, 5),
}
TIME_IS_UP = "not checked: time was up"


@dataclass(frozen=True)
class Extent:
    """How much is done, and how long it may take in seconds."""

    sizes: tuple[int, ...] = (1_000_000, 100_000_000, 1_000_000_000)
    tensors: int | None = None  # of a model, evenly over it
    largest_dimension: int | None = None
    sweep_runs: int = 1024
    steps: int = 100
    rules: tuple[str, ...] | None = None
    laws: tuple[str, ...] | None = None
    rounds: int = 15
    seconds: float = 540.0


WHOLE = Extent()
DRY = Extent((1_000, 10_000), 6, 4, 16, 5, ("lion",), tuple(sorted(laws.catalogue()))[:2], 3, 240.0)


def parity(names: Sequence[str] | None = None, until: float = math.inf) -> Table:
    """Each rule on the accelerator against the CPU's torch, and optax if installed: every option, few numbers."""
    from parity import matrix, table

    rows, left = [], []
    for rule in names or table.known_rules():
        if time.perf_counter() > until:
            left.append(rule)
            continue
        found = matrix.rows([rule], quick=True, against=[name for name in matrix.AGAINST if find_spec(name)])
        if held := [row for row in found if row["mode"] == "free" and row["gate"] is not None]:
            failed = sum(not row["passed"] for row in held)
            verdict = f"{failed} of {len(held)} fail" if failed else "holds"
            largest, gate = max(row["largest_error"] for row in held), held[0]["gate"]
            rows.append([rule, str(len(held)), f"{largest:.1e}", f"{gate:.0e}", verdict])
    if left:
        rows.append([f"{len(left)} more, from {left[0]}", "", "", "", TIME_IS_UP])
    columns = ["rule", "comparisons", "largest error over reach", "gate", "verdict"]
    return Table("Parity with torch and optax on the CPU, float64", columns, rows)


def verified_laws(names: Sequence[str] | None = None, until: float = math.inf) -> Table:
    """Every law of the catalogue, checked on the accelerator."""
    rows, left = [], []
    for law in (law for law in laws.catalogue().values() if names is None or law.id in names):
        if time.perf_counter() > until:
            left.append(law.id)
            continue
        evidence = law.verify(0)
        verdict = "holds" if evidence.holds else "fails"
        rows.append([law.id, law.kind, f"{evidence.residual:.2g}", f"{evidence.bound:.2g}", verdict])
    if left:
        rows.append([f"{len(left)} more, from {left[0]}", "", "", "", TIME_IS_UP])
    return Table("Laws", ["law", "kind", "residual", "bound", "verdict"], rows)


def repeated(step: Callable[..., Any], state: Any, *rest: Any) -> Callable[[], None]:
    """Several calls, each on what the last returned, waited for at the end."""
    held = [state]

    def call() -> None:
        for _ in range(CALLS):
            held[0] = step(held[0], *rest)
        jax.block_until_ready(held[0])

    return call


def ours(rule: Rule, numbers: dict[str, float], shapes: list[Shape]) -> tuple[Callable[[], None], float, float]:
    """Our step in place; arrays that its program reads and writes, and arrays that it needs beside, in parameters."""
    params, grads = _filled(shapes, 1.0), _filled(shapes, 0.1)
    hyper = jax.tree.map(jnp.float32, rule.hyper(**numbers))
    step, state = in_place.step(rule), in_place.init(rule, params)
    program = step.lower(hyper, params, state, grads).compile()
    size = 4 * sum(math.prod(shape) for shape in shapes)
    call = repeated(lambda held: step(hyper, held[0], held[1], grads), (params, state))
    return call, program.cost_analysis()["bytes accessed"] / size, program.memory_analysis().temp_size_in_bytes / size


def optax_step(rule: Rule, numbers: dict[str, float], shapes: list[Shape]) -> Callable[[], None] | None:
    """optax's, compiled, with parameters and state donated."""
    if not find_spec("optax"):
        return None
    import optax

    made = optax.chain(*(part.make() for part in in_optax(rule, rule.hyper(**numbers)._asdict(), 1e-3)))

    def step(held: Any, grads: Any) -> Any:
        updates, state = made.update(grads, held[1], held[0])
        return optax.apply_updates(held[0], updates), state

    params, grads = _filled(shapes, 1.0), _filled(shapes, 0.1)
    return repeated(jax.jit(step, donate_argnums=0), (params, jax.jit(made.init)(params)), grads)


def torch_step(rule: Rule, numbers: dict[str, float], shapes: list[Shape]) -> Callable[[], None] | None:
    """Torch fused, on the same kind of device; foreach where torch has no fused one, and none where it lacks the rule."""
    import torch

    name = find(NAMES, rule)
    on_cpu = jax.devices()[0].platform == "cpu"
    if name is None or not (on_cpu or torch.cuda.is_available()):
        return None
    device = torch.device("cpu" if on_cpu else "cuda")
    parameters = [torch.nn.Parameter(torch.ones(shape, device=device)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 0.1)
    way = {name.implementations[-1]: True}
    optimizer = getattr(torch.optim, name.class_name(rule.options))(parameters, lr=1e-3, **numbers, **way)

    def call() -> None:
        for _ in range(CALLS):
            optimizer.step()
        if not on_cpu:
            torch.cuda.synchronize()

    return call


def one_step(shapes: list[Shape], what: str, *, rounds: int = 15, until: float = math.inf) -> Table:
    """One step in place, beside torch fused and optax, as a share of what a copy of as many bytes reaches."""
    rows = []
    for name, (rule, numbers, passes) in STEPS.items():
        if time.perf_counter() > until:
            rows.append([name, *[""] * 6, TIME_IS_UP])
            continue
        try:
            rows.append([name, *_timed(rule, numbers, passes, shapes, rounds)])
        except Exception as error:  # of jax or of torch, each with its own
            if "out of memory" not in str(error).lower() and "RESOURCE_EXHAUSTED" not in str(error):
                raise
            rows.append([name, *[""] * 6, "does not fit its memory"])
    columns = ["rule", "time", "÷ optax", "÷ torch fused (rmsprop: foreach)", "least bytes ÷ time", "share of copy",
               "reads and writes, of least", "spare arrays"]  # fmt: skip
    return Table(f"One step in place, {what}, float32", columns, rows)


def _timed(rule: Rule, numbers: dict[str, float], passes: int, shapes: list[Shape], rounds: int) -> list[str]:
    """A row; what it holds on the device is given back with it."""
    size = sum(math.prod(shape) for shape in shapes)
    step, read, spare = ours(rule, numbers, shapes)
    others = {"optax": optax_step(rule, numbers, shapes), "torch": torch_step(rule, numbers, shapes)}
    source = jnp.ones(passes * size // 2)
    copy = repeated(jax.jit(lambda old, source: source + 1, donate_argnums=0), jnp.ones_like(source), source)
    runs = {"step": step, "copy": copy, **{n: call for n, call in others.items() if call is not None}}
    timings = interleaved(runs, rounds=rounds, seconds=6)
    seconds = timings.time("step").median / CALLS
    return [
        number(seconds),
        *(times(timings.ratio("step", n)) if n in runs else "–" for n in ("optax", "torch")),
        f"{4 * passes * size / seconds / 1e9:,.3g} GB/s",
        times(timings.ratio("copy", "step")),
        f"{read:.0f} of {passes}",
        f"{spare:.3f}",
    ]


def _filled(shapes: list[Shape], value: float) -> dict[str, Any]:
    return {f"w{i:03d}": jnp.full(shape, value, jnp.float32) for i, shape in enumerate(shapes)}


def sweeps(runs: int, steps: int, rounds: int = 5) -> dict[str, Any]:
    """Seconds of a run-step of a sweep, by the batch, and the final losses."""
    from .sweep import Grid
    from .sweep import ours as sweep

    found: dict[str, Any] = {}
    for batch in (1, 64):
        grid = Grid.of(runs, batch, steps)
        train = sweep(grid)
        losses = train()
        taken = interleaved({"sweep": train}, rounds=rounds, warm_up=1, seconds=8).time("sweep").median
        found[str(batch)] = {"seconds": taken / (grid.runs * steps), "losses": losses.ravel().tolist()}
    return found


def beside_the_cpu(runs: int, steps: int, rounds: int = 5, limit: float = 120.0) -> Table:
    """The sweep of the digits here and, in a process of its own, on this machine's CPU."""
    title, columns = (
        f"A sweep of {runs:,} runs of the digits perceptron, Adam",
        ["batch", "a run-step", "on the CPU", "times as fast", "final losses apart, median"],
    )
    if not find_spec("optax"):
        return Table(title, columns, [])
    here = sweeps(runs, steps, rounds)
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--sweep", str(runs), str(steps), str(rounds)]
    env = os.environ | {"JAX_PLATFORMS": "cpu"}
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=True)
    except subprocess.TimeoutExpired:
        rows = [[batch, number(found["seconds"]), TIME_IS_UP, "", ""] for batch, found in here.items()]
        return Table(title, columns, rows)
    there = json.loads(done.stdout.splitlines()[-1])
    rows = []
    for batch, found in here.items():
        mine, cpu = found["seconds"], there[batch]["seconds"]
        a, b = np.array(found["losses"]), np.array(there[batch]["losses"])
        apart = float(np.median(np.abs(a - b) / np.abs(b)))
        rows.append([batch, number(mine), number(cpu), f"{cpu / mine:.3g}", f"{apart:.0e}"])
    return Table(title, columns, rows)


def parts(extent: Extent) -> Iterator[Table]:
    """All tables, in the order of what matters should time end; each part has its share of it."""
    begun = time.perf_counter()

    def until(share: float) -> float:
        return begun + share * extent.seconds

    for size in extent.sizes:
        yield one_step([(size,)], f"{size:,} parameters", rounds=extent.rounds, until=until(0.25))
    for model, shapes in MODELS.items():
        if extent.tensors is not None:
            shapes = shapes[:: math.ceil(len(shapes) / extent.tensors)]
        if extent.largest_dimension is not None:
            shapes = [tuple(min(n, extent.largest_dimension) for n in shape) for shape in shapes]
        what = f"{len(shapes)} tensors of {model}"
        yield one_step(shapes, what, rounds=extent.rounds, until=until(0.45))
    left = max(20.0, until(0.65) - time.perf_counter() - 30)
    yield beside_the_cpu(extent.sweep_runs, extent.steps, min(5, extent.rounds), left)
    yield verified_laws(extent.laws, until(0.8))
    yield parity(extent.rules, until(1.0))


def page(tables: Sequence[Table]) -> Iterator[str]:
    """The Markdown page."""
    device, found = jax.devices()[0], facts()
    versions = ", ".join(f"{name} {found[name]}" for name in ("jax", "torch", "optax", "numpy") if name in found)
    yield "# On an accelerator\n\nWritten by `make gpu-check`.\n\n"
    yield f"{found['date']}; {device.device_kind} ({device.platform}); {versions}; Python {found['python']}\n"
    for table in tables:
        yield f"\n## {table.title}\n\n"
        yield table.markdown() if table.rows else "None.\n"


def failures(tables: Sequence[Table]) -> list[str]:
    """What a gate or a law says of a rule."""
    return [f"{table.title}: {row[0]}, {row[-1]}" for table in tables for row in table.rows if "fail" in row[-1]]


def main(arguments: Sequence[str] = ()) -> int:
    """Check and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check")
    parser.add_argument("--dry", action="store_true", help="small, on whatever there is; the page is not written")
    parser.add_argument("--sweep", nargs=3, type=int, help=argparse.SUPPRESS)  # the CPU's side of the sweep
    given = parser.parse_args(arguments)
    if given.sweep:
        print(json.dumps(sweeps(*given.sweep)))
        return 0
    if jax.devices()[0].platform == "cpu" and not given.dry:
        print("no accelerator: JAX finds a CPU alone, nothing was checked and docs/gpu.md is as it was")
        return 0
    tables: list[Table] = []
    for table in parts(DRY if given.dry else WHOLE):
        tables.append(table)
        print(f"{table.title}\n{table.markdown()}", flush=True)
        if not given.dry:
            replace_all({PAGE: "".join(page(tables))})
    for failure in (failed := failures(tables)):
        print(failure)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
