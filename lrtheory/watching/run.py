"""The figures of a watched run: what the analysis makes of a record, and what tables, findings and pages are made of."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..outputs import plain, replace_all

if TYPE_CHECKING:
    from .findings import Finding
    from .table import Table

SUMMARY, FIGURES = "summary.json", "figures.npz"


@dataclass
class Watched:
    """One optimizer's measured steps.

    Attributes
    ----------
    name, kind : str
        The optimizer's name and class.
    tensors : list of dict
        ``name``, ``shape``, ``dtype``, ``group``, ``module``, ``rule`` (as it is written, or "" where none is known), ``reason``
        (why, or what is missing) and ``sampled`` (how many coordinates, of all).
    steps : array of int
        Which steps were measured, from 0.
    figures : dict of str to array of (steps, tensors)
        The fields of :class:`lrtheory.effective.Summary` (``quantiles`` has one axis more), and ``grad_norm``; nan where there
        is none.
    groups : dict of str to array of (steps, groups)
        ``lr`` and ``weight_decay`` as set, nan where a group has none; and ``max_norm`` and ``norm`` of the first clip.
    taken : int
        Steps taken in all, as far as the record says.
    skipped : int
        Steps that a gradient scaler left out.
    schedulers : list of dict
        ``kind``, ``planned``, and arrays ``steps`` (of the scheduler) and ``at`` (of the optimizer).
    """

    name: str
    kind: str
    tensors: list[dict[str, Any]]
    steps: np.ndarray
    figures: dict[str, np.ndarray]
    groups: dict[str, np.ndarray]
    taken: int = 0
    skipped: int = 0
    schedulers: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Run:
    """A watched run, worked out.

    Attributes
    ----------
    out : Path
        Directory of the record.
    optimizers : list of Watched
    notes : list of str
        What is missing, and what was seen that plays a part.
    coverage : dict
        ``outside`` and ``twice``: names of parameters that no optimizer has, and that several have.
    ended : bool
        Whether the recording was closed; else the process ended in the middle of it, or still runs.
    """

    out: Path
    optimizers: list[Watched]
    notes: list[str] = field(default_factory=list)
    coverage: dict[str, list[str]] = field(default_factory=lambda: {"outside": [], "twice": []})
    ended: bool = False

    def table(self) -> Table:
        """A row for each tensor."""
        from .table import table

        return table(self)

    def findings(self) -> list[Finding]:
        """What should be set otherwise."""
        from .findings import findings

        return findings(self)

    def as_dict(self) -> dict[str, Any]:
        """What ``summary.json`` holds: the table, the findings and the notes; schema 1."""
        return {
            "schema": 1,
            "ended": self.ended,
            "notes": self.notes,
            "coverage": self.coverage,
            "findings": [finding.as_dict() for finding in self.findings()],
            "tensors": [row._asdict() for row in self.table().rows],
            "optimizers": [
                {"name": w.name, "kind": w.kind, "steps": w.taken, "measured": len(w.steps), "skipped": w.skipped}
                for w in self.optimizers
            ],
        }

    def save(self) -> Path:
        """Write ``summary.json`` for reading and ``figures.npz`` for :meth:`load`; gives the former."""
        arrays: dict[str, np.ndarray] = {}
        heads = []
        for i, w in enumerate(self.optimizers):
            arrays[f"{i}/steps"] = w.steps
            arrays |= {f"{i}/figures/{name}": value for name, value in w.figures.items()}
            arrays |= {f"{i}/groups/{name}": value for name, value in w.groups.items()}
            own = {name: getattr(w, name) for name in ("name", "kind", "tensors", "taken", "skipped", "schedulers")}
            heads.append(own)
        head = {"optimizers": heads, "notes": self.notes, "coverage": self.coverage, "ended": self.ended}
        arrays["head"] = np.frombuffer(json.dumps(plain(head)).encode(), np.uint8)
        target = self.out / SUMMARY
        text = json.dumps(plain(self.as_dict()), indent=1, ensure_ascii=False) + "\n"
        replace_all({self.out / FIGURES: lambda file: np.savez_compressed(file, **arrays), target: text})
        return target

    @classmethod
    def load(cls, out: Path) -> Run:
        """What :meth:`save` wrote."""
        with np.load(out / FIGURES) as arrays:
            head = json.loads(arrays["head"].tobytes())
            optimizers = []
            for i, own in enumerate(head.pop("optimizers")):
                for line in own["schedulers"]:
                    line |= {name: np.asarray(line[name], float) for name in ("at", "steps")}
                parts = {
                    part: {
                        name.split("/", 2)[2]: arrays[name] for name in arrays.files if name.startswith(f"{i}/{part}/")
                    }
                    for part in ("figures", "groups")
                }
                optimizers.append(Watched(steps=arrays[f"{i}/steps"], **parts, **own))
        return cls(out, optimizers, **head)
