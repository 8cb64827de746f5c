"""An optimizer in text, explained: what it trains with, and what its numbers become under a change."""

from ..spec import Reading, read
from .explanation import Explanation, explain

__all__ = ["Explanation", "Reading", "explain", "read"]
