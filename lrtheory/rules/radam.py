"""RAdam: Adam whose first steps are plain momentum, then rectified for the variance of v."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import average_of_squares, lerp, one_minus_power
from .closed_forms import adam_form, adam_steady, unnormalised_steps
from .facts import ADAM_AVERAGES, LINEAR_STEPS, Facts


@hyperparameters
class RAdamHyper:
    """Hyperparameters of RAdam."""

    lr = Number(
        1e-3,
        NONNEGATIVE,
        "[param]",
        "In the unnormalised steps it acts as [param]^2/[loss], so that no constant lr is invariant to the loss scale.",
    )
    beta1 = Number(0.9, DECAY)
    beta2 = Number(0.999, DECAY, "1", "Up to 2/3 no step is ever rectified.")
    eps = Number(1e-8, NONNEGATIVE, "[loss]/[param]", "Added to the uncorrected root.")
    weight_decay = Number(0.0, NONNEGATIVE, "[loss]/[param]^2 coupled, 1/[param] decoupled")


@state
class RAdamState:
    """State of RAdam: step count, averages of the gradient and of its square."""

    t = COUNT
    m = Slot("[loss]/[param]")
    v = Slot("[loss]^2/[param]^2")


@register
def radam(*, decoupled: bool = False) -> ArrayRule:
    r"""RAdam: unnormalised while the average of squares is too short, rectified from then on.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \qquad (coupled) \\
        m_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \qquad \hat m = m_t / (1 - beta1^t) \\
        v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot g^2 \\
        \rho_\infty &= 2/(1 - beta2) - 1 \qquad \rho_t = \rho_\infty - 2t \cdot beta2^t/(1 - beta2^t) \\
        r_t &= \sqrt{\frac{(\rho_t-4)(\rho_t-2)\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\rho_t}} \\
        p &\leftarrow p - lr \cdot weight\_decay \cdot p \;(decoupled)
            - lr \cdot \hat m \cdot \begin{cases}
                r_t \sqrt{1 - beta2^t}/(\sqrt{v_t} + eps) & \rho_t > 5 \\ 1 & otherwise \end{cases}

    Parameters
    ----------
    decoupled : option
        ``decoupled_weight_decay`` of torch.

    Returns
    -------
    Rule
        Effective lr: ``lr·r_t·√(1−beta2^t)/(√v + eps)``, and ``lr`` in the unnormalised steps. Direction: ``m̂``.

    Notes
    -----
    The first step that is rectified is the sixth (torch's defaults).
    Against torch.optim.RAdam: the same. Against optax.radam: optax adds eps to the corrected root and rectifies from
    ρ = 5 on.

    References
    ----------
    Liu et al. 2020 (1908.03265), algorithm 2, where the threshold is 4; ``torch/optim/radam.py`` (2.13),
    ``_single_tensor_radam``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = radam()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([1.0, -1.0])})
    >>> params["w"].round(5).tolist()
    [0.5, 2.5]
    """

    def m_hat(h: RAdamHyper, s: RAdamState) -> Array:
        return s.m / one_minus_power(h.beta1, s.t)

    def factors(h: RAdamHyper, s: RAdamState) -> tuple[Array, Array]:
        """A number and an array: m̂ is multiplied by the one over the other, besides lr."""
        length, limit = average_length(h.beta2, s.t), 2 / (1 - h.beta2) - 1
        rectified = length > 5
        # Where no step is rectified the limit may be 2 or 4: keep the ratio defined there.
        length, limit = jnp.where(rectified, length, 6), jnp.where(rectified, limit, 7)
        rectifier = jnp.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))
        number = rectifier * jnp.sqrt(one_minus_power(h.beta2, s.t))
        return jnp.where(rectified, number, 1), jnp.where(rectified, jnp.sqrt(s.v) + h.eps, 1)

    def step(h: RAdamHyper, p: Array, s: RAdamState, g: Array) -> tuple[Array, RAdamState]:
        s = RAdamState(s.t + 1, lerp(s.m, g, 1 - h.beta1), average_of_squares(s.v, g, h.beta2))
        number, denominator = factors(h, s)
        lr_t = h.lr * number / one_minus_power(h.beta1, s.t)  # numbers first: fewer roundings of the array
        return (p * (1 - h.lr * h.weight_decay) if decoupled else p) - lr_t * (s.m / denominator), s

    def effective_lr(h: RAdamHyper, s: RAdamState) -> Array:
        number, denominator = factors(h, s)
        return h.lr * number / denominator

    def direction(h: RAdamHyper, p: Array, s: RAdamState, g: Array) -> Array:
        return m_hat(h, s)

    def notes(h: RAdamHyper) -> list[tuple[str, float, str, str]]:
        steps = unnormalised_steps(float(h.beta2))
        which = "all steps are" if math.isinf(steps) else f"the first {steps:g} steps are"
        said = f"{which} SGD with momentum, at lr itself"
        return [("unnormalised steps", steps, said, "momentum.radam-unnormalised-steps")]

    return ArrayRule(
        Hyper=RAdamHyper,
        State=RAdamState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        coupled=not decoupled,
        decoupled=decoupled,
        scale=lambda h, s: jnp.sqrt(s.v),
        facts=Facts(
            divides_by="size",
            memory=("m",),
            sizes=("v",),
            averages=ADAM_AVERAGES,
            gain=1.0,
            steady=lambda h, g: h.lr if h.beta2 <= 2 / 3 else adam_steady(h, g),
            largest=f"in its first steps, which are not normalised, {LINEAR_STEPS}",
            threshold=lambda h, step: adam_form(
                h, decoupled, ", and the rectifier has risen to 1: before, the threshold is higher by its inverse"
            ),
            no_batch_rule="its first steps follow the linear rule and later ones the square-root rule. Nearest: rescale "
            "adam's hyperparameters, and start with lr = 0 for five steps",
            lawless=" with a constant lr: while the variance is not yet trusted it steps like SGD, and lr would have to be "
            "divided by the loss scale, later it must stay. Nearest: schedule the lr as law scaling.radam says, skip those "
            "steps with lr = 0, or use Adam",
            notes=notes,
        ),
    )


def average_length(beta: Array, t: Array) -> Array:
    r"""ρ_t, the length of the simple average that bias-corrected averaging over t steps amounts to.

    As printed it is the difference of two numbers near 2/(1−β): at β = 0.999 and t = 6 float32 keeps four digits, at
    β = 0.9999 it can rectify a step early. With :math:`L = -\log\beta` and the even function
    :math:`D(x) = (x/2)\coth(x/2) - 1 = x^2/12 - x^4/720 + \dots` it is :math:`t - (2/L)(D(tL) - D(L))`, where
    nothing cancels for small tL; for large tL the printed form is accurate.
    """
    t = t.astype(beta.dtype)
    log_beta = -jnp.log1p(-(1 - beta))
    x = t * log_beta
    early = x < 1
    small, rate = jnp.where(early, x, 1), jnp.where(early, log_beta, 1)
    series = t - 2 / rate * (_half_coth(small) - _half_coth(rate))
    printed = 2 / (1 - beta) - 1 - 2 * t / jnp.expm1(jnp.where(early, 1, x))
    return jnp.where(early, series, printed)


# Coefficients of x², x⁴, … of (x/2)·coth(x/2) − 1: the Bernoulli numbers B₂ₖ/(2k)!, enough for x ≤ 1 in float64.
_BERNOULLI = (
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
    -3617 / 10670622842880000,
    43867 / 5109094217170944000,
)


def _half_coth(x: Array) -> Array:
    square = x * x
    total = jnp.zeros_like(x)
    for coefficient in reversed(_BERNOULLI):
        total = square * (coefficient + total)
    return total
