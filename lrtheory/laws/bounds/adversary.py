"""Streams of gradients that try to make a rule's step t as large as they can, by search."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...rules import Rule
from ..trajectory import replay

STREAMS = 256
ROUNDS = 12


def largest_found(rule: Rule, hyper: Any, t: int, rng: np.random.Generator) -> float:
    """Largest step t over random streams and a climb from the best of them, each round from a hundred to a few percent.

    Streams span six decades, grow or fall geometrically, and every other one keeps its sign; one column of gradients is
    one coordinate.
    """
    ages = np.arange(t)[:, None]
    streams = rng.standard_normal((t, STREAMS)) * 10 ** rng.uniform(-3, 3, (t if rng.random() < 0.5 else 1, STREAMS))
    streams[:, ::2] = np.abs(streams[:, ::2])
    streams *= np.exp(rng.uniform(-1, 1, (1, STREAMS)) * ages)
    best = 0.0
    for spread in np.geomspace(1.0, 0.02, ROUNDS):
        steps = np.abs(replay(rule, hyper, streams).steps[t - 1])
        steps = np.where(np.isfinite(steps), steps, 0)
        best = max(best, float(steps.max()))
        winner = streams[:, [int(np.argmax(steps))]]
        streams = winner * np.exp(spread * rng.standard_normal((t, STREAMS)))
        streams[:, : STREAMS // 4] *= rng.choice([-1.0, 1.0], (t, STREAMS // 4), p=[0.1, 0.9])
        streams[:, :1] = winner
    return best


def step_under(rule: Rule, hyper: Any, stream: np.ndarray) -> float:
    """Size of the last step under one stream of shape (t,)."""
    grads = np.repeat(np.asarray(stream, float)[:, None], STREAMS, axis=1)  # the shape of the search: one program
    return float(abs(replay(rule, hyper, grads).steps[-1, 0]))
