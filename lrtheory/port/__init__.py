"""An optimizer moved to another framework: its configuration as code, and its state in mid-run."""

from .errors import PortError
from .mid_run import Ported, state

__all__ = ["PortError", "Ported", "state"]
