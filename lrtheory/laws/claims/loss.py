"""Claims about a loss that is multiplied by α, and about the size of a batch."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import rules
from ...effective import per_example
from ...rules import Rule
from ...theory.asking import numbers_of
from ...theory.stability import adam_threshold
from ..law import Rng, Shown, distance, law, relative, without
from ..trajectory import descend, quadratic, replay

STEPS = 30


def cross_entropy(w: Any, x: Any, y: Any, alpha: Any = 1.0) -> Any:
    """α times the mean cross-entropy of a linear classifier."""
    return alpha * -jnp.mean(jnp.sum(y * jax.nn.log_softmax(x @ w), axis=1))


def tempered_cross_entropy(w: Any, x: Any, y: Any, alpha: Any = 1.0) -> Any:
    """The cross-entropy of logits multiplied by α: what scaling inside the loss does."""
    return cross_entropy(alpha * w, x, y)


def _classifier(rng: Rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = np.eye(3)[rng.integers(0, 3, 12)]
    return rng.standard_normal((4, 3)), rng.standard_normal((12, 4)), labels


_slope, _tempered_slope = jax.jit(jax.grad(cross_entropy)), jax.jit(jax.grad(tempered_cross_entropy))
_slopes = {
    "mean": jax.jit(jax.grad(lambda w, x, y: jnp.mean((x @ w - y) ** 2))),
    "sum": jax.jit(jax.grad(lambda w, x, y: jnp.sum((x @ w - y) ** 2))),
}


def scale_changes_no_bit(hyper: Any, curvature: float) -> bool:
    """Whether Adam at eps 0 takes the same path on a quadratic and on 2²⁰ times it."""
    run = lambda scale: descend(rules.adam(), hyper, quadratic, np.array([1.0, -2.0]), 400, scale * curvature)  # noqa: E731
    return np.array_equal(run(1.0).params, run(2.0**20).params)


def lr_compensates(rule: Rule, hyper: Any) -> bool:
    """Whether lr/α alone undoes α: lr must be in 1/[loss], and no other number that is not 0 may carry [loss]."""
    numbers = numbers_of(rule, hyper)
    return rule.units["lr"].loss == -1 and all(
        not value or rule.units[name].loss == 0 for name, value in numbers._asdict().items() if name != "lr"
    )


def destabilising_scale(hyper: Any, curvature: float) -> float:
    """α above which Adam with a fixed eps oscillates away from a minimum where gradients are far below eps; inf at eps 0.

    It is SGD with lr/eps and averaged gradients there.
    """
    return math.inf if hyper.eps == 0 else adam_threshold(hyper.lr, hyper.beta1) * hyper.eps / curvature


def per_example_factor(rule: Rule, reduction: str, batch: int) -> float:
    """Effective lr per example for a batch of equal examples, over that for a batch of one, eps 0.

    1/batch for the mean; for the sum 1 if the rule's lr is in 1/[loss] (sgd), and 1/batch again if it is not (adam),
    whose effective lr falls as the gradient grows.
    """
    return 1 / batch if reduction == "mean" else float(batch) ** (-1 - float(rule.units["lr"].loss))


@law(
    r"""bitwise claims.gradient-scales (true): The gradient of a scaled loss
    \nabla(\alpha L) = \alpha \nabla L
    claim: Scaling the loss scales the gradient by the same factor.
    scope: any differentiable loss, any α; bit for bit for powers of two without under- or overflow. Not the gradient
    that a clipping or a loss scaler hands on
    source: linearity of the derivative; checked on the automatic differentiation of jax, and of torch by test
    ran: automatic gradients of a linear classifier's cross-entropy, four draws of weights, data and α from 2^-20 to
    2^20
    why: bit for bit: automatic differentiation is linear in what flows back, and powers of two do not round
    """,
    lambda gradient, alpha: alpha * gradient,
    {"square of α": lambda g, alpha: alpha**2 * g, "not at all": lambda g, alpha: g},
    key=70,
)
def gradient_scales(formula: Any, rng: Rng) -> Shown:
    for _ in range(4):
        w, x, y = _classifier(rng)
        alpha = 2.0 ** int(rng.choice([-20, -3, 4, 20]))
        plain, scaled = np.asarray(_slope(w, x, y, 1.0)), np.asarray(_slope(w, x, y, alpha))
        yield distance(formula(plain, alpha), scaled)


@law(
    r"""exact claims.small-scale-slows (depends): What α does to steps
    \Delta(\alpha) = \alpha^k \Delta(1), \quad k = 1 \text{ for rules with lr in } 1/[loss], \; k = 0 \text{ for those
    with lr in } [param]
    claim: A small α slows training, a large one overshoots.
    scope: true of sgd (and asgd), whose steps grow with α. False of adam, rmsprop, adagrad, adamax, lion, signum and
    rprop at eps 0, whose steps do not see it. In between: adadelta and radam, which have no such power at fixed numbers
    source: units of lr, proven by lrtheory.dims; checked on each rule
    why: a logarithm of sums of 60 steps, each off by some dozen roundings of 2^-53
    """,
    lambda rule: -float(rule.units["lr"].loss),
    {"all grow with α": lambda rule: 1.0, "none does": lambda rule: 0.0},
    bound=1e-12,
    key=71,
)
def small_scale_slows(formula: Any, rng: Rng) -> Shown:
    grads = rng.standard_normal((STEPS, 2))
    names = ("sgd", "adam", "rmsprop", "adagrad", "adamax", "lion", "signum", "rprop")
    for name in names:
        rule = rules.get(name)()
        hyper = without(rule.hyper(lr=0.01, **({"momentum": 0.9} if name == "sgd" else {})), "eps")
        plain, scaled = (np.abs(replay(rule, hyper, a * grads).steps).sum() for a in (1.0, 8.0))
        measured = math.log(scaled / plain, 8)
        yield abs(measured - formula(rule))
        yield {f"power of α, {rule!r}": measured}
    yield f"{', '.join(repr(rules.get(name)()) for name in names)} at eps 0 on {STEPS} gradients and on eight times the same"


@law(
    r"""exact claims.lr-over-scale (depends): Which rules lr/α compensates
    lr/\alpha \text{ compensates } \alpha \quad \Leftrightarrow \quad lr \text{ is in } 1/[loss] \text{ and all numbers
    in } [loss] \text{ are } 0
    claim: Dividing lr by α compensates a loss scaled by α.
    scope: true of sgd with momentum, dampening and nesterov, without weight decay (which becomes weight_decay·α), and
    of asgd at lambd 0. False of adam and all rules with lr in [param]: there it slows training by α. False of adadelta,
    whose eps counts
    source: units of all numbers, proven by lrtheory.dims; checked bit for bit on each rule
    why: a count: cases in which the runs are the same bit for bit and it says otherwise, or the reverse
    """,
    lr_compensates,
    {
        "for every rule": lambda rule, hyper: True,
        "whatever the other numbers are": lambda rule, hyper: rule.units["lr"].loss == -1,
        "for none": lambda rule, hyper: False,
    },
    key=72,
)
def lr_over_scale(formula: Any, rng: Rng) -> Shown:
    grads, first = rng.standard_normal((STEPS, 2)), rng.standard_normal(2)
    cases: list[tuple[Rule, dict[str, float]]] = [
        (rules.sgd(), {}),
        (rules.sgd(), {"momentum": 0.9, "dampening": 0.5}),
        (rules.sgd(nesterov=True), {"momentum": 0.9}),
        (rules.sgd(), {"weight_decay": 0.1}),
        (rules.asgd(), {"lambd": 0.0}),
        (rules.asgd(), {"lambd": 0.1}),
        (rules.adam(), {"eps": 0.0}),
        (rules.adam(), {}),
        (rules.adadelta(), {}),
        (rules.rmsprop(), {}),
        (rules.lion(), {}),
    ]
    wrong = 0
    for rule, numbers in cases:
        hyper = rule.hyper(lr=0.01, **numbers)
        plain = replay(rule, hyper, grads, first).params
        scaled = replay(rule, hyper._replace(lr=hyper.lr / 8), 8 * grads, first).params
        wrong += np.array_equal(plain, scaled) != formula(rule, hyper)
    yield (
        "sgd plain, with momentum, nesterov and weight decay, asgd with and without lambd, adam with and without eps, adadelta, "
        f"rmsprop and lion: {STEPS} steps on gradients, and on eight times the same with an eighth of lr"
    )
    yield wrong


@law(
    r"""false claims.cross-entropy-nonlinear (false): Scaling a cross-entropy
    \nabla(\alpha \cdot CE(z)) = \alpha \nabla CE(z) \ne \nabla CE(\alpha z)
    claim: For losses such as cross-entropy the effect of scaling is non-linear.
    scope: the effect on the gradient is linear for every loss. What is not linear is scaling the logits, a temperature,
    and what many steps of training make of α
    source: linearity of the derivative; derived here
    ran: gradients of a linear classifier's cross-entropy at α = 0.1, 3 and 100, over α, beside that at 1
    why: decimal digits that agree: an effect that is linear but for rounding keeps 15 or more, one that is not keeps
    none or one, and 12 lie between
    """,
    cross_entropy,
    {"α multiplies the logits": tempered_cross_entropy},
    bound=12.0,
    key=73,
)
def cross_entropy_nonlinear(formula: Any, rng: Rng) -> Shown:
    w, x, y = _classifier(rng)
    slope = {cross_entropy: _slope, tempered_cross_entropy: _tempered_slope}[formula]
    one = np.asarray(slope(w, x, y, 1.0))
    yield -math.log10(max(1e-17, *(float(distance(np.asarray(slope(w, x, y, a)) / a, one)) for a in (0.1, 3.0, 100.0))))


@law(
    r"""exact claims.scale-destabilises-adam (depends): When scaling destabilises Adam
    \alpha^* = \frac{2 + 2\,beta1}{1 - beta1} \frac{eps}{lr \cdot h}
    claim: Scaling can destabilise Adam.
    scope: true only through a fixed eps: near a minimum of curvature h, where √v̂ ≪ eps, Adam is SGD with lr/eps and
    oscillates away for α > α*, until v has grown (steps stay bounded). False at eps 0 or with eps·α, where α changes no
    bit. Under- and overflow apart
    source: Cohen et al. 2022 (2207.14484) for the frozen preconditioner, applied to eps; derived here
    ran: adam on a quadratic from 1e-100 and -1e-120, 400 steps: 3% under that α and 3% over it, eps scaled eightfold
    with the loss, and eps 0 under α = 2^20
    why: a count of outcomes other than stated: shrinks, grows, shrinks, the same bits. 3% beyond the threshold the
    larger root is 0.2% or more from 1 in size, a factor of 1.5 over the 180 steps compared
    """,
    destabilising_scale,
    {
        "SGD's threshold": lambda hyper, h: math.inf if hyper.eps == 0 else 2 * hyper.eps / (hyper.lr * h),
        "never": lambda hyper, h: 1e6 * destabilising_scale(hyper, h),
        "also without eps": lambda hyper, h: destabilising_scale(hyper, h) if hyper.eps else 1.0,
    },
    key=74,
)
def scale_destabilises_adam(formula: Any, rng: Rng) -> Shown:
    adam, curvature = rules.adam(), rng.uniform(0.5, 3)
    hyper = adam.hyper(lr=rng.uniform(0.01, 0.1), beta1=rng.uniform(0.5, 0.9), eps=rng.uniform(0.1, 1))
    limit = formula(hyper, curvature)
    start = np.array([1e-100, -1e-120])

    def grows(hyper: Any, alpha: float) -> bool:
        size = np.abs(descend(adam, hyper, quadratic, start, 400, alpha * curvature).params).max(axis=1)
        return bool(size[-20:].max() > min(size[200:220].max(), 1e-80))  # 1e-80: grown until v took over

    # Eps scaled with the loss: as if nothing had happened. Without eps: any α does nothing, to the bit.
    free = without(hyper, "eps")
    wrong = [
        grows(hyper, 0.97 * limit),
        not grows(hyper, 1.03 * limit),
        grows(hyper._replace(eps=8 * hyper.eps), 0.97 * limit * 8),
        not scale_changes_no_bit(free, curvature) or formula(free, curvature) != math.inf,
    ]
    yield sum(wrong)
    yield {"threshold α": limit}


@law(
    r"""exact claims.batch-per-example (depends): Effective lr per example
    \frac{E_B}{E_1} = \frac{1}{B} \quad (\text{mean}), \quad 1 \; (\text{sum, sgd}), \quad \frac{1}{B} \; (\text{sum,
    adam})
    claim: A larger batch gives a smaller effective lr per example.
    scope: batches of equal examples, eps 0. True under the mean; under the sum false of sgd, whose step adds examples
    up, and true of adam, which undoes the reduction. Where noise dominates adam's v̂ the factor is nearer 1/√B
    source: linearity of the gradient and the rules' effective lr; derived here
    ran: sgd and adam at eps 0 on automatic gradients of the mean and of the sum over 1, 4 and 32 copies of one example
    why: relative: sums of 32 equal terms and a root, some hundred roundings of 2^-53
    """,
    per_example_factor,
    {
        "1/B always": lambda rule, reduction, batch: 1 / batch,
        "a sum leaves it alone for every rule": lambda rule, reduction, batch: (
            1 / batch if reduction == "mean" else 1.0
        ),
    },
    bound=1e-13,
    key=78,
)
def batch_per_example(formula: Any, rng: Rng) -> Shown:
    x, y, w = rng.standard_normal((1, 2)), rng.standard_normal(1), rng.standard_normal(2)
    for rule in (rules.sgd(), rules.adam()):
        hyper = without(rule.hyper(lr=0.01), "eps")
        for reduction, slope in _slopes.items():
            found = {}
            for batch in (1, 4, 32):
                g = np.asarray(slope(w, np.tile(x, (batch, 1)), np.tile(y, batch)))
                found[batch] = np.asarray(per_example(replay(rule, hyper, g[None]).effective_lr[0], batch, reduction))
            for batch in (4, 32):
                measured = found[batch] / found[1]
                yield relative(measured, formula(rule, reduction, batch))
                yield {f"per-example E, {rule!r} on a {reduction} of {batch}": float(measured[0])}


@law(
    r"""false claims.backward-calls (false): What calls of backward() add up to
    g = \sum_{i=1}^{B} \nabla L_i \quad \Rightarrow \quad \|\Delta\theta\| \propto B \; (\text{sgd}), \;
    \text{unchanged} \; (\text{adam})
    claim: With B calls of backward() before a step, a larger B gives a smaller parameter change.
    scope: torch's .grad accumulates the sum, so that equal losses make sgd's change grow as B and leave adam's as it is
    (eps 0). It shrinks for none; dividing each loss by B makes it stay
    source: torch.autograd accumulates into .grad (2.13), in torch itself by test; counterexample here
    why: 1, and room for rounding: the claim is that the change shrinks as calls are added; a sum doubles it
    """,
    lambda gradients: np.sum(gradients, axis=0),
    {
        "a mean is taken": lambda gradients: np.mean(gradients, axis=0),
        "each loss is divided by B twice": lambda gradients: np.mean(gradients, axis=0) / len(gradients),
    },
    bound=1 + 1e-9,
    key=79,
)
def backward_calls(formula: Any, rng: Rng) -> Shown:
    sgd, g, calls = rules.sgd(), rng.standard_normal(2), int(rng.integers(2, 9))
    hyper = sgd.hyper(lr=0.1)
    changes = [np.linalg.norm(replay(sgd, hyper, formula([g] * count)[None]).steps[0]) for count in (calls, 2 * calls)]
    yield f"one step of sgd after {calls} and after {2 * calls} backward calls on the same loss"
    yield changes[1] / changes[0]
