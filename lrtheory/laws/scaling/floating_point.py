"""Where floating point ends the laws: squares that underflow, and a scale that the compiler knows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...rules import adam
from ..law import Evidence, Law

SMALLEST_NORMAL = 2.0**-126
SMALLEST = 2.0**-149


def smallest_gradient(beta2: float) -> float:
    """The smallest float32 gradient whose square enters Adam's average."""
    return math.sqrt(SMALLEST_NORMAL / (1 - beta2))


def _check_domain(formula: Callable[[float], float], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    rule = adam()
    first_v = jax.jit(lambda beta2, g: rule.step(rule.hyper(beta2=beta2), g * 0, rule.init(jnp.zeros_like(g)), g)[1].v)
    figures = {}
    for beta2 in (0.999, 1 - 10.0 ** rng.uniform(-4, -0.3)):
        beta2 = float(np.float32(beta2))
        low, high = -80.0, -40.0  # exponents of 2
        for _ in range(4):
            tried = np.linspace(low, high, 1001)
            alive = np.asarray(first_v(np.float32(beta2), np.exp2(tried).astype(np.float32))) > 0
            first = int(np.argmax(alive))
            low, high = tried[first - 1], tried[first]
        figures[f"beta2 = {beta2:.6g}"] = abs(2.0**high / formula(beta2) - 1)
    return Evidence(
        ran="Adam's first step in float32 on gradients between 2⁻⁸⁰ and 2⁻⁴⁰: the smallest whose v is above 0",
        residual=max(figures.values()),
        bound=1e-6,
        derivation="beta2 and the gradient are rounded to 6e-8 each, 1−beta2 exactly, the square and the product to 6e-8; "
        "bisection stops at 3e-14 in the exponent; 1e-6 in all",
        figures=figures,
    )


def _check_constant(formula: Callable[[], bool], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(32, 64)).astype(np.float32), rng.normal(size=32).astype(np.float32)
    start = rng.normal(size=64).astype(np.float32)
    traced = formula()

    def trajectory(alpha: Any, lr: Any, p: Any, tangent: Any) -> Any:
        def loss(q: Any) -> Any:
            return jnp.mean((tangent(x @ q) - y) ** 2)

        def body(carry: Any, _: Any) -> Any:
            p, buffer = carry
            buffer = alpha * jax.grad(loss)(p) + 0.9 * buffer  # the order in which optax writes it
            p = p + -lr * buffer
            return (p, buffer), p

        return jax.lax.scan(body, (p, jnp.zeros_like(p)), None, length=50)[1]

    apart = []
    for tangent in (lambda z: z, jnp.tanh):
        if traced:
            program = jax.jit(lambda a, lr, p, f=tangent: trajectory(a, lr, p, f))
            paths = [program(np.float32(a), np.float32(0.01 / a), start) for a in (1.0, 1024.0)]
        else:
            paths = [
                jax.jit(lambda p, a=a, f=tangent: trajectory(a, np.float32(0.01 / a), p, f))(start)
                for a in (1.0, 1024.0)
            ]
        apart.append(float(np.max(np.abs(np.asarray(paths[0]) - np.asarray(paths[1])))))
    return Evidence(
        ran="SGD with momentum 0.9, 50 steps in float32 on a linear and a tanh regression, 64 parameters, α = 1 and 2¹⁰ "
        f"as {'traced numbers' if traced else 'constants of the program'}",
        residual=max(apart),
        bound=0.0,
        derivation="with traced numbers the runs agree bit for bit, so that any difference refutes",
        is_counterexample=True,
    )


LAWS = (
    Law(
        id="scaling.float32-domain",
        title="The smallest gradient in float32",
        statement=r"(1 - beta2)\, g^2 \ge 2^{-126}",
        kind="exact",
        scope="Adam and its kin in float32 on XLA for CPU, which flushes subnormal numbers to zero: below, v is 0, the step "
        "is lr·m̂/eps, and the loss scale is felt. 3.4e-18 at beta2 = 0.999.",
        source="derived here from the format; checked by bisection",
        formula=smallest_gradient,
        check=_check_domain,
        mutants={
            "without 1 − beta2": lambda beta2: math.sqrt(SMALLEST_NORMAL),
            "with subnormal numbers": lambda beta2: math.sqrt(SMALLEST / (1 - beta2)),
        },
    ),
    Law(
        id="scaling.compiled-constant",
        title="α as a constant of the compiled program",
        statement=r"\text{program}_{\alpha = 1}(lr) = \text{program}_{\alpha = 2^k}(lr/\alpha) \quad\text{bit for bit}",
        kind="false",
        scope="float32, α a Python constant under jit: at α = 1 the compiler drops the multiplication and fuses what is "
        "left otherwise, so that sums round differently, some 1e-7. With α traced the law is bitwise.",
        source="measured here with XLA on CPU (jaxlib 0.10); which programs it shows in depends on the compiler",
        formula=lambda: False,
        check=_check_constant,
        mutants={"α traced": lambda: True},
    ),
)
