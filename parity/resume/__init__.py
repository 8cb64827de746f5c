"""Is a resumed run the run that it continues? Uninterrupted, resumed and cold, side by side."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .loops import PureLoop, TorchLoop
from .training import Random, Training
from .verify import Resume, verify_resume

if TYPE_CHECKING:
    from .lightning import LightningLoop
    from .transformers import TrainerLoop

__all__ = ["LightningLoop", "PureLoop", "Random", "Resume", "TorchLoop", "TrainerLoop", "Training", "verify_resume"]


def __getattr__(name: str) -> Any:
    """Frameworks are imported when one of their loops is named."""
    loops = {"LightningLoop": ".lightning", "TrainerLoop": ".transformers"}
    if name in loops:
        return getattr(importlib.import_module(loops[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has {', '.join(__all__)}")
