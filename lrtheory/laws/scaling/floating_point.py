"""What eps costs when it is not rescaled, a loss scale that moves, and where floating point ends the laws."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...rules import adam, sgd
from ..law import Rng, Shown, law, relative
from ..trajectory import replay

STEPS = 20
ADAM = adam()
SMALLEST_NORMAL, SMALLEST = 2.0**-126, 2.0**-149


_first_v = jax.jit(lambda beta2, g: ADAM.step(ADAM.hyper(beta2=beta2), g * 0, ADAM.init(jnp.zeros_like(g)), g)[1].v)


@jax.jit
@jax.jacfwd
def _slope_of_log_step(log_alpha: Any, g: Any, eps: Any) -> Any:
    p = jnp.zeros_like(g)
    moved, _ = ADAM.step(ADAM.hyper()._replace(eps=eps), p, ADAM.init(p), jnp.exp(log_alpha) * g)
    return jnp.log(jnp.abs(moved))


class Placement(NamedTuple):
    """Factors of a moving loss scale by step: on the gradient that enters the buffer, and on the buffer that is applied."""

    inside: Any
    outside: Any


@law(
    r"""exact scaling.eps-sensitivity: How much an eps that stays behind costs
    \frac{\partial \log|\Delta\theta_1|}{\partial \log \alpha} = \frac{eps}{\alpha\sqrt{\hat v} + eps}
    scope: Adam and its kin without decay, first step, eps not rescaled, √v̂ of the plain loss. At most 1, near 0 where
    eps does not dominate: with eps rescaled it is 0.
    source: derived here; checked by differentiating the rule
    why: some 20 operations whose derivatives are at most 1, rounded by 1.1e-16 each, make 2e-15; times 50
    """,
    lambda alpha, root_v, eps: eps / (alpha * root_v + eps),
    {
        "without α": lambda alpha, root_v, eps: eps / (root_v + eps),
        "v in place of its root": lambda alpha, root_v, eps: eps / (alpha * root_v**2 + eps),
        "the other share": lambda alpha, root_v, eps: alpha * root_v / (alpha * root_v + eps),
    },
    bound=1e-13,
)
def eps_sensitivity(formula: Any, rng: Rng) -> Shown:
    alpha, eps = 10.0 ** rng.uniform(-2, 2), 10.0 ** rng.uniform(-3, 0)
    g = jnp.asarray(rng.choice([-1, 1], 16) * 10.0 ** rng.uniform(-3, 3, 16))

    measured = np.asarray(_slope_of_log_step(jnp.log(alpha), g, eps))
    yield np.abs(measured - formula(alpha, np.abs(np.asarray(g)), eps))
    yield (
        f"Adam's first step on 16 gradients over six decades, α = {alpha:.3g}, eps = {eps:.3g}, differentiated in "
        "log α in float64"
    )


@law(
    r"""exact scaling.moving-loss-scale: A loss scale that moves is an lr inside the buffer
    b_t = \mu\, b_{t-1} + \alpha_t g_t,\quad \theta_t = \theta_{t-1} - lr\, b_t
    scope: SGD. Without momentum α_t is an lr schedule lr·α_t. With momentum it is not: a scheduler changes the lr
    outside the buffer, and past gradients are then rescaled too. Adam: none, α_t changes the weights in both averages.
    source: derived here; the same distinction as Goyal et al. 2017 (1706.02677), section 2.1, remark 2
    why: parameters reach some 10; 20 steps of 4 roundings of 1.1e-16 make 9e-14; times 10
    """,
    lambda alphas: Placement(alphas, np.ones_like(alphas)),
    {
        "outside the buffer, as a scheduler": lambda alphas: Placement(np.ones_like(alphas), alphas),
        "the last step's α": lambda alphas: Placement(np.roll(alphas, 1), np.ones_like(alphas)),
    },
    bound=1e-12,
)
def moving_loss_scale(formula: Any, rng: Rng) -> Shown:
    alphas = 10.0 ** rng.uniform(-1, 1, STEPS)
    grads = rng.normal(size=(STEPS, 4))
    inside, outside = formula(alphas)
    for momentum in (0.9, 0.5):
        params = replay(sgd(), sgd().hyper(lr=0.1, momentum=momentum), alphas[:, None] * grads).params
        buffer, p, expected = np.zeros(4), np.zeros(4), [np.zeros(4)]
        for t in range(STEPS):
            buffer = momentum * buffer + inside[t] * grads[t]
            p = p - 0.1 * outside[t] * buffer
            expected.append(p)
        apart = np.abs(params - np.array(expected)).max()
        yield apart
        yield {f"momentum {momentum}": float(apart)}
    yield (
        f"SGD with momentum 0.9 and 0.5 for {STEPS} steps on α_t·g_t, α_t drawn over two decades, against the same "
        "recursion on g_t"
    )


@law(
    r"""exact scaling.float32-domain: The smallest gradient in float32
    (1 - beta2)\, g^2 \ge 2^{-126}
    scope: Adam and its kin in float32 on XLA for CPU, which flushes subnormal numbers to zero: below, v is 0, the step
    is lr·m̂/eps, and the loss scale is felt. 3.4e-18 at beta2 = 0.999.
    source: derived here from the format; checked by bisection
    ran: Adam's first step in float32 on gradients between 2⁻⁸⁰ and 2⁻⁴⁰: the smallest whose v is above 0
    why: beta2 and the gradient are rounded to 6e-8 each, 1−beta2 exactly, the square and the product to 6e-8; bisection
    stops at 3e-14 in the exponent; 1e-6 in all
    """,
    lambda beta2: math.sqrt(SMALLEST_NORMAL / (1 - beta2)),
    {
        "without 1 − beta2": lambda beta2: math.sqrt(SMALLEST_NORMAL),
        "with subnormal numbers": lambda beta2: math.sqrt(SMALLEST / (1 - beta2)),
    },
    bound=1e-6,
    x64=False,
)
def float32_domain(formula: Any, rng: Rng) -> Shown:
    for beta2 in (0.999, 1 - 10.0 ** rng.uniform(-4, -0.3)):
        beta2 = float(np.float32(beta2))
        low, high = -80.0, -40.0  # exponents of 2
        for _ in range(4):
            tried = np.linspace(low, high, 1001)
            alive = np.asarray(_first_v(np.float32(beta2), np.exp2(tried).astype(np.float32))) > 0
            first = int(np.argmax(alive))
            low, high = tried[first - 1], tried[first]
        off = relative(2.0**high, formula(beta2))
        yield off
        yield {f"beta2 = {beta2:.6g}": float(off)}


@law(
    r"""false scaling.compiled-constant: α as a constant of the compiled program
    \text{program}_{\alpha = 1}(lr) = \text{program}_{\alpha = 2^k}(lr/\alpha) \quad\text{bit for bit}
    scope: float32, α a Python constant under jit: at α = 1 the compiler drops the multiplication and fuses what is left
    otherwise, so that sums round differently, some 1e-7. With α traced the law is bitwise.
    source: measured here with XLA on CPU (jaxlib 0.10); which programs it shows in depends on the compiler
    why: with traced numbers the runs agree bit for bit, so that any difference refutes
    """,
    lambda: False,
    {"α traced": lambda: True},
    x64=False,
)
def compiled_constant(formula: Any, rng: Rng) -> Shown:
    x, y = rng.normal(size=(32, 64)).astype(np.float32), rng.normal(size=32).astype(np.float32)
    start = rng.normal(size=64).astype(np.float32)
    traced = formula()
    # as people compile, whatever XLA_FLAGS say
    optimised = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 3})

    def trajectory(alpha: Any, lr: Any, p: Any, tangent: Any) -> Any:
        def loss(q: Any) -> Any:
            return jnp.mean((tangent(x @ q) - y) ** 2)

        def body(carry: Any, _: Any) -> Any:
            p, buffer = carry
            buffer = alpha * jax.grad(loss)(p) + 0.9 * buffer  # the order in which optax writes it
            p = p + -lr * buffer
            return (p, buffer), p

        return jax.lax.scan(body, (p, jnp.zeros_like(p)), None, length=50)[1]

    for tangent in (lambda z: z, jnp.tanh):
        if traced:
            program = optimised(lambda a, lr, p, f=tangent: trajectory(a, lr, p, f))
            paths = [program(np.float32(a), np.float32(0.01 / a), start) for a in (1.0, 1024.0)]
        else:
            paths = [
                optimised(lambda p, a=a, f=tangent: trajectory(a, np.float32(0.01 / a), p, f))(start)
                for a in (1.0, 1024.0)
            ]
        yield np.abs(np.asarray(paths[0]) - np.asarray(paths[1]))
    yield (
        "SGD with momentum 0.9, 50 steps in float32 on a linear and a tanh regression, 64 parameters, α = 1 and 2¹⁰ "
        f"as {'traced numbers' if traced else 'constants of the program'}"
    )
