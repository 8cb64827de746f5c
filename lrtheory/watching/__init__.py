"""Watch a training run that others wrote: recorder per framework → record on disk → analysis → table, findings, logger.

The recorder (:mod:`.torch_recorder`) reads a sample of coordinates around a measured step and computes nothing. The record
(:mod:`.record`) is the same for all frameworks. The analysis (:mod:`.analysis`) runs the rules and
:func:`lrtheory.effective.measure` on it, on the CPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .figures import Run, Watched
from .findings import Finding, findings_of
from .handle import Watch, worked_out
from .loggers import Log
from .record import Record, RecordWarning, Writer
from .saved import load, save
from .table import Table, table_of

if TYPE_CHECKING:
    from .in_torch import TorchWatch

__all__ = [
    "Finding", "Log", "Record", "RecordWarning", "Run", "Table", "Watch", "Watched", "Writer", "findings_of", "load", "save", "table_of",
    "watch", "worked_out",
]  # fmt: skip


def watch(
    optimizer: Any,
    *,
    model: Any = None,
    every: int = 100,
    sample: int = 256,
    out: str | Path = "run",
    log: Log | None = None,
) -> TorchWatch:
    """Watch the steps of a torch optimizer, and leave them as they are, bit for bit.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer, list of them, or mapping of names to them
    model : torch.nn.Module, optional
        Gives parameters their names, and tells which are in no group.
    every : int
        Measure the first step, and every so many from there on.
    sample : int
        Coordinates of a tensor that are recorded; a tensor with no more is recorded whole.
    out : path
        Directory of the record; the next free ``out-2``, ``out-3``, … if it has one already.
    log : function, optional
        ``log(figures, step)``, such as those of :mod:`.loggers`: called for each measured step, in the training's own thread,
        once it has been worked out in a process beside it.

    Returns
    -------
    Watch
        A context manager with ``.summary()``, ``.findings()``, ``.report()`` and ``.close()``.

    Raises
    ------
    TypeError
        For what has no step hook.
    ValueError
        For ``every`` or ``sample`` below 1.
    """
    from .in_torch import watch_torch

    return watch_torch(optimizer, model, every=every, sample=sample, out=out, log=log)
