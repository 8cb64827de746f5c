r"""What the length of a scale-invariant weight does: it sets the lr its direction feels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array

from ... import rules
from ...rules import Rule
from ...theory.invariance import next_square_norm, numbers_for_length
from ..law import Evidence, Law
from ..trajectory import descend

SHAPE = (6, 4)


def toy(w: Array, data: Any) -> Array:
    """A quadratic and a cubic form of the direction w/‖w‖."""
    quadratic, cubic = data
    u = (w / jnp.sqrt(jnp.sum(w * w))).ravel()
    return u @ quadratic @ u + jnp.sum((cubic @ u) ** 3)


def toy_data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
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


def layer_data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sixteen examples with random targets."""
    return rng.standard_normal((16, SHAPE[0])), rng.standard_normal((16, SHAPE[1]))


FUNCTIONS = ((toy, toy_data), (normalised_layer, layer_data))
STEPS = 40


def gradient_at_length(gradient: npt.ArrayLike, factor: float) -> np.ndarray:
    """Gradient of a scale-invariant function at a weight ``factor`` times as long: ``gradient/factor``."""
    return np.asarray(gradient) / factor


slopes = {loss: jax.jit(jax.grad(loss)) for loss, _ in FUNCTIONS}


def _check_gradient(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 20])
    worst, radial = 0.0, 0.0
    with jax.enable_x64(True):
        for loss, draw in FUNCTIONS:
            data, w = draw(rng), rng.standard_normal(SHAPE)
            factor = 2.0 ** int(rng.integers(1, 8)) * (1 if rng.random() < 0.5 else 2.0**-9)
            here, there = (np.asarray(slopes[loss](p, data)) for p in (w, factor * w))
            worst = max(worst, float(np.abs(there - formula(here, factor)).max()))
            radial = max(radial, float(abs(np.sum(here * w)) / (np.linalg.norm(here) * np.linalg.norm(w))))
    return Evidence(
        ran="automatic gradients of a toy on the sphere and of a batch-normalised layer, at a drawn weight and at a power of two "
        "times it",
        residual=worst + (radial if radial > 1e-13 else 0.0),
        bound=0.0,
        derivation="bit for bit: products, quotients and roots of even powers commute with powers of two. The cosine between g and "
        "w counts where it is above 1e-13, some hundred roundings of 2^-53",
        figures={"cosine of gradient and weight": radial},
    )


def _same_directions(cases: Sequence[tuple[Rule, dict[str, float], int]], key: int) -> Any:
    """A check that weights of another length, with numbers by the formula, take the same directions bit for bit."""

    def check(formula: Any, seed: int) -> Evidence:
        rng = np.random.default_rng([seed, key])
        worst = 0.0
        for rule, numbers, which in cases:
            loss, draw = FUNCTIONS[which]
            data, w = draw(rng), rng.standard_normal(SHAPE)
            factor = 2.0 ** int(rng.choice([-5, -2, 1, 3, 6]))
            hyper = rule.hyper(**numbers)
            plain = descend(rule, hyper, loss, w, STEPS, data).params
            longer = descend(rule, formula(rule, hyper, factor), loss, factor * w, STEPS, data).params
            worst = max(worst, float(np.abs(longer / factor - plain).max()))
        names = ", ".join(f"{rule!r} on the {('toy', 'layer')[which]}" for rule, _, which in cases)
        return Evidence(
            ran=f"{names}: {STEPS} steps from a drawn weight and from a power of two times it",
            residual=worst,
            bound=0.0,
            derivation="bit for bit after division by the power of two: every operation of rule and gradient commutes with it",
        )

    return check


def _check_recursion(formula: Any, seed: int) -> Evidence:
    rng = np.random.default_rng([seed, 23])
    sgd, worst = rules.sgd(), 0.0
    for loss, draw in FUNCTIONS:
        hyper = sgd.hyper(lr=rng.uniform(0.05, 0.5), weight_decay=rng.uniform(0.05, 0.5))
        run = descend(sgd, hyper, loss, rng.standard_normal(SHAPE), STEPS, draw(rng))
        norms = np.sum(run.params**2, axis=(1, 2))
        expected = formula(norms[:-1], np.sum(run.grads**2, axis=(1, 2)), hyper.lr, hyper.weight_decay)
        worst = max(worst, float(np.abs(norms[1:] / expected - 1).max()))
    return Evidence(
        ran=f"sgd with weight decay on the toy and on the layer: {STEPS} square norms",
        residual=worst,
        bound=1e-13,
        derivation="relative: sums of 24 squares, a step of few roundings, and the gradient's product with w, which is off 0 by "
        "some ten roundings",
    )


def _kept(*names: str) -> Any:
    """The law with some of the numbers left as they were."""

    def mutant(rule: Rule, hyper: Any, factor: float) -> Any:
        return numbers_for_length(rule, hyper, factor)._replace(
            **{name: getattr(hyper, name) for name in names if name in hyper._fields}
        )

    return mutant


LAWS = (
    Law(
        id="invariance.gradient",
        title="A longer weight has a smaller gradient",
        statement=r"g(c\,w) = \frac{g(w)}{c}, \quad \langle g(w), w \rangle = 0",
        kind="bitwise",
        scope="functions of w/‖w‖ alone, such as the loss of a layer that is followed by a normalisation without eps; with an eps "
        "inside it, up to eps over the variance",
        source="van Laarhoven 2017 (1706.05350); Euler's theorem for degree 0",
        formula=gradient_at_length,
        check=_check_gradient,
        mutants={
            "does not depend on length": lambda g, c: np.asarray(g),
            "square of the length": lambda g, c: np.asarray(g) / c**2,
        },
    ),
    Law(
        id="invariance.effective-lr-sgd",
        title="SGD turns with lr over the square of the length",
        statement=r"\frac{lr}{\|w\|^2}, \; lr \cdot weight\_decay \text{ fixed} \quad \Leftrightarrow \quad \text{the same directions}",
        kind="bitwise",
        scope="sgd with momentum (buffer/c when changed in mid-run), dampening and nesterov on a scale-invariant weight. "
        "lr·weight_decay fixed is weight_decay·‖w‖² fixed, given the first",
        source="van Laarhoven 2017 (1706.05350); Hoffer et al. 2018 (1803.01814); checked here",
        formula=numbers_for_length,
        check=_same_directions(
            [(rules.sgd(), {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.03}, which) for which in (0, 1)], 21
        ),
        mutants={
            "lr over the length": lambda rule, hyper, c: numbers_for_length(rule, hyper, c)._replace(lr=hyper.lr * c),
            "weight_decay left alone": _kept("weight_decay"),
        },
    ),
    Law(
        id="invariance.effective-lr-adam",
        title="Adam turns with lr over the length",
        statement=r"\frac{lr}{\|w\|}, \; eps \cdot \|w\|, \; lr \cdot weight\_decay \text{ fixed} \quad \Leftrightarrow \quad "
        r"\text{the same directions}",
        kind="bitwise",
        scope="adam (coupled decay: weight_decay·‖w‖² fixed), adamw, lion (no eps) and all rules whose lr is in [param], on a "
        "scale-invariant weight",
        source="van Laarhoven 2017 (1706.05350), for normalised updates; eps and decay derived here from units",
        formula=numbers_for_length,
        check=_same_directions(
            [
                (rules.adam(), {"lr": 0.03, "eps": 0.01, "weight_decay": 0.01}, 1),
                (rules.adamw(), {"lr": 0.03, "eps": 0.01, "weight_decay": 0.3}, 0),
                (rules.lion(), {"lr": 0.01, "weight_decay": 0.3}, 0),
            ],
            22,
        ),
        mutants={
            "eps left alone": _kept("eps"),
            "weight_decay left alone": _kept("weight_decay"),
            "lr over the square": lambda rule, hyper, c: numbers_for_length(rule, hyper, c)._replace(
                lr=hyper.lr * c**2
            ),
        },
    ),
    Law(
        id="invariance.norm-recursion",
        title="Steps lengthen a weight, decay shortens it",
        statement=r"\|w_{t+1}\|^2 = (1 - lr \cdot weight\_decay)^2 \|w_t\|^2 + lr^2 \|g_t\|^2",
        kind="exact",
        scope="sgd without momentum on a scale-invariant weight; weight decay coupled or decoupled",
        source="van Laarhoven 2017 (1706.05350); Pythagoras, since g ⟂ w",
        formula=next_square_norm,
        check=_check_recursion,
        mutants={
            "decay squared away": lambda n, g, lr, wd: (1 - lr * wd) * n + lr**2 * g,
            "gradient term left out": lambda n, g, lr, wd: (1 - lr * wd) ** 2 * n,
        },
    ),
)
