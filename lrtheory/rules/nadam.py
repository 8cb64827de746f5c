"""NAdam: Adam with Nesterov's look-ahead and a momentum that rises over the run."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array

from ..numbers import DECAY, NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from ._terms import average_of_squares, following, lerp, one_minus_power, root_of_average
from .closed_forms import HELD, adam_steady, nadam_bound, nadam_momentum, nadam_threshold
from .facts import ADAM_AVERAGES, Facts, Form

LOG_PSI = math.log(0.96)


@hyperparameters
class NAdamHyper:
    """Hyperparameters of NAdam."""

    lr = Number(2e-3, NONNEGATIVE, "[param]")
    beta1 = Number(0.9, DECAY)
    beta2 = Number(0.999, DECAY)
    eps = Number(1e-8, NONNEGATIVE, "[loss]/[param]")
    weight_decay = Number(0.0, NONNEGATIVE, "[loss]/[param]^2 coupled, 1/[param] decoupled")
    momentum_decay = Number(4e-3, NONNEGATIVE, "1", "At 0 the momentum stays at ``beta1/2``.")


@state
class NAdamState:
    """State of NAdam: step count, averages of the gradient and of its square, and ``mu_gap``, one minus the product of
    the momenta so far (torch's ``mu_product`` is ``1 − mu_gap``), kept as the gap so that it loses no digits near 1.
    """

    t = COUNT
    m = Slot("[loss]/[param]")
    v = Slot("[loss]^2/[param]^2")
    mu_gap = Slot("1", "scalar")


@register
def nadam(*, decoupled: bool = False) -> ArrayRule:
    r"""NAdam with Dozat's momentum schedule.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \qquad (coupled) \\
        \mu_t &= beta1 \cdot (1 - \tfrac12 \cdot 0.96^{t \cdot momentum\_decay}) \\
        m_t &= beta1 \cdot m_{t-1} + (1 - beta1) \cdot g \\
        v_t &= beta2 \cdot v_{t-1} + (1 - beta2) \cdot g^2 \qquad \hat v = v_t / (1 - beta2^t) \\
        u &= \frac{1-\mu_t}{1-\prod_{i \le t}\mu_i} \cdot g
            + \frac{\mu_{t+1}}{1-\prod_{i \le t+1}\mu_i} \cdot m_t \\
        p &\leftarrow p - lr \cdot weight\_decay \cdot p \;(decoupled) - lr \cdot u / (\sqrt{\hat v} + eps)

    Parameters
    ----------
    decoupled : option
        ``decoupled_weight_decay`` of torch.

    Returns
    -------
    Rule
        Effective lr: ``lr·W/(√v̂ + eps)``, W the sum of the weights that u gives to all gradients so far.
        Direction: ``u/W``.

    Notes
    -----
    With eps = 0 a coordinate whose gradients were all zero gives 0/0 = nan, as in torch.
    Against torch.optim.NAdam: the same where torch's default dtype is that of the parameters; torch keeps
    ``mu_product`` in its default dtype, so that float64 parameters under a float32 default part ways near 1e-7.
    Against optax.nadam: optax has no momentum schedule.

    References
    ----------
    Dozat 2016, "Incorporating Nesterov momentum into Adam", algorithm 2; ``torch/optim/nadam.py`` (2.13),
    ``_single_tensor_nadam``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = nadam()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> [round(x, 4) for x in params["w"].tolist()]
    [0.4718, 2.5282]
    """

    def momentum(h: NAdamHyper, t: Array) -> tuple[Array, Array]:
        """μ_t and 1 − μ_t, neither by subtracting the other from 1."""
        half = 0.5 * jnp.exp(LOG_PSI * (t.astype(h.beta1.dtype) * h.momentum_decay))
        return h.beta1 * (1 - half), (1 - h.beta1) + h.beta1 * half

    def coefficients(h: NAdamHyper, s: NAdamState) -> tuple[Array, Array]:
        """What the update multiplies the gradient and the average by."""
        _, gap = momentum(h, s.t)
        mu_next, gap_next = momentum(h, following(s.t))
        return gap / s.mu_gap, mu_next / (s.mu_gap * mu_next + gap_next)

    def weight_sum(h: NAdamHyper, s: NAdamState) -> Array:
        of_g, of_m = coefficients(h, s)
        return of_g + of_m * one_minus_power(h.beta1, s.t)

    def root_v_hat(h: NAdamHyper, s: NAdamState) -> Array:
        return root_of_average(s.v, one_minus_power(h.beta2, s.t))

    def look_ahead(h: NAdamHyper, s: NAdamState, g: Array) -> Array:
        of_g, of_m = coefficients(h, s)
        return of_g * g + of_m * s.m

    def step(h: NAdamHyper, p: Array, s: NAdamState, g: Array) -> tuple[Array, NAdamState]:
        mu, gap = momentum(h, s.t + 1)
        s = NAdamState(
            t=s.t + 1,
            m=lerp(s.m, g, 1 - h.beta1),
            v=average_of_squares(s.v, g, h.beta2),
            mu_gap=s.mu_gap * mu + gap,
        )
        of_g, of_m = coefficients(h, s)
        denominator = root_v_hat(h, s) + h.eps
        update = h.lr * of_g * (g / denominator) + h.lr * of_m * (s.m / denominator)
        return (p * (1 - h.lr * h.weight_decay) if decoupled else p) - update, s

    def effective_lr(h: NAdamHyper, s: NAdamState) -> Array:
        return h.lr * weight_sum(h, s) / (root_v_hat(h, s) + h.eps)

    def direction(h: NAdamHyper, p: Array, s: NAdamState, g: Array) -> Array:
        return look_ahead(h, s, g) / weight_sum(h, s)

    def threshold(h: NAdamHyper, step: int | None) -> Form:
        end = h.beta1 * (1 if h.momentum_decay else 0.5)
        times = (step, step + 1) if step is not None else ()
        mu, mu_next = (nadam_momentum(h.beta1, h.momentum_decay, t) for t in times) if times else (end, end)
        value = nadam_threshold(h.lr, h.beta1, mu, mu_next, h.weight_decay if decoupled else 0.0)
        form = "(1 + beta1)(2/lr − weight_decay)/((1 + beta1)(1 − μ_t) + (1 − beta1) μ_{t+1})"
        when = f"at step {step}, with the product of all μ gone" if times else "at the end, with μ at its last value"
        return Form(value, form, f"{HELD}, {when}")

    return ArrayRule(
        Hyper=NAdamHyper,
        State=NAdamState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        coupled=not decoupled,
        decoupled=decoupled,
        scale=root_v_hat,
        facts=Facts(
            divides_by="size",
            memory=("m",),
            sizes=("v",),
            long_after={"mu_gap": 1.0},
            averages=ADAM_AVERAGES,
            gain=1.0,
            steady=adam_steady,
            largest=lambda h, t: h.lr * nadam_bound(h.beta1, h.beta2, h.momentum_decay, t),
            threshold=threshold,
        ),
    )
