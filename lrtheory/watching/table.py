"""The summary of a run as a table: a row for each tensor, medians over the measured steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..spec import short
from .figures import Run, Watched
from .findings import findings_of


class Row(NamedTuple):
    """One tensor; figures are medians over measured steps, nan where they are not known."""

    name: str
    optimizer: str
    group: int
    size: int
    rule: str
    lr: float
    effective_lr: float
    """Harmonic mean of E over the tensor."""
    relative_update: float
    rotation: float
    absorbed: float
    clip_factor: float
    eps_dominated: float
    decay_share: float
    moved_without_gradient: float
    findings: tuple[str, ...] = ()
    reason: str = ""


COLUMNS = {
    "tensor": lambda row: row.name,
    "group": lambda row: str(row.group),
    "lr": lambda row: _short(row.lr),
    "effective lr": lambda row: _short(row.effective_lr),
    "step/size": lambda row: _short(row.relative_update),
    "absorbed": lambda row: _share(row.absorbed),
    "clip": lambda row: _short(row.clip_factor),
    "eps rules": lambda row: _share(row.eps_dominated),
    "decay": lambda row: _share(row.decay_share),
    "findings": lambda row: ", ".join(row.findings),
}


#: What a column says where there is nothing to see.
QUIET = {head: {"–", "0%", ""} for head in ("absorbed", "eps rules", "decay", "findings")} | {
    "clip": {"–", "1"},
    "group": {"0"},
}


@dataclass(frozen=True)
class Table:
    """Rows, those with findings first; printing it shows at most :attr:`most` of them."""

    rows: list[Row]
    lines: list[str] = field(default_factory=list)
    most: int = 40

    def __str__(self) -> str:
        columns = self.columns()
        if not columns:
            return "\n".join(self.lines)
        widths = [max(map(len, (head, *cells))) for head, cells in columns.items()]
        lines = [_line(columns, widths), _line(["─" * width for width in widths], widths)]
        lines += [_line(row, widths) for row in zip(*columns.values(), strict=True)]
        if len(self.rows) > self.most:
            lines.append(f"and {len(self.rows) - self.most} more")
        return "\n".join([*lines, *self.lines])

    def columns(self) -> dict[str, list[str]]:
        """Cells by column, without the columns in which there is nothing to see."""
        shown = self.rows[: self.most]
        made = {head: [make(row) for row in shown] for head, make in COLUMNS.items()}
        return {head: cells for head, cells in made.items() if set(cells) - QUIET.get(head, set())}

    __repr__ = __str__

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> Row:
        """The row of a tensor, by its name."""
        found = next((row for row in self.rows if row.name == name), None)
        if found is None:
            raise KeyError(f"no tensor {name!r}: there are {short(', '.join(row.name for row in self.rows))}")
        return found


def table_of(run: Run) -> Table:
    """The table of a run."""
    found: dict[str, list[str]] = {}
    findings = findings_of(run)
    for finding in findings:
        for name in finding.where:
            found.setdefault(name, []).append(finding.id)
    rows = [row for watched in run.optimizers for row in _rows(watched, found)]
    rows.sort(key=lambda row: -len(row.findings))
    told = [f"{w.name}: {w.taken} steps, {len(w.steps)} measured, {w.skipped} skipped" for w in run.optimizers]
    return Table(rows, [*told, *(finding.text for finding in findings), *run.notes])


def _rows(watched: Watched, found: dict[str, list[str]]) -> Iterable[Row]:
    medians = watched.medians
    for i, tensor in enumerate(watched.tensors):
        at = {name: float(value[i]) for name, value in medians.items()}
        yield Row(
            name=tensor["name"],
            optimizer=watched.name,
            group=tensor["group"],
            size=int(np.prod(tensor["shape"])),
            rule=tensor["rule"],
            lr=at["nominal_lr"],
            effective_lr=at["harmonic_mean"],
            findings=tuple(found.get(tensor["name"], ())),
            reason=tensor["reason"],
            **{name: at[name] for name in Row._fields if name in at},
        )


def _line(cells: Iterable[str], widths: list[int]) -> str:
    first, *rest = (c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
    return "  ".join([first, *rest]).rstrip()


def _short(value: Any) -> str:
    return "–" if np.isnan(value) else f"{value:.3g}"


def _share(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.0%}" if value == 0 or value >= 0.005 else "<1%"
