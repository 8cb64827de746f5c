"""Muon: the momentum of a matrix, orthogonalised."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jax import Array, lax

from ..numbers import NONNEGATIVE, REAL, Number, hyperparameters
from ._registry import register
from ._rule import ArrayRule
from ._state import COUNT, Slot, state, zeros
from ._terms import following, lerp, one_minus_power
from .facts import Facts, normalised_average

ADJUSTMENTS = (None, "original", "match_rms_adamw")


@hyperparameters
class MuonHyper:
    """Hyperparameters of Muon: torch's ``ns_coefficients`` are ``ns_a``, ``ns_b`` and ``ns_c``."""

    lr = Number(1e-3, NONNEGATIVE, "[param]")
    momentum = Number(0.95, NONNEGATIVE)
    weight_decay = Number(0.1, NONNEGATIVE, "1/[param]", "Decoupled; default 0.1.")
    eps = Number(1e-7, REAL, "[loss]/[param]", "Bounds the norm of B below.")
    ns_a = Number(3.4445, REAL)
    ns_b = Number(-4.7750, REAL)
    ns_c = Number(2.0315, REAL, "1", "torch's ``ns_coefficients``.")


@state
class MuonState:
    """State of Muon.

    ``buffer`` averages gradients. Kept beside torch's state to state the effective lr: the step count, ``update``, the
    orthogonalised matrix that was last followed, and ``gain``, its norm over that of the mean gradient.
    """

    t = COUNT
    buffer = Slot("[loss]/[param]")
    update = Slot("1")
    gain = Slot("[param]/[loss]", "scalar")


@register
def muon(*, nesterov: bool = True, ns_steps: int = 5, adjust_lr_fn: str | None = None) -> ArrayRule:
    r"""Muon for matrices: momentum, then a few Newton-Schulz iterations in bfloat16.

    .. math::
        buffer_t &= momentum \cdot buffer_{t-1} + (1 - momentum) \cdot g \\
        B &= momentum \cdot buffer_t + (1 - momentum) \cdot g \;(nesterov), \; else \; buffer_t \\
        X_0 &= B/\max(\|B\|, eps) \qquad (transposed\; where\; B\; is\; tall) \\
        X_{k+1} &= ns\_a \cdot X_k + (ns\_b \cdot A + ns\_c \cdot A^2) X_k \qquad A = X_k X_k^T,
            \; k < ns\_steps \\
        p &\leftarrow p - lr \cdot weight\_decay \cdot p - lr \cdot r \cdot X

    r is ``√max(1, rows/columns)``, or ``0.2·√max(rows, columns)`` for ``match_rms_adamw``.

    Parameters
    ----------
    nesterov : option
    ns_steps : option
        Number of iterations, below 100.
    adjust_lr_fn : option
        ``None`` or ``"original"``, or ``"match_rms_adamw"``.

    Returns
    -------
    Rule
        Effective lr: ``lr·r·‖X‖/‖B̄‖``, one number a matrix, B̄ the mean gradient (B over its weight sum). Direction:
        ``X·‖B̄‖/‖X‖``, the orthogonalised matrix at the length of the mean gradient.

        There is no effective lr per coordinate: X is B multiplied from the left by a matrix, so that each entry
        depends on every other. What is stated in its place is the length of the step for a unit length of mean
        gradient, and the direction is *not* the mean gradient, nor the gradient where it is constant, but that
        gradient with its singular values levelled.

    Notes
    -----
    A matrix of zeros gives no step. Rounding to bfloat16 makes the iteration exactly invariant to powers of two only.
    Each product is rounded to bfloat16 once, as torch's kernels do on a CPU: small matrices mostly have the same bits;
    where the order of summation flips a rounding, the iteration grows it to 1e-2 of an entry.
    Against torch.optim.Muon: the same; torch has no ``maximize`` either.
    Against optax.contrib.muon: Newton-Schulz in the input's dtype, bias-corrected Nesterov, another rule for r.

    References
    ----------
    Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Liu et al. 2025 (2502.16982) for
    ``match_rms_adamw``; ``torch/optim/_muon.py`` (2.13), ``_single_tensor_muon``.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> rule = muon(ns_steps=0)
    >>> params = {"w": jnp.array([[1.0, 2.0]])}
    >>> hyper = rule.hyper(lr=0.5, weight_decay=0.0)
    >>> params, state = rule.step(hyper, params, rule.init(params), {"w": jnp.array([[4.0, 0.0]])})
    >>> params["w"].tolist()
    [[0.5, 2.0]]
    """
    if adjust_lr_fn not in ADJUSTMENTS:
        raise ValueError(f"muon: adjust_lr_fn={adjust_lr_fn!r} must be one of {', '.join(map(repr, ADJUSTMENTS))}")
    if isinstance(ns_steps, bool) or not isinstance(ns_steps, int) or not 0 <= ns_steps < 100:
        raise ValueError(f"muon: ns_steps={ns_steps!r} must be a whole number from 0 to 99")

    def init(p: Array) -> MuonState:
        if p.ndim != 2:
            raise ValueError(
                f"muon only takes matrices, but one parameter has shape {p.shape}: "
                "give vectors, scalars and kernels to another rule"
            )
        return zeros(MuonState, p)

    def ratio(shape: tuple[int, ...]) -> float:
        rows, columns = shape
        if adjust_lr_fn == "match_rms_adamw":
            return 0.2 * math.sqrt(max(rows, columns))
        return math.sqrt(max(1, rows / columns))

    def step(h: MuonHyper, p: Array, s: MuonState, g: Array) -> tuple[Array, MuonState]:
        t = s.t + 1
        buffer = lerp(s.buffer, g, 1 - h.momentum)
        averaged = lerp(g, buffer, h.momentum) if nesterov else buffer
        update = newton_schulz(averaged, (h.ns_a, h.ns_b, h.ns_c), ns_steps, h.eps).astype(p.dtype)
        length = norm(averaged)
        still = length == 0
        gain = jnp.where(still, 0, norm(update) * weight_sum(h, t) / jnp.where(still, 1, length))
        moved = p * (1 - h.lr * h.weight_decay) - h.lr * ratio(p.shape) * update
        return moved, MuonState(t, buffer, update, gain)

    def weight_sum(h: MuonHyper, t: Array) -> Array:
        """Sum of the weights of all gradients so far in the matrix that is orthogonalised."""
        return one_minus_power(h.momentum, following(t) if nesterov else t)

    def effective_lr(h: MuonHyper, s: MuonState) -> Array:
        return jnp.broadcast_to(h.lr * ratio(s.buffer.shape) * s.gain, s.buffer.shape)

    def direction(h: MuonHyper, p: Array, s: MuonState, g: Array) -> Array:
        return jnp.where(s.gain == 0, 0, s.update / jnp.where(s.gain == 0, 1, s.gain))

    def caveats(loss: float, params: float) -> list[str]:
        if all(math.frexp(scale)[0] == 0.5 for scale in (loss, params)):
            return []
        return [
            "muon: Newton–Schulz runs in bfloat16, so scales that are no powers of two are met to a few per cent of a step only "
            "(5.5e-2 was seen)"
        ]

    return ArrayRule(
        Hyper=MuonHyper,
        State=MuonState,
        maximizes=False,
        init=init,
        step=step,
        effective_lr=effective_lr,
        direction=direction,
        decoupled=True,
        facts=Facts(
            divides_by="size",
            memory="it orthogonalises its direction, and a step of lr however small the gradient",
            averages={"momentum": "gradients"},
            gain=1.0,
            steady="no coordinate has an effective lr of its own: each entry of the step depends on the whole matrix",
            largest="it depends on the matrix: at most lr·r times the largest singular value of the orthogonalised update",
            caveats=caveats,
            sde=lambda h: normalised_average(h, {"momentum": 1.0}, "heuristic"),
            shape=(1, 1),
            one_size={"adjust_lr_fn": "match_rms_adamw"},
            in_bfloat16=True,
        ),
    )


def newton_schulz(matrix: Array, coefficients: tuple[Array, Array, Array], steps: int, eps: Array) -> Array:
    """The matrix with its singular values brought near 1, in bfloat16 arithmetic.

    Values are held in float32 and rounded explicitly: a compiler may keep more digits than a bfloat16 type asks for,
    but not than ``reduce_precision`` does. A product and the sum it enters are rounded once, together. Each iteration
    ends at a barrier: of a matrix with one row or column, under ``vmap``, XLA (jaxlib 0.11) fuses all of them into one
    expression that repeats each iteration in the next, and does not end compiling it. No bit depends on the barrier.
    """
    a, b, c = (coefficient.astype(jnp.float32) for coefficient in coefficients)
    x = to_bfloat16(matrix.astype(jnp.float32))
    tall = matrix.shape[0] > matrix.shape[1]
    x = x.T if tall else x
    length = to_bfloat16(jnp.sqrt(jnp.sum(x * x)))
    x = to_bfloat16(x / jnp.maximum(length, to_bfloat16(eps.astype(jnp.float32))))
    for _ in range(steps):
        gram = to_bfloat16(product(x, x.T))
        polynomial = to_bfloat16(b * gram + c * product(gram, gram))
        x = lax.optimization_barrier(to_bfloat16(a * x + product(polynomial, x)))
    return x.T if tall else x


def to_bfloat16(x: Array) -> Array:
    """A float32 array rounded to bfloat16's 8 exponent and 7 fraction bits."""
    return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)


def product(a: Array, b: Array) -> Array:
    """A matrix product accumulated in float32, on accelerators too."""
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def norm(x: Array) -> Array:
    """Frobenius norm."""
    return jnp.sqrt(jnp.sum(x * x))
