r"""The band that Newton-Schulz brings singular values to in Muon."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import rules
from ...theory.bounds import NEWTON_SCHULZ, singular_value_band
from ..law import Rng, Shown, law
from ..trajectory import replay

SHAPE = (8, 12)


def _iterated(matrix: np.ndarray) -> np.ndarray:
    """Newton-Schulz on a matrix in float64: what Muon does without its bfloat16."""
    a, b, c = NEWTON_SCHULZ
    x = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def _extremes(smallest: float, largest: float) -> tuple[float, float]:
    """Smallest and largest image of the scalar iteration: a grid, and finer ones around its extremes."""
    a, b, c = NEWTON_SCHULZ

    def image(x: np.ndarray) -> np.ndarray:
        for _ in range(5):
            x = a * x + b * x**3 + c * x**5
        return x

    grid = np.geomspace(smallest, largest, 2001)
    found = []
    for pick in (np.argmin, np.argmax):
        x = grid
        for _ in range(5):
            at = int(pick(image(x)))
            x = np.linspace(x[max(at - 1, 0)], x[min(at + 1, len(x) - 1)], 201)
        found.append(float(image(x)[pick(image(x))]))
    return found[0], found[1]


@law(
    r"""exact bounds.muon-band: Muon's singular values end in a band
    \sigma_i(X) \in p^5([\sigma_{min}, 1]) = [0.6818, 1.2024], \quad p(x) = ns\_a\, x + ns\_b\, x^3 + ns\_c\, x^5
    scope: torch's coefficients and five steps, singular values over the Frobenius norm from 0.00151 to 1: not at 1 but
    in a band around it, which ends at 1.1344 if all are above 0.0055. Smaller ones grow by 3.4445 a step at most and
    stay below it. In bfloat16 the ends are met to some hundredths
    source: torch/optim/_muon.py (2.13), _zeropower_via_newtonschulz; band derived here from the extremes of the
    polynomial
    ran: 8x12 matrices with singular values over 0.5, 2.4 and 2.75 decades: the scalar iteration on refined grids, the
    matrix iteration in float64, and the update of one step of muon
    why: in units of 1e-9 for the iteration in float64, whose slope of at most 3.4445^5 = 485 grows some hundred
    roundings to 1e-11, and of 0.04 for muon itself: empirical, 0.027 at most over 150 draws; bfloat16 rounds each of 15
    products to 2^-9
    """,
    singular_value_band,
    {
        "all at one": lambda smallest, largest: (1.0, 1.0),
        "one step fewer": lambda smallest, largest: singular_value_band(smallest, 4, largest=largest),
        "an end is no extreme": lambda smallest, largest: (
            singular_value_band(smallest, largest=largest)[0],
            singular_value_band(largest, largest=largest)[1],
        ),
    },
    bound=1.0,
    key=65,
)
def muon_band(formula: Any, rng: Rng) -> Shown:
    muon, rounded = rules.muon(), 0.0
    for decades in (0.5, 2.4, 2.75):
        values = 10 ** -np.append(rng.uniform(0, decades, SHAPE[0] - 1), decades)
        values /= np.linalg.norm(values)
        low, high = formula(float(values.min()), largest=float(values.max()))
        attained = _extremes(float(values.min()), float(values.max()))
        left, right = (np.linalg.qr(rng.standard_normal((size, SHAPE[0])))[0] for size in SHAPE)
        matrix = left * values @ right.T
        found = np.linalg.svd(_iterated(matrix), compute_uv=False)
        yield np.array([abs(attained[0] - low), abs(attained[1] - high), low - found.min(), found.max() - high]) / 1e-9
        run = replay(muon, muon.hyper(), matrix[None])
        own = np.linalg.svd(run.states.update[0], compute_uv=False)
        rounded = max(rounded, low - own.min(), own.max() - high)
    yield rounded / 0.04
    yield {"muon outside the band by": rounded, "low": low, "high": high}
