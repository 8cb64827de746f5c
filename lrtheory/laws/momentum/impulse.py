r"""How one gradient moves the parameters, step after step, under the momentum of SGD."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import rules
from ...rules import Rule
from ...theory.momentum import gain
from ..law import Evidence, Law
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


def _variants(seed: int) -> list[tuple[Rule, Any]]:
    rng = np.random.default_rng([seed, 50])
    heavy, nesterov = rules.sgd(), rules.sgd(nesterov=True)
    draw = lambda: dict(lr=rng.uniform(0.01, 1), momentum=rng.uniform(0.3, 0.95))  # noqa: E731
    return [
        (heavy, heavy.hyper(**draw(), dampening=rng.uniform(0.1, 0.9))),
        (heavy, heavy.hyper(lr=rng.uniform(0.01, 1))),
        (nesterov, nesterov.hyper(**draw())),
    ]


def _check_impulse(formula: Any, seed: int) -> Evidence:
    steps = 30
    grads = np.zeros((steps, 2))
    grads[0, 0] = grads[LATE, 1] = 1
    worst = 0.0
    for rule, hyper in _variants(seed):
        removed = replay(rule, hyper, grads).steps / hyper.lr
        for coordinate, start, first in ((0, 0, True), (1, LATE, False)):
            expected = formula(rule, hyper, np.arange(steps - start), first=first) / hyper.lr
            worst = max(worst, float(np.abs(removed[start:, coordinate] - expected).max()))
    return Evidence(
        ran=f"sgd with momentum and dampening, without momentum, and with nesterov: a unit gradient at step 1 and at step \
{LATE + 1}, zeros around it, {steps} steps",
        residual=worst,
        bound=128 * np.finfo(float).eps,
        derivation="in units of lr; 30 products of at most 1 and differences of parameters of at most 20, each rounded to "
        "half an ulp: 60 + 2·20·2 half ulps of 1, below 128 ulps",
    )


def _check_gain(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 51])
    momentum = rng.uniform(0.3, 0.8)
    cases: list[tuple[Rule, dict[str, float], dict[str, float]]] = [
        (rules.sgd(), {"momentum": momentum, "dampening": rng.uniform(0.1, 0.9)}, {}),
        (rules.sgd(nesterov=True), {"momentum": momentum}, {}),
        (rules.rmsprop(), {"momentum": momentum, "alpha": rng.uniform(0.3, 0.8)}, {}),
        (rules.adam(), {"beta1": momentum, "beta2": rng.uniform(0.3, 0.8)}, {}),
        (rules.schedule_free_sgd(), {"beta1": momentum}, {}),
    ]
    worst = 0.0
    for rule, numbers, extra in cases:
        hyper = rule.hyper(lr=0.1, **numbers, **extra)
        g = np.array([0.7, -3.0])
        per_lr = replay(rule, hyper, np.tile(g, (250, 1))).steps[-1] / g / 0.1
        plain = np.ones(2) if rule.facts.divides_by == "nothing" else 1 / (np.abs(g) + hyper.eps)
        worst = max(worst, float(np.abs(per_lr / plain / formula(rule, hyper) - 1).max()))
    return Evidence(
        ran="sgd (heavy ball with dampening, nesterov), rmsprop with momentum, adam and schedule_free_sgd under a constant "
        "gradient: step 250 over what it would be without momentum",
        residual=worst,
        bound=1e-11,
        derivation="what is left of the start is 0.8^250 < 1e-24; the step is a difference of parameters up to 250 times "
        "its gain of 5 in size, which costs 250·5·2^-52 = 3e-13, and averages as much again",
    )


def adamax_response(beta1: float, t: int) -> float:
    """−∂Δθ/∂g over E of Adamax for the last of t equal gradients, eps 0: (1 − beta1)/(1 − beta1ᵗ) − 1."""
    return (1 - beta1) / (1 - beta1**t) - 1


def _check_response(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 58])
    adamax, worst = rules.adamax(), 0.0
    for t in (1, 2, 30):
        hyper = adamax.hyper(lr=rng.uniform(0.01, 1), beta1=rng.uniform(0.5, 0.95), beta2=0.99, eps=0.0)
        g = rng.uniform(0.5, 2)

        def last_step(h: float, t: int = t, hyper: Any = hyper, g: float = g) -> float:
            grads = np.full((t, 2), g)
            grads[-1] += h
            return float(replay(adamax, hyper, grads).steps[-1, 0])

        h = 1e-4 * g
        slope = (4 * (last_step(h) - last_step(-h)) / 3 - (last_step(2 * h) - last_step(-2 * h)) / 6) / (2 * h)
        worst = max(worst, abs(slope * g / hyper.lr - formula(hyper.beta1, t)))
    return Evidence(
        ran="adamax at eps 0, the last of 1, 2 and 30 equal gradients moved by ±1e-4 and ±2e-4 of itself: slope of its step over E",
        residual=worst,
        bound=1e-9,
        derivation="differences of fourth order at 1e-4 leave 1e-15 and some dozen roundings of 2^-53 over 1e-4: 3e-11 times the steps' "
        "distance from 0, at most 30",
    )


def noise_step(beta1: float) -> float:
    """Root mean square of Adam's step over lr while gradients are noise of mean 0: √((1 − beta1)/(1 + beta1))."""
    return ((1 - beta1) / (1 + beta1)) ** 0.5


def _check_noise(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 59])
    adam, coordinates, late = rules.adam(), 2000, 50
    hyper = adam.hyper(lr=1.0, beta1=rng.uniform(0.3, 0.9), beta2=0.9999, eps=0.0)
    # From moments long under way: v at the variance of the noise, m drawn from where it settles.
    with jax.enable_x64(True):
        state = adam.init(jnp.zeros(coordinates))._replace(t=jnp.int32(10**6), v=jnp.ones(coordinates))
        steps = replay(adam, hyper, rng.standard_normal((250, coordinates)), state=state).steps[late:]
    means = np.mean(steps**2, axis=0)
    error = float(np.std(means, ddof=1) / np.sqrt(coordinates) / np.mean(means))
    ratio = float(np.mean(means)) / formula(hyper.beta1) ** 2
    return Evidence(
        ran=f"adam at eps 0, beta2 0.9999, on Gaussian noise: mean square of steps {late + 1} to 250 over {coordinates} coordinates",
        residual=abs(ratio - 1) / (4.5 * error + 0.02),
        bound=1.0,
        derivation="relative, in units of 4.5 standard errors and of 2 % for v, whose 250 new terms of weight 1e-4 move it by 0.2 % at "
        "random and are shared with the step; passed by chance with probability 1e-5",
        sample_size=coordinates,
        confidence=1 - 1e-5,
        false_alarm_rate=1e-5,
        figures={"mean square over predicted": ratio},
    )


def _from_first(rule: Rule, hyper: Any, k: Any, *, first: bool = False) -> Any:
    return sgd_response(rule, hyper, k, first=False)


def _one_later(rule: Rule, hyper: Any, k: Any, *, first: bool = False) -> Any:
    return sgd_response(rule, hyper, np.asarray(k) + 1, first=first)


LAWS = (
    Law(
        id="momentum.impulse-response",
        title="A gradient acts for 1/(1−momentum) steps",
        statement=r"\Delta_k = lr\,(1 - dampening)\, momentum^k \quad (\text{first gradient: } lr \cdot momentum^k; \; "
        r"\text{nesterov: } lr\,(1 + momentum), \text{ then } lr \cdot momentum^{k+1})",
        kind="exact",
        scope="sgd with any momentum, dampening and nesterov at constant lr, no weight decay; Δ_k is what a unit gradient "
        "removes from the parameter k steps after it came. At momentum 0 dampening plays no part",
        source="torch/optim/sgd.py (2.13), unrolled; derived here",
        formula=sgd_response,
        check=_check_impulse,
        mutants={"the first gradient is damped too": _from_first, "one power of momentum too many": _one_later},
    ),
    Law(
        id="momentum.gain",
        title="Momentum multiplies the lr",
        statement=r"gain = \frac{1 - dampening}{1 - momentum} \quad (\text{nesterov: } \frac{1}{1 - momentum}; \; "
        r"\text{averaged gradients: } 1; \; \text{schedule-free: } 1 - \frac{beta1}{2})",
        kind="exact",
        scope="in the limit of many steps of a constant gradient: sgd, rmsprop and lars (whose buffers are sums); 1 for "
        "adam and all rules that average. The schedule-free gain is reached at step 2 and needs a constant lr",
        source="sum of the impulse response; torch/optim/sgd.py and rmsprop.py (2.13); schedule-free: derived here from "
        "2405.15682, algorithm 1",
        formula=gain,
        check=_check_gain,
        mutants={
            "no gain": lambda rule, hyper: 1.0,
            "dampening left out": lambda rule, hyper: gain(
                rule, hyper._replace(dampening=0.0) if "dampening" in hyper._fields else hyper
            ),
            "schedule-free takes its parameters for z": lambda rule, hyper: (
                1.0 if "z" in rule.State._fields else gain(rule, hyper)
            ),
        },
    ),
    Law(
        id="momentum.adamax-response",
        title="Adamax answers a larger gradient with a smaller step",
        statement=r"-\frac{\partial \Delta\theta_t}{\partial g_t} = \left(\frac{1 - beta1}{1 - beta1^t} - 1\right) E \to -beta1 \cdot E",
        kind="exact",
        scope="adamax at eps 0, the last of t equal gradients: the maximum grows with the gradient, and divides all of the average. E is "
        "the step over the mean of all gradients, not the answer to the next one: of sign rules and of Adam's first step that is 0",
        source="1412.6980, algorithm 2; derived here",
        formula=adamax_response,
        check=_check_response,
        mutants={
            "E itself": lambda beta1, t: 1.0,
            "E's share of the latest": lambda beta1, t: (1 - beta1) / (1 - beta1**t),
        },
    ),
    Law(
        id="momentum.noise-step",
        title="Adam's steps under pure noise",
        statement=r"\sqrt{E\,\Delta_t^2} \to lr \sqrt{\frac{1 - beta1}{1 + beta1}}",
        kind="statistical",
        scope="adam and adamw (decay left out) at eps 0, independent gradients of mean 0 and one variance, beta2 → 1, t ≫ 1/(1 − beta1): "
        "0.229·lr at 0.9, against lr for a constant gradient",
        source="variance of an exponential average over the variance of what it averages; derived here",
        formula=noise_step,
        check=_check_noise,
        mutants={"lr": lambda beta1: 1.0, "√(1 − beta1)": lambda beta1: (1 - beta1) ** 0.5},
    ),
)
