"""Adagrad."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import NONNEGATIVE, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state
from .closed_forms import HELD, gradient_descent_threshold
from .facts import BatchChange, Facts, Form


@hyperparameters
class AdagradHyper:
    """Hyperparameters of Adagrad."""

    lr = Number(1e-2, NONNEGATIVE, "[param]")
    lr_decay = Number(0.0, NONNEGATIVE)
    eps = Number(1e-10, NONNEGATIVE, "[loss]/[param]")
    weight_decay = Number(0.0, NONNEGATIVE, "[loss]/[param]^2", "Coupled: added to the gradient.")
    initial_accumulator_value = Number(
        0.0,
        NONNEGATIVE,
        "[loss]^2/[param]^2",
        "Enters at the first step; what it is later plays no part.",
    )


@state
class AdagradState:
    """State of Adagrad: step count and sum of squares, to which the first step adds the initial value."""

    t = COUNT
    sum = Slot("[loss]^2/[param]^2")


@register
def adagrad() -> ArrayRule:
    r"""Adagrad with eps outside the root.

    .. math::
        g &\leftarrow g + weight\_decay \cdot p \\
        sum_t &= sum_{t-1} + g^2 \qquad sum_0 = initial\_accumulator\_value \\
        p &\leftarrow p - \frac{lr}{1 + (t-1) \cdot lr\_decay} \cdot g / (\sqrt{sum_t} + eps)

    Returns
    -------
    Rule
        Effective lr: ``lr/(1 + (t−1)·lr_decay)/(√sum + eps)``. Direction: the gradient.

    Notes
    -----
    With eps = 0 a coordinate whose gradients were all zero gives 0/0 = nan, as in torch.
    Against torch.optim.Adagrad: the same for dense gradients; a sparse gradient there leaves the other rows alone, as
    zeros do here.
    Against optax.adagrad: the sum starts at 0.1, eps 1e-7 stands inside the root, and there is no lr_decay.

    References
    ----------
    Duchi et al. 2011, JMLR 12, eq. 1 with the diagonal of G; ``torch/optim/adagrad.py`` (2.13),
    ``_single_tensor_adagrad``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = adagrad()
    >>> params = {"w": jnp.array([1.0, 2.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].round(5).tolist()
    [0.5, 2.5]
    """

    def step(h: AdagradHyper, p: Array, s: AdagradState, g: Array) -> tuple[Array, AdagradState]:
        before = jnp.where(s.t == 0, h.initial_accumulator_value, s.sum)
        s = AdagradState(s.t + 1, before + g * g)
        return p - decayed_lr(h, s) * (g / (jnp.sqrt(s.sum) + h.eps)), s

    def decayed_lr(h: AdagradHyper, s: AdagradState) -> Array:
        return h.lr / (1 + (s.t - 1).astype(h.lr.dtype) * h.lr_decay)

    def effective_lr(h: AdagradHyper, s: AdagradState) -> Array:
        return decayed_lr(h, s) / (jnp.sqrt(s.sum) + h.eps)

    def direction(h: AdagradHyper, p: Array, s: AdagradState, g: Array) -> Array:
        return g

    def threshold(h: AdagradHyper, step: int | None) -> Form | str:
        return "its lr falls over the run" if h.lr_decay else Form(gradient_descent_threshold(h.lr), "2/lr", HELD)

    def sde(h: AdagradHyper) -> BatchChange:
        powers = {"lr": 0.0, "eps": -1.0, "initial_accumulator_value": -2.0, "lr_decay": 1.0}
        return BatchChange(powers, {}, {"sum": -2.0}, ("t",), "", True)

    return ArrayRule(
        Hyper=AdagradHyper,
        State=AdagradState,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        coupled=True,
        scale=lambda h, s: jnp.sqrt(s.sum),
        facts=Facts(
            divides_by="size",
            memory=(),
            sizes=("sum",),
            rates=("lr_decay",),
            gain=1.0,
            steady="the effective lr never settles, it falls as lr/(|g|·√t)",
            largest=lambda h, t: h.lr / (1 + ((t or 1) - 1) * h.lr_decay),
            threshold=threshold,
            sde=sde,
        ),
    )
