"""Digits that were lost on the way to the file."""

from __future__ import annotations

from collections.abc import Iterator

import ml_dtypes
import numpy as np

from .._arrays import array, is_narrowed
from .._impulse import memories
from ..checkpoint import Checkpoint
from ..fault import Fault, Notes, paired, some
from ..identified import Identified, Tensor

NARROW = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
AGAIN = "save it in its own dtype; what was rounded away is gone, and small changes of an average were with it"


def not_narrowed(of: Identified, checkpoint: Checkpoint, notes: Notes) -> Iterator[Fault]:
    """State has the dtype of its parameter, and uses its digits."""
    yield from _other_dtype(of)
    few, one = [], []
    for slot in of.slots:
        kept = [t for t in of.tensors if slot in t.arrays and slot not in _raw(t)]
        one += [slot] if any(slot in _of_one(t, checkpoint) for t in kept) else []
        kept = [t for t in kept if slot not in one]
        wide: dict[str, list[Tensor]] = {}
        for tensor in kept:
            wide.setdefault(str(tensor.arrays[slot].dtype), []).append(tensor)
        for dtype, tensors in wide.items():
            if dtype not in ("float32", "float64"):
                continue
            narrower = {"float32": np.float32, **NARROW} if dtype == "float64" else NARROW
            for name, narrow in narrower.items():
                verdicts = {t.name: is_narrowed([t.arrays[slot]], narrow) for t in tensors}
                short = [n for n, verdict in verdicts.items() if verdict]
                if not short and False not in verdicts.values():  # of each too little to tell; of all, perhaps not
                    pooled = is_narrowed([t.arrays[slot] for t in tensors], narrow)
                    short = list(verdicts) if pooled else []
                    few += [slot] if pooled is None else []
                if short:
                    text = f"{slot} of {some(short)} is kept in {dtype}, and all of it fits {name}: it was rounded to that."
                    yield Fault(
                        "narrowed", "proven", text, AGAIN, tuple(short), {"slot": slot, "dtype": dtype, "fits": name}
                    )
                    break
    yield from _narrow_weights(of, checkpoint)
    if of.slots:
        notes.looked_at.append(f"digits of {', '.join(of.slots)}")
    if one:
        notes.not_judged.append(f"digits of {', '.join(one)}: it may be one gradient, which autocast rounds")
    if few:
        notes.not_judged.append(f"digits of {', '.join(dict.fromkeys(few))}: too few numbers other than 0")


def _raw(tensor: Tensor) -> tuple[str, ...]:
    """Slots that hold the last gradient itself, which may have had few digits."""
    names = {"prev", "step_size", "eta", "mu"}
    if tensor.rule is not None and not tensor.refused:
        known = memories(tensor.rule, tensor.hyper)
        names |= {name for name, m in known.items() if m.weights[0] == 1 and not m.weights[1]}
    return tuple(names)


def _of_one(tensor: Tensor, checkpoint: Checkpoint) -> tuple[str, ...]:
    """Slots that have the digits of a gradient after the first step, which this may be: weighted by a power of two."""
    steps = tensor.count if tensor.count is not None else max(checkpoint.counters.values(), default=0)
    if steps > 1 or tensor.rule is None or tensor.refused:
        return ()
    known = memories(tensor.rule, tensor.hyper).items()
    return tuple(name for name, m in known if m.power == 1 and abs(np.frexp(m.weights[0])[0]) == 0.5)


def _other_dtype(of: Identified) -> Iterator[Fault]:
    """Of torch.optim, which makes its state like the parameter."""
    wrong: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for tensor in of.tensors:
        like = tensor.weight
        for slot, value in tensor.moments.items():
            kept = (v.dtype for v in tensor.moments.values())
            widest = like.dtype if like is not None else max(kept, key=lambda dtype: dtype.itemsize)
            if tensor.rule is not None and value.dtype.itemsize < widest.itemsize and of.saved.framework == "torch":
                wrong.setdefault((str(value.dtype), str(widest)), []).append((tensor.name, slot))
    for (narrow, wide), found in wrong.items():
        text = f"{paired(found)} is kept in {narrow}, beside {wide}: {of.kind} keeps it like its parameter."
        yield Fault(
            "narrowed",
            "proven",
            text,
            AGAIN,
            tuple(dict.fromkeys(n for n, _ in found)),
            {"slot": some([slot for _, slot in found]), "dtype": narrow, "beside": wide},
        )


def _narrow_weights(of: Identified, checkpoint: Checkpoint) -> Iterator[Fault]:
    """Weights that took steps."""
    moved = {t.name: t.weight for t in of.tensors if t.weight is not None and t.count}
    if not moved and len(checkpoint.weights) == sum(len(g.keys) for g in of.saved.groups) and of.steps:
        moved = {name: array(value) for name, value in checkpoint.weights.items()}
    values = [v for v in moved.values() if v is not None and v.dtype == np.float32 and v.ndim > 1]
    for name, narrow in NARROW.items():
        if values and is_narrowed(values, narrow):
            text = f"The weights are kept in float32, and all of them fit {name}: they were rounded to that after their last step."
            yield Fault("weights-narrowed", "proven", text, AGAIN, tuple(moved), {"fits": name})
