"""A port that is wrong in one piece is seen, whatever the seed."""

from __future__ import annotations

import copy
import dataclasses

import jax
import numpy as np
import pytest

from lrtheory import port
from lrtheory.port import mid_run

torch = pytest.importorskip("torch")

SEEDS = range(25)


def swapped(tensor):
    return dataclasses.replace(tensor, state=tensor.state._replace(m=tensor.state.v, v=tensor.state.m))


def counted(by):
    return lambda tensor: dataclasses.replace(tensor, state=tensor.state._replace(t=np.int32(tensor.state.t + by)))


def transposed(tensor):
    turned = tensor.turned((1, 0))
    return dataclasses.replace(tensor, state=turned.state)


def zeroed(slot):
    return lambda t: dataclasses.replace(t, state=t.state._replace(**{slot: 0 * getattr(t.state, slot)}))


MUTANTS = {
    "swapped moments": swapped,
    "a count too many": counted(1),
    "a count too few": counted(-1),
    "bias correction lost": counted(100_000),
    "transposed square": transposed,
    "no first moment": zeroed("m"),
    "no second moment": zeroed("v"),
    "sound": lambda tensor: tensor,
}


def run(optimizer, p, grads) -> np.ndarray:
    for g in grads:
        p.grad = torch.tensor(g)
        optimizer.step()
    return p.detach().numpy().copy()


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_takes_other_steps_at_every_seed(name, monkeypatch):
    turned = mid_run._turned
    mutate = MUTANTS[name]
    monkeypatch.setattr(mid_run, "_turned", lambda *given: {n: mutate(t) for n, t in turned(*given).items()})
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        grads = rng.standard_normal((10, 3, 3)) * 10.0 ** rng.uniform(-3, 1, (3, 3))
        p, q = (torch.nn.Parameter(torch.zeros(3, 3, dtype=torch.float64)) for _ in range(2))
        source = torch.optim.AdamW([("w", p)], lr=0.01, weight_decay=0.1)
        target = torch.optim.AdamW([("w", q)], lr=0.5)
        run(source, p, grads[:6])
        port.state(source, to=target).load()
        ends, others = run(source, p, grads[6:]), run(target, q, grads[6:])
        off = np.abs(ends - others).max() / np.abs(ends).max()
        if name == "sound":
            assert off == 0, seed
        else:
            assert not off <= 1e-6, seed  # nan is seen too


SCHEDULERS = {
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=40),
    "exponential": lambda o: torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.9),
    "linear": lambda o: torch.optim.lr_scheduler.LinearLR(o, total_iters=30),
    "one after the other": lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [torch.optim.lr_scheduler.LinearLR(o, total_iters=5), torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.9)],
        milestones=[5],
    ),
}


def scheduled(name, steps):
    p = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = torch.optim.AdamW([("w", p)], lr=0.1)
    scheduler = SCHEDULERS[name](optimizer)
    for _ in range(steps):
        run(optimizer, p, [np.ones(2)])
        scheduler.step()
    return optimizer, scheduler, p


@pytest.mark.parametrize("name", SCHEDULERS)
def test_position_of_a_schedule_goes_along(name):
    source, schedule, p = scheduled(name, 7)
    target, fresh, q = scheduled(name, 0)
    found = port.state(source, to=target, scheduler=fresh)
    assert fresh.last_epoch == 0
    found.load()
    fresh.load_state_dict(found.scheduler)
    for _ in range(8):
        for optimizer, scheduler, parameter in ((source, schedule, p), (target, fresh, q)):
            run(optimizer, parameter, [np.ones(2)])
            scheduler.step()
        assert source.param_groups[0]["lr"] == target.param_groups[0]["lr"]
        assert torch.equal(p, q)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("by", [-1, 1])
def test_position_that_is_off_is_refused(name, by):
    source, _, _ = scheduled(name, 7)
    state = copy.deepcopy(source.state_dict())
    state["state"][0]["step"] += by
    target, fresh, _ = scheduled(name, 0)
    with pytest.raises(port.PortError, match="now in the source, and the scheduler comes to"):
        port.state(state, to=target, scheduler=fresh)


def test_position_of_a_schedule_of_optax_is_held_to_the_lr_in_force():
    optax = pytest.importorskip("optax")
    source, _, _ = scheduled("exponential", 7)
    with jax.enable_x64(True):
        right = optax.adamw(optax.exponential_decay(0.1, 1, 0.9), weight_decay=0.01)
        assert port.state(source, to=right).optimizer is right
        wrong = optax.adamw(optax.exponential_decay(0.1, 2, 0.9), weight_decay=0.01)
        with pytest.raises(port.PortError, match="now in the source"):
            port.state(source, to=wrong)
