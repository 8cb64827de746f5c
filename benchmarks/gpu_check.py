"""Parity, laws and speed on the accelerator that JAX finds; a table of what was found, in docs/gpu.md.

    python -m benchmarks.gpu_check

Needs jax for the accelerator and torch (a CPU build will do), optax if it is there, and no installation of this project.
On a machine without an accelerator it says so and changes nothing. Exits with 1 if a parity gate or a law fails.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from lrtheory import in_place, laws, rules
from lrtheory.outputs import replace_all
from lrtheory.rules import Rule

from .harness import Table, facts, interleaved, number, times

PAGE = Path(__file__).parents[1] / "docs" / "gpu.md"
SIZE = 20_000_000
CALLS = 10
STEPS: dict[str, tuple[Rule, dict[str, float], int]] = {
    "sgd, momentum 0.9": (rules.sgd(), {"momentum": 0.9}, 5),
    "adam": (rules.adam(), {}, 7),
    "adamw": (rules.adamw(), {}, 7),
    "rmsprop": (rules.rmsprop(momentum_buffer=False), {}, 5),
}


def parity(names: Sequence[str] | None = None) -> Table:
    """Each rule on the accelerator against the CPU's torch, and optax if installed: every option, few numbers."""
    from parity import BACKENDS, GATES, Inexpressible, compare, replay, table
    from parity.known import known_difference
    from parity.matrix import cases

    backends = [
        name for name in ("torch", "torch-foreach", "torch-fused", "optax") if find_spec(name.partition("-")[0])
    ]
    assert set(backends) <= set(BACKENDS)
    rows = []
    for dtype in GATES:
        for rule in names or table.known_rules():
            gated, others = [], []
            gate = table.row(rule).gate or GATES[dtype]
            for case in cases(rule, dtype=dtype, quick=True):
                ours = replay(case, "lrtheory")
                for backend in backends:
                    try:
                        error = compare(ours, replay(case, backend)).largest_error
                    except Inexpressible:
                        continue
                    (others if known_difference(case, backend) or dtype == "float32" else gated).append(error)
            if gated:
                failed = sum(not error <= gate for error in gated)
                verdict = f"{failed} of {len(gated)} fail" if failed else "holds"
                rows.append([rule, dtype, str(len(gated)), f"{max(gated):.1e}", f"{gate:.0e}", verdict])
            elif dtype == "float32" and others:
                rows.append([rule, dtype, str(len(others)), f"{max(others):.1e}", "", "reported"])
    columns = ["rule", "dtype", "comparisons", "largest error over reach", "gate", "verdict"]
    return Table("Parity with torch and optax on the CPU", columns, rows)


def verified_laws() -> Table:
    """Every law of the catalogue, checked on the accelerator."""
    rows = []
    for law in laws.catalogue().values():
        evidence = law.verify(0)
        verdict = "holds" if evidence.holds else "fails"
        rows.append([law.id, law.kind, f"{evidence.residual:.2g}", f"{evidence.bound:.2g}", verdict])
    return Table("Laws", ["law", "kind", "residual", "bound", "verdict"], rows)


def repeated(step: Callable[..., Any], state: Any, *rest: Any) -> Callable[[], None]:
    """Several calls, each on what the last returned, waited for at the end."""
    held = [state]

    def call() -> None:
        for _ in range(CALLS):
            held[0] = step(held[0], *rest)
        jax.block_until_ready(held[0])

    return call


def bandwidth(size: int = SIZE) -> Table:
    """One step in place, as a share of what a copy of as many bytes reaches."""
    rows = []
    for name, (rule, numbers, passes) in STEPS.items():
        params = {"w": jnp.ones(size)}
        grads = {"w": jnp.full(size, 0.1)}
        hyper = jax.tree.map(jnp.float32, rule.hyper(**numbers))
        step = in_place.step(rule)
        state = in_place.init(rule, params)
        program = step.lower(hyper, params, state, grads).compile()
        read = program.cost_analysis()["bytes accessed"] / (4 * size)
        spare = program.memory_analysis().temp_size_in_bytes / (4 * size)
        source = jnp.ones(passes * size // 2)
        copy = jax.jit(lambda old, source: source + 1)
        timings = interleaved(
            {
                "step": repeated(lambda held, step=step, grads=grads, hyper=hyper: step(hyper, held[0], held[1], grads), (params, state)),
                "copy": repeated(copy, source, source),
            },
            rounds=15,
        )  # fmt: skip
        seconds = timings.time("step").median / CALLS
        rows.append(
            [
                name,
                number(seconds),
                f"{4 * passes * size / seconds / 1e9:,.0f} GB/s",
                times(timings.ratio("copy", "step")),
                f"{read:.0f} of {passes}",
                f"{spare:.3f}",
            ]
        )
    columns = ["rule", "time", "least bytes ÷ time", "share of copy", "reads and writes, of least", "spare arrays"]
    return Table(f"One step in place, {size:,} float32 parameters", columns, rows)


def page(tables: Sequence[Table]) -> Iterator[str]:
    """The Markdown page."""
    device, found = jax.devices()[0], facts()
    versions = ", ".join(f"{name} {found[name]}" for name in ("jax", "torch", "optax", "numpy") if name in found)
    yield "# On an accelerator\n\nWritten by `make gpu-check`.\n\n"
    yield f"{found['date']}; {device.device_kind} ({device.platform}); {versions}; Python {found['python']}\n"
    for table in tables:
        yield f"\n## {table.title}\n\n"
        yield table.markdown() if table.rows else "None.\n"


def main() -> int:
    """Check and write."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        print("no accelerator: JAX finds a CPU alone, nothing was checked and docs/gpu.md is as it was")
        return 0
    tables = [bandwidth(), parity(), verified_laws()]
    text = "".join(page(tables))
    print(text)
    replace_all({PAGE: text})
    return int(any("fail" in row[-1] for table in tables[1:] for row in table.rows))


if __name__ == "__main__":
    sys.exit(main())
