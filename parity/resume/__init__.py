"""Is a resumed run the run that it continues? Uninterrupted, resumed and cold, side by side."""

from __future__ import annotations

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
    if name == "LightningLoop":
        from .lightning import LightningLoop

        return LightningLoop
    if name == "TrainerLoop":
        from .transformers import TrainerLoop

        return TrainerLoop
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}: it has {', '.join(__all__)}")
