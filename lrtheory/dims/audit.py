"""Everything public in a library, one row each."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .dimensions import Dimensions
from .equations import Location
from .target import TargetError, infer_target

# What the factories that need arguments are given: numbers that are traced, and the plainest inner optimizer. Those
# that only combine others (chain, multi_transform, …) have no law of their own, and are left out with their reason.
OPTAX_ARGUMENTS: Mapping[str, str] = {
    "adaptive_grad_clip": "clipping=0.01",
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
    "differentially_private_aggregate": "l2_norm_clip=1.0, noise_multiplier=0.1, seed=0",
    "dpsgd": "l2_norm_clip=1.0, noise_multiplier=0.1, seed=0",
}

LIBRARIES = ("optax", "optax.contrib", "torch")


@dataclass(frozen=True)
class Row:
    """One public name: what was inferred, or why it was left out."""

    target: str
    dimensions: Dimensions | None
    skipped: str = ""

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
            return {"target": self.target, "status": "skipped", "reason": self.skipped}
        return self.dimensions.as_json()


def audit(library: str) -> Iterator[Row]:
    """Rows of a library, in the order of the names."""
    if library == "torch":
        optimizers = importlib.import_module("torch.optim")
        for name in sorted(vars(optimizers)):
            value = getattr(optimizers, name)
            if (
                isinstance(value, type)
                and issubclass(value, optimizers.Optimizer)
                and value is not optimizers.Optimizer
            ):
                yield _row(f"torch.optim.{name}")
        return
    module = importlib.import_module(library)
    for name in sorted(vars(module)):
        value = getattr(module, name)
        if inspect.isfunction(value) and not name.startswith("_") and _makes_transformation(value):
            arguments = OPTAX_ARGUMENTS.get(name)
            yield _row(f"{library}.{name}" + (f"({arguments})" if arguments else ""))


def _makes_transformation(function: Any) -> bool:
    annotation = str(inspect.signature(function).return_annotation)
    return "GradientTransformation" in annotation


def _row(target: str) -> Row:
    try:
        return Row(target, infer_target(target))
    except TargetError as error:
        return Row(target, None, str(error).removeprefix(target).lstrip(": "))


def summary(rows: Sequence[Row]) -> str:
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
