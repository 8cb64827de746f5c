"""Successive halving: many runs for a few steps, and only the best of them for more."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .axes import Axes
from .result import Sweep
from .running import run

PyTree = Any


class Rung(NamedTuple):
    """One round of :func:`halving`."""

    steps: int
    """That each of its runs was trained for."""
    runs: np.ndarray
    """Places in the whole sweep, in C order of its axes, of the runs that are in it."""
    found: Sweep
    """Their results, along the one axis ``run``."""


def halving(
    loss: Callable[[PyTree, PyTree], Any],
    params: Any,
    data: PyTree,
    over: Axes,
    *,
    rungs: Sequence[int],
    keep: float = 1 / 3,
    record: Sequence[int] = (),
    directory: str | Path | None = None,
    **options: Any,
) -> list[Rung]:
    """Train all runs for the first number of steps, the best share of them for the second, and so on.

    A rung trains from the beginning, and as a part of the whole sweep: a survivor's results are, to the last bit, those that
    :func:`run` gives for so many steps, and a rung compiles one program for each rule and batch size. At ``keep=1/3`` with
    rungs that triple, beginning again takes at most half as long again as going on would. Runs are ranked by ``final_loss``; what has
    diverged is last, and equals stay in their order.

    Parameters
    ----------
    loss, params, data, over, **options
        As :func:`run` takes them. Batches must not depend on the number of steps but by their end, as those of
        :func:`shuffled` do, if a longer run is to go on as a shorter one began.
    rungs : rising numbers of steps
    keep : share of the runs that the next rung has, rounded up
        Above 0, below 1.
    record : steps, from 1
        Of those, a rung records the ones that it reaches.
    directory : path
        Each rung has a directory in it, as in :func:`run`.

    Returns
    -------
    list of Rung
        One for each number of steps; the last has the survivors.

    Raises
    ------
    ValueError
        For rungs that do not rise, a ``keep`` that is no share, or a recorded step that no rung reaches.
    """
    if not rungs or list(rungs) != sorted(set(rungs)):
        raise ValueError(f"rungs={list(rungs)} must hold rising numbers of steps, such as [10, 30, 90]")
    if not 0 < keep < 1:
        raise ValueError(f"keep={keep} must be a share above 0 and below 1")
    if late := [at for at in record if at > rungs[-1]]:
        raise ValueError(f"record={late}: the last rung ends at step {rungs[-1]}; leave them out, or add a rung")
    runs, rounds = np.arange(over.size), []
    for steps in rungs:
        found = run(
            loss,
            params,
            data,
            over.part(runs),
            steps=steps,
            record=[at for at in record if at <= steps],
            directory=None if directory is None else Path(directory) / f"{steps}-steps",
            **options,
        )
        rounds.append(Rung(steps, runs, found))
        runs = runs[best(found, math.ceil(keep * len(runs)))]
    return rounds


def best(found: Sweep, count: int) -> np.ndarray:
    """Places of the runs with the smallest final losses, rising; those that diverged are last."""
    loss = np.where(found.values["diverged_at"] == 0, found.values["final_loss"], np.inf)
    return np.sort(np.argsort(loss.reshape(-1), kind="stable")[:count])
