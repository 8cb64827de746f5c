"""RAdam: a law with an lr that changes when the rectifier sets in, and none with a constant one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...dims import PURE
from ...rules import Rule, adam, radam
from ...theory.momentum import average_length
from ..law import Evidence, Law
from .bitwise import STEPS, Transform, drawn, largest, powers_of_two, rescaled, run
from .bitwise import apart as relative_difference
from .subject import of_rule

RULE = radam()
SUBJECT = of_rule(RULE)


def piecewise(loss: float, params: float, beta2: float, *, threshold: float = 5.0) -> Transform:
    """Adam's transform where the step is rectified, SGD's where it is not: one factor of lr a step."""
    rectified = np.array([average_length(beta2, t) for t in range(1, STEPS + 1)]) > threshold
    factors = {name: units.factor(loss, params) for name, units in RULE.units.items()}
    lr: Any = np.where(rectified, params, params * params / loss)
    return Transform({**factors, "lr": lr}, {name: factors[name] for name in ("m", "v")})


def _check_piecewise(formula: Callable[..., Transform], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    loss, params = powers_of_two(rng)
    figures = {}
    for beta2 in (0.999, 0.9, 0.6):
        plain = drawn(SUBJECT, rng)
        plain.numbers["beta2"][:] = beta2
        transform = formula(loss, params, beta2)
        path, _ = run(SUBJECT, plain)
        for at in (0, 3):
            other, _ = run(SUBJECT, rescaled(plain, transform, loss, params, at))
            figures[f"beta2 = {beta2}, from step {at + 1} on"] = relative_difference(other[at:], params * path[at:])
    return Evidence(
        ran=f"{SUBJECT.name}, {STEPS} steps in float64, α = {loss:g}, c = {params:g}, beta2 0.999, 0.9 and 0.6",
        residual=largest(list(figures.values())),
        bound=0.0,
        derivation="multiplying by a power of two rounds nothing, so equal formulas give equal bits",
        figures=figures,
    )


def _check_no_constant(formula: Callable[[], Rule], seed: int) -> Evidence:
    rng = np.random.default_rng(seed)
    rule = formula()
    subject = of_rule(rule, weight_decay=0.0)
    loss = powers_of_two(rng)[0]
    plain = drawn(subject, rng)
    units = {name: u for name, u in rule.units.items() if name != "lr"}
    transform = Transform(
        {name: units.get(name, PURE).factor(loss, 1) for name in subject.numbers},
        {name: units[name].factor(loss, 1) for name in ("m", "v")},
    )
    path, _ = run(subject, plain)
    other, _ = run(subject, rescaled(plain, transform, loss, 1.0, 0))
    steps, changed = (np.diff(p, axis=0, prepend=plain.first[None]) for p in (path, other))
    needed = np.median(steps / changed, axis=1)
    return Evidence(
        ran=f"{subject.name}, {STEPS} steps in float64, α = {loss:g}: the factor of lr that each step needs to be what it "
        "was, eps and state rescaled",
        residual=float(needed.max() / needed.min() - 1),
        bound=1e-6,
        derivation="a constant lr needs one factor for all steps; those found agree to rounding or are α apart. Steps are "
        "differences of parameters of size 1, so that 1e-6 is 10⁴ roundings of the smallest",
        is_counterexample=True,
        figures={"at the first step": float(needed[0]), "at the last": float(needed[-1])},
    )


LAWS = (
    Law(
        id="scaling.radam",
        title="RAdam with an lr that changes once",
        statement=r"\theta'_t = c\,\theta_t \quad\text{with}\quad lr_t \to lr_t \cdot c^2/\alpha \;(\rho_t \le 5),\; "
        r"lr_t \cdot c \;(\rho_t > 5),\; eps \to eps \cdot \alpha/c,\; weight\_decay \to weight\_decay \cdot \alpha/c^2",
        kind="bitwise",
        scope="RAdam as torch has it: the first 5 steps at beta2 = 0.999, all steps at beta2 ≤ 2/3, are not rectified. "
        "State in mid-run: m·γ, v·γ², γ = α/c. All numbers traced; no over- or underflow.",
        source="derived here from Liu et al. 2020 (1908.03265), algorithm 2, and torch/optim/radam.py (2.13)",
        formula=piecewise,
        check=_check_piecewise,
        mutants={
            "Adam's lr throughout": lambda *a: piecewise(*a, threshold=-np.inf),
            "SGD's lr throughout": lambda *a: piecewise(*a, threshold=np.inf),
            "the paper's threshold of 4": lambda *a: piecewise(*a, threshold=4.0),
        },
    ),
    Law(
        id="scaling.radam-constant",
        title="RAdam with a constant lr",
        statement=r"\text{for some } k(\alpha):\; lr \to lr \cdot k \;\Rightarrow\; \theta'_t = \theta_t \;\forall t",
        kind="false",
        scope="RAdam with beta2 > 2/3. Nearest: scaling.radam, or leave the first 5 steps out with lr = 0, or Adam.",
        source="derived here: an unrectified step is lr·m̂, in [loss]/[param] times lr, a rectified one lr times a pure "
        "number; lrtheory.dims finds the line where the two meet",
        formula=lambda: radam(),
        check=_check_no_constant,
        mutants={"Adam, which has a law": lambda: adam()},
    ),
)
