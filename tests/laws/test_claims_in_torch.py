"""Claims about torch and a few laws, in torch's own code: what the catalogue decides for our rules holds there too."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lrtheory import laws
from lrtheory.laws import bounds, momentum

Make = Callable[[list[torch.Tensor]], torch.optim.Optimizer]


def run(make: Make, grads: np.ndarray, first: float = 0.0) -> np.ndarray:
    """Parameters after each step on given gradients, the first ones in front."""
    p = torch.full(grads.shape[1:], first, dtype=torch.float64, requires_grad=True)
    optimizer, seen = make([p]), [np.full(grads.shape[1:], first)]
    for g in grads:
        p.grad = torch.from_numpy(g)
        optimizer.step()
        seen.append(p.detach().numpy().copy())
    return np.array(seen)


def decided(name: str) -> str:
    decision = laws.get(f"claims.{name}").decision
    assert decision is not None
    return decision


def test_every_claim_is_said_and_decided():
    claims = [law for law in laws.catalogue().values() if law.section == "claims"]
    assert len(claims) == 21
    assert {law.decision for law in claims} == {"true", "false", "depends"}
    assert len({law.claim for law in claims}) == 21
    for law in claims:
        assert (law.decision == "false") == (law.kind == "false"), law.id


def test_the_page_of_claims_is_the_catalogue():
    page = (Path(__file__).parents[2] / "docs" / "claims.md").read_text()
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in page.splitlines()
        if line.startswith("| ")
    ]
    claims = [law for law in laws.catalogue().values() if law.section == "claims"]
    assert [(row[0], row[1], f"claims.{row[3]}") for row in rows[1:]] == [
        (law.claim, law.decision, law.id) for law in claims
    ]


def test_a_scaled_loss_has_a_scaled_gradient():
    assert decided("gradient-scales") == "true"
    w = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3).requires_grad_()
    labels = torch.tensor([0, 2])
    gradients = []
    for alpha in (1.0, 1024.0):
        w.grad = None
        (alpha * torch.nn.functional.cross_entropy(w, labels)).backward()
        assert w.grad is not None
        gradients.append(w.grad.clone())
    assert torch.equal(gradients[1], 1024 * gradients[0])


def test_calls_of_backward_add_up():
    assert decided("backward-calls") == "false"
    changes = []
    for calls in (2, 4):
        p = torch.tensor([1.0, -2.0], requires_grad=True)
        optimizer = torch.optim.SGD([p], lr=0.25)
        for _ in range(calls):
            (p**2).sum().backward()
        before = p.detach().clone()
        optimizer.step()
        changes.append((p.detach() - before).norm().item())
    assert changes[1] == 2 * changes[0]


def test_adam_never_writes_the_lr_it_shows():
    assert decided("adam-lr-hidden") == "true"
    p = torch.ones(2, requires_grad=True)
    optimizer, effective = torch.optim.Adam([p], lr=1e-3), []
    for size in np.geomspace(1, 1e-3, 40):
        p.grad = torch.full((2,), float(size))
        optimizer.step()
        assert optimizer.param_groups[0]["lr"] == 1e-3
        state = optimizer.state[p]
        effective.append(1e-3 / ((state["exp_avg_sq"] / (1 - 0.999 ** state["step"])).sqrt() + 1e-8)[0].item())
    assert effective[-1] > 2 * effective[0]


def test_adamw_decay_is_in_proportion_to_lr():
    assert decided("adamw-decay-lr") == "false"
    removed = []
    for lr in (0.01, 0.02):
        after = run(lambda p, lr=lr: torch.optim.AdamW(p, lr=lr, weight_decay=0.1), np.zeros((1, 2)), first=2.0)
        removed.append(2 - after[-1, 0])
    assert removed[1] / removed[0] == pytest.approx(2, rel=1e-12)


def test_decay_over_lr_frees_it_of_the_schedule():
    lr, decay = np.linspace(0.1, 0.01, 20), 0.02
    p = torch.full((2,), 2.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([p])
    for now, wd in zip(lr, momentum.coupled_to_lr(decay, lr), strict=True):
        optimizer.param_groups[0].update(lr=now, weight_decay=wd)
        p.grad = torch.zeros_like(p)
        optimizer.step()
    assert p.detach().numpy() == pytest.approx(2 * (1 - decay) ** 20, rel=1e-13)


def test_adam_steps_seven_times_lr():
    assert decided("lr-is-largest-step") == "false"
    t = 3000
    grads = np.repeat(
        bounds.extremal_gradients(0.9 ** np.arange(t)[::-1], 0.999 ** np.arange(t)[::-1])[:, None], 2, axis=1
    )
    params = run(lambda p: torch.optim.Adam(p, lr=1e-3), grads)
    step = abs(params[-1, 0] - params[-2, 0])
    assert step == pytest.approx(1e-3 * bounds.adam_bound(0.9, 0.999, t), rel=1e-6)
    assert step > 7e-3


def test_centered_rmsprop_is_not_bounded():
    assert decided("centered-rmsprop-bounded") == "false"
    params = run(lambda p: torch.optim.RMSprop(p, lr=0.1, alpha=0.6, eps=0.0, centered=True), np.ones((30, 2)))
    assert np.abs(np.diff(params, axis=0)).max() > 100 * 0.1


def test_first_gradient_is_not_damped():
    grads = np.zeros((6, 1))
    grads[0] = 1
    params = run(lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.5, dampening=0.9), grads)
    sgd = laws.get("momentum.impulse-response")
    from lrtheory import rules

    hyper = rules.sgd().hyper(lr=0.5, momentum=0.5, dampening=0.9)
    expected = sgd.formula(rules.sgd(), hyper, np.arange(6), first=True)
    np.testing.assert_allclose(-np.diff(params[:, 0]), expected, rtol=1e-14)


@pytest.mark.parametrize("beta2", [0.999, 0.82, 0.72])
def test_radam_takes_that_many_steps_without_normalising(beta2):
    g = np.linspace(0.5, 2, 40)[:, None] * np.array([[1.0, 2.0]])
    params = run(lambda p: torch.optim.RAdam(p, lr=0.1, betas=(0.9, beta2), eps=1e-30), g)
    steps = np.diff(params, axis=0)
    doubled = np.isclose(steps[:, 1] / steps[:, 0], 2)
    count = int(momentum.unnormalised_steps(beta2))
    assert doubled.tolist() == [True] * count + [False] * (40 - count)


def test_adafactor_grows_its_steps_of_a_matrix_below_the_root_of_eps1():
    """Truth 5: for matrices freedom ends at rms(g) = √eps1 = 3.45e-4 in float32, and steps then grow; for vectors at eps1."""
    from lrtheory import rules

    law = laws.get("claims.adafactor-scale-free")
    assert "0.088 and 3.5e-4" in law.scope
    rng = np.random.default_rng(0)
    rule = rules.adafactor()
    for shape in ((4, 3), (6, 5), (12,)):
        g, sizes = rng.standard_normal(shape).astype(np.float32), []
        for alpha in (2.0**-8, 2.0**-16):  # rms of 4e-3 and 1.5e-5
            p = torch.zeros(shape, requires_grad=True)
            p.grad = torch.tensor(g * np.float32(alpha))
            torch.optim.Adafactor([p], lr=0.01, d=1e9).step()
            params = np.zeros(shape, np.float32)
            ours, _ = rule.step(rule.hyper(lr=0.01, d=1e9), params, rule.init(params), g * np.float32(alpha))
            np.testing.assert_allclose(ours, p.detach().numpy(), rtol=1e-5)
            sizes.append(p.detach().norm().item())
        # eps1 takes the place of the mean of squares, whose root divides the estimate
        grows = np.sqrt(2.0**-23 / (float(np.mean(g**2)) * 2.0**-32)) if len(shape) == 2 else 1.0
        assert sizes[1] / sizes[0] == pytest.approx(grows, rel=0.03), shape


def test_adafactor_in_bfloat16_follows_the_loss_scale():
    assert decided("adafactor-scale-free") == "false"
    g = torch.linspace(0.5e-3, 1e-3, 12).reshape(4, 3).bfloat16()
    sizes = []
    for alpha in (1.0, 1 / 16):
        p = torch.zeros(4, 3, dtype=torch.bfloat16, requires_grad=True)
        p.grad = alpha * g
        torch.optim.Adafactor([p], lr=0.01).step()
        sizes.append(p.detach().float().norm().item())
    assert sizes[1] / sizes[0] == pytest.approx(1 / 16, rel=0.02)
