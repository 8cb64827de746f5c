"""The thresholds of linear rules, as laws: held to eigenvalues of the rule's own step, and to runs of the rule."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from ... import rules
from ...compiling import quickly_compiled
from ...quadratic.linear_step import LinearStep, critical_curvature, delayed, linear_step
from ...rules import Rule
from ...theory import stability
from ..law import Law, Rng, Shown, law, relative

DRAWS = 6
STEPS = 600
MARGIN = 0.01
START = 1e-120  # squares of gradients stay far below eps², so that eps is the preconditioner
EPS = 0.25

Numbers = Mapping[str, np.ndarray]
Draw = Callable[[Rng, int], Numbers]
_FROZEN = "with the preconditioner held: h is the curvature of the preconditioned loss, and eps ≫ √v in the runs"


_first_crossing = quickly_compiled()(jax.vmap(critical_curvature))


@quickly_compiled(static_argnames=("rule", "delay"))
def _maps(rule: Rule, delay: int, hyper: Any) -> LinearStep:
    return jax.vmap(lambda h: delayed(linear_step(rule, h), delay))(hyper)


@quickly_compiled(static_argnames=("rule", "delay"))
def _growth(rule: Rule, delay: int, hyper: Any, curvature: Array) -> Array:
    """Log growth of the largest |p| between the third and the last sixth of each run."""
    preconditioned = bool(rule.facts.sizes)
    if preconditioned:
        hyper = hyper._replace(eps=jnp.full(curvature.shape, EPS))

    def run(hyper: Any, h: Array) -> Array:
        def one(carry: Any, _: None) -> tuple[Any, Array]:
            past, state = carry  # parameters, newest first
            gradient = h * (EPS if preconditioned else 1) * past[delay]
            p, state = rule.step(hyper, past[0], state, gradient)
            return (jnp.roll(past, 1).at[0].set(p), state), jnp.abs(p)

        past = jnp.full(delay + 1, START)
        sizes = lax.scan(one, (past, rule.init(past[0])), length=STEPS)[1].reshape(6, -1).max(axis=1)
        return jnp.log(sizes[-1]) - jnp.log(sizes[2])

    return jax.vmap(run)(hyper, curvature)


def _law(
    name: str,
    title: str,
    statement: str,
    scope: str,
    source: str,
    over: tuple[Rule, ...],
    draw: Draw,
    formula: Callable[..., Any],
    mutants: Mapping[str, Callable[..., Any]],
    delay: int = 0,
) -> Law:
    """A formula of the drawn numbers, held to the spectral radius and to runs 1 % under and over it.

    A run is misjudged if it does not shrink below or does not grow above; each counts 1 in the residual.
    """

    def shows(formula: Any, rng: Rng) -> Shown:
        errors, misjudged = [], 0
        for rule in over:
            numbers = draw(rng, DRAWS)
            predicted = np.broadcast_to(np.asarray(formula(**numbers), float), (DRAWS,))
            hypers = [rule.hyper(**{k: v[i] for k, v in numbers.items()}) for i in range(DRAWS)]
            hyper = jax.tree.map(lambda *x: jnp.array(x), *hypers)
            errors.append(relative(predicted, np.asarray(_first_crossing(_maps(rule, delay, hyper), 1 / hyper.lr))))
            shrinks, grows = (np.asarray(_growth(rule, delay, hyper, predicted * (1 + m))) for m in (-MARGIN, MARGIN))
            misjudged += int(np.sum(~(shrinks < 0)) + np.sum(~(grows > 0)))
        error = float(np.max(errors))
        yield error + misjudged
        yield {"relative error": error, "runs misjudged": misjudged, "runs": 2 * DRAWS * len(over)}
        yield (
            f"{DRAWS} draws of the numbers for {', '.join(map(repr, over))}: spectral radius of the Jacobian of the step, "
            f"and runs of {STEPS} steps from {START:g} with curvature {MARGIN:.0%} under and over"
        )

    return law(
        rf"""exact stability.{name}: {title}
        {statement}
        scope: {scope}
        source: {source}; checked against the eigenvalues of the rule's Jacobian and by runs
        why: largest relative difference from the curvature where the radius passes 1, plus 1 for each run that grows under
        or shrinks over the threshold; the eigenvalue there is simple, bisected to 2e-16 and found to some 1e-14, times a
        condition below 1e4
        """,
        formula,
        mutants,
        bound=1e-9,
    )(shows)


def _drawn(**ranges: tuple[float, float]) -> Draw:
    """Numbers drawn evenly between ends; lr is drawn in log scale."""

    def draw(rng: np.random.Generator, n: int) -> Numbers:
        return {
            name: np.exp(rng.uniform(np.log(low), np.log(high), n)) if name == "lr" else rng.uniform(low, high, n)
            for name, (low, high) in ranges.items()
        }

    return draw


_LR = (1e-3, 1.0)
_MOMENTUM = (0.2, 0.95)
_BETA = (0.3, 0.95)
_SHORT = (0.85, 0.95)  # a memory that is short against the runs, so that RAdam's rectifier is done


def _nadam(lr: Any, beta1: Any, momentum_decay: Any) -> Any:
    """NAdam at a momentum that does not move: β₁/2 without momentum decay, β₁ where it is long over."""
    mu = np.where(momentum_decay == 0, beta1 / 2, beta1)
    return stability.nadam_threshold(lr, beta1, mu, mu)


def _nadam_numbers(rng: np.random.Generator, n: int) -> Numbers:
    return {**_drawn(lr=_LR, beta1=_BETA)(rng, n), "momentum_decay": np.resize([0.0, 1e6], n)}


LAWS = (
    _law(
        "gradient-descent",
        "gradient descent",
        r"h < 2/lr",
        f"SGD without momentum; RMSprop without momentum and Adagrad without lr decay, {_FROZEN}",
        "|1 − lr h| = 1",
        (rules.sgd(), rules.rmsprop(momentum_buffer=False), rules.adagrad()),
        _drawn(lr=_LR),
        stability.gradient_descent_threshold,
        {"1/lr": lambda lr: 1 / lr, "4/lr": lambda lr: 4 / lr},
    ),
    _law(
        "heavy-ball",
        "heavy ball",
        r"h < \frac{2(1+momentum)}{lr(1-dampening)}",
        "SGD with 0 < momentum < 1 and dampening < 1; the undamped first gradient does not matter",
        "Jury's conditions on λ² − (1+μ−eh)λ + μ with e = lr(1−τ)",
        (rules.sgd(),),
        _drawn(lr=_LR, momentum=_MOMENTUM, dampening=(0.1, 0.9)),
        stability.heavy_ball_threshold,
        {
            "gain 1/(1−μ) in place of 1+μ": lambda lr, momentum, dampening: 2 * (1 - momentum) / (lr * (1 - dampening)),
            "dampening forgotten": lambda lr, momentum, dampening: stability.heavy_ball_threshold(lr, momentum),
        },
    ),
    _law(
        "nesterov",
        "Nesterov's look-ahead",
        r"h < \frac{2(1+momentum)}{(1+2\,momentum)\,lr}",
        "SGD with nesterov and 0 < momentum < 1",
        "Jury's conditions on the characteristic polynomial with trace 1+μ−(1+μ)lr·h and determinant μ(1−lr·h)",
        (rules.sgd(nesterov=True),),
        _drawn(lr=_LR, momentum=_MOMENTUM),
        stability.nesterov_threshold,
        {"that of heavy ball": stability.heavy_ball_threshold, "1+μ for 1+2μ": lambda lr, momentum: 2 / lr},
    ),
    _law(
        "rmsprop-momentum",
        "RMSprop with momentum",
        r"h < 2(1+momentum)/lr",
        f"RMSprop, plain and centred, {_FROZEN}",
        "heavy ball on the preconditioned loss",
        (rules.rmsprop(), rules.rmsprop(centered=True)),
        _drawn(lr=_LR, momentum=_MOMENTUM, alpha=(0.9, 0.99)),
        lambda lr, momentum, alpha: stability.heavy_ball_threshold(lr, momentum),
        {"no momentum": lambda lr, momentum, alpha: 2 / lr},
    ),
    _law(
        "adam",
        "Adam",
        r"h < \frac{2(1+beta1)}{(1-beta1)\,lr}",
        f"Adam, AMSGrad, Adamax, AdaBelief, and RAdam once its rectifier has risen to 1, {_FROZEN}",
        "Cohen et al. 2022, 2207.14484",
        (rules.adam(), rules.adam(amsgrad=True), rules.adamax(), rules.adabelief(), rules.radam()),
        _drawn(lr=_LR, beta1=_BETA, beta2=_SHORT),
        lambda lr, beta1, beta2: stability.adam_threshold(lr, beta1),
        {
            "that of heavy ball": lambda lr, beta1, beta2: stability.heavy_ball_threshold(lr, beta1),
            "(1+β₁)/(1−β₁) upside down": lambda lr, beta1, beta2: 2 * (1 - beta1) / ((1 + beta1) * lr),
        },
    ),
    _law(
        "adamw",
        "AdamW",
        r"h < \frac{1+beta1}{1-beta1}\left(\frac{2}{lr} - weight\_decay\right)",
        f"Adam and RAdam with decoupled decay, {_FROZEN}",
        "derived here from z' = −z",
        (rules.adam(decoupled=True), rules.radam(decoupled=True)),
        _drawn(lr=_LR, beta1=_BETA, beta2=_SHORT, weight_decay=(0.1, 1.0)),
        lambda lr, beta1, beta2, weight_decay: stability.adam_threshold(lr, beta1, weight_decay),
        {
            "decay forgotten": lambda lr, beta1, beta2, weight_decay: stability.adam_threshold(lr, beta1),
            "decay as if coupled": lambda lr, beta1, beta2, weight_decay: (
                stability.adam_threshold(lr, beta1) - weight_decay
            ),
        },
    ),
    _law(
        "nadam",
        "NAdam",
        r"h < \frac{2(1+beta1)}{((1+beta1)(1-\mu_t) + (1-beta1)\mu_{t+1})\,lr}",
        f"NAdam once the product of its momenta is gone, {_FROZEN}. The threshold moves with μ: at the default beta1 from "
        "3.5/lr to 13.6/lr. Where μ stands still it is 2(1+beta1)/((1+beta1−2μ beta1)lr)",
        "derived here from z' = −z; with one μ for both, as often written, it is right only where μ stands still",
        (rules.nadam(),),
        _nadam_numbers,
        _nadam,
        {
            "that of Adam": lambda lr, beta1, momentum_decay: stability.adam_threshold(lr, beta1),
            "μ = β₁ from the start": lambda lr, beta1, momentum_decay: stability.nadam_threshold(
                lr, beta1, beta1, beta1
            ),
        },
    ),
    _law(
        "adan",
        "Adan",
        r"h < \frac{2 + lr\,weight\_decay}{lr\left(\frac{1-beta1}{1+beta1} + \frac{2\,beta2(1-beta2)}{1+beta2}\right)}",
        f"Adan with proximal decay, {_FROZEN}; beta1 and beta2 are decay rates, as in the code",
        "derived here from z' = −z",
        (rules.adan(),),
        _drawn(lr=_LR, beta1=(0.9, 0.99), beta2=(0.8, 0.95), weight_decay=(0.1, 1.0)),
        stability.adan_threshold,
        {
            "that of Adam": lambda lr, beta1, beta2, weight_decay: stability.adam_threshold(lr, beta1),
            "decay as if not proximal": functools.partial(stability.adan_threshold, proximal=False),
        },
    ),
    _law(
        "coupled-decay",
        "coupled weight decay",
        r"h + weight\_decay < \frac{2(1+momentum)}{lr(1-dampening)}",
        "SGD; likewise for every rule that adds the decay to the gradient, before a preconditioner divides both",
        "the gradient is (h + wd)p",
        (rules.sgd(),),
        _drawn(lr=(1e-2, 1.0), momentum=_MOMENTUM, dampening=(0.1, 0.9), weight_decay=(0.01, 1.0)),
        lambda weight_decay, **h: stability.with_coupled_decay(stability.heavy_ball_threshold(**h), weight_decay),
        {
            "decay forgotten": lambda weight_decay, **h: stability.heavy_ball_threshold(**h),
            "decay adds room": lambda weight_decay, **h: stability.heavy_ball_threshold(**h) + weight_decay,
        },
    ),
    *(
        _law(
            f"delayed-{delay}",
            f"gradient {delay} steps old",
            r"h < 2\sin\left(\frac{\pi}{2(2d+1)}\right)/lr",
            f"SGD without momentum whose gradient is taken at the parameters of d = {delay} steps ago",
            "modulus 1 of the roots of λ^(d+1) − λ^d + lr·h, at angle π/(2d+1)",
            (rules.sgd(),),
            _drawn(lr=_LR),
            functools.partial(stability.delayed_threshold, delay=delay),
            {
                "2/lr, as without delay": stability.gradient_descent_threshold,
                "2/(lr(2d+1))": lambda lr, d=delay: 2 / (lr * (2 * d + 1)),
            },
            delay,
        )
        for delay in (1, 4)
    ),
)
