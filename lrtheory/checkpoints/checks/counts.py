"""Step counts: of one tensor beside another, and beside the counters of the run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..checkpoint import Checkpoint
from ..fault import Fault, Notes, some
from ..identified import Identified, counts_of

#: Steps that a scaler may leave out, as a share, and besides.
SKIPPED, FEW = 0.05, 2
#: Micro-batches to a step that are not surprising.
MICRO = 64


def counts_agree(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """Tensors of one optimizer have taken the same steps."""
    counted = [t for t in of.tensors if t.count is not None]
    if not counted:
        if of.tensors:
            notes.not_judged.append("counts: this optimizer keeps none")
        return
    odd = [t for t in counted if not float(t.count or 0).is_integer() or (t.count or 0) < 0]
    if odd:
        text = f"The step count of {some([t.name for t in odd])} is {odd[0].count:g}, which is no number of steps."
        fix = "go back to an earlier checkpoint, or set every count to the number of steps taken"
        yield Fault("count-impossible", "proven", text, fix, tuple(t.name for t in odd))
        return
    usual = of.steps or 0
    others = [t for t in counted if t.count != usual]
    if others:
        fewer = sorted({int(t.count or 0) for t in others})
        text = f"Counts differ: {len(counted) - len(others)} tensors have taken {usual} steps, {some([t.name for t in others])} "
        text += f"{', '.join(map(str, fewer[:3]))}{' …' if len(fewer) > 3 else ''}."
        fix = f"if these had a gradient in every step, their count was lost: set it to {usual}, or their first steps are of "
        fix += "another size"
        yield Fault(
            "counts-differ", "likely", text, fix, tuple(t.name for t in others), {"usual": usual, "others": fewer}
        )
    missing = [t for t in of.tensors if t.count is None]
    if missing:
        text = f"{some([t.name for t in missing])} has no step count, and {counted[0].name} has one."
        yield Fault("count-missing", "proven", text, f"set it to {usual}", tuple(t.name for t in missing))
    notes.looked_at.append(f"counts of {len(counted)} tensors: {usual} steps")


def counts_fit_the_run(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """The optimizer has taken about as many steps as the run's counter says; more calls than steps are accumulation."""
    counters = dict(checkpoint.counts())
    if not counters:
        return
    counts = [t.count for t in of.tensors if t.count is not None and np.isfinite(t.count)]
    most = int(max(counts)) if counts else None
    total = sum(int(max(counts_of(saved), default=0)) for saved in checkpoint.optimizers)
    scheduled = {state.get("last_epoch") for state in checkpoint.schedulers.values()}
    for path, counter in counters.items():
        if most is None:
            if counter > 1 and not of.tensors and any(group.keys for group in of.saved.groups) and not _keeps_none(of):
                text = f"{path} is {counter}, and the optimizer has no state of any tensor."
                fix = "go back to a checkpoint with the optimizer's state; without it the run starts its averages again"
                yield Fault("state-lost", "proven" if of.kind else "likely", text, fix, evidence={path: counter})
            continue
        other = path.rpartition(".")[2] == "global_step" or counter in scheduled  # no count of micro-batches
        if _fits(most, counter) or (not other and _accumulates(most, counter)):
            continue
        if len(checkpoint.optimizers) > 1 and most > FEW and (_fits(total, counter) or _accumulates(counter, most)):
            continue  # Lightning counts the steps of all; one optimizer may take several to each of the run's
        text = f"The optimizer has taken {most} steps, and {path} is {counter}."
        fix = "the count began again, or state and counter are of two checkpoints: take both from one"
        yield Fault("counts-do-not-fit-the-run", "likely", text, fix, evidence={"steps": most, path: counter})
    notes.looked_at.append(f"counts beside {', '.join(counters)}")


def _keeps_none(of: Identified) -> bool:
    """Whether this is SGD without momentum."""
    return of.kind.endswith("SGD") and not any(group.numbers.get("momentum") for group in of.saved.groups)


def _fits(steps: int, counter: int) -> bool:
    return abs(steps - counter) <= max(FEW, SKIPPED * counter)


def _accumulates(steps: int, counter: int) -> bool:
    """Whether the counter is of micro-batches."""
    every = round(counter / steps) if steps else 0
    return 1 < every <= MICRO and steps > FEW and _fits(steps, counter // every)
