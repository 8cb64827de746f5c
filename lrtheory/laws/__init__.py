"""Laws of scaling, invariance, batch size, stability, momentum and bounds: stated, applied and verified."""

from .catalogue import catalogue, get
from .law import KINDS, SECTIONS, Evidence, Law

__all__ = ["KINDS", "SECTIONS", "Evidence", "Law", "catalogue", "get"]
