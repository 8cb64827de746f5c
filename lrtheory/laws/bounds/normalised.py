r"""The bounds of rules that divide by a root mean square or a maximum, attained and never passed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import rules
from ...rules import Rule
from ...rules.closed_forms import nadam_momentum
from ...theory.bounds import (
    adam_bound,
    adamax_bound,
    centered_rmsprop_bound,
    extremal_gradients,
    largest_step,
    powers,
    rmsprop_bound,
    weighted_sum_bound,
)  # fmt: skip
from ..law import Rng, Shown, law, relative, without
from ..trajectory import replay

STREAMS, ROUNDS = 256, 12
NADAM, ADAGRAD = rules.nadam(), rules.adagrad()

Drawn = tuple[dict[str, float], int]


def _largest_found(rule: Rule, hyper: Any, t: int, rng: np.random.Generator) -> float:
    """Largest step t over random streams and a climb from the best of them, each round from a hundred to a few percent.

    Streams span six decades, grow or fall geometrically, and every other one keeps its sign; one column of gradients is
    one coordinate.
    """
    ages = np.arange(t)[:, None]
    streams = rng.standard_normal((t, STREAMS)) * 10 ** rng.uniform(-3, 3, (t if rng.random() < 0.5 else 1, STREAMS))
    streams[:, ::2] = np.abs(streams[:, ::2])
    streams *= np.exp(rng.uniform(-1, 1, (1, STREAMS)) * ages)
    best = 0.0
    for spread in np.geomspace(1.0, 0.02, ROUNDS):
        steps = np.abs(replay(rule, hyper, streams).steps[t - 1])
        steps = np.where(np.isfinite(steps), steps, 0)
        best = max(best, float(steps.max()))
        winner = streams[:, [int(np.argmax(steps))]]
        streams = winner * np.exp(spread * rng.standard_normal((t, STREAMS)))
        streams[:, : STREAMS // 4] *= rng.choice([-1.0, 1.0], (t, STREAMS // 4), p=[0.1, 0.9])
        streams[:, :1] = winner
    return best


_SHARP: Any = {
    "bound": 1e-11,
    "why": "relative, both ways: the extremal stream must attain the bound and no stream may pass it. A step is a few dozen "
    "roundings of 2^-53 and a difference of parameters up to some hundred times its size",
    "key": 60,
}


def _attained(rule: Rule, draw: Callable[[Rng], Drawn], extremal: Callable[[dict[str, float], int], np.ndarray]) -> Any:
    def shows(formula: Any, rng: Rng) -> Shown:
        numbers, t = draw(rng)
        hyper = without(rule.hyper(lr=0.1, **numbers), "eps")
        bound = hyper.lr * formula(numbers, t)
        stream = np.repeat(extremal(numbers, t)[:, None], STREAMS, axis=1)  # the shape of the search: one program
        yield relative(abs(replay(rule, hyper, stream).steps[-1, 0]), bound)
        found = _largest_found(rule, hyper, t, rng)
        yield found / bound - 1
        yield {"bound over lr": bound / hyper.lr, "found by search, of the bound": found / bound}
        yield (
            f"{rule!r} with {', '.join(f'{k}={v:.4g}' for k, v in numbers.items())} and eps 0 at step {t}: the extremal "
            f"stream, and a search of {ROUNDS} rounds of {STREAMS} streams"
        )

    return shows


def adam_numbers(rng: np.random.Generator) -> Drawn:
    """Betas with beta1² below beta2 or not, and a step."""
    numbers = {"beta1": rng.uniform(0.5, 0.95), "beta2": rng.uniform(0.8, 0.999)}
    return numbers, int(rng.integers(4, 25))


def adam_stream(h: dict[str, float], t: int) -> np.ndarray:
    """The gradients that attain Adam's bound at step t."""
    return extremal_gradients((1 - h["beta1"]) * powers(h["beta1"], t), (1 - h["beta2"]) * powers(h["beta2"], t))


def _after_zeros(h: dict[str, float], t: int) -> np.ndarray:
    return np.where(np.arange(t) < t - 1, 1e-30, 1.0)  # zeros would be divided by zero at eps 0


def over_lr(rule: Rule, numbers: dict[str, float], t: int) -> float:
    """:func:`largest_step` of drawn numbers over lr."""
    return largest_step(rule, rule.hyper(lr=1.0, **numbers), t)


def _nadam_stream(h: dict[str, float], t: int) -> np.ndarray:
    """The gradients that attain NAdam's bound at step t."""
    mu = nadam_momentum(h["beta1"], h["momentum_decay"], np.arange(1, t + 2))
    of_g, of_m = (1 - mu[t - 1]) / (1 - np.prod(mu[:t])), mu[t] / (1 - np.prod(mu))
    weights = of_m * (1 - h["beta1"]) * powers(h["beta1"], t) + of_g * (np.arange(t) == t - 1)
    return extremal_gradients(weights, powers(h["beta2"], t))


@law(
    r"""exact bounds.weighted-sum: A weighted sum over a weighted root mean square
    \frac{\left|\sum_s c_s g_s\right|}{\sqrt{\sum_s w_s g_s^2}} \le \sqrt{\sum_s \frac{c_s^2}{w_s}}
    scope: any real c and positive w; equality for g_s = c_s/w_s and its multiples alone
    source: derived here by the inequality of Cauchy and Schwarz; every bound of this section but the maxima's follows
    from it
    ran: 1, 2, 7 and 30 weights over six decades: the vector c/w, a thousand vectors near it and a thousand drawn ones
    why: relative, both ways: at most 30 products and sums rounded to 2^-53 each, in three sums
    """,
    weighted_sum_bound,
    {
        "weights not inverted": lambda c, w: float(np.sqrt(np.sum(c**2 * w))),
        "sum of absolute values": lambda c, w: float(np.sum(np.abs(c) / np.sqrt(w))) + 1e-9,
    },
    bound=1e-13,
    key=61,
)
def weighted_sum(formula: Any, rng: Rng) -> Shown:
    nearest = 0.0
    for size in (1, 2, 7, 30):
        c, w = rng.standard_normal(size), 10.0 ** rng.uniform(-3, 3, size)
        ratio = lambda g, c=c, w=w: np.abs(g @ c) / np.sqrt(g**2 @ w)  # noqa: E731
        bound, best = formula(c, w), c / w
        near = best + 0.1 * rng.standard_normal((1000, size)) * np.abs(best)
        others = float(max(ratio(near).max(), ratio(rng.standard_normal((1000, size))).max()))
        yield relative(ratio(best), bound)
        yield others / bound - 1
        nearest = max(nearest, others / bound if size > 1 else 0)
    yield {"nearest other vector, of the bound": nearest}


adam = law(
    r"""exact bounds.adam: Adam's largest step
    |\Delta_t| \le lr \frac{1 - beta1}{\sqrt{1 - beta2}} \sqrt{\frac{1 - q^t}{1 - q}} \frac{\sqrt{1 - beta2^t}}{1 -
    beta1^t}, \quad q = \frac{beta1^2}{beta2}
    scope: adam and adamw at eps 0, decoupled decay left out; attained by g_s = (beta1/beta2)^(t−s), gradients that grow
    toward step t for beta1 < beta2. 7.27·lr in the limit at 0.9 and 0.999; unbounded over all t for beta1² ≥ beta2.
    AMSGrad has the same for beta1 ≤ beta2
    source: 1412.6980, section 2.1, gives (1−beta1)/√(1−beta2) and lr as bounds in two cases, neither of which holds in
    general; derived here by Cauchy and Schwarz
    """,
    lambda numbers, t: adam_bound(numbers["beta1"], numbers["beta2"], t),
    {
        "lr is the largest step": lambda h, t: 1.0,
        "the paper's (1−beta1)/√(1−beta2)": lambda h, t: max(1.0, (1 - h["beta1"]) / np.sqrt(1 - h["beta2"])),
        "the limit at every t": lambda h, t: adam_bound(h["beta1"], h["beta2"], 10**6),
    },
    **_SHARP,
)(_attained(rules.adam(), adam_numbers, adam_stream))


nadam = law(
    r"""exact bounds.nadam: NAdam's largest step
    |\Delta_t| \le lr \sqrt{\textstyle\sum_s c_s^2/w_s} \to lr \frac{1 - beta1}{\sqrt{1 - beta2}} \sqrt{(1 + beta1)^2 +
    beta1^2 \frac{q}{1 - q}}, \quad q = \frac{beta1^2}{beta2}
    scope: nadam at eps 0, decoupled decay left out; c_s are the weights of gradients in the look-ahead at step t, w_s
    those of their squares in v̂; attained by g_s = c_s/w_s. 8.42·lr in the limit at 0.9 and 0.999, where μ has risen to
    beta1, and 14.6·lr before, some 1800 steps in, while μ is lower; unbounded for beta1² ≥ beta2
    source: torch/optim/nadam.py (2.13); derived here by Cauchy and Schwarz
    """,
    functools.partial(over_lr, NADAM),
    {
        "that of Adam": lambda h, t: adam_bound(h["beta1"], h["beta2"], t),
        "the limit at every t": lambda h, t: over_lr(NADAM, h, 10**5),
        "momentum at its end from the start": lambda h, t: over_lr(NADAM, h | {"momentum_decay": 1e6}, t),
    },
    **_SHARP,
)(
    _attained(
        NADAM,
        lambda rng: (adam_numbers(rng)[0] | {"momentum_decay": rng.uniform(0.01, 0.3)}, int(rng.integers(4, 25))),
        _nadam_stream,
    )
)


rmsprop = law(
    r"""exact bounds.rmsprop: RMSprop's largest step
    |\Delta_t| \le \frac{lr}{\sqrt{1 - alpha}}
    scope: rmsprop without momentum at eps 0, not centered; attained at every t by a gradient after zeros: ten times lr
    at 0.99
    source: torch/optim/rmsprop.py (2.13); derived here
    """,
    lambda h, t: rmsprop_bound(h["alpha"], t=t),
    {"lr": lambda h, t: 1.0, "bias corrected": lambda h, t: rmsprop_bound(h["alpha"]) * np.sqrt(1 - h["alpha"] ** t)},
    **_SHARP,
)(_attained(rules.rmsprop(), lambda rng: ({"alpha": rng.uniform(0.5, 0.999)}, int(rng.integers(2, 25))), _after_zeros))


rmsprop_momentum = law(
    r"""exact bounds.rmsprop-momentum: RMSprop's largest step with momentum
    |\Delta_t| < lr \frac{1 - momentum^t}{(1 - momentum) \sqrt{1 - alpha}}
    why: relative, both ways: gradients that grow by 1e8 a step miss the supremum by alpha/2·1e-16; the rest is rounding
    of a dozen steps
    scope: rmsprop with momentum at eps 0, not centered. Attained at t = 1 only; later a supremum, approached by
    gradients that grow ever faster, so that each is alone in its average
    source: sum of the bound of each normalised gradient; torch/optim/rmsprop.py (2.13); derived here
    """,
    lambda h, t: rmsprop_bound(h["alpha"], h["momentum"], t),
    {
        "momentum left out": lambda h, t: rmsprop_bound(h["alpha"]),
        "the limit at every t": lambda h, t: rmsprop_bound(h["alpha"], h["momentum"]),
    },
    bound=1e-11,
    key=60,
)(
    _attained(
        rules.rmsprop(),
        lambda rng: ({"alpha": rng.uniform(0.5, 0.99), "momentum": rng.uniform(0.3, 0.9)}, int(rng.integers(3, 12))),
        lambda h, t: 1e8 ** np.arange(t),
    )
)


rmsprop_centered = law(
    r"""exact bounds.rmsprop-centered: Centered RMSprop's largest step grows with t
    |\Delta_t| \le lr \sqrt{\frac{1}{1 - alpha} + alpha^{-t}}
    why: relative, both ways: v and g_avg² agree to alpha^t ≥ 0.6^12 = 2e-3, which makes 2^-53 of them 5e-14 of their
    difference, some hundred times over at worst
    scope: rmsprop(centered=True) without momentum at eps 0; attained by equal gradients alpha^(−t) and a last one of
    alpha^(−t) + 1/(1−alpha). No bound holds for all t; with eps, lr·|g|/eps does
    source: v − g_avg² is a quadratic form in the gradients, diag(w) − wwᵀ, inverted by Sherman and Morrison; derived
    here
    """,
    lambda numbers, t: centered_rmsprop_bound(numbers["alpha"], t),
    {
        "that of the rule without centring": lambda h, t: rmsprop_bound(h["alpha"]),
        "that of a constant gradient": lambda h, t: 1 / np.sqrt(h["alpha"] ** t * (1 - h["alpha"] ** t)),
    },
    bound=1e-9,
    key=60,
)(
    _attained(
        rules.rmsprop(centered=True),
        lambda rng: ({"alpha": rng.uniform(0.6, 0.9)}, int(rng.integers(3, 13))),
        lambda h, t: h["alpha"] ** -t + np.eye(t)[-1] / (1 - h["alpha"]),
    )
)


adamax = law(
    r"""exact bounds.adamax: Adamax's largest step
    |\Delta_t| \le lr \frac{1 - beta1}{1 - beta1^t} \frac{1 - (beta1/beta2)^t}{1 - beta1/beta2}
    scope: adamax at eps 0; attained by gradients beta2^(s−t), which fall as fast as the maximum is forgotten. In the
    limit lr·(1−beta1)/(1−beta1/beta2), 1.009·lr by default; unbounded for beta1 ≥ beta2
    source: 1412.6980, section 7.1, states |Δ| ≤ lr, which holds for beta2 → 1 only; derived here
    """,
    lambda h, t: adamax_bound(h["beta1"], h["beta2"], t),
    {
        "lr is the largest step": lambda h, t: 1.0,
        "not bias corrected": lambda h, t: adamax_bound(h["beta1"], h["beta2"], t) * (1 - h["beta1"] ** t),
    },
    **_SHARP,
)(
    _attained(
        rules.adamax(),
        lambda rng: ({"beta1": rng.uniform(0.5, 0.9), "beta2": rng.uniform(0.6, 0.98)}, int(rng.integers(3, 25))),
        lambda h, t: h["beta2"] ** np.arange(1 - t, 1.0),
    )
)


adagrad = law(
    r"""exact bounds.adagrad: Adagrad's largest step
    |\Delta_t| \le \frac{lr}{1 + (t - 1)\, lr\_decay}
    scope: adagrad at eps 0 and initial_accumulator_value 0; attained at every t by the first gradient that is not 0
    source: Duchi et al. 2011, JMLR 12, eq. 1; torch/optim/adagrad.py (2.13); derived here
    """,
    functools.partial(over_lr, ADAGRAD),
    {
        "falls as 1/√t": lambda h, t: over_lr(ADAGRAD, h, t) / np.sqrt(t),
        "decays from the first step": lambda h, t: over_lr(ADAGRAD, h, t + 1),
    },
    **_SHARP,
)(_attained(ADAGRAD, lambda rng: ({"lr_decay": rng.uniform(0.01, 1)}, int(rng.integers(2, 25))), _after_zeros))
