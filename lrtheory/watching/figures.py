"""The figures of a watched run: what the analysis makes of a record, and what tables, findings and pages are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass
class Watched:
    """One optimizer's measured steps.

    Attributes
    ----------
    name, kind : str
        The optimizer's name and class.
    tensors : list of dict
        ``name``, ``shape``, ``dtype``, ``group``, ``module``, ``rule`` (as it is written, or "" where none is known), ``reason``
        (why, or what is missing), ``sampled`` (how many coordinates, of all) and ``not_finite`` (the first measured step after
        which it had nan or infinity, or ``None``).
    steps : array of int
        Which steps were measured, from 0.
    figures : dict of str to array of (steps, tensors)
        The fields of :class:`lrtheory.effective.Summary` (``quantiles`` has one axis more), and ``grad_norm``; nan where there
        is none.
    groups : dict of str to array of (steps, groups)
        ``lr`` and ``weight_decay`` as set, nan where a group has none; and ``max_norm`` and ``norm`` of the clip that clips hardest.
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

    @property
    def medians(self) -> dict[str, np.ndarray]:
        """Of each figure over the steps, by tensor; nan where there is none."""
        return {name: middle(value) for name, value in self.figures.items() if name != "quantiles"}


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


def middle(values: np.ndarray) -> np.ndarray:
    """Medians over steps, without nan; nan where there is nothing else."""
    kept = np.full(values.shape[1:], np.nan)
    for i in np.flatnonzero(~np.isnan(values).all(0)):
        column = values[:, i]
        kept[i] = np.median(column[~np.isnan(column)])
    return kept
