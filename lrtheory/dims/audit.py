"""Everything public in a library, one row each."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ._kernel.equations import Location
from .dimensions import Dimensions
from .target import TargetError, infer_target

# What the factories that need numbers are given; what combines others stands in its own module, with its arguments.
COMBINED = "lrtheory.dims.optax_reader.combined"
OPTAX_ARGUMENTS: Mapping[str, str] = {
    "adaptive_grad_clip": "clipping=1e-4",
    "add_noise": "eta=0.01, gamma=0.55, seed=0",
    "clip": "max_delta=1.0",
    "clip_by_block_rms": "threshold=1.0",
    "clip_by_global_norm": "max_norm=1.0",
    "ema": "decay=0.9",
    "noisy_sgd": "seed=0",
    "normalize_by_update_norm": "scale_factor=1.0",
    "scale": "step_size=0.1",
    "trace": "decay=0.9",
    "scale_by_backtracking_linesearch": "max_backtracking_steps=5",
    "scale_by_zoom_linesearch": "max_linesearch_steps=5",
}

LIBRARIES = ("optax", "optax.contrib", "torch")


@dataclass(frozen=True)
class Audited:
    """One public name: what was inferred, or why it was left out."""

    target: str
    dimensions: Dimensions | None
    skipped: str = ""
    name: str = ""

    @property
    def status(self) -> str:
        """The verdict in one word."""
        return "skipped" if self.dimensions is None else self.dimensions.status

    @property
    def reason(self) -> str:
        """Where and why."""
        found = self.dimensions
        if found is None:
            return self.skipped
        if found.unknown is not None:
            return found.unknown
        if found.breaks:
            return "; ".join(f"{short(b.location)} {b.statement}" for b in found.breaks)
        return "; ".join(dict.fromkeys(f"unless {g.condition} ({short(g.location)})" for g in found.guards))

    def as_json(self) -> dict[str, Any]:
        """All of it in plain types."""
        if self.dimensions is None:
            return {"name": self.name, "target": self.target, "status": "skipped", "reason": self.skipped}
        return {"name": self.name, **self.dimensions.as_json()}


def targets(library: str) -> dict[str, str]:
    """What is public in a library, by name: the target it is looked at as."""
    if library == "torch":
        optimizers = importlib.import_module("torch.optim")
        values = {n: v for n, v in sorted(vars(optimizers).items()) if isinstance(v, type) and n != "Optimizer"}
        names = [f"torch.optim.{n}" for n, v in values.items() if issubclass(v, optimizers.Optimizer)]
        return dict(zip(names, names, strict=True))
    module, combined = importlib.import_module(library), vars(importlib.import_module(COMBINED))
    found = {}
    for name, value in sorted(vars(module).items()):
        if not inspect.isfunction(value) or name.startswith("_") or not _makes_transformation(value):
            continue
        arguments = f"({OPTAX_ARGUMENTS[name]})" if name in OPTAX_ARGUMENTS else ""
        found[f"{library}.{name}"] = f"{COMBINED}:{name}" if name in combined else f"{library}.{name}{arguments}"
    return found


def audit(library: str) -> Iterator[Audited]:
    """Rows of a library, in the order of the names."""
    for name, target in targets(library).items():
        yield replace(row(target), name=name)


def _makes_transformation(function: Any) -> bool:
    signature = inspect.signature(function)
    if signature.return_annotation is inspect.Signature.empty:
        return "learning_rate" in signature.parameters
    return "GradientTransformation" in str(signature.return_annotation)


def row(target: str) -> Audited:
    """One target."""
    try:
        return Audited(target, infer_target(target))
    except TargetError as error:
        return Audited(target, None, str(error).removeprefix(target).lstrip(": "))


def summary(rows: Sequence[Audited]) -> str:
    """How many targets, and how many of each verdict."""
    counts = Counter(row.status for row in rows)
    order = ("proven", "guarded", "broken", "unknown", "skipped")
    parts = ", ".join(f"{counts[status]} {status}" for status in order if counts[status])
    return f"{len(rows)} targets: {parts}"


def short(location: Location | None) -> str:
    """A location from its package on."""
    if location is None:
        return ""
    return f"{location.file.rpartition('site-packages/')[2]}:{location.line}"
