"""RAdam's rectifier against exact arithmetic."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from lrtheory import rules
from lrtheory.rules.radam import average_length

# 0.6 is not among them: XLA's float64 log1p is off by 1e-14 near −0.4, the end of its polynomial.
BETAS = (0.0, 0.5, 0.7, 0.9, 0.99, 0.999, 0.9999, 0.99999)
STEPS = (1, 2, 4, 5, 6, 7, 8, 20, 100, 500, 999, 1000, 1001, 2000, 10_000, 100_000)


def exact_length(beta: float, t: int) -> Any:
    b = mpmath.mpf(beta)
    return 2 / (1 - b) - 1 - 2 * t * b**t / (1 - b**t)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("beta", BETAS)
def test_average_length_is_accurate_at_every_step(beta: float, dtype: str) -> None:
    """Within 12 ulp of the exact value for the stored beta.

    In float32 the printed form is off by 4e-3 relative at beta 0.99999 and t = 6.
    """
    with jax.enable_x64(dtype == "float64"), mpmath.workdps(60):
        stored = np.dtype(dtype).type(beta)
        for t in STEPS:
            exact = exact_length(float(stored), t)
            found = mpmath.mpf(float(jax.jit(average_length)(stored, jnp.int32(t))))
            assert abs(found - exact) / exact <= 12 * float(np.finfo(dtype).eps), t


def test_printed_form_is_seen_by_the_same_measure() -> None:
    beta, t = 0.999, 6
    limit = 2 / (1 - beta) - 1
    printed = limit - 2 * t * beta**t / (1 - beta**t)  # torch/optim/radam.py (2.13)
    with mpmath.workdps(60):
        assert abs(printed - exact_length(beta, t)) / exact_length(beta, t) > 100 * 2.2e-16


@pytest.mark.parametrize(("beta2", "first"), [(0.999, 6), (0.9999, 6), (0.99999, 6), (0.9, 6), (0.75, 8), (0.6, None)])
def test_first_rectified_step_is_the_same_in_float32(beta2: float, first: int | None) -> None:
    """The gradient's size leaves the step once it is rectified: E depends on g then, and is lr before."""
    rule = rules.radam()
    hyper = rule.hyper(lr=1.0, beta2=beta2)
    params, state = jnp.zeros(1), rule.init(jnp.zeros(1))
    rectified = []
    for t in range(1, 31):
        params, state = rule.step(hyper, params, state, jnp.array([100.0]))
        if float(rule.effective_lr(hyper, state)[0]) != 1:
            rectified.append(t)
    assert rectified == ([] if first is None else list(range(first, 31)))
