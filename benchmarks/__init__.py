"""Measurements: ``python -m benchmarks`` runs them all, ``python -m benchmarks.NAME`` one.

A benchmark is a module with ``measure() -> list of records``, ``tables(records) -> {id: Table}`` and, where growth is
shown, ``charts(records) -> {id: Figure}``. Its records are kept in ``results/NAME.json``; tables and charts are drawn
from there, so that the docs can be rendered again without measuring.
"""
