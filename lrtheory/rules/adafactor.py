"""Adafactor: squares averaged over rows and columns only, steps relative to the parameter's size."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from ..numbers import NONNEGATIVE, Number, Range, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state, zeros
from ._terms import lerp
from .facts import WHOLE_TENSOR, Facts


@hyperparameters
class AdafactorHyper:
    """Hyperparameters of Adafactor: torch's ``eps`` is the pair ``(eps1, eps2)``; ``eps1`` is ``None`` for machine epsilon."""

    lr = Number(1e-2, NONNEGATIVE, "1", "The largest relative step; above ``1/√t`` it acts on the decay only.")
    beta2_decay = Number(-0.8, Range(high=0.0))
    eps1 = Number(
        1e-30,
        NONNEGATIVE,
        "[loss]/[param]",
        "Machine epsilon of each parameter's dtype, unless ``machine_eps=False``. Also bounds the mean of ``row_var``, which is a square: no single scaling of eps1 is exact while both bounds are active.",
    )
    eps2 = Number(1e-3, NONNEGATIVE, "[param]", "Stands in for the size of a parameter near 0.")
    d = Number(1.0, Range(1.0), "1", "Largest root mean square of u.")
    weight_decay = Number(0.0, NONNEGATIVE, "1", "Decoupled.")


@state
class AdafactorState:
    """State of Adafactor.

    A parameter of two or more dimensions has averages of squares over its last (``row_var``) and second last
    (``col_var``) dimension, any other the average itself (``variance``). Kept beside torch's state: ``gain``, what the
    step was scaled with besides lr and the averages, and ``floor``, machine epsilon of the parameter's dtype where
    that stands in for eps1.
    """

    t = COUNT
    row_var = Slot("[loss]^2/[param]^2")
    col_var = Slot("[loss]^2/[param]^2")
    variance = Slot("[loss]^2/[param]^2")
    gain = Slot("[param]", "scalar")
    floor = Slot("[loss]/[param]", "scalar")


@register
def adafactor(*, machine_eps: bool = True) -> ArrayRule:
    r"""Adafactor as torch has it: lr caps the relative step and multiplies the decay, eps1 bounds the estimate below.

    .. math::
        row\_var_t &= (1 - t^{beta2\_decay}) \cdot row\_var_{t-1} + t^{beta2\_decay} \cdot mean_{-1}(g^2)
            \qquad (col\_var:\; mean_{-2},\; variance:\; g^2) \\
        v_t &= row\_var_t \cdot col\_var_t/\max(mean(row\_var_t), eps1) \qquad (v_t = variance_t) \\
        u &= g/\sqrt{\max(v_t, eps1^2)} \\
        gain_t &= \max(eps2, rms(p))/\max(1, rms(u)/d) \\
        p &\leftarrow p - lr \cdot weight\_decay \cdot p - \min(lr, 1/\sqrt t) \cdot gain_t \cdot u

    Parameters
    ----------
    machine_eps : option
        ``False`` to give the number eps1.

    Returns
    -------
    Rule
        Effective lr: ``min(lr, 1/√t)·gain/√max(v, eps1²)``. Direction: the gradient.

    Notes
    -----
    Against torch.optim.Adafactor: the same; where the parameters of a group have several dtypes, torch takes the first
    one's machine epsilon for all.
    Against optax.adafactor: there eps1 is added to the squares, and only dimensions of 128 and more are factored.

    References
    ----------
    Shazeer & Stern 2018 (1804.04235), algorithms 4 and 5; ``torch/optim/_adafactor.py`` (2.13),
    ``_single_tensor_adafactor``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = adafactor()
    >>> params = {"w": jnp.array([1.0, -1.0])}
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, rule.init(params), {"w": jnp.array([3.0, -0.1])})
    >>> params["w"].round(5).tolist()
    [0.5, -0.5]
    """

    def init(p: Array) -> AdafactorState:
        s = zeros(AdafactorState, p)
        s = s._replace(floor=s.floor + jnp.finfo(p.dtype).eps if machine_eps else None)
        if p.ndim < 2:
            return s._replace(row_var=None, col_var=None)
        rows = jnp.zeros((*p.shape[:-1], 1), p.dtype)
        columns = jnp.zeros((*p.shape[:-2], 1, p.shape[-1]), p.dtype)
        return s._replace(row_var=rows, col_var=columns, variance=None)

    def eps1(h: AdafactorHyper, s: AdafactorState) -> Array:
        return s.floor if machine_eps else h.eps1

    def average(h: AdafactorHyper, s: AdafactorState, g: Array) -> AdafactorState:
        weight = s.t.astype(g.dtype) ** h.beta2_decay
        square = g * g
        if s.variance is not None:
            return s._replace(variance=lerp(s.variance, square, weight))
        return s._replace(
            row_var=lerp(s.row_var, jnp.mean(square, axis=-1, keepdims=True), weight),
            col_var=lerp(s.col_var, jnp.mean(square, axis=-2, keepdims=True), weight),
        )

    def inverse_root(h: AdafactorHyper, s: AdafactorState) -> Array:
        low = eps1(h, s)
        v = s.variance
        if v is None:
            v = s.row_var * s.col_var / jnp.maximum(jnp.mean(s.row_var, axis=-2, keepdims=True), low)
        return 1 / jnp.sqrt(jnp.maximum(v, low * low))

    def relative_step(h: AdafactorHyper, s: AdafactorState) -> Array:
        return jnp.minimum(h.lr, 1 / jnp.sqrt(s.t.astype(h.lr.dtype)))

    def step(h: AdafactorHyper, p: Array, s: AdafactorState, g: Array) -> tuple[Array, AdafactorState]:
        s = average(h, s._replace(t=s.t + 1), g)
        update = inverse_root(h, s) * g
        s = s._replace(gain=larger(h.eps2, rms(p)) / larger(jnp.ones_like(h.d), rms(update) / h.d))
        return p * (1 - h.lr * h.weight_decay) - relative_step(h, s) * s.gain * update, s

    def effective_lr(h: AdafactorHyper, s: AdafactorState) -> Array:
        return relative_step(h, s) * s.gain * inverse_root(h, s)

    def direction(h: AdafactorHyper, p: Array, s: AdafactorState, g: Array) -> Array:
        return g

    def caveats(loss: float, params: float) -> list[str]:
        text = "adafactor: for matrices only while the mean of row_var stays above eps1; torch clamps it there"
        return [text] if loss != params else []

    return ArrayRule(
        Hyper=AdafactorHyper,
        State=AdafactorState,
        defaults={"eps1": None} if machine_eps else {},
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        decoupled=True,
        facts=Facts(
            divides_by="size",
            memory="its lr follows the size of the parameter",
            gain=1.0,
            steady="the effective lr never settles, it falls as 1/√t, and it follows the size of the whole parameter",
            largest=f"{WHOLE_TENSOR}: the tensor's step has root mean square min(lr, 1/√t)·max(eps2, rms(p))·d at most",
            lawless=": the machine's eps is added to squares of gradients and does not scale. Nearest: give eps1 as a "
            "number (machine_eps=False), which has a law for vectors, and for matrices while its first clamp does not act"
            if machine_eps
            else "",
            counts=("t",),
            caveats=caveats,
        ),
    )


def rms(x: Array) -> Array:
    """Root mean square."""
    return jnp.sqrt(jnp.mean(x * x))


def larger(bound: Array, x: Array) -> Array:
    """The larger of the two, the bound where ``x`` is nan: Python's ``max(bound, x)``, which torch uses here."""
    return jnp.where(x > bound, x, bound)
