"""Where a law ends: bare numbers in the source, parameters of norm 0, one number that starts two averages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...rules import Rule, adafactor, lamb, lars, sgd
from ...wrappers import clip_by_global_norm
from ..law import Evidence, Law
from .bitwise import STEPS, Transform, apart, drawn, from_units, powers_of_two, rescaled, run
from .subject import Subject, of_optax, of_rule

ROUNDING = (
    "where the law holds the runs agree bit for bit; 1e-12 is far above rounding and far below what is looked for"
)
TORCH_CLIP_EPS = 1e-6


def counterexample(
    subject: Subject, transform: Transform, loss: float, params: float, plain: Any, what: str
) -> Evidence:
    """How far the rescaled run is from the law."""
    path, _ = run(subject, plain)
    other, _ = run(subject, rescaled(plain, transform, loss, params, 0))
    return Evidence(
        ran=f"{subject.name}, {STEPS} steps in float64 from the start, α = {loss:g}, c = {params:g}, {what}",
        residual=apart(other, params * path),
        bound=1e-12,
        derivation=ROUNDING,
        is_counterexample=True,
    )


FACTOR = adafactor(machine_eps=False)
MATRIX = of_rule(FACTOR, (3, 2))


def _check_adafactor(formula: Callable[[], float], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    loss, params = powers_of_two(rng)
    plain = drawn(MATRIX, rng)
    # Means of squares between 1e-6 and 1e-4: below eps1, and their square over eps1 above eps1², so one clamp acts alone.
    plain = plain._replace(grads=1e-3 * rng.uniform(2, 6, plain.grads.shape) * np.sign(plain.grads))
    plain.numbers["eps1"][:] = formula()
    plain.numbers["d"][:] = 1e9  # or clipping to a root mean square of d would hide the size of the step
    factors = {name: units.factor(loss, params) for name, units in FACTOR.units.items()}
    transform = Transform({name: factors[name] for name in MATRIX.numbers}, {})
    return counterexample(MATRIX, transform, loss, params, plain, f"eps1 = {formula():g}")


def zero_law(name: str, rule: Rule, protection: str) -> Law:
    """A rule that takes the trust ratio of a parameter of norm 0 for the bare number 1."""
    subject = of_rule(rule)
    lawful = from_units(subject.dimensions)

    def check(formula: Callable[[], float], seed: int) -> Evidence:
        rng = np.random.default_rng(seed)
        loss, params = powers_of_two(rng)
        plain = drawn(subject, rng)._replace(first=formula() * rng.normal(size=subject.shape))
        transform = lawful(loss, params)
        return counterexample(subject, transform, loss, params, plain, f"from parameters of size {formula():g}")

    return Law(
        id=f"scaling.{name}-zero",
        title=f"{name.upper()} from parameters that are zero",
        statement=rf"\theta_0 = 0 \;\Rightarrow\; \theta'_t = c\,\theta_t \quad\text{{under the law of scaling.{name}}}",
        kind="false",
        scope=f"{name.upper()} with a tensor that is exactly zero, such as a new bias. {protection} Nearest: start it "
        "at a small value other than 0, or train it with an unnormalised rule until it has moved.",
        source="derived here: lrtheory.dims reports the guard and its line; checked by running it",
        formula=lambda: 0.0,
        check=check,
        mutants={"parameters that are not zero": lambda: 1.0},
    )


CLIPPED = clip_by_global_norm(sgd())


def torch_factor(norm: float, max_norm: float) -> float:
    """What torch multiplies gradients by: the 1e-6 stands beside the norm whatever its size."""
    return min(1.0, max_norm / (norm + TORCH_CLIP_EPS))


def _check_torch_clip(formula: Callable[[float, float], float], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    subject = of_rule(CLIPPED, weight_decay=0.0)
    plain = drawn(subject, rng)._replace(first=np.zeros(subject.shape))
    norm = float(np.linalg.norm(plain.grads[0]))
    limit = norm / 4
    plain.numbers["max_norm"][:] = limit
    scale = 2.0 ** -int(rng.integers(8, 16))
    transform = Transform({"lr": 1 / scale, "max_norm": scale}, {})
    path, _ = run(subject, plain)
    other, _ = run(subject, rescaled(plain, transform, scale, 1.0, 0))
    measured = float(np.median(other[0] / path[0])) - 1
    predicted = formula(scale * norm, scale * limit) / formula(norm, limit) - 1
    agree = abs(measured - predicted) <= 1e-12
    return Evidence(
        ran=f"the first step of SGD behind torch's clip_grad_norm_, float64, ‖g‖ = {norm:.3g}, max_norm = ‖g‖/4, both and "
        f"the gradient times {scale:g}, lr divided by it",
        residual=abs(measured) if agree else float("nan"),
        bound=1e-12,
        derivation="the step must be what it was; rounding leaves 1e-15, and the formula predicts the violation to 1e-12",
        is_counterexample=True,
        figures={"measured": measured, "predicted": predicted},
    )


YOGI = of_optax("scale_by_yogi", {"lr": 0.01, "b1": 0.9, "b2": 0.99, "eps": 0.3, "initial_accumulator_value": 0.1})


def _check_yogi(formula: Callable[[float], tuple[float, float]], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    loss, params = powers_of_two(rng)
    gamma = loss / params
    plain = drawn(YOGI, rng)
    path, _ = run(YOGI, plain)
    first, second = formula(gamma)
    found = {}
    for power in (0.0, 0.5, 1.0, 1.5, 2.0):
        transform = Transform({"lr": params, "eps": gamma, "initial_accumulator_value": gamma**power}, {})
        changed = rescaled(plain, transform, loss, params, 0)
        started = {"0.mu": first / gamma**power if first else 1.0, "0.nu": second / gamma**power if second else 1.0}
        on_state = {
            path_: v * np.where(np.arange(STEPS) == 0, started.get(path_, 1.0), 1.0)
            for path_, v in changed.on_state.items()
        }
        other, _ = run(YOGI, changed._replace(on_state=on_state))
        found[f"initial_accumulator_value·γ^{power:g}"] = apart(other, params * path)
    return Evidence(
        ran=f"{YOGI.name}, {STEPS} steps in float64, γ = {gamma:g}: lr·c, eps·γ, the initial value times powers of γ",
        residual=min(found.values()),
        bound=1e-12,
        derivation=ROUNDING,
        is_counterexample=True,
        figures=found,
    )


LAWS = (
    Law(
        id="scaling.adafactor-matrix",
        title="Adafactor on matrices",
        statement=r"\theta'_t = c\,\theta_t \quad\text{with}\quad eps1 \to eps1 \cdot \alpha/c,\; eps2 \to eps2 \cdot c",
        kind="false",
        scope="Matrices and more: torch clamps the mean of row_var with eps1 and the estimate with eps1². The law holds "
        "only while the first clamp does not act: mean(row_var) > eps1, as with eps1 = 1e-30.",
        source="derived here from torch/optim/_adafactor.py (2.13); lrtheory.dims names the line",
        formula=lambda: 1e-4,
        check=_check_adafactor,
        mutants={"an eps1 whose clamp does not act": lambda: 1e-30},
    ),
    zero_law("lars", lars(), "Its step is then lr times the gradient, which has units."),
    zero_law("lamb", lamb(), "Its trust ratio is then 1 instead of a norm in [param]."),
    Law(
        id="scaling.torch-clip-grad-norm",
        title="torch.nn.utils.clip_grad_norm_",
        statement=r"\min\left(1, \frac{\gamma\, max\_norm}{\|\gamma g\| + 10^{-6}}\right) = "
        r"\min\left(1, \frac{max\_norm}{\|g\| + 10^{-6}}\right)",
        kind="false",
        scope="torch's clipping by the global norm. Off by 1e-6·(1/γ − 1)/‖g‖ where it clips: a footnote for gradients of "
        "norm 1, a factor for those of 1e-6. Nearest: max_norm·γ, or a clip without the constant, as optax has it.",
        source="torch/nn/utils/clip_grad.py (2.13), clip_grads_with_norm_; size of the violation derived here",
        formula=torch_factor,
        check=_check_torch_clip,
        mutants={
            "without the constant": lambda norm, max_norm: min(1.0, max_norm / norm),
            "a constant of 1e-8": lambda norm, max_norm: min(1.0, max_norm / (norm + 1e-8)),
            "a constant that scales": lambda norm, max_norm: min(1.0, max_norm / (norm * (1 + 1e-6))),
        },
    ),
    Law(
        id="scaling.optax-yogi",
        title="Yogi: optax.yogi",
        statement=r"\text{for some } k(\gamma):\; initial\_accumulator\_value \to initial\_accumulator\_value \cdot k,\; "
        r"lr \to lr \cdot c,\; eps \to eps \cdot \gamma \;\Rightarrow\; \theta'_t = c\,\theta_t",
        kind="false",
        scope="One number, 1e-6 in optax.yogi, starts both averages: the first would need γ, the second γ². Everything "
        "else obeys lr·c, eps·γ, so the law is bitwise if the initial state is rescaled by hand: mu·γ, nu·γ².",
        source="derived here: lrtheory.dims names optax/_src/transform.py (0.2.8), scale_by_yogi; checked by running it",
        formula=lambda gamma: (0.0, 0.0),
        check=_check_yogi,
        mutants={"initial state rescaled by hand": lambda gamma: (gamma, gamma**2)},
    ),
)
