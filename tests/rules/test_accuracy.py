"""In float32 nothing cancels: the first steps of Adam, and the bias corrections, against exact arithmetic."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from lrtheory import rules
from lrtheory.rules import one_minus_power

EPSILON = 2.0**-23  # one ulp of a float32 in [1, 2), and the most that one ulp is of any float32


def gradients(count: int = 20_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.standard_normal(count) * 10.0 ** rng.uniform(-6, 6, count)).astype(np.float32)


@pytest.mark.parametrize(("beta2", "ulp"), [(0.999, 2), (0.9, 3), (0.99, 3), (0.9999, 3)])
@pytest.mark.parametrize("numbers", ["static", "traced"])
def test_first_step_of_adam_is_within_two_ulp(numbers: str, beta2: float, ulp: int) -> None:
    """From zero, so that the parameter is the step; against lr·g/(abs(g)+eps) in float64 over 12 decades of gradient.

    A float32 bias correction of the usual kind is off by 6.8e-6 relative at beta2 = 0.999, 57 ulp. What is left are nine
    roundings of half an ulp: lr itself, (1−β₁)g, g², (1−β₂)g² and its quotient (halved by the root), the root, the sum
    with eps, quotient and product. Other betas round their own complements and get one ulp more.
    """
    g = gradients()
    rule = rules.adam()
    hyper = rule.hyper(lr=1e-3, beta2=beta2)
    start = jnp.zeros_like(g)
    if numbers == "static":
        step = jax.jit(lambda g: rule.step(hyper, start, rule.init(start), g)[0])
        moved = step(g)
    else:
        moved = jax.jit(rule.step)(hyper, start, rule.init(start), g)[0]
    exact = -1e-3 * g.astype(np.float64) / (np.abs(g.astype(np.float64)) + 1e-8)
    relative = np.abs(np.asarray(moved, np.float64) - exact) / np.abs(exact)
    assert relative.max() <= ulp * EPSILON


def test_naive_bias_correction_is_seen_by_the_same_measure() -> None:
    g = gradients()

    @jax.jit
    def naive(g, lr, beta1, beta2, eps):  # type: ignore[no-untyped-def]
        t = jnp.float32(1)
        m, v = (1 - beta1) * g / (1 - beta1**t), (1 - 0.999) * g * g / (1 - beta2**t)
        return -lr * m / (jnp.sqrt(v) + eps)

    moved = naive(g, *(np.float32(x) for x in (1e-3, 0.9, 0.999, 1e-8)))
    exact = -1e-3 * g.astype(np.float64) / (np.abs(g.astype(np.float64)) + 1e-8)
    assert (np.abs(np.asarray(moved, np.float64) - exact) / np.abs(exact)).max() > 20 * EPSILON


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999])
def test_one_minus_power_is_accurate_at_every_step(beta: float) -> None:
    """Within 4 ulp of the exact value for the float32 beta: two expm1 of about 1 ulp each, a quotient and a product."""
    stored = np.float32(beta)
    for t in [1, 2, 3, 5, 7, 10, 31, 100, 333, 1000, 10_000, 100_000]:
        exact = 1 - mpmath.mpf(float(stored)) ** t
        computed = mpmath.mpf(float(jax.jit(one_minus_power)(stored, jnp.int32(t))))
        assert abs(computed - exact) / exact <= 4 * EPSILON, t
    assert float(jax.jit(one_minus_power)(stored, jnp.int32(1))) == float(np.float32(1) - stored)


@pytest.mark.parametrize("rule", [rules.adam(), rules.adam(amsgrad=True)], ids=repr)
def test_constant_gradient_keeps_its_size_for_ten_thousand_steps(rule: rules.Rule) -> None:
    """m̂ = g and v̂ = g² for ever, although float32 holds 0.999 only to 1e-8: one rounded beta is used throughout.

    Torch's weights sum to 1 + 1.3e-5 here, its step is off by 6e-6. Bound: v holds steady within 1/(1−β₂) half-ulps at
    worst, in fact 100 ulp; the root halves it.
    """
    hyper = rule.hyper(lr=1.0)
    g = jnp.array([3.0, -0.7, 1e-3])

    def step(state, _):  # type: ignore[no-untyped-def]
        _, state = rule.step(hyper, jnp.zeros(3), state, g)
        return state, None

    state, _ = jax.lax.scan(step, rule.init(jnp.zeros(3)), None, length=10_000)
    effective = rule.effective_lr(hyper, state)
    np.testing.assert_allclose(effective * jnp.abs(g), 1 / (1 + 1e-8 / np.abs(g)), rtol=50 * EPSILON)
