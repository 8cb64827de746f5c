"""The oracle is right: against float64 implementations, exact fractions, singular values and another arithmetic."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from oracle_cases import CASES, case_id, with_another

import parity
from parity import oracle, table
from parity.cases import Case, LrSchedule
from parity.oracle import HighPrecision, Stepper

BOUND = 1e-13
MOVING = LrSchedule("moving")


def test_every_rule_has_a_definition() -> None:
    assert set(oracle.defined()) == set(table.known_rules())
    with pytest.raises(KeyError, match="no definition of 'sdg': there are adabelief"):
        oracle.definition("sdg")


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_float64_implementation_agrees(case: Case) -> None:
    """Torch, optax where torch lacks the rule, ours for Adan's proximal decay: all independent of the oracle."""
    if case.rule == "muon":
        pytest.skip("in bfloat16 everywhere: held to singular values below")
    truth = oracle.replay(case).rounded()
    theirs = with_another(case)
    bound = 4e-13 if case.rule == "radam" else BOUND  # torch forms ρ as a difference that cancels: docs/rules.md
    parity.compare(truth, theirs).require(bound)


@pytest.mark.parametrize("options", [{}, {"nesterov": False}, {"adjust_lr_fn": "match_rms_adamw"}, {"ns_steps": 2}])
def test_muon_levels_singular_values_by_the_scalar_polynomial(options: dict[str, Any]) -> None:
    """The iteration acts on each singular value alone: one step is U·f(σ/‖σ‖)·Vᵀ, f from an SVD in float64."""
    case = Case("muon", options, {"lr": 0.02, "weight_decay": 0.0, "momentum": 0.9}, steps=8)
    truth = oracle.replay(case)
    numbers = {"a": 3.4445, "b": -4.7750, "c": 2.0315}
    for name, stream in case.gradients().items():
        g = stream[0]
        u, s, vt = np.linalg.svd((0.1 * 0.9 + 0.1 if options.get("nesterov", True) else 0.1) * g, full_matrices=False)
        x = s / np.sqrt((s**2).sum())
        for _ in range(options.get("ns_steps", 5)):
            x = numbers["a"] * x + numbers["b"] * x**3 + numbers["c"] * x**5
        rows, columns = g.shape
        matched = options.get("adjust_lr_fn") == "match_rms_adamw"
        ratio = 0.2 * np.sqrt(max(g.shape)) if matched else np.sqrt(max(1, rows / columns))
        expected = -0.02 * ratio * (u * x) @ vt
        moved = (truth.params[name][1] - truth.params[name][0]).astype(float)
        np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-13)


def test_sgd_equals_its_impulse_response_in_fractions() -> None:
    """p_T = p_0 − Σ_t lr_t Σ_s w_{t,s} g_s with the weights written out: μ^{t−s}(1−τ), and μ^{t−1} for the first."""
    numbers = {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}
    case = Case("sgd", {}, numbers, schedule=MOVING, steps=15, tensors={"w": (3,)}, dtype="float32")
    truth = oracle.replay(case)
    mu, tau = Fraction(0.9), Fraction(0.4)
    grads, lrs = case.gradients()["w"], MOVING.drawn(0.1, 15)
    for i in range(3):
        p = Fraction(float(case.first_params()["w"][i]))
        for t in range(15):
            buffer = sum(
                (mu ** (t - s) * (1 if s == 0 else 1 - tau) * Fraction(float(grads[s, i])) for s in range(t + 1)),
                Fraction(0),
            )
            p -= Fraction(float(lrs[t])) * buffer
        found = Fraction(truth.params["w"][-1][i])
        assert abs(found - p) <= abs(p) * Fraction(10) ** -50


def test_lions_average_equals_its_weights_in_fractions() -> None:
    case = Case("lion", {}, {"lr": 0.01}, steps=12, tensors={"w": (3,)}, dtype="float32")
    m = oracle.replay(case).states[-1]["w"]["m"]
    grads, beta = case.gradients()["w"], Fraction(0.99)
    for i in range(3):
        exact = sum(((1 - beta) * beta ** (11 - s) * Fraction(float(grads[s, i])) for s in range(12)), Fraction(0))
        assert abs(Fraction(m[i]) - exact) <= abs(exact) * Fraction(10) ** -50


class InMpmath(HighPrecision):
    """The same operations on numbers of another library."""

    @contextlib.contextmanager
    def precision(self):  # type: ignore[no-untyped-def]
        with mpmath.workdps(50):
            yield

    def number(self, value: float) -> Any:
        return mpmath.mpf(float(value))

    def sqrt(self, x: Any) -> Any:
        return np.frompyfunc(mpmath.sqrt, 1, 1)(x)


@pytest.mark.parametrize("rule", oracle.defined())
def test_another_arithmetic_gives_the_same_digits(rule: str) -> None:
    """Nothing cancels so far that sixty digits would not do: fifty of mpmath's agree to forty."""
    case = max((c for c in CASES if c.rule == rule), key=lambda c: len(c.numbers)).with_(steps=8)
    truth = oracle.replay(case)
    a = InMpmath()
    stepper = Stepper(case, a)
    with a.precision():
        params, state = stepper.first()
        for t in range(1, 9):
            params, state = stepper.step(t, params, state)
        for name, p in params.items():
            for ours, theirs in zip(np.ravel(truth.params[name][-1]), np.ravel(p), strict=True):
                other = Decimal(mpmath.nstr(theirs, 48))
                assert abs(ours - other) <= Decimal("1e-40") * max(abs(ours), Decimal("1e-9"))


def test_rounding_of_a_run_is_to_nearest() -> None:
    case = Case("sgd", {}, {"lr": 0.1}, steps=8, dtype="float32")
    truth = oracle.replay(case)
    near = truth.rounded()
    assert near.dtype == np.float32
    for name, path in truth.params.items():
        exact, error = path.astype(np.float64), (path - HighPrecision().array(near.params[name])).astype(np.float64)
        gap = np.maximum(np.spacing(np.abs(near.params[name])), np.float32(2.0**-149)).astype(np.float64)
        assert (np.abs(error) <= gap / 2 + np.abs(exact) * 2.0**-53).all()  # rounded to float64 on the way
