"""An optimizer in text, explained: what it trains with, and what its numbers become under a change."""

from .explanation import Explanation, explain
from .reading import Reading, read

__all__ = ["Explanation", "Reading", "explain", "read"]
