"""A schedule evaluated at t = 0 … 10⁶ in one compiled call, against torch stepping its scheduler so often.

    python -m benchmarks.schedules [--steps N] [--only NAME] [--markdown]

For each schedule: the largest difference from torch's stepping, relative to the largest lr, after 10³, 10⁴, … steps
(float64), and from torch's own closed form where it has one; the largest relative error of float32 against float64;
and the times. Compilation is left out of the times and shown apart.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import torch
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from lrtheory import schedules
from parity import LrSchedule

from .harness import Table, caption, facts, show


@dataclass(frozen=True)
class Both:
    """One schedule of N steps, and the torch scheduler that it is."""

    name: str
    schedule: Callable[[int], Any]
    scheduler: Callable[[Any, int], Any]


def _warmup_cosine(optimizer: Any, n: int) -> Any:
    first = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=n // 100)
    second = lr_scheduler.CosineAnnealingLR(optimizer, T_max=n - n // 100)
    return lr_scheduler.SequentialLR(optimizer, [first, second], milestones=[n // 100])


LR = 0.3


def _named(label: str, schedule: str, numbers: Callable[[int], dict[str, Any]]) -> Both:
    """A schedule and the scheduler of its name, which take the same numbers."""
    return Both(
        label,
        lambda n: LrSchedule(schedule, numbers(n)).ours(LR),
        lambda optimizer, n: LrSchedule(schedule, numbers(n)).in_torch(optimizer),
    )


ROWS = [
    _named("constant", "constant", lambda n: {"factor": 1 / 3, "total_iters": n // 2}),
    _named("step", "step", lambda n: {"step_size": max(n // 100, 1), "gamma": 0.9}),
    _named("multi_step", "multi_step", lambda n: {"milestones": [n // 2, 3 * n // 4], "gamma": 0.1}),
    _named("exponential", "exponential", lambda n: {"gamma": 1 - 5 / n}),
    _named("linear, down to 0", "linear", lambda n: {"start_factor": 1.0, "end_factor": 0.0, "total_iters": n}),
    _named("polynomial, power 2", "polynomial", lambda n: {"total_iters": n, "power": 2.0}),
    _named("cosine_annealing, T_max 100", "cosine_annealing", lambda n: {"T_max": 100, "eta_min": 1e-3}),
    _named("cosine_annealing, T_max 10000", "cosine_annealing", lambda n: {"T_max": 10_000, "eta_min": 1e-3}),
    _named("cosine_annealing, T_max N", "cosine_annealing", lambda n: {"T_max": n}),
    _named("warm restarts, T_mult 2", "cosine_annealing_warm_restarts", lambda n: {"T_0": 10, "T_mult": 2}),
    Both("cyclic, triangular2",
        lambda n: schedules.cyclic(base_lr=0.01, max_lr=LR, step_size_up=2000, step_size_down=3000, mode="triangular2"),
        lambda o, n: lr_scheduler.CyclicLR(o, 0.01, LR, step_size_up=2000, step_size_down=3000, mode="triangular2")),
    Both("one_cycle", lambda n: schedules.one_cycle(max_lr=LR, total_steps=n + 1),
        lambda o, n: lr_scheduler.OneCycleLR(o, max_lr=LR, total_steps=n + 1)),
    Both("swalr", lambda n: schedules.swalr(lr=LR, swa_lr=0.05, anneal_epochs=n // 2),
        lambda o, n: SWALR(o, swa_lr=0.05, anneal_epochs=n // 2)),
    Both("warm-up, then cosine", lambda n: schedules.sequential(
            schedules=[schedules.linear(lr=LR, start_factor=0.1, total_iters=n // 100),
                       schedules.cosine_annealing(lr=LR, T_max=n - n // 100)], milestones=[n // 100]),
        _warmup_cosine),
]  # fmt: skip


def optimizer_of(lr: Any) -> torch.optim.Optimizer:
    """An optimizer that has been stepped once, which is all a scheduler asks for."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    return torch.optim.SGD([parameter], lr=lr, momentum=0.9)


def step_torch(row: Both, n: int, steps: int, lr: Any = LR) -> tuple[np.ndarray, float]:
    """Torch's lr after 0 … ``steps`` scheduler steps, and the seconds the stepping took."""
    optimizer = optimizer_of(lr)
    scheduler = row.scheduler(optimizer, n)
    optimizer.step()
    group, values = optimizer.param_groups[0], np.empty(steps + 1)
    values[0] = float(group["lr"])
    start = time.perf_counter()
    for t in range(1, steps + 1):
        scheduler.step()
        values[t] = group["lr"]
    return values, time.perf_counter() - start


def closed_form(row: Both, n: int, steps: int) -> np.ndarray | None:
    """Torch's closed form at 0 … ``steps``, where the scheduler has one."""
    scheduler = row.scheduler(optimizer_of(LR), n)
    if not hasattr(scheduler, "_get_closed_form_lr"):
        return None
    values = np.empty(steps + 1)
    for t in range(steps + 1):
        scheduler.last_epoch = t
        values[t] = scheduler._get_closed_form_lr()[0]
    return values


def evaluate(schedule: Any, steps: int, x64: bool) -> tuple[np.ndarray, float, float]:
    """Our values, seconds of one compiled call (best of 5), and seconds of compilation."""
    with jax.enable_x64(x64):
        t = jax.numpy.arange(steps + 1)
        start = time.perf_counter()
        compiled = jax.jit(lambda schedule, t: schedule(t)).lower(schedule, t).compile()
        compilation = time.perf_counter() - start
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            values = jax.block_until_ready(compiled(schedule, t))
            seconds.append(time.perf_counter() - start)
        return np.asarray(values, np.float64), min(seconds), compilation


def largest(difference: np.ndarray, scale: np.ndarray | float) -> float:
    """The largest difference, relative to ``scale``; it must be a number."""
    value = float(np.max(np.abs(difference) / scale))
    if not np.isfinite(value):
        raise ArithmeticError("a schedule gave a value that is no number")
    return value


def measure(row: Both, steps: int, marks: list[int]) -> list[str]:
    """The cells of one row of the table."""
    want, torch_seconds = step_torch(row, steps, steps)
    got, _, _ = evaluate(row.schedule(steps), steps, x64=True)
    single, seconds, compilation = evaluate(row.schedule(steps), steps, x64=False)
    closed = closed_form(row, steps, min(steps, 100_000))
    few = min(steps, 10_000)
    tensor, _ = step_torch(row, steps, few, torch.tensor(LR))
    top = np.max(want)
    return [
        row.name,
        *(f"{largest(got[: mark + 1] - want[: mark + 1], top):.0e}" for mark in marks),
        "none" if closed is None else f"{largest(got[: closed.size] - closed, top):.0e}",
        f"{largest(tensor - got[: few + 1], top):.0e}",
        f"{largest(single - got, np.where(got == 0, 1, np.abs(got))):.0e}",
        f"{torch_seconds:.1f} s",
        f"{1e3 * seconds:.1f} ms",
        f"{compilation:.2f} s",
        f"{torch_seconds / seconds:,.0f}",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--only", help="rows whose name contains this")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    arguments = parser.parse_args()
    if arguments.steps < 1000:
        parser.error(f"--steps {arguments.steps}: at least 1000 are needed for the first column")
    rows = [row for row in ROWS if arguments.only is None or arguments.only in row.name]
    if not rows:
        parser.error(f"--only {arguments.only!r} is in no name: {', '.join(row.name for row in ROWS)}")
    torch.set_num_threads(1)
    marks = [10**k for k in range(3, 13) if 10**k <= arguments.steps]
    columns = [
        "schedule",
        *(f"torch stepping, {mark:.0e} steps".replace("e+0", "e") for mark in marks),
        "torch closed form",
        "torch, float32 tensor lr, 1e4 steps",
        "float32 against float64",
        "torch",
        "jit",
        "compilation",
        "ratio",
    ]
    cells = []
    for row in rows:
        print(f"stepping torch: {row.name}", file=sys.stderr)
        cells.append(measure(row, arguments.steps, marks))
    table = Table("Largest difference over the largest lr, and times", columns, cells)
    told = f"N = {arguments.steps:,}; {caption(facts())}"
    if arguments.markdown:
        print(f"{table.markdown()}\n{told}")
    else:
        show(table, told)


if __name__ == "__main__":
    main()
