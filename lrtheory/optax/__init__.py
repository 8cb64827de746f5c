"""lrtheory inside optax, and back. Needs the ``optax`` extra.

:func:`transformation` makes one of our rules a transformation, :func:`rule` and :func:`hyper` read one, and :func:`watched` has
what its last measured step was in its state.
"""

from ._reading import hyper, rule
from ._transformation import TransformationState, transformation
from ._watched import EVERY, WatchedState, figures, summaries, watched

__all__ = [
    "EVERY",
    "TransformationState",
    "WatchedState",
    "figures",
    "hyper",
    "rule",
    "summaries",
    "transformation",
    "watched",
]
