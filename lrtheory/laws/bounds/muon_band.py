r"""The band that Newton-Schulz brings singular values to in Muon."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import rules
from ...theory.bounds import NEWTON_SCHULZ, singular_value_band
from ..law import Evidence, Law
from ..trajectory import replay

SHAPE = (8, 12)


def iterated(matrix: np.ndarray, steps: int = 5) -> np.ndarray:
    """Newton-Schulz on a matrix in float64: what Muon does without its bfloat16."""
    a, b, c = NEWTON_SCHULZ
    x = matrix / np.linalg.norm(matrix)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def with_singular_values(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A matrix with these singular values and random singular vectors."""
    left = np.linalg.qr(rng.standard_normal((SHAPE[0], SHAPE[0])))[0]
    right = np.linalg.qr(rng.standard_normal((SHAPE[1], SHAPE[0])))[0]
    return left * values @ right.T


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


def _check_band(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 65])
    worst, rounded = 0.0, 0.0
    muon = rules.muon()
    for decades in (0.5, 2.4, 2.75):
        values = 10 ** -np.append(rng.uniform(0, decades, SHAPE[0] - 1), decades)
        values /= np.linalg.norm(values)
        low, high = formula(float(values.min()), largest=float(values.max()))
        attained = _extremes(float(values.min()), float(values.max()))
        matrix = with_singular_values(values, rng)
        found = np.linalg.svd(iterated(matrix), compute_uv=False)
        off = max(abs(attained[0] - low), abs(attained[1] - high), low - found.min(), found.max() - high)
        run = replay(muon, muon.hyper(), matrix[None])
        own = np.linalg.svd(run.states.update[0], compute_uv=False)
        worst, rounded = max(worst, off / 1e-9), max(rounded, low - own.min(), own.max() - high)
    return Evidence(
        ran="8x12 matrices with singular values over 0.5, 2.4 and 2.75 decades: the scalar iteration on refined grids, the "
        "matrix iteration in float64, and the update of one step of muon",
        residual=max(worst, rounded / 0.04),
        bound=1.0,
        derivation="in units of 1e-9 for the iteration in float64, whose slope of at most 3.4445^5 = 485 grows some hundred "
        "roundings to 1e-11, and of 0.04 for muon itself: empirical, 0.027 at most over 150 draws; bfloat16 rounds each of 15 products to 2^-9",
        figures={"muon outside the band by": rounded, "low": low, "high": high},
    )


LAWS = (
    Law(
        id="bounds.muon-band",
        title="Muon's singular values end in a band",
        statement=r"\sigma_i(X) \in p^5([\sigma_{min}, 1]) = [0.6818, 1.2024], \quad p(x) = ns\_a\, x + ns\_b\, x^3 + ns\_c\, x^5",
        kind="exact",
        scope="torch's coefficients and five steps, singular values over the Frobenius norm from 0.00151 to 1: not at 1 but in a band "
        "around it, which ends at 1.1344 if all are above 0.0055. Smaller ones grow by 3.4445 a step at most and stay below it. In "
        "bfloat16 the ends are met to some hundredths",
        source="torch/optim/_muon.py (2.13), _zeropower_via_newtonschulz; band derived here from the extremes of the polynomial",
        formula=singular_value_band,
        check=_check_band,
        mutants={
            "all at one": lambda smallest, largest: (1.0, 1.0),
            "one step fewer": lambda smallest, largest: singular_value_band(smallest, 4, largest=largest),
            "an end is no extreme": lambda smallest, largest: (
                singular_value_band(smallest, largest=largest)[0],
                singular_value_band(largest, largest=largest)[1],
            ),
        },
    ),
)
