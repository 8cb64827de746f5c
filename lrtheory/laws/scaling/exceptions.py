"""Where a law ends: bare numbers in the source, parameters of norm 0, one number that starts two averages, a rectifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...rules import Rule, adafactor, adam, lamb, lars, radam, sgd
from ...theory.momentum import average_length
from ...wrappers import clip_by_global_norm
from ..law import Law, Rng, Shown, law, relative
from .bitwise import BITS, STEPS, Transform, apart, drawn, from_units, powers_of_two, rescaled, run
from .subject import Subject, of_optax, of_rule

ROUNDING = (
    "where the law holds the runs agree bit for bit; 1e-12 is far above rounding and far below what is looked for"
)
TORCH_CLIP_EPS = 1e-6
RADAM = of_rule(radam())
FACTOR = adafactor(machine_eps=False)
MATRIX = of_rule(FACTOR, (3, 2))
CLIPPED = clip_by_global_norm(sgd())
YOGI = of_optax("scale_by_yogi", {"lr": 0.01, "b1": 0.9, "b2": 0.99, "eps": 0.3, "initial_accumulator_value": 0.1})


def piecewise(loss: float, params: float, beta2: float, *, threshold: float = 5.0) -> Transform:
    """Adam's transform where the step is rectified, SGD's where it is not: one factor of lr a step."""
    rectified = np.array([average_length(beta2, t) for t in range(1, STEPS + 1)]) > threshold
    factors = {name: units.factor(loss, params) for name, units in radam().units.items()}
    lr: Any = np.where(rectified, params, params * params / loss)
    return Transform({**factors, "lr": lr}, {name: factors[name] for name in ("m", "v")})


@law(
    r"""bitwise scaling.radam: RAdam with an lr that changes once
    \theta'_t = c\,\theta_t \quad\text{with}\quad lr_t \to lr_t \cdot c^2/\alpha \;(\rho_t \le 5),\; lr_t \cdot c
    \;(\rho_t > 5),\; eps \to eps \cdot \alpha/c,\; weight\_decay \to weight\_decay \cdot \alpha/c^2
    scope: RAdam as torch has it: the first 5 steps at beta2 = 0.999, all steps at beta2 ≤ 2/3, are not rectified. State
    in mid-run: m·γ, v·γ², γ = α/c. All numbers traced; no over- or underflow.
    source: derived here from Liu et al. 2020 (1908.03265), algorithm 2, and torch/optim/radam.py (2.13)
    """,
    piecewise,
    {
        "Adam's lr throughout": lambda *a: piecewise(*a, threshold=-np.inf),
        "SGD's lr throughout": lambda *a: piecewise(*a, threshold=np.inf),
        "the paper's threshold of 4": lambda *a: piecewise(*a, threshold=4.0),
    },
    why=BITS,
    x64=False,
)
def radam_piecewise(formula: Any, rng: Rng) -> Shown:
    loss, params = powers_of_two(rng)
    for beta2 in (0.999, 0.9, 0.6):
        plain = drawn(RADAM, rng)
        plain.numbers["beta2"][:] = beta2
        transform = formula(loss, params, beta2)
        path, _ = run(RADAM, plain)
        for at in (0, 3):
            other, _ = run(RADAM, rescaled(plain, transform, loss, params, at))
            off = apart(other[at:], params * path[at:])
            yield off
            yield {f"beta2 = {beta2}, from step {at + 1} on": off}
    yield f"{RADAM.name}, {STEPS} steps in float64, α = {loss:g}, c = {params:g}, beta2 0.999, 0.9 and 0.6"


@law(
    r"""false scaling.radam-constant: RAdam with a constant lr
    \text{for some } k(\alpha):\; lr \to lr \cdot k \;\Rightarrow\; \theta'_t = \theta_t \;\forall t
    scope: RAdam with beta2 > 2/3. Nearest: scaling.radam, or leave the first 5 steps out with lr = 0, or Adam.
    source: derived here: an unrectified step is lr·m̂, in [loss]/[param] times lr, a rectified one lr times a pure
    number; lrtheory.dims finds the line where the two meet
    why: a constant lr needs one factor for all steps; those found agree to rounding or are α apart. Steps are
    differences of parameters of size 1, so that 1e-6 is 10⁴ roundings of the smallest
    """,
    radam,
    {"Adam, which has a law": adam},
    bound=1e-6,
    x64=False,
)
def radam_constant(formula: Any, rng: Rng) -> Shown:
    rule = formula()
    subject = of_rule(rule, weight_decay=0.0)
    loss = powers_of_two(rng)[0]
    plain = drawn(subject, rng)
    factors = {name: units.factor(loss, 1) for name, units in rule.units.items()} | {"lr": 1.0}
    transform = Transform(
        {name: factors.get(name, 1.0) for name in subject.numbers}, {n: factors[n] for n in ("m", "v")}
    )
    path, _ = run(subject, plain)
    other, _ = run(subject, rescaled(plain, transform, loss, 1.0, 0))
    steps, changed = (np.diff(p, axis=0, prepend=plain.first[None]) for p in (path, other))
    needed = np.median(steps / changed, axis=1)
    yield (
        f"{subject.name}, {STEPS} steps in float64, α = {loss:g}: the factor of lr that each step needs to be what it "
        "was, eps and state rescaled"
    )
    yield needed.max() / needed.min() - 1
    yield {"at the first step": float(needed[0]), "at the last": float(needed[-1])}


def counterexample(subject: Subject, transform: Transform, loss: float, params: float, plain: Any, what: str) -> Shown:
    """How far the rescaled run is from the law."""
    path, _ = run(subject, plain)
    other, _ = run(subject, rescaled(plain, transform, loss, params, 0))
    yield apart(other, params * path)
    yield f"{subject.name}, {STEPS} steps in float64 from the start, α = {loss:g}, c = {params:g}, {what}"


@law(
    r"""false scaling.adafactor-matrix: Adafactor on matrices
    \theta'_t = c\,\theta_t \quad\text{with}\quad eps1 \to eps1 \cdot \alpha/c,\; eps2 \to eps2 \cdot c
    scope: Matrices and more: torch clamps the mean of row_var with eps1 and the estimate with eps1². The law holds only
    while the first clamp does not act: mean(row_var) > eps1, as with eps1 = 1e-30.
    source: derived here from torch/optim/_adafactor.py (2.13); lrtheory.dims names the line
    """,
    lambda: 1e-4,
    {"an eps1 whose clamp does not act": lambda: 1e-30},
    bound=1e-12,
    why=ROUNDING,
    x64=False,
)
def adafactor_matrix(formula: Any, rng: Rng) -> Shown:
    loss, params = powers_of_two(rng)
    plain = drawn(MATRIX, rng)
    # Means of squares between 1e-6 and 1e-4: below eps1, and their square over eps1 above eps1², so one clamp acts alone.
    plain = plain._replace(grads=1e-3 * rng.uniform(2, 6, plain.grads.shape) * np.sign(plain.grads))
    plain.numbers["eps1"][:] = formula()
    plain.numbers["d"][:] = 1e9  # or clipping to a root mean square of d would hide the size of the step
    factors = {name: units.factor(loss, params) for name, units in FACTOR.units.items()}
    transform = Transform({name: factors[name] for name in MATRIX.numbers}, {})
    yield from counterexample(MATRIX, transform, loss, params, plain, f"eps1 = {formula():g}")


def _zero(name: str, rule: Rule, protection: str) -> Law:
    """A rule that takes the trust ratio of a parameter of norm 0 for the bare number 1."""
    subject = of_rule(rule)
    lawful = from_units(subject.dimensions)

    def shows(formula: Any, rng: Rng) -> Shown:
        loss, params = powers_of_two(rng)
        plain = drawn(subject, rng)._replace(first=formula() * rng.normal(size=subject.shape))
        what = f"from parameters of size {formula():g}"
        yield from counterexample(subject, lawful(loss, params), loss, params, plain, what)

    return law(
        rf"""false scaling.{name}-zero: {name.upper()} from parameters that are zero
        \theta_0 = 0 \;\Rightarrow\; \theta'_t = c\,\theta_t \quad\text{{under the law of scaling.{name}}}
        scope: {name.upper()} with a tensor that is exactly zero, such as a new bias. {protection} Nearest: start it
        at a small value other than 0, or train it with an unnormalised rule until it has moved.
        source: derived here: lrtheory.dims reports the guard and its line; checked by running it
        """,
        lambda: 0.0,
        {"parameters that are not zero": lambda: 1.0},
        bound=1e-12,
        why=ROUNDING,
        x64=False,
    )(shows)


zero = (
    _zero("lars", lars(), "Its step is then lr times the gradient, which has units."),
    _zero("lamb", lamb(), "Its trust ratio is then 1 instead of a norm in [param]."),
)


@law(
    r"""false scaling.torch-clip-grad-norm: torch.nn.utils.clip_grad_norm_
    \min\left(1, \frac{\gamma\, max\_norm}{\|\gamma g\| + 10^{-6}}\right) = \min\left(1, \frac{max\_norm}{\|g\| +
    10^{-6}}\right)
    scope: torch's clipping by the global norm. Off by 1e-6·(1/γ − 1)/‖g‖ where it clips: a footnote for gradients of
    norm 1, a factor for those of 1e-6. Nearest: max_norm·γ, or a clip without the constant, as optax has it.
    source: torch/nn/utils/clip_grad.py (2.13), clip_grads_with_norm_; size of the violation derived here
    why: the step must be what it was; rounding leaves 1e-15, and the formula predicts the violation to 1e-12
    """,
    lambda norm, max_norm: min(1.0, max_norm / (norm + TORCH_CLIP_EPS)),
    {
        "without the constant": lambda norm, max_norm: min(1.0, max_norm / norm),
        "a constant of 1e-8": lambda norm, max_norm: min(1.0, max_norm / (norm + 1e-8)),
        "a constant that scales": lambda norm, max_norm: min(1.0, max_norm / (norm * (1 + 1e-6))),
    },
    bound=1e-12,
    x64=False,
)
def torch_clip_grad_norm(formula: Any, rng: Rng) -> Shown:
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
    yield (
        f"the first step of SGD behind torch's clip_grad_norm_, float64, ‖g‖ = {norm:.3g}, max_norm = ‖g‖/4, both and "
        f"the gradient times {scale:g}, lr divided by it"
    )
    yield abs(measured) if abs(measured - predicted) <= 1e-12 else np.nan
    yield {"measured": measured, "predicted": predicted}


@law(
    r"""false scaling.optax-yogi: Yogi: optax.yogi
    \text{for some } k(\gamma):\; initial\_accumulator\_value \to initial\_accumulator\_value \cdot k,\; lr \to lr \cdot
    c,\; eps \to eps \cdot \gamma \;\Rightarrow\; \theta'_t = c\,\theta_t
    scope: One number, 1e-6 in optax.yogi, starts both averages: the first would need γ, the second γ². Everything else
    obeys lr·c, eps·γ, so the law is bitwise if the initial state is rescaled by hand: mu·γ, nu·γ².
    source: derived here: lrtheory.dims names optax/_src/transform.py (0.2.8), scale_by_yogi; checked by running it
    """,
    lambda gamma: (0.0, 0.0),
    {"initial state rescaled by hand": lambda gamma: (gamma, gamma**2)},
    bound=1e-12,
    why=ROUNDING,
    x64=False,
)
def optax_yogi(formula: Any, rng: Rng) -> Shown:
    loss, params = powers_of_two(rng)
    gamma, plain, found = loss / params, drawn(YOGI, rng), {}
    path, _ = run(YOGI, plain)
    first, second = formula(gamma)
    for power in (0.0, 0.5, 1.0, 1.5, 2.0):
        transform = Transform({"lr": params, "eps": gamma, "initial_accumulator_value": gamma**power}, {})
        changed = rescaled(plain, transform, loss, params, 0)
        started = {"0.mu": first / gamma**power if first else 1.0, "0.nu": second / gamma**power if second else 1.0}
        at_first = np.arange(STEPS) == 0
        on_state = {at: v * np.where(at_first, started.get(at, 1.0), 1.0) for at, v in changed.on_state.items()}
        other, _ = run(YOGI, changed._replace(on_state=on_state))
        found[f"initial_accumulator_value·γ^{power:g}"] = apart(other, params * path)
    yield f"{YOGI.name}, {STEPS} steps in float64, γ = {gamma:g}: lr·c, eps·γ, the initial value times powers of γ"
    yield min(found.values())
    yield found


def torch_path(curvature: np.ndarray, start: np.ndarray, loss: float, steps: int = 6) -> np.ndarray:
    """Points of L-BFGS after each inner iteration, (steps, n), on loss·Σ curvature·θ²/2 with tolerances 0 and lr 1, in float64."""
    import torch

    h, points = torch.tensor(curvature), []
    for iterations in range(1, steps + 1):
        p = torch.nn.Parameter(torch.tensor(start))
        optimizer = torch.optim.LBFGS(
            [p], lr=1.0, max_iter=iterations, max_eval=10**6, tolerance_grad=0.0, tolerance_change=0.0
        )

        def closure(p: Any = p, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            value = loss * 0.5 * (h * p * p).sum()
            value.backward()
            return value

        optimizer.step(closure)
        points.append(p.detach().numpy().copy())
    return np.stack(points)


@law(
    r"""exact scaling.lbfgs: L-BFGS under a loss scale
    \theta'_t = \theta_t \iff \min(1, 1/\|\alpha g_0\|_1)\,\alpha = \min(1, 1/\|g_0\|_1)
    scope: torch.optim.LBFGS with c = 1, tolerances 0 and no line search: while ‖g₀‖₁ ≥ 1, α‖g₀‖₁ ≥ 1 and every yᵀs >
    1e-10 (constants in the source); otherwise the first step, or a skipped pair, depends on α. Its check needs torch.
    source: torch/optim/lbfgs.py (2.13), LBFGS.step; condition derived here
    why: first steps to some 1e-14; along the path curvature pairs are differences of points and lose up to four digits
    near the minimum: 1e-12, times 100
    """,
    lambda loss, l1_norm: loss * min(1.0, 1.0 / (loss * l1_norm)),
    {
        "always normalised": lambda loss, l1_norm: 1.0 / l1_norm,
        "never normalised": lambda loss, l1_norm: loss,
        "the Euclidean norm": lambda loss, l1_norm: loss * min(1.0, 2.0 / (loss * l1_norm)),
    },
    bound=1e-10,
)
def lbfgs(formula: Any, rng: Rng) -> Shown:
    curvature, direction = 10.0 ** rng.uniform(-0.5, 0.5, 5), rng.normal(size=5)
    figures: dict[str, float] = {}
    for size, loss in ((10.0, 64.0), (10.0, 0.25), (1e-2, 8.0), (1e-2, 2.0**12)):
        start = direction * size
        l1_norm = float(np.abs(curvature * start).sum())
        plain, other = (torch_path(curvature, start, scale) for scale in (1.0, loss))
        name = f"α = {loss:g}, ‖g₀‖₁ = {l1_norm:.3g}"
        figures[f"first step, {name}"] = float(
            np.max(relative((start - other[0]) / (curvature * start), formula(loss, l1_norm)))
        )
        if formula(loss, l1_norm) == formula(1.0, l1_norm):
            figures[f"path, {name}"] = float(np.max(np.abs(other - plain)) / np.max(np.abs(start)))
    yield (
        "torch.optim.LBFGS, 6 iterations on a quadratic in 5 dimensions, float64, tolerances 0, four pairs of α and "
        "size of the first gradient"
    )
    yield max(figures.values()) if any(name.startswith("path") for name in figures) else np.nan
    yield figures
