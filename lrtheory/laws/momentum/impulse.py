r"""How one gradient moves the parameters, step after step, under the momentum of SGD."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from ... import rules
from ...rules import Rule
from ...theory.momentum import gain
from ..law import Rng, Shown, law, relative, without
from ..trajectory import replay

LATE = 5


def sgd_response(rule: Rule, hyper: Any, k: Any, *, first: bool = False) -> np.ndarray:
    r""":math:`lr(1-dampening) \cdot momentum^k`; with nesterov :math:`lr(1+momentum)`, then :math:`lr \cdot momentum^{k+1}`."""
    k, momentum = np.asarray(k), hyper.momentum
    if momentum == 0:
        return np.where(k == 0, hyper.lr, 0.0)
    if rule.options["nesterov"]:
        return hyper.lr * np.where(k == 0, 1 + momentum, momentum ** (k + 1.0))
    return hyper.lr * (1.0 if first else 1 - hyper.dampening) * momentum ** (k + 0.0)


@law(
    r"""exact momentum.impulse-response: A gradient acts for 1/(1−momentum) steps
    \Delta_k = lr\,(1 - dampening)\, momentum^k \quad (\text{first gradient: } lr \cdot momentum^k; \; \text{nesterov: }
    lr\,(1 + momentum), \text{ then } lr \cdot momentum^{k+1})
    scope: sgd with any momentum, dampening and nesterov at constant lr, no weight decay; Δ_k is what a unit gradient
    removes from the parameter k steps after it came. At momentum 0 dampening plays no part
    source: torch/optim/sgd.py (2.13), unrolled; derived here
    why: in units of lr; 30 products of at most 1 and differences of parameters of at most 20, each rounded to half an
    ulp: 60 + 2·20·2 half ulps of 1, below 128 ulps
    """,
    sgd_response,
    {
        "the first gradient is damped too": lambda rule, hyper, k, first: sgd_response(rule, hyper, k),
        "one power of momentum too many": lambda rule, hyper, k, first: sgd_response(rule, hyper, k + 1, first=first),
    },
    bound=128 * np.finfo(float).eps,
    key=50,
)
def impulse_response(formula: Any, rng: Rng) -> Shown:
    heavy, nesterov = rules.sgd(), rules.sgd(nesterov=True)
    draw = lambda: dict(lr=rng.uniform(0.01, 1), momentum=rng.uniform(0.3, 0.95))  # noqa: E731
    cases = (
        (heavy, heavy.hyper(**draw(), dampening=rng.uniform(0.1, 0.9))),
        (heavy, heavy.hyper(lr=rng.uniform(0.01, 1))),
        (nesterov, nesterov.hyper(**draw())),
    )
    steps = 30
    grads = np.zeros((steps, 2))
    grads[0, 0] = grads[LATE, 1] = 1
    for rule, hyper in cases:
        removed = replay(rule, hyper, grads).steps / hyper.lr
        for coordinate, start, first in ((0, 0, True), (1, LATE, False)):
            expected = formula(rule, hyper, np.arange(steps - start), first=first) / hyper.lr
            yield np.abs(removed[start:, coordinate] - expected)
    yield (
        "sgd with momentum and dampening, without momentum, and with nesterov: a unit gradient at step 1 and at step "
        f"{LATE + 1}, zeros around it, {steps} steps"
    )


@law(
    r"""exact momentum.gain: Momentum multiplies the lr
    gain = \frac{1 - dampening}{1 - momentum} \quad (\text{nesterov: } \frac{1}{1 - momentum}; \; \text{averaged
    gradients: } 1; \; \text{schedule-free: } 1 - \frac{beta1}{2})
    scope: in the limit of many steps of a constant gradient: sgd, rmsprop and lars (whose buffers are sums); 1 for adam
    and all rules that average. The schedule-free gain is reached at step 2 and needs a constant lr
    source: sum of the impulse response; torch/optim/sgd.py and rmsprop.py (2.13); schedule-free: derived here from
    2405.15682, algorithm 1
    ran: sgd (heavy ball with dampening, nesterov), rmsprop with momentum, adam and schedule_free_sgd under a constant
    gradient: step 250 over what it would be without momentum
    why: what is left of the start is 0.8^250 < 1e-24; the step is a difference of parameters up to 250 times its gain
    of 5 in size, which costs 250·5·2^-52 = 3e-13, and averages as much again
    """,
    gain,
    {
        "no gain": lambda rule, hyper: 1.0,
        "dampening left out": lambda rule, hyper: gain(rule, without(hyper, "dampening")),
        "schedule-free takes its parameters for z": lambda rule, hyper: (
            1.0 if "z" in rule.State._fields else gain(rule, hyper)
        ),
    },
    bound=1e-11,
    key=51,
)
def gains(formula: Any, rng: Rng) -> Shown:
    momentum, g = rng.uniform(0.3, 0.8), np.array([0.7, -3.0])
    cases: list[tuple[Rule, dict[str, float]]] = [
        (rules.sgd(), {"momentum": momentum, "dampening": rng.uniform(0.1, 0.9)}),
        (rules.sgd(nesterov=True), {"momentum": momentum}),
        (rules.rmsprop(), {"momentum": momentum, "alpha": rng.uniform(0.3, 0.8)}),
        (rules.adam(), {"beta1": momentum, "beta2": rng.uniform(0.3, 0.8)}),
        (rules.schedule_free_sgd(), {"beta1": momentum}),
    ]
    for rule, numbers in cases:
        hyper = rule.hyper(lr=0.1, **numbers)
        per_lr = replay(rule, hyper, np.tile(g, (250, 1))).steps[-1] / g / 0.1
        plain = np.ones(2) if rule.facts.divides_by == "nothing" else 1 / (np.abs(g) + hyper.eps)
        yield relative(per_lr / plain, formula(rule, hyper))


@law(
    r"""exact momentum.adamax-response: Adamax answers a larger gradient with a smaller step
    -\frac{\partial \Delta\theta_t}{\partial g_t} = \left(\frac{1 - beta1}{1 - beta1^t} - 1\right) E \to -beta1 \cdot E
    scope: adamax at eps 0, the last of t equal gradients: the maximum grows with the gradient, and divides all of the
    average. E is the step over the mean of all gradients, not the answer to the next one: of sign rules and of Adam's
    first step that is 0
    source: 1412.6980, algorithm 2; derived here
    ran: adamax at eps 0, the last of 1, 2 and 30 equal gradients moved by ±1e-4 and ±2e-4 of itself: slope of its step
    over E
    why: differences of fourth order at 1e-4 leave 1e-15 and some dozen roundings of 2^-53 over 1e-4: 3e-11 times the
    steps' distance from 0, at most 30
    """,
    lambda beta1, t: (1 - beta1) / (1 - beta1**t) - 1,
    {"E itself": lambda beta1, t: 1.0, "E's share of the latest": lambda beta1, t: (1 - beta1) / (1 - beta1**t)},
    bound=1e-9,
    key=58,
)
def adamax_response(formula: Any, rng: Rng) -> Shown:
    adamax = rules.adamax()
    for t in (1, 2, 30):
        hyper = adamax.hyper(lr=rng.uniform(0.01, 1), beta1=rng.uniform(0.5, 0.95), beta2=0.99, eps=0.0)
        g = rng.uniform(0.5, 2)

        def last_step(h: float, t: int = t, hyper: Any = hyper, g: float = g) -> float:
            grads = np.full((t, 2), g)
            grads[-1] += h
            return float(replay(adamax, hyper, grads).steps[-1, 0])

        h = 1e-4 * g
        slope = (4 * (last_step(h) - last_step(-h)) / 3 - (last_step(2 * h) - last_step(-2 * h)) / 6) / (2 * h)
        yield abs(slope * g / hyper.lr - formula(hyper.beta1, t))


@law(
    r"""statistical momentum.noise-step: Adam's steps under pure noise
    \sqrt{E\,\Delta_t^2} \to lr \sqrt{\frac{1 - beta1}{1 + beta1}}
    scope: adam and adamw (decay left out) at eps 0, independent gradients of mean 0 and one variance, beta2 → 1, t ≫
    1/(1 − beta1): 0.229·lr at 0.9, against lr for a constant gradient
    source: variance of an exponential average over the variance of what it averages; derived here
    why: relative, in units of 4.5 standard errors and of 2 % for v, whose 250 new terms of weight 1e-4 move it by 0.2 %
    at random and are shared with the step; passed by chance with probability 1e-5
    """,
    lambda beta1: ((1 - beta1) / (1 + beta1)) ** 0.5,
    {"lr": lambda beta1: 1.0, "√(1 − beta1)": lambda beta1: (1 - beta1) ** 0.5},
    bound=1.0,
    key=59,
    sample_size=2000,
    false_alarm_rate=1e-5,
)
def noise_step(formula: Any, rng: Rng) -> Shown:
    adam, coordinates, late = rules.adam(), 2000, 50
    hyper = adam.hyper(lr=1.0, beta1=rng.uniform(0.3, 0.9), beta2=0.9999, eps=0.0)
    # From moments long under way: v at the variance of the noise, m drawn from where it settles.
    state = adam.init(jnp.zeros(coordinates))._replace(t=jnp.int32(10**6), v=jnp.ones(coordinates))
    steps = replay(adam, hyper, rng.standard_normal((250, coordinates)), state=state).steps[late:]
    means = np.mean(steps**2, axis=0)
    error = float(np.std(means, ddof=1) / np.sqrt(coordinates) / np.mean(means))
    ratio = float(np.mean(means)) / formula(hyper.beta1) ** 2
    yield f"adam at eps 0, beta2 0.9999, on Gaussian noise: mean square of steps {late + 1} to 250 over {coordinates} coordinates"
    yield abs(ratio - 1) / (4.5 * error + 0.02)
    yield {"mean square over predicted": ratio}
