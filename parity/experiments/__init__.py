"""The experiments that measure: everything a report shows, as plain JSON values."""

from .report_data import measure

__all__ = ["measure"]
