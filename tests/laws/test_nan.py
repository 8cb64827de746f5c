"""No check of a law of batch size or stability lets a nan pass."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from lrtheory import laws


@pytest.mark.parametrize(
    "law", [law for law in laws.catalogue().values() if law.section in ("batch", "stability")], ids=lambda law: law.id
)
def test_a_law_that_gives_nan_fails_its_check(law: laws.Law) -> None:
    """A nan must reach the residual, which a comparison on the way could drop."""

    def nan(*args: object, **numbers: object) -> object:
        return jax.tree.map(lambda x: x * np.nan, law.formula(*args, **numbers))

    try:
        evidence = law.check(nan, 0)
    except (ValueError, np.linalg.LinAlgError):
        return  # refused by what it was given to
    assert not evidence.holds
