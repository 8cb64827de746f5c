"""Linear maps read from rules: against matrices written by hand, against torch, and against the rules' own runs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from lrtheory import quadratic, rules
from lrtheory.rules.facts import Facts
from lrtheory.wrappers import accumulate, average_weights

LR, MU, TAU, WD, BETA, H = 0.3, 0.7, 0.25, 0.1, 0.9, 1.7
E_SGD = LR * (1 - TAU)

HAND_WRITTEN = {
    "heavy ball": (
        rules.sgd(),
        {"momentum": MU, "dampening": TAU, "weight_decay": WD},
        [[1 - E_SGD * (H + WD), -LR * MU], [(1 - TAU) * (H + WD), MU]],
        [-E_SGD, 1 - TAU],
    ),
    "plain": (rules.sgd(), {"dampening": TAU}, [[1 - LR * H, 0], [0, 0]], [-LR, 0]),
    "nesterov": (
        rules.sgd(nesterov=True),
        {"momentum": MU},
        [[1 - LR * (1 + MU) * H, -LR * MU**2], [H, MU]],
        [-LR * (1 + MU), 1],
    ),
    "adamw": (
        rules.adam(decoupled=True),
        {"beta1": BETA, "weight_decay": WD},
        [[1 - LR * WD - LR * (1 - BETA) * H, -LR * BETA], [(1 - BETA) * H, BETA]],
        [-LR * (1 - BETA), 1 - BETA],
    ),
    "adam, coupled": (
        rules.adam(),
        {"beta1": BETA, "weight_decay": WD},
        [[1 - LR * (1 - BETA) * (H + WD), -LR * BETA], [(1 - BETA) * (H + WD), BETA]],
        [-LR * (1 - BETA), 1 - BETA],
    ),
    "nadam at μ = β/2": (
        rules.nadam(),
        {"beta1": BETA, "momentum_decay": 0.0},
        [
            [1 - LR * H * (1 - BETA / 2 + BETA / 2 * (1 - BETA)), -LR * BETA / 2 * BETA],
            [(1 - BETA) * H, BETA],
        ],
        [-LR * (1 - BETA / 2 + BETA / 2 * (1 - BETA)), 1 - BETA],
    ),
    "rmsprop, momentum": (
        rules.rmsprop(),
        {"momentum": MU},
        [[1 - LR * H, -LR * MU], [H, MU]],
        [-LR, 1],
    ),
    "weight average": (
        average_weights(rules.sgd()),
        {"ema_decay": 0.8},
        [[1 - LR * H, 0, 0], [0, 0, 0], [0.2 * (1 - LR * H), 0, 0.8]],
        [-LR, 0, -0.2 * LR],
    ),
}


@pytest.mark.parametrize("name", HAND_WRITTEN)
def test_map_is_that_written_by_hand(name: str) -> None:
    rule, numbers, transition, noise = HAND_WRITTEN[name]
    with jax.enable_x64(True):
        step = quadratic.linear_step(rule, rule.hyper(lr=LR, **numbers))
        np.testing.assert_allclose(step.transition(H), transition, rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(step.N, noise, rtol=1e-14)


def test_first_steps_have_their_own_maps() -> None:
    """Torch's first gradient enters undamped; Adam's first step is lr for a unit of gradient over its size."""
    with jax.enable_x64(True):
        sgd, adam = rules.sgd(), rules.adam()
        steps = quadratic.linear_steps(sgd, sgd.hyper(lr=np.full(2, LR), momentum=MU, dampening=TAU))
        np.testing.assert_allclose(steps.N, [[-LR, 1], [-E_SGD, 1 - TAU]], rtol=1e-14)
        steps = quadratic.linear_steps(adam, adam.hyper(lr=np.full(2, LR), beta1=BETA))
        np.testing.assert_allclose(steps.N[:, 0], [-LR, -LR * (1 - BETA) / (1 - BETA**2)], rtol=1e-13)


def test_numbers_without_one_length_of_steps_are_refused() -> None:
    sgd = rules.sgd()
    with pytest.raises(ValueError, match="one leading axis T"):
        quadratic.linear_steps(sgd, sgd.hyper(lr=np.ones(2), momentum=np.full(3, 0.5)))
    with pytest.raises(ValueError, match="one leading axis T"):
        quadratic.linear_steps(sgd, sgd.hyper(lr=0.1))


# The others step like one of these once their preconditioner is held; their thresholds are held to runs as laws.
FROZEN_RULES = [
    rules.sgd(),
    rules.sgd(nesterov=True),
    rules.adam(decoupled=True),
    rules.nadam(),
    rules.adan(),
    rules.rmsprop(centered=True),
]


@pytest.mark.parametrize("rule", FROZEN_RULES, ids=repr)
def test_maps_follow_a_run_of_the_rule(rule: rules.Rule) -> None:
    """From 1e-120 squares of gradients are nothing beside eps, and the run is that of its linear maps."""
    eps, steps, start = 0.5, 40, 1e-120
    rng = np.random.default_rng(0)
    numbers = {name: 0.6 for name in ("momentum",) if name in rule.Hyper._fields}
    numbers |= {name: 0.2 for name in ("weight_decay",) if name in rule.Hyper._fields}
    numbers |= {"eps": eps} if rule.facts.sizes else {}
    numbers |= {name: 0.0 for name in ("eps_root",) if name in rule.Hyper._fields}
    with jax.enable_x64(True):
        one = rule.hyper(lr=1.0, **numbers)
        hyper = one._replace(lr=jnp.asarray(rng.uniform(0.1, 0.5, steps)))
        noise = start * rng.standard_normal(steps)
        maps = quadratic.linear_steps(rule, hyper, eps)
        z = np.zeros(maps.M.shape[-1])
        z[0] = start
        p, state, step = jnp.asarray(start), rule.init(jnp.asarray(start)), jax.jit(rule.step)
        for t in range(steps):
            z = np.asarray(maps.M[t]) @ z + np.asarray(maps.N[t]) * (H * z[0] + noise[t])
            p, state = step(one._replace(lr=float(hyper.lr[t])), p, state, H * p + noise[t])
            seen = [p, *(getattr(state, name) for name in quadratic.memory(rule) if getattr(state, name) is not None)]
            np.testing.assert_allclose(z[: len(seen)], seen, rtol=1e-9, atol=1e-12 * start)


@pytest.mark.parametrize(
    ("rule", "make", "numbers"),
    [
        (rules.sgd(), torch.optim.SGD, {"momentum": MU, "dampening": TAU, "weight_decay": WD}),
        (rules.adam(decoupled=True), torch.optim.AdamW, {"weight_decay": WD, "eps": 1.0}),
        (rules.nadam(), torch.optim.NAdam, {"eps": 1.0}),
    ],
    ids=["sgd", "adamw", "nadam"],
)
def test_maps_follow_torch(rule: rules.Rule, make: type, numbers: dict[str, float]) -> None:
    steps, start = 30, 1e-120
    p = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64))
    optimizer = make([p], lr=LR, **numbers)
    with jax.enable_x64(True):
        maps = jax.tree.map(np.asarray, quadratic.linear_steps(rule, rule.hyper(lr=np.full(steps, LR), **numbers)))
    z = np.array([start, 0.0])
    for t in range(steps):
        z = maps.M[t] @ z + maps.N[t] * H * z[0]
        p.grad = H * p.detach()
        optimizer.step()
        # torch keeps NAdam's product of momenta in float32.
        assert p.item() == pytest.approx(z[0], rel=1e-6 if rule.name == "nadam" else 1e-9, abs=1e-12 * start)


def test_every_rule_has_a_map_or_a_reason() -> None:
    for name in rules.names():
        memory = rules.get(name)().facts.memory
        assert isinstance(memory, tuple) or (len(memory) > 20 and memory != Facts().memory), name
    lion = rules.lion()
    with pytest.raises(ValueError, match="no linear step: it takes the sign"):
        quadratic.linear_step(lion, lion.hyper())
    with pytest.raises(TypeError, match="no linear step: a rule"):
        quadratic.memory(accumulate(rules.sgd(), every=2))  # type: ignore[arg-type]


def test_one_program_serves_all_numbers() -> None:
    sgd = rules.sgd()
    programs = quadratic.linear_step._cache_size  # pyright: ignore[reportAttributeAccessIssue]: JAX gives it to what is jitted
    before = programs()
    for lr, momentum in ((0.1, 0.9), (0.2, 0.0), (1.0, 0.5)):
        quadratic.linear_step(sgd, sgd.hyper(lr=lr, momentum=momentum))
    assert programs() <= before + 1


def test_delay_moves_the_gradient_back() -> None:
    with jax.enable_x64(True):
        sgd = rules.sgd()
        step = quadratic.delayed(quadratic.linear_step(sgd, sgd.hyper(lr=LR, momentum=MU)), 2)
        A = np.asarray(step.transition(H))
        p, buffer, z = [1.0, 1.0, 1.0], 0.0, np.array([1.0, 1.0, 1.0, 0.0])
        for _ in range(10):
            buffer = MU * buffer + H * p[-3]
            p.append(p[-1] - LR * buffer)
            z = A @ z
        np.testing.assert_allclose(z, [*p[-3:], buffer], rtol=1e-12)
