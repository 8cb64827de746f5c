"""A run's results on disk: ``summary.json`` for reading, ``figures.npz`` for loading again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..outputs import plain, replace_all
from .figures import Run, Watched
from .findings import findings_of
from .table import table_of

SCHEMA = "lrtheory/watch/1"
SUMMARY, FIGURES = "summary.json", "figures.npz"


def as_dict(run: Run) -> dict[str, Any]:
    """What ``summary.json`` holds: ``schema``, the findings, a row for each tensor, and what is missing."""
    return {
        "schema": SCHEMA,
        "ended": run.ended,
        "notes": run.notes,
        "coverage": run.coverage,
        "findings": [asdict(finding) for finding in findings_of(run)],
        "tensors": [row._asdict() for row in table_of(run).rows],
        "optimizers": [
            {"name": w.name, "kind": w.kind, "steps": w.taken, "measured": len(w.steps), "skipped": w.skipped}
            for w in run.optimizers
        ],
    }


def save(run: Run) -> Path:
    """Write both files beside the record; gives ``summary.json``."""
    arrays: dict[str, np.ndarray] = {}
    heads = []
    for i, w in enumerate(run.optimizers):
        arrays[f"{i}/steps"] = w.steps
        arrays |= {f"{i}/figures/{name}": value for name, value in w.figures.items()}
        arrays |= {f"{i}/groups/{name}": value for name, value in w.groups.items()}
        own = {name: getattr(w, name) for name in ("name", "kind", "tensors", "taken", "skipped")}
        schedulers = [{**s, "at": s["at"].tolist(), "steps": s["steps"].tolist()} for s in w.schedulers]
        heads.append({**own, "schedulers": schedulers})
    head = {"optimizers": heads, "notes": run.notes, "coverage": run.coverage, "ended": run.ended}
    arrays["head"] = np.frombuffer(json.dumps(plain(head)).encode(), np.uint8)
    target = run.out / SUMMARY
    text = json.dumps(plain(as_dict(run)), indent=1, ensure_ascii=False) + "\n"
    compressed: Any = np.savez_compressed
    replace_all({run.out / FIGURES: lambda file: compressed(file, **arrays), target: text})
    return target


def load(out: Path) -> Run:
    """What :func:`save` wrote."""
    with np.load(out / FIGURES) as arrays:
        head = json.loads(arrays["head"].tobytes())
        optimizers = []
        for i, own in enumerate(head.pop("optimizers")):
            for line in own["schedulers"]:
                line |= {name: np.asarray(line[name], float) for name in ("at", "steps")}
            figures, groups = (
                {name.split("/", 2)[2]: arrays[name] for name in arrays.files if name.startswith(f"{i}/{part}/")}
                for part in ("figures", "groups")
            )
            optimizers.append(Watched(steps=arrays[f"{i}/steps"], figures=figures, groups=groups, **own))
    return Run(out, optimizers, **head)
