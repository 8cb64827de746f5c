r"""Decoupled weight decay as an average of past updates, its time scale, its form without lr; and how large updates are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import rules
from ...theory.momentum import average_weights, coupled_to_lr, decay_time_scale
from ...theory.updates import update_rms
from ..law import Rng, Shown, law, relative
from ..trajectory import replay

STEPS = 60


def _drawn(rng: Rng) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    lr, beta1, beta2 = rng.uniform(0.05, 0.3), rng.uniform(0.5, 0.95), rng.uniform(0.8, 0.99)
    numbers = {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": 0.01}
    return rng.standard_normal((STEPS, 2)), 3 * rng.standard_normal(2), numbers


@law(
    r"""exact momentum.adamw-average: AdamW averages its past updates
    \theta_T = \rho^T \theta_0 + \sum_{i=0}^{T-1} (1 - \rho) \rho^{T-1-i} \left(-\frac{u_i}{weight\_decay}\right), \quad
    \rho = 1 - lr \cdot weight\_decay
    scope: decoupled decay above 0 at constant lr, on given gradients: u_i, Adam's update without lr, does not depend on
    θ then. In training the gradients do, and the form still holds for the updates that were made
    source: Wang & Aitchison 2024 (2405.13698); derived here
    why: parameters of size up to 10 and updates formed as differences of such, 60 of them with weights that sum to at
    most 1/weight_decay = 2: some 60·2·10·2^-53 = 1.3e-13 if all roundings had one sign, a tenth if not
    """,
    average_weights,
    {
        "one step older": lambda lr, wd, steps: (
            (average := average_weights(lr, wd, steps))[0],
            average[1] * (1 - lr * wd),
        ),
        "time scale 1/weight_decay": lambda lr, wd, steps: average_weights(1.0, wd, steps),
    },
    bound=1e-13,
    key=58,
)
def adamw_average(formula: Any, rng: Rng) -> Shown:
    grads, first, numbers = _drawn(rng)
    adamw, decay = rules.adamw(), 0.5
    plain = replay(adamw, adamw.hyper(**numbers, weight_decay=0.0), grads)
    found = replay(adamw, adamw.hyper(**numbers, weight_decay=decay), grads, first).params[-1]
    start, weights = formula(numbers["lr"], decay, STEPS)
    yield (
        f"adamw with weight_decay {decay} from a drawn start, and without decay from 0 on the same gradients for its "
        f"updates: {STEPS} steps, and the weights of all but the average added up"
    )
    yield np.abs(found - (start * first - weights @ (plain.steps / numbers["lr"]) / decay))
    yield abs(start + np.sum(weights) - 1)


@law(
    r"""exact momentum.decay-time-scale: Time scale of weight decay
    T_{decay} = \frac{-1}{\log(1 - lr \cdot weight\_decay)} \approx \frac{1}{lr \cdot weight\_decay} \quad (\text{sgd:
    the larger root of } x^2 - (1 + \mu - lr(1 - dampening) weight\_decay)\, x + \mu)
    scope: decoupled decay of adamw, nadam, radam, lion, signum, muon, adafactor and adan (proximal: log of 1 +
    lr·weight_decay), and coupled decay of sgd, near 1/(lr·gain·weight_decay). Coupled decay of adaptive rules is
    divided by the gradient's size and has no time scale
    source: Wang & Aitchison 2024 (2405.13698); the roots for SGD derived here
    ran: adamw, lion, adan, and sgd plain, with momentum and dampening, and with nesterov, on zero gradients: rate of
    decay from step 150 to step 250
    why: the second root of SGD's recursion is below 0.65 against 0.9 and gone after 150 steps to (0.72)^150 = 1e-21; a
    logarithm of 1 or more carries 100 roundings of 2^-53 and is divided by 100
    """,
    decay_time_scale,
    {
        "first order only": lambda rule, hyper: 1 / (hyper.lr * hyper.weight_decay),
        "momentum left out": lambda rule, hyper: -1 / math.log(1 - hyper.lr * hyper.weight_decay),
    },
    bound=1e-12,
    key=59,
)
def time_scale(formula: Any, rng: Rng) -> Shown:
    momentum, decay = rng.uniform(0.3, 0.6), rng.uniform(0.1, 0.5)
    plain = [(rule, {}) for rule in (rules.adamw(), rules.lion(), rules.adan(), rules.sgd())]
    heavy = (rules.sgd(), {"momentum": momentum, "dampening": 0.3})
    for rule, numbers in (*plain, heavy, (rules.sgd(nesterov=True), {"momentum": momentum})):
        hyper = rule.hyper(lr=0.1, weight_decay=decay, **numbers)
        params = replay(rule, hyper, np.zeros((250, 2)), np.array([2.0, -0.5])).params
        rate = np.log(params[150] / params[250]) / 100
        yield relative(rate * formula(rule, hyper), 1)


@law(
    r"""exact momentum.fully-decoupled-decay: Decay that does not depend on lr
    \theta \leftarrow (1 - decay)\theta - lr_t u_t \quad \Leftrightarrow \quad weight\_decay_t = \frac{decay}{lr_t}
    scope: adamw and every rule whose decoupled decay is lr·weight_decay·θ; lr above 0, weight_decay set anew whenever
    lr changes
    source: 1711.05101, algorithm 2, where decay is not multiplied by lr; torch/optim/adam.py (2.13), where it is
    why: 60 steps of a few roundings at parameters up to 10: 60·4·10·2^-53 = 3e-13
    """,
    coupled_to_lr,
    {
        "set once for the first lr": lambda decay, lr: np.full(np.shape(lr), decay / np.asarray(lr)[0]),
        "not divided": lambda decay, lr: np.full(np.shape(lr), decay),
    },
    bound=1e-12,
    key=58,
)
def fully_decoupled_decay(formula: Any, rng: Rng) -> Shown:
    grads, first, numbers = _drawn(rng)
    lr = numbers.pop("lr") * np.linspace(1, 0.1, STEPS)
    adamw, decay = rules.adamw(), 0.02
    found = replay(adamw, adamw.hyper(**numbers)._replace(lr=lr, weight_decay=formula(decay, lr)), grads, first).params
    plain = replay(adamw, adamw.hyper(**numbers, weight_decay=0.0)._replace(lr=lr), grads)
    p = first
    for t, step in enumerate(plain.steps):
        p = (1 - decay) * p - step
        yield np.abs(found[t + 1] - p)
    yield (
        f"adamw under an lr that falls tenfold with weight_decay set anew at each of {STEPS} steps, and (1-decay)·θ minus "
        "adam's steps"
    )


@law(
    r"""statistical momentum.update-rms: Size of updates under pure noise
    rms(\Delta) = lr \sqrt{\frac{1 - beta1}{1 + beta1}} \text{ (Adam: 0.229 lr)}, \quad lr \text{ (Lion)}, \quad
    \frac{lr \sigma}{\sqrt{1 - momentum^2}} \text{ (SGD)}
    scope: gradients that are independent noise of root mean square σ, far above eps, long under way, without decay. That of Adam is
    of a size that hardly moves, and within 3 % for beta2 down to 0.9. It is where the 0.2 of Muon's match_rms_adamw comes from
    source: derived here, weights of the impulse response squared and added up; Liu et al. 2025 (2502.16982) for Muon
    ran: adam with drawn beta1, lion, and sgd with drawn momentum on 256 steps of noise in 4000 coordinates: three of the last steps
    why: relative: 0.7 % from 12000 draws and 2 % from the memory of the size; at six standard deviations
    """,
    update_rms,
    {
        "memory not a root": lambda rule, hyper: hyper.lr * (1 - getattr(hyper, "beta1", 0.0)),
        "lr": lambda rule, hyper: hyper.lr,
        "of the latest gradient": lambda rule, hyper: hyper.lr * math.sqrt(1 - getattr(hyper, "beta1", 0.0)),
    },
    bound=0.06,
    key=60,
    sample_size=12_000,
    false_alarm_rate=1e-8,
)
def size_of_updates(formula: Any, rng: Rng) -> Shown:
    adam, lion, sgd = rules.adam(), rules.lion(), rules.sgd()
    for rule, hyper in (
        (adam, adam.hyper(lr=0.01, beta1=rng.uniform(0.6, 0.9), beta2=0.99)),
        (lion, lion.hyper(lr=0.01, weight_decay=0.0)),
        (sgd, sgd.hyper(lr=0.01, momentum=rng.uniform(0.6, 0.9))),
    ):
        steps = replay(rule, hyper, rng.standard_normal((256, 4000))).steps
        yield relative(np.sqrt(np.mean(steps[[199, 227, 255]] ** 2)), formula(rule, hyper))
