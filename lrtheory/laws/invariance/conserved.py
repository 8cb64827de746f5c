r"""What a scale symmetry of a network conserves: how far tensors that share one are from balance."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ... import rules
from ...dims.model import symmetries
from ...theory.invariance import next_square_norm, square_norms_with_momentum
from ..law import Rng, Shown, law
from ..trajectory import Run, descend

SIZE, STEPS = 4, 40
TENSORS = ("first", "second")


def hidden_layer(p: Any, data: Any) -> Array:
    """Mean squared error of a hidden layer of ReLU."""
    x, y = data
    return jnp.mean((jax.nn.relu(x @ p[0]) @ p[1] - y) ** 2)


def attention(p: Any, data: Any) -> Array:
    """Mean squared error of attention, by queries and keys."""
    x, y = data
    return jnp.mean((jax.nn.softmax((x @ p[0]) @ (x @ p[1]).T) @ x - y) ** 2)


def _runs(rule: Any, rng: Rng, **numbers: float) -> Any:
    """Runs on each network, with the exponents of its symmetry as they are found in its program."""
    for loss in (hidden_layer, attention):
        data = rng.standard_normal((2, 8, SIZE))
        start = rng.standard_normal((2, SIZE, SIZE)) * [[[1.0]], [[0.5]]]
        params = {name: jax.ShapeDtypeStruct((SIZE, SIZE), np.float64) for name in TENSORS}
        found = symmetries(lambda p, x, loss=loss: loss([p[n] for n in TENSORS], x), params, data)
        (generator,) = found.generators
        exponents = np.array([float(generator[name]) for name in TENSORS])
        yield exponents, descend(rule, rule.hyper(**numbers), loss, start, STEPS, data)


def _balance(run: Run, exponents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Σ eᵢ‖θᵢ‖² before the first step and after each, Σ eᵢ‖gᵢ‖² of each step, and Σ ‖θᵢ‖²."""
    norms, slopes = (np.sum(x**2, axis=(2, 3)) for x in (run.params, run.grads))
    return norms @ exponents, slopes @ exponents, norms.sum(axis=1)


@law(
    r"""exact invariance.conserved: What SGD conserves along a symmetry of the network
    \sum_i e_i \|\theta_i'\|^2 = (1 - lr \cdot weight\_decay)^2 \sum_i e_i \|\theta_i\|^2 + lr^2 \sum_i e_i \|g_i\|^2
    scope: sgd without momentum, weight decay coupled or decoupled, on a loss that is the same at k^eᵢ·θᵢ for every k. Without
    decay it changes by lr² alone, and gradient flow conserves it; decay contracts it. Exponents by lrtheory.symmetries
    source: Kunin et al. 2021 (2012.04728) for gradient flow; the step derived here: the cross term is −2·lr·(1 −
    lr·weight_decay)·Σ eᵢ⟨θᵢ, gᵢ⟩, which is 0 by Euler's identity, the derivative of the loss along k at 1
    ran: a hidden layer of ReLU and attention by queries and keys, 40 steps with weight decay, exponents found in the program
    why: over Σ ‖θᵢ‖²: sums of 32 squares and a step of few roundings
    """,
    next_square_norm,
    {
        "decay squared away": lambda d, g, lr, wd: (1 - lr * wd) * d + lr**2 * g,
        "gradient term left out": lambda d, g, lr, wd: (1 - lr * wd) ** 2 * d,
        "of first order": lambda d, g, lr, wd: (1 - lr * wd) ** 2 * d + lr * g,
    },
    bound=1e-13,
    key=33,
)
def conserved(formula: Any, rng: Rng) -> Shown:
    lr, decay = rng.uniform(0.02, 0.1), rng.uniform(0.05, 0.5)
    for exponents, run in _runs(rules.sgd(), rng, lr=lr, weight_decay=decay):
        balance, slopes, size = _balance(run, exponents)
        yield np.abs(balance[1:] - formula(balance[:-1], slopes, lr, decay)) / size[:-1]


@law(
    r"""exact invariance.conserved-with-momentum: It survives momentum
    N_{t+1} = N_t + lr^2 \Bigl(S_{t+1} + 2 \sum_{s \le t} momentum^{t+1-s} S_s\Bigr), \quad N = \sum_i e_i
    \|\theta_i\|^2, \; S = \sum_i e_i \|b_i\|^2
    scope: sgd with momentum, no dampening, not nesterov, no decay, b its buffer, from an empty one. It changes by lr² alone, with
    a memory: a constant S makes it change by (1 + momentum)/(1 − momentum) times as much
    source: derived here: Σ eᵢ⟨θᵢ, bᵢ⟩ is momentum times what it was, less lr·S, since Euler's identity takes the gradient out
    ran: a hidden layer of ReLU and attention by queries and keys, 40 steps, exponents found in the program
    why: over Σ ‖θᵢ‖²: sums of 32 squares and 40 steps of few roundings
    """,
    square_norms_with_momentum,
    {
        "without memory": lambda first, buffers, lr, mu: first + np.cumsum(lr**2 * buffers),
        "the last step forgotten": lambda first, buffers, lr, mu: (
            square_norms_with_momentum(first, buffers, lr, mu)
            - np.cumsum(2 * lr**2 * mu * np.concatenate([[0.0], buffers[:-1]]))
        ),
        "counted once": lambda first, buffers, lr, mu: (
            (square_norms_with_momentum(first, buffers, lr, mu) + first + np.cumsum(lr**2 * buffers)) / 2
        ),
    },
    bound=1e-12,
    key=35,
)
def conserved_with_momentum(formula: Any, rng: Rng) -> Shown:
    lr, momentum = rng.uniform(0.01, 0.03), rng.uniform(0.5, 0.9)
    for exponents, run in _runs(rules.sgd(), rng, lr=lr, momentum=momentum):
        balance, _, size = _balance(run, exponents)
        buffers = np.sum(np.asarray(run.states.buffer) ** 2, axis=(2, 3)) @ exponents
        yield np.abs(balance[1:] - formula(balance[0], buffers, lr, momentum)) / size[:-1]


@law(
    r"""false invariance.conserved-by-adam: Adam conserves it too
    \sum_i e_i \|\theta_i'\|^2 = \sum_i e_i \|\theta_i\|^2 + lr^2 \sum_i e_i \|\Delta_i / lr\|^2
    scope: adam without decay on the same networks. Its step is not along the gradient, so that Euler's identity says
    nothing of it: the balance moves by lr, not by lr²
    source: derived here; counterexample here
    ran: a hidden layer of ReLU and attention by queries and keys, 40 steps of 0.01, exponents found in the program
    why: what a step changes beyond its own square, over lr·Σ ‖θᵢ‖²: rounding leaves 1e-12 where steps are along gradients
    """,
    rules.adam,
    {"steps along gradients": rules.sgd},
    bound=1e-9,
    key=34,
)
def conserved_by_adam(formula: Any, rng: Rng) -> Shown:
    worst = []
    for exponents, run in _runs(formula(), rng, lr=0.01):
        balance, _, size = _balance(run, exponents)
        steps = np.sum(run.steps**2, axis=(2, 3)) @ exponents
        worst.append(np.max(np.abs(balance[1:] - balance[:-1] - steps) / (0.01 * size[:-1])))
    yield min(worst)
