"""Batch reduction: sums, means, repeated backward calls and micro-batches, in both frameworks.

Data are small integers, so that every product and sum is exact in float64 and laws can be compared bit for bit.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

FEATURES = 3


@st.composite
def batches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    size = draw(st.sampled_from((2, 3, 7, 24)))  # each is one more shape to compile
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    integers = lambda *shape: rng.integers(-8, 9, shape).astype(np.float64)  # noqa: E731
    return integers(size, FEATURES), integers(size), integers(FEATURES)


def jax_gradient(x: np.ndarray, y: np.ndarray, w: np.ndarray, reduction: str) -> np.ndarray:
    def loss(w):  # type: ignore[no-untyped-def]
        squares = (jnp.asarray(x) @ w - y) ** 2
        return squares.sum() if reduction == "sum" else squares.mean()

    with jax.enable_x64(True):
        return np.asarray(jax.grad(loss)(jnp.asarray(w)))


def torch_gradient(parts: list[tuple[np.ndarray, np.ndarray, float]], w: np.ndarray, reduction: str) -> np.ndarray:
    """Gradient accumulated over one backward call per part, each loss times its weight."""
    weight = torch.tensor(w, requires_grad=True)
    for x, y, share in parts:
        loss = torch.nn.functional.mse_loss(torch.tensor(x) @ weight, torch.tensor(y), reduction=reduction)
        (share * loss).backward()
    assert weight.grad is not None
    return weight.grad.numpy()


@given(batch=batches())
def test_sum_is_batch_size_times_mean(batch) -> None:  # type: ignore[no-untyped-def]
    x, y, w = batch
    total = jax_gradient(x, y, w, "sum")
    np.testing.assert_array_equal(total, torch_gradient([(x, y, 1.0)], w, "sum"))
    # The mean rounds once in its division and once per product with it: 3 ulp of the largest term.
    size = np.abs(2 * (x @ w - y)[:, None] * x).sum(axis=0)
    for mean in (jax_gradient(x, y, w, "mean"), torch_gradient([(x, y, 1.0)], w, "mean")):
        assert (np.abs(len(x) * mean - total) <= 4 * np.finfo(float).eps * size).all()


@given(batch=batches())
def test_one_backward_call_per_example_accumulates_the_sum(batch) -> None:  # type: ignore[no-untyped-def]
    x, y, w = batch
    calls = [(x[i : i + 1], y[i : i + 1], 1.0) for i in range(len(x))]
    np.testing.assert_array_equal(torch_gradient(calls, w, "mean"), jax_gradient(x, y, w, "sum"))


@given(batch=batches(), cut=st.floats(0.05, 0.95))
def test_micro_batches_need_their_share_of_the_examples(batch, cut) -> None:  # type: ignore[no-untyped-def]
    """Means of micro-batches weighted by n_i/N give the mean; divided by their count only where sizes are equal."""
    x, y, w = batch
    n = len(x)
    first = min(max(1, round(cut * n)), n - 1)
    halves = [(x[:first], y[:first]), (x[first:], y[first:])]
    whole = torch_gradient([(x, y, 1.0)], w, "mean")
    size = np.abs(2 * (x @ w - y)[:, None] * x).mean(axis=0)
    bound = 8 * np.finfo(float).eps * size
    weighted = torch_gradient([(a, b, len(a) / n) for a, b in halves], w, "mean")
    assert (np.abs(weighted - whole) <= bound).all()
    counted = torch_gradient([(a, b, 1 / 2) for a, b in halves], w, "mean")
    if first * 2 == n:
        assert (np.abs(counted - whole) <= bound).all()


def test_dividing_by_the_count_is_wrong_for_unequal_micro_batches() -> None:
    x, y, w = np.array([[1.0], [1.0], [1.0]]), np.array([3.0, 0.0, 0.0]), np.array([0.0])
    whole = torch_gradient([(x, y, 1.0)], w, "mean")
    counted = torch_gradient([(x[:1], y[:1], 1 / 2), (x[1:], y[1:], 1 / 2)], w, "mean")
    assert whole == pytest.approx([-2.0])
    assert counted == pytest.approx([-3.0])


@given(batch=batches(), momentum=st.sampled_from([0.0, 0.5]), steps=st.integers(1, 5))
def test_sgd_on_the_sum_is_sgd_on_the_mean_with_lr_times_batch_size(batch, momentum, steps) -> None:  # type: ignore[no-untyped-def]
    """The reduction is a loss scale of B: an SGD step on the sum at lr/B is the step on the mean."""
    from lrtheory import rules
    from lrtheory.laws.scaling import rescaled_hyper

    x, y, w = batch
    rule = rules.sgd()
    with jax.enable_x64(True):
        mean = rule.hyper(lr=2.0**-10, momentum=momentum)
        total = rescaled_hyper(rule, mean, loss=len(x))
        ends = []
        for hyper, reduction in ((mean, "mean"), (total, "sum")):
            p, state = jnp.asarray(w), rule.init(jnp.asarray(w))
            for _ in range(steps):
                p, state = rule.step(hyper, p, state, jnp.asarray(jax_gradient(x, y, np.asarray(p), reduction)))
            ends.append(np.asarray(p))
    np.testing.assert_allclose(*ends, rtol=1e-12, atol=1e-12 * np.abs(w).max(initial=1))
