"""Measured data in, one offline HTML file out.

Drawing needs the ``report`` extra; :mod:`parity.report.data` and importing this package need nothing.
"""

from .files import write

__all__ = ["write"]
