"""What is wrong with a checkpoint, seen from what is in it; nothing of it is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..spec import NoRuleError, Reading
from ..spec import read as read_spec
from ._beside import beside
from .checkpoint import Checkpoint
from .checks import CHECKS
from .fault import Fault, Judgement, Notes
from .identified import Identified, identified


def judge(checkpoint: Checkpoint, optimizer: str | None = None) -> Judgement:
    """Hold what a checkpoint says against itself.

    Parameters
    ----------
    checkpoint : Checkpoint
        From :func:`lrtheory.checkpoints.read`.
    optimizer : str, optional
        What the run trains with, as a SPEC. Needed where the state keeps no hyperparameters.

    Returns
    -------
    Judgement
        ``.faults``, each named and told as proven or likely; ``.looked_at`` and ``.not_judged`` in sentences.

    Raises
    ------
    SpecError
        For a text that is no SPEC.
    """
    notes, faults, seen = Notes(), list[Fault](), list[Mapping[str, Any]]()
    spec: Reading | None = None
    if optimizer is not None:
        try:
            spec = read_spec(optimizer)
        except NoRuleError as error:
            notes.not_judged.append(f"what only a rule tells, such as moments beside counts: {error}")
    used = set[int]()
    for saved in checkpoint.optimizers:
        held = beside(saved, checkpoint)
        used |= set(map(id, held.weights.values()))
        of = identified(saved, held, spec)
        seen.append(_told(of))
        for check in CHECKS:
            faults += [replace(fault, optimizer=saved.path) for fault in check(of, held, notes)]
    unused = [path for path, model in checkpoint.models.items() if not used & set(map(id, model.values()))]
    if others := dict.fromkeys((*checkpoint.others, *unused)):
        notes.not_judged.append(f"what else is there: {', '.join(others)}")
    unique = {(f.id, f.text): f for f in sorted(faults, key=lambda fault: fault.level != "proven")}
    return Judgement(
        checkpoint.path,
        checkpoint.kind,
        tuple(seen),
        tuple(unique.values()),
        tuple(dict.fromkeys(notes.looked_at)),
        tuple(dict.fromkeys(notes.not_judged)),
    )


def _told(of: Identified) -> dict[str, Any]:
    keys = sum(len(group.keys) for group in of.saved.groups)
    return {
        "path": of.saved.path,
        "kind": of.kind or "none of our rules",
        "reason": of.reason,
        "groups": len(of.saved.groups),
        "tensors": keys,
        "steps": of.steps,
    }
