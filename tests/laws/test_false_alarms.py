"""How often the statistical laws of batch size alarm although they hold."""

from __future__ import annotations

import numpy as np
import pytest

from lrtheory import laws


@pytest.mark.deep
@pytest.mark.parametrize("law_id", ["batch.sde", "batch.noise-scale-estimators"])
def test_deviations_over_seeds_are_those_of_standard_normals(law_id: str) -> None:
    """200 seeds: no alarm, and each deviation has the mean and scatter that the stated rate rests on."""
    law = laws.get(law_id)
    found = [law.verify(seed) for seed in range(200)]
    assert all(evidence.holds for evidence in found)
    if law_id == "batch.sde":
        for name in found[0].figures:
            z = np.array([evidence.figures[name] for evidence in found])
            # What is left of the limit, 0.7 at most, and four standard errors of a mean and a scatter of 200.
            assert abs(z.mean()) < 0.7 + 4 / np.sqrt(200), name
            assert z.std() < 1 + 4 / np.sqrt(400), name
    else:
        share = np.mean([evidence.residual > 1.96 for evidence in found])
        assert abs(share - 0.0975) < 4 * np.sqrt(0.0975 * 0.9025 / 200)  # either of two beyond 1.96
