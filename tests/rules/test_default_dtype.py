"""Where torch keeps numbers in its default dtype, parity in float64 ends: by how much, and why."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import parity

STEPS, LR = 200, 0.1
TENSORS = {"weight": (5, 4)}


def in_torch(optimizer: str, default: torch.dtype, **arguments: float) -> np.ndarray:
    """The path of a float64 parameter under a default dtype, with a lr that moves every step."""
    case = parity.Case("sgd", steps=STEPS, tensors=TENSORS)
    grads = case.gradients()["weight"]
    lrs = parity.LrSchedule("moving").drawn(LR, STEPS)
    p = torch.nn.Parameter(torch.zeros(grads[0].shape, dtype=torch.float64))
    torch.set_default_dtype(default)
    try:
        run = getattr(torch.optim, optimizer)([p], foreach=False, **arguments)
        path = []
        for grad, lr in zip(grads, lrs, strict=True):
            run.param_groups[0]["lr"] = float(lr)
            p.grad = torch.tensor(grad)
            run.step()
            path.append(p.detach().numpy().copy())
    finally:
        torch.set_default_dtype(torch.float32)
    return np.stack(path)


@pytest.fixture(autouse=True)
def default_stays() -> Iterator[None]:
    yield
    assert torch.get_default_dtype() == torch.float32


def test_nadam_under_a_float32_default_stays_within_its_bound() -> None:
    """``mu_product`` is rounded to float32 every step: t roundings of 6e-8 relative at step t.

    It falls at least by 0.9 a step and enters as 1/(1 − mu_product), so its relative effect is at most
    t·2⁻²⁴·Π/(1 − Π) with Π ≤ 0.45·0.9^(t−1), 1.3e-7 at worst; each step is off by that, the sum by less than that of the
    length of the path.
    """
    case = parity.Case("nadam", numbers={"lr": LR}, schedule=parity.LrSchedule("moving"), tensors=TENSORS, steps=STEPS)
    ours = parity.replay(case, "lrtheory").params["weight"][1:]
    theirs = in_torch("NAdam", torch.float32, lr=LR)
    exact = in_torch("NAdam", torch.float64, lr=LR)
    t = np.arange(1, STEPS + 1)
    product = 0.45 * 0.9 ** (t - 1)
    bound = float((t * 2.0**-24 * product / (1 - product)).max())
    assert bound < 1.4e-7
    length = np.abs(np.diff(theirs, axis=0, prepend=0)).sum(axis=0)
    worst = (np.abs(ours - theirs).max(axis=0) / length).max()
    assert 1e-12 < worst <= bound
    reach = np.abs(exact).max(axis=0)
    assert (np.abs(ours - exact).max(axis=0) / reach).max() <= 1e-13


def test_asgd_under_a_float32_default_stays_within_its_bound() -> None:
    """``eta`` is rounded to float32: each step is off by half an ulp of it, 2⁻²⁴ relative, whatever the step."""
    case = parity.Case("asgd", numbers={"lr": LR}, schedule=parity.LrSchedule("moving"), tensors=TENSORS, steps=STEPS)
    ours = parity.replay(case, "lrtheory").params["weight"][1:]
    theirs = in_torch("ASGD", torch.float32, lr=LR)
    exact = in_torch("ASGD", torch.float64, lr=LR)
    length = np.abs(np.diff(theirs, axis=0, prepend=0)).sum(axis=0)
    worst = (np.abs(ours - theirs).max(axis=0) / length).max()
    assert 1e-12 < worst <= 2.0**-24 * 1.001
    reach = np.abs(exact).max(axis=0)
    assert (np.abs(ours - exact).max(axis=0) / reach).max() <= 1e-13
