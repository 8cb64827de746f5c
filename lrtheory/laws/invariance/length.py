r"""What the length of a scale-invariant weight does: it sets the lr its direction feels."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ... import rules
from ...rules import Rule
from ...theory.invariance import next_square_norm, numbers_for_length
from ..law import Rng, Shown, law, relative
from ..trajectory import descend

SHAPE = (6, 4)


def toy(w: Array, data: Any) -> Array:
    """A quadratic and a cubic form of the direction w/‖w‖."""
    quadratic, cubic = data
    u = (w / jnp.sqrt(jnp.sum(w * w))).ravel()
    return u @ quadratic @ u + jnp.sum((cubic @ u) ** 3)


def _toy_data(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Random forms, of a size that makes the gradient at unit length about 1."""
    size = SHAPE[0] * SHAPE[1]
    symmetric = rng.standard_normal((size, size)) / size**0.5
    return (symmetric + symmetric.T) / 2, rng.standard_normal((3, size)) / 3


def normalised_layer(w: Array, data: Any) -> Array:
    """Mean squared error of tanh of a linear layer whose outputs are standardised over the batch, without an eps."""
    x, y = data
    z = x @ w
    centred = z - jnp.mean(z, axis=0)
    standard = centred / jnp.sqrt(jnp.mean(centred * centred, axis=0))
    return jnp.mean((jnp.tanh(standard) - y) ** 2)


def _layer_data(rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((16, SHAPE[0])), rng.standard_normal((16, SHAPE[1]))


FUNCTIONS = ((toy, _toy_data), (normalised_layer, _layer_data))
STEPS = 40


slopes = {loss: jax.jit(jax.grad(loss)) for loss, _ in FUNCTIONS}


def _same_directions(*cases: tuple[Rule, dict[str, float], int]) -> Any:
    """A check that weights of another length, with numbers by the formula, take the same directions bit for bit."""

    def shows(formula: Any, rng: Rng) -> Shown:
        for rule, numbers, which in cases:
            loss, draw = FUNCTIONS[which]
            data, w = draw(rng), rng.standard_normal(SHAPE)
            factor = 2.0 ** int(rng.choice([-5, -2, 1, 3, 6]))
            hyper = rule.hyper(**numbers)
            plain = descend(rule, hyper, loss, w, STEPS, data).params
            longer = descend(rule, formula(rule, hyper, factor), loss, factor * w, STEPS, data).params
            yield np.abs(longer / factor - plain)
        names = ", ".join(f"{rule!r} on the {('toy', 'layer')[which]}" for rule, _, which in cases)
        yield f"{names}: {STEPS} steps from a drawn weight and from a power of two times it"

    return shows


def _changed(power: float, *names: str) -> Any:
    """The law with some of the numbers times a power of the factor: 0 leaves them as they were."""

    def mutant(rule: Rule, hyper: Any, factor: float) -> Any:
        changed = {name: getattr(hyper, name) * factor**power for name in names if name in hyper._fields}
        return numbers_for_length(rule, hyper, factor)._replace(**changed)

    return mutant


_BITS = "bit for bit after division by the power of two: every operation of rule and gradient commutes with it"


@law(
    r"""bitwise invariance.gradient: A longer weight has a smaller gradient
    g(c\,w) = \frac{g(w)}{c}, \quad \langle g(w), w \rangle = 0
    scope: functions of w/‖w‖ alone, such as the loss of a layer that is followed by a normalisation without eps; with
    an eps inside it, up to eps over the variance
    source: van Laarhoven 2017 (1706.05350); Euler's theorem for degree 0
    ran: automatic gradients of a toy on the sphere and of a batch-normalised layer, at a drawn weight and at a power of
    two times it
    why: bit for bit: products, quotients and roots of even powers commute with powers of two. The cosine between g and
    w counts where it is above 1e-13, some hundred roundings of 2^-53
    """,
    lambda gradient, factor: np.asarray(gradient) / factor,
    {
        "does not depend on length": lambda g, c: np.asarray(g),
        "square of the length": lambda g, c: np.asarray(g) / c**2,
    },
    key=20,
)
def gradient(formula: Any, rng: Rng) -> Shown:
    radial = 0.0
    for loss, draw in FUNCTIONS:
        data, w = draw(rng), rng.standard_normal(SHAPE)
        factor = 2.0 ** int(rng.integers(1, 8)) * (1 if rng.random() < 0.5 else 2.0**-9)
        here, there = (np.asarray(slopes[loss](p, data)) for p in (w, factor * w))
        yield np.abs(there - formula(here, factor))
        radial = max(radial, float(abs(np.sum(here * w)) / (np.linalg.norm(here) * np.linalg.norm(w))))
    yield radial if radial > 1e-13 else 0.0
    yield {"cosine of gradient and weight": radial}


directions_of_sgd = law(
    r"""bitwise invariance.effective-lr-sgd: SGD turns with lr over the square of the length
    \frac{lr}{\|w\|^2}, \; lr \cdot weight\_decay \text{ fixed} \quad \Leftrightarrow \quad \text{the same directions}
    scope: sgd with momentum (buffer/c when changed in mid-run), dampening and nesterov on a scale-invariant weight.
    lr·weight_decay fixed is weight_decay·‖w‖² fixed, given the first
    source: van Laarhoven 2017 (1706.05350); Hoffer et al. 2018 (1803.01814); checked here
    """,
    numbers_for_length,
    {"lr over the length": _changed(1, "lr"), "weight_decay left alone": _changed(0, "weight_decay")},
    key=21,
    why=_BITS,
)(_same_directions(*((rules.sgd(), {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.03}, which) for which in (0, 1))))


directions_of_adam = law(
    r"""bitwise invariance.effective-lr-adam: Adam turns with lr over the length
    \frac{lr}{\|w\|}, \; eps \cdot \|w\|, \; lr \cdot weight\_decay \text{ fixed} \quad \Leftrightarrow \quad \text{the
    same directions}
    scope: adam (coupled decay: weight_decay·‖w‖² fixed), adamw, lion (no eps) and all rules whose lr is in [param], on
    a scale-invariant weight
    source: van Laarhoven 2017 (1706.05350), for normalised updates; eps and decay derived here from units
    """,
    numbers_for_length,
    {
        "eps left alone": _changed(0, "eps"),
        "weight_decay left alone": _changed(0, "weight_decay"),
        "lr over the square": _changed(2, "lr"),
    },
    key=22,
    why=_BITS,
)(
    _same_directions(
        (rules.adam(), {"lr": 0.03, "eps": 0.01, "weight_decay": 0.01}, 1),
        (rules.adamw(), {"lr": 0.03, "eps": 0.01, "weight_decay": 0.3}, 0),
        (rules.lion(), {"lr": 0.01, "weight_decay": 0.3}, 0),
    )
)


@law(
    r"""exact invariance.norm-recursion: Steps lengthen a weight, decay shortens it
    \|w_{t+1}\|^2 = (1 - lr \cdot weight\_decay)^2 \|w_t\|^2 + lr^2 \|g_t\|^2
    scope: sgd without momentum on a scale-invariant weight; weight decay coupled or decoupled
    source: van Laarhoven 2017 (1706.05350); Pythagoras, since g ⟂ w
    why: relative: sums of 24 squares, a step of few roundings, and the gradient's product with w, which is off 0 by
    some ten roundings
    """,
    next_square_norm,
    {
        "decay squared away": lambda n, g, lr, wd: (1 - lr * wd) * n + lr**2 * g,
        "gradient term left out": lambda n, g, lr, wd: (1 - lr * wd) ** 2 * n,
    },
    bound=1e-13,
    key=23,
)
def norm_recursion(formula: Any, rng: Rng) -> Shown:
    sgd = rules.sgd()
    for loss, draw in FUNCTIONS:
        hyper = sgd.hyper(lr=rng.uniform(0.05, 0.5), weight_decay=rng.uniform(0.05, 0.5))
        run = descend(sgd, hyper, loss, rng.standard_normal(SHAPE), STEPS, draw(rng))
        norms = np.sum(run.params**2, axis=(1, 2))
        expected = formula(norms[:-1], np.sum(run.grads**2, axis=(1, 2)), hyper.lr, hyper.weight_decay)
        yield relative(norms[1:], expected)
    yield f"sgd with weight decay on the toy and on the layer: {STEPS} square norms"
