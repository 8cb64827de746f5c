"""How everything here is timed and kept: interleaved runs, medians of ratios with their spread, tables, JSON."""

from __future__ import annotations

import datetime
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from lrtheory.machine import cores
from lrtheory.outputs import replace_all

PAUSE = 0.02
LEAST = 0.02
RESULTS = Path(__file__).parent / "results"
Record = dict[str, Any]


class Spread(NamedTuple):
    """A median and the quartiles about it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Quartiles of the values."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


@dataclass(frozen=True)
class Timings:
    """Seconds of each candidate, round by round: ``seconds[name][i]`` of all names are of one round."""

    seconds: Mapping[str, list[float]]

    def time(self, name: str) -> Spread:
        """Seconds of one call."""
        return Spread.of(self.seconds[name])

    def ratio(self, name: str, to: str) -> Spread:
        """Ratio of two candidates in the same round: what disturbs a whole round leaves it alone."""
        return Spread.of([a / b for a, b in zip(self.seconds[name], self.seconds[to], strict=True)])


def interleaved(
    candidates: Mapping[str, Callable[[], Any]],  # that return when their work is done (``jax.block_until_ready``)
    *,
    rounds: int = 15,  # that count, fewer if ``seconds`` have passed, but at least 3
    warm_up: int = 2,  # rounds before those, which compile and fill caches
    seconds: float = 10.0,
) -> Timings:
    """Time candidates in turns, each round in an order of its own, so that drift and neighbours strike all alike.

    A pause before each lets the threads of the one before it go to sleep: those of OpenMP, which torch uses, look out for
    work for some milliseconds after they have done theirs, and took a third of the speed of whatever came next. What is
    short is called once before it is timed, so that its own threads are awake, and then timed over several calls.
    """
    names, orders = list(candidates), random.Random(0)
    calls = dict.fromkeys(names, 1)
    for _ in range(warm_up):
        for name in names:
            start = time.perf_counter()
            candidates[name]()
            calls[name] = max(1, round(LEAST / max(1e-9, time.perf_counter() - start)))
    taken: dict[str, list[float]] = {name: [] for name in names}
    begun = time.perf_counter()
    for i in range(rounds):
        if i >= 3 and time.perf_counter() - begun > seconds:
            break
        for name in orders.sample(names, len(names)):
            time.sleep(PAUSE)
            if calls[name] > 1:
                candidates[name]()
            start = time.perf_counter()
            for _ in range(calls[name]):
                candidates[name]()
            taken[name].append((time.perf_counter() - start) / calls[name])
    return Timings(taken)


@dataclass(frozen=True)
class Table:
    """A table as text."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    @classmethod
    def of(cls, title: str, records: Iterable[Record], columns: Mapping[str, Callable[[Record], str]]) -> Table:
        """A row for each record: what the columns, by their heads, make of it."""
        return cls(title, list(columns), [[cell(record) for cell in columns.values()] for record in records])

    def markdown(self) -> str:
        """GitHub's table syntax, numbers to the right."""
        lines = [self.columns, ["---", *["--:"] * (len(self.columns) - 1)], *self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def show(table: Table, caption: str = "") -> None:
    """Print to the terminal."""
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(title=table.title, caption=caption or None, title_justify="left")
    for i, column in enumerate(table.columns):
        grid.add_column(column, justify="right" if i else "left", no_wrap=not i)
    for row in table.rows:
        grid.add_row(*row)
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=140)).print(grid)


def facts() -> Record:
    """Date, versions and machine, without names of hosts or paths."""
    from lrtheory.sweep.definition import processor  # with jax, which a table that is only drawn does not need

    found: Record = {"date": datetime.date.today().isoformat(), "python": platform.python_version()}
    for package in ("jax", "jaxlib", "torch", "optax", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, "machine": platform.machine(), "processor": processor(), "cores": cores()}


def save(name: str, records: Sequence[Record]) -> Path:
    """Keep the records as ``results/NAME.json`` with date, versions and machine."""
    target = RESULTS / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    replace_all({target: json.dumps({"facts": facts(), "records": list(records)}, indent=1) + "\n"})
    return target


def load(name: str) -> tuple[Record, list[Record]]:
    """Facts and records of ``results/NAME.json``. Raises FileNotFoundError if it was never measured."""
    kept = json.loads((RESULTS / f"{name}.json").read_text())
    return kept["facts"], kept["records"]


def caption(facts: Record) -> str:
    """One line of what was measured where."""
    packages = ", ".join(f"{name} {facts[name]}" for name in ("jax", "torch", "optax", "numpy") if name in facts)
    processor = f"{facts['cores']} cores of {facts['processor'] or facts['machine']}"
    return f"{facts['date']}; {packages}; Python {facts['python']}; {processor}"


def number(seconds: float) -> str:
    """Seconds in a unit that suits them, to three digits."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def times(ratio: Spread | Sequence[float], digits: str = ".2f") -> str:
    """A ratio with its quartiles."""
    low, median, high = (format(value, digits) for value in ratio)
    return f"{median} ({low}–{high})"


def aim(limit: float | None, value: float, shown: Callable[[float], str]) -> str:
    """Whether a value is within its limit, where it has one."""
    return "" if limit is None else f"{shown(limit)}: {'met' if value <= limit else 'not met'}"


def of_part(records: Iterable[Record], name: str) -> list[Record]:
    """The records of one part of a benchmark."""
    return [record for record in records if record["part"] == name]


def run(
    name: str, measure: Callable[[], Iterable[Record]], tables: Callable[[list[Record]], Mapping[str, Table]]
) -> None:
    """Measure, keep the records and show the tables: what ``python -m benchmarks.NAME`` does."""
    save(name, list(measure()))
    found, records = load(name)
    for table in tables(records).values():
        show(table, caption(found))
