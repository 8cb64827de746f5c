"""What keeps an optimizer from being moved."""

from __future__ import annotations


class PortError(ValueError):
    """Configuration or state that has no counterpart, does not fit, or would not be the same run; the message says what to do."""
