"""An optimizer moved to another framework: its configuration as code, and its state in mid-run."""

from .configuration import Config, DiffersError, config
from .counterparts import NoCounterpartError
from .errors import PortError
from .mid_run import Ported, state

__all__ = ["Config", "DiffersError", "NoCounterpartError", "PortError", "Ported", "config", "state"]
