"""Equilibrium of a scale-invariant weight under weight decay: its length, and the angle it turns by in a step."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ... import rules
from ...rules import Rule
from ...theory.invariance import Equilibrium, angle, equilibrium
from ..law import Rng, Shown, law, relative
from ..trajectory import descend


def angle_potential(w: Any, size: Any) -> Any:
    """``size`` times the angle of a point of the plane: its gradient has length size/‖w‖ everywhere."""
    return size * jnp.arctan2(w[1], w[0])


ROWS, SIZE = 24, 256
BURN_IN, MEASURED = 150, 300


@functools.partial(jax.jit, static_argnums=0)
def _wander(rule: Rule, hyper: Any, start: Any, seed: Any) -> Any:
    """Independent weights, one a row, under random gradients orthogonal to each of size 1/‖w‖ a coordinate.

    Returns the means over time of 1 − cos of the rotation a step, and of the square length, of each row.
    """

    def unit(x: Any) -> Any:
        return x / jnp.sqrt(jnp.sum(x * x, axis=1, keepdims=True))

    def step(carry: Any, key: Any) -> Any:
        w, state = carry
        length = jnp.sqrt(jnp.sum(w * w, axis=1, keepdims=True))
        noise = jax.random.normal(key, w.shape, w.dtype)
        g = (noise - jnp.sum(noise * w, axis=1, keepdims=True) / length**2 * w) / length
        after, state = rule.step(hyper, w, state, g)
        return (after, state), (jnp.sum((unit(after) - unit(w)) ** 2, axis=1) / 2, length[:, 0] ** 2)

    keys = jax.random.split(jax.random.key(seed), BURN_IN + MEASURED)
    seen = lax.scan(step, (start, rule.init(start)), keys)[1]
    return jax.tree.map(lambda x: jnp.mean(x[BURN_IN:], axis=0), seen)


def _walks(draw: Any, bias: float) -> Any:
    """A check of rotation and length against means over independent random walks."""

    def shows(formula: Any, rng: Rng) -> Shown:
        rule, hyper = draw(rng)
        size = {"gradient_norm": (SIZE - 1) ** 0.5, "coordinates": SIZE}
        start = rng.standard_normal((ROWS, SIZE))
        start *= equilibrium(rule, hyper, **size).norm / np.linalg.norm(start, axis=1, keepdims=True)
        found = jax.device_get(_wander(rule, jax.tree.map(jnp.float64, hyper), start, int(rng.integers(2**31))))
        norm, rotation = formula(rule, hyper, **size)
        for x, expected in zip(found, (1 - math.cos(rotation), norm**2), strict=True):
            yield relative(x.mean(), expected) / (4.5 * x.std(ddof=1) / ROWS**0.5 / expected + bias)
        yield {
            "measured rotation": angle(1 - float(found[0].mean())),
            "predicted rotation": rotation,
            "measured length": float(found[1].mean()) ** 0.5,
            "predicted length": norm,
        }
        yield (
            f"{rule!r} with {', '.join(f'{k}={v:.3g}' for k, v in hyper._asdict().items() if v)}: {ROWS} weights of {SIZE} "
            f"coordinates under random gradients, {MEASURED} steps after {BURN_IN}"
        )

    return shows


def _sgd(rng: Rng) -> tuple[Rule, Any]:
    # Products of lr and decay so large that an angle or a length to first order in them is off by 2 % or more.
    rule, momentum, lr = rules.sgd(), rng.uniform(0.2, 0.6), rng.uniform(0.1, 1)
    return rule, rule.hyper(lr=lr, momentum=momentum, weight_decay=rng.uniform(0.4, 0.8) * (1 - momentum) / lr)


def _adamw(rng: Rng) -> tuple[Rule, Any]:
    rule, lr, beta1 = rules.adamw(), rng.uniform(0.1, 1), rng.uniform(0.3, 0.8)
    return rule, rule.hyper(lr=lr, beta1=beta1, beta2=0.99, eps=0.0, weight_decay=rng.uniform(0.02, 0.06) / lr)


def _student(bias: float) -> Any:
    return {
        "bound": 1.0,
        "why": f"means of 1 − cos of the rotation and of the square length, relative, in units of 4.5 standard errors of the mean "
        f"of {ROWS} independent walks and {bias:g} for fluctuations of length and v that the derivation leaves out. Student's t "
        f"with {ROWS - 1} degrees of freedom passes 4.5 errors with probability 1.6e-4, twice that for two figures; of 200 seeds "
        "none failed",
        "sample_size": ROWS,
        "false_alarm_rate": 3.2e-4,
    }


def _rotating(power: float) -> Any:
    """Rotation √(2·lr·weight_decay) times a power of what momentum makes of it, the length as it is."""

    def mutant(rule: Rule, hyper: Any, **size: Any) -> Equilibrium:
        plain = hasattr(hyper, "momentum")
        factor = 1 + hyper.momentum if plain else (1 + hyper.beta1) / (1 - hyper.beta1)
        rotation = math.sqrt(2 * hyper.lr * hyper.weight_decay) * factor**power
        return equilibrium(rule, hyper, **size)._replace(rotation=rotation)

    return mutant


def _without_momentum(rule: Rule, hyper: Any, **size: Any) -> Equilibrium:
    """The length of the rule without momentum."""
    plain = hyper._replace(**{"momentum" if hasattr(hyper, "momentum") else "beta1": 0.0})
    return equilibrium(rule, hyper, **size)._replace(norm=equilibrium(rule, plain, **size).norm)


@law(
    r"""exact invariance.equilibrium: Length and rotation at equilibrium
    \|w\|^4 = \frac{lr\, G^2}{weight\_decay\,(2 - lr \cdot weight\_decay)}, \quad \cos \angle(w_t, w_{t+1}) = 1 - lr
    \cdot weight\_decay, \quad G = \|w\| \|g\|
    scope: sgd without momentum, G constant. Reached at the rate 2(1−lr·weight_decay)² − 1 a step of ‖w‖², some
    1/(4·lr·weight_decay) steps, from any length
    source: Wan et al. 2021 (2006.08419); fixed point of invariance.norm-recursion, derived here
    ran: sgd in the plane on a loss proportional to the angle, 250 steps from half and from twice the length predicted
    why: relative. The square norm approaches its fixed point by 2(1−lr·weight_decay)² − 1 ≤ 0.805 a step, to 0.805^250
    = 3e-24; rounding of 1e-16 in a step that turns by 0.3 or more and moves little else is the rest
    """,
    equilibrium,
    {
        "first order in lr·weight_decay": lambda rule, hyper, gradient_norm: Equilibrium(
            (hyper.lr * gradient_norm**2 / (2 * hyper.weight_decay)) ** 0.25,
            math.sqrt(2 * hyper.lr * hyper.weight_decay),
        ),
        "square for fourth power": lambda rule, hyper, gradient_norm: equilibrium(
            rule, hyper, gradient_norm=gradient_norm**2
        ),
    },
    bound=1e-9,
    key=27,
)
def constant_gradient_norm(formula: Any, rng: Rng) -> Shown:
    sgd = rules.sgd()
    lr, size = rng.uniform(0.1, 1), rng.uniform(0.5, 5)
    hyper = sgd.hyper(lr=lr, weight_decay=rng.uniform(0.05, 0.2) / lr)
    norm, rotation = formula(sgd, hyper, gradient_norm=size)
    for start in (0.5, 2.0):
        params = descend(sgd, hyper, angle_potential, start * norm * np.array([0.6, 0.8]), 250, size).params
        last, before = params[-1], params[-2]
        turned = abs(math.atan2(before[0] * last[1] - before[1] * last[0], float(before @ last)))
        yield relative(np.linalg.norm(last), norm)
        yield relative(turned, rotation)


rotation_of_sgd = law(
    r"""statistical invariance.rotation-sgd: Rotation at equilibrium with momentum
    \cos \angle(w_t, w_{t+1}) = 1 - \frac{lr \cdot weight\_decay}{1 + momentum} \quad (\text{angle} \approx
    \sqrt{\frac{2\, lr \cdot weight\_decay}{1 + momentum}}), \quad \|w\|^4 = \frac{lr\, G^2}{weight\_decay\,(1 -
    momentum)(2 - lr \cdot weight\_decay/(1 + momentum))}
    scope: sgd with momentum, not nesterov (dampening: lr·(1−dampening) for lr), random gradients orthogonal to a
    scale-invariant weight of many coordinates, after the length has settled. Neither lr nor the gradient's size matters
    but for the product
    source: Kosson et al. 2024 (2305.17212), to first order; the cosine to all orders derived here from second moments
    """,
    equilibrium,
    {
        "momentum left out": _rotating(0),
        "momentum speeds it up": _rotating(0.5),
        "angle to first order": _rotating(-0.5),
        "length without momentum": _without_momentum,
        "length to first order": lambda rule, hyper, gradient_norm, coordinates: equilibrium(rule, hyper)._replace(
            norm=(hyper.lr * gradient_norm**2 / (2 * hyper.weight_decay * (1 - hyper.momentum))) ** 0.25
        ),
    },
    key=28,
    **_student(0.004),
)(_walks(_sgd, 0.004))


rotation_of_adamw = law(
    r"""statistical invariance.rotation-adamw: Rotation at equilibrium of AdamW
    \cos \angle(w_t, w_{t+1}) = \frac{\rho + beta1}{1 + \rho\, beta1}, \quad \rho = 1 - lr \cdot weight\_decay \quad
    (\text{angle} \approx \sqrt{2\, lr \cdot weight\_decay \frac{1 - beta1}{1 + beta1}}), \quad \|w\|^2 = \frac{lr^2
    C}{1 - \rho^2} \frac{(1 - beta1)(1 + \rho\, beta1)}{(1 + beta1)(1 - \rho\, beta1)}
    scope: adamw at eps 0, random gradients of equal size in all coordinates and orthogonal to a scale-invariant weight
    of many coordinates, C of them, after the length has settled; beta2 near 1 (at 0.99 the length is 0.3% shorter)
    source: Kosson et al. 2024 (2305.17212), to first order; the cosine to all orders derived here from second moments
    """,
    equilibrium,
    {
        "beta1 left out": _rotating(0),
        "root of the right factor": _rotating(-0.25),
        "length without beta1": _without_momentum,
    },
    key=29,
    **_student(0.01),
)(_walks(_adamw, 0.01))
