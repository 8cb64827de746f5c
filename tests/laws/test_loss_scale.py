"""Loss scale α and parameter scale c: the transforms read from units, on our rules and on torch's own code.

Scales are powers of two between 2⁻²⁰ and 2²⁰ where bits are compared, and gradients span six decades, so that no
square in float64 leaves its range: XLA on CPU flushes subnormal numbers to zero, and there the law ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parity
from lrtheory import rules
from lrtheory.dims import Units
from lrtheory.laws.scaling import rescaled_hyper, rescaled_state
from parity import table
from parity.cases import LrSchedule, Stream

RULES = ("sgd", "adam", "rmsprop")
VARIANTS = [(rule, options, numbers) for rule in RULES for options, numbers in table.variants(rule)]
POWERS = st.integers(-20, 20).map(lambda k: 2.0**k)
STREAMS = st.integers(0, 10_000).map(lambda seed: Stream(seed=seed, decades=6, step_decades=2))


def case_of(variant: Any, stream: Stream, moving: bool) -> parity.Case:
    rule, options, numbers = variant
    schedule = LrSchedule("moving" if moving else "constant", seed=stream.seed)
    return parity.Case(rule, options, numbers, stream=stream, schedule=schedule, steps=12)


def scaled(case: parity.Case, loss: float, params: float, keep: str | None = None) -> parity.Case:
    """The case for αL(θ/c), its numbers transformed; one of them, ``keep``, left as it was."""
    rule = rules.get(case.rule)(**case.options)
    hyper = rule.hyper(**case.numbers)
    transformed = rescaled_hyper(rule, hyper, loss=loss, params=params)._asdict()
    if keep is not None:
        transformed[keep] = getattr(hyper, keep)
    numbers = {name: value for name, value in transformed.items() if value is not None}
    return case.with_(numbers=numbers, loss_scale=loss, param_scale=params)


def differences(case: parity.Case, other: parity.Case, backend: str, loss: float, params: float) -> dict[str, float]:
    """Largest relative difference of each tensor and state field from what the law predicts."""
    rule = rules.get(case.rule)(**case.options)
    base, run = parity.replay(case, backend), parity.replay(other, backend)
    found = {}
    for tensor in base.params:
        expected = params * base.params[tensor]
        found[tensor] = float(np.max(np.abs(run.params[tensor] - expected), initial=0) / np.abs(expected).max())
        for name in base.states[-1][tensor]:
            before, after = base.field(tensor, name), run.field(tensor, name)
            if before is not None and after is not None:
                expected = rule.units[name].factor(loss, params) * before
                size = np.abs(expected).max() or 1.0
                found[f"{tensor}.{name}"] = float(np.max(np.abs(after - expected), initial=0) / size)
    return found


@given(variant=st.sampled_from(VARIANTS), stream=STREAMS, moving=st.booleans(), loss=POWERS, params=POWERS)
def test_powers_of_two_scale_bit_for_bit(variant, stream, moving, loss, params) -> None:  # type: ignore[no-untyped-def]
    case = case_of(variant, stream, moving)
    found = differences(case, scaled(case, loss, params), "lrtheory", loss, params)
    assert set(found.values()) == {0.0}, found


@given(variant=st.sampled_from(VARIANTS), stream=STREAMS, moving=st.booleans(), loss=POWERS, params=POWERS)
def test_torch_obeys_the_same_law_bit_for_bit(variant, stream, moving, loss, params) -> None:  # type: ignore[no-untyped-def]
    case = case_of(variant, stream, moving)
    found = differences(case, scaled(case, loss, params), "torch", loss, params)
    assert set(found.values()) == {0.0}, found


@given(
    variant=st.sampled_from(VARIANTS),
    stream=STREAMS,
    moving=st.booleans(),
    loss=st.floats(1e-4, 1e4),
    params=st.floats(1e-3, 1e3),
)
def test_other_scales_hold_to_rounding(variant, stream, moving, loss, params) -> None:  # type: ignore[no-untyped-def]
    """12 steps of at most 20 roundings of 1.1e-16 each, 3e-14, times 30 for what coupled decay amplifies."""
    case = case_of(variant, stream, moving)
    found = differences(case, scaled(case, loss, params), "lrtheory", loss, params)
    assert max(found.values()) < 1e-12, found


@pytest.mark.parametrize("backend", ["lrtheory", "torch"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: f"{v[0]}-{parity.Case(*v).label}")
def test_every_number_left_untransformed_breaks_the_law(variant, backend) -> None:  # type: ignore[no-untyped-def]
    """One number with units left as it was, and the runs part: so each of the transforms is needed."""
    case = case_of(variant, Stream(decades=6), moving=True)
    rule = rules.get(case.rule)(**case.options)
    hyper = rule.hyper(**case.numbers)
    loss, params = 2.0**5, 2.0**3
    with_units = [
        name
        for name, value in zip(hyper._fields, hyper, strict=True)
        if value and rule.units[name].factor(loss, params) != 1
    ]
    assert "lr" in with_units
    for name in with_units:
        found = differences(case, scaled(case, loss, params, keep=name), backend, loss, params)
        assert max(found.values()) > 0, f"{name} could be left alone"


def test_adam_needs_no_new_lr_for_a_larger_loss_and_sgd_does() -> None:
    for rule, lr in (("adam", 1e-3), ("rmsprop", 1e-3), ("sgd", 1e-4)):
        made = rules.get(rule)()
        assert rescaled_hyper(made, made.hyper(lr=1e-3), loss=10).lr == pytest.approx(lr, rel=1e-15)
    adam = rules.adam()
    assert rescaled_hyper(adam, adam.hyper(), loss=10).eps == pytest.approx(1e-7, rel=1e-15)


@given(variant=st.sampled_from(VARIANTS), stream=STREAMS, loss=POWERS, params=POWERS, at=st.integers(1, 9))
@settings(max_examples=15)
def test_state_is_rescaled_in_mid_run(variant, stream, loss, params, at) -> None:  # type: ignore[no-untyped-def]
    """A run that changes its loss scale after ``at`` steps goes on as if nothing had happened."""
    import jax
    import jax.numpy as jnp

    case = case_of(variant, stream, moving=False)
    rule = rules.get(case.rule)(**case.options)
    with jax.enable_x64(True):
        grads = jax.tree.map(jnp.asarray, case.gradients())
        step = jax.jit(rule.step)

        def run(change: bool) -> Any:
            hyper, p = rule.hyper(**case.numbers), jax.tree.map(jnp.asarray, case.first_params())
            state = rule.init(p)
            scale = 1.0
            for t in range(case.steps):
                if change and t == at:
                    hyper = rescaled_hyper(rule, hyper, loss=loss, params=params)
                    state = rescaled_state(rule, state, loss=loss, params=params)
                    p, scale = jax.tree.map(lambda x: x * params, p), loss / params
                p, state = step(hyper, p, state, {name: scale * g[t] for name, g in grads.items()})
            return {name: np.asarray(value) for name, value in p.items()}

        changed, plain = run(True), run(False)
    for name, value in changed.items():
        np.testing.assert_array_equal(value, params * plain[name])


def test_rules_without_a_law_and_numbers_of_another_rule_are_refused() -> None:
    radam, floor = rules.radam(), rules.adafactor(machine_eps=True)
    with pytest.raises(ValueError, match="no law with a constant lr"):
        rescaled_hyper(radam, radam.hyper(), loss=2)
    with pytest.raises(ValueError, match="machine's eps"):
        rescaled_hyper(floor, floor.hyper(), loss=2)
    with pytest.raises(TypeError, match="takes SGDHyper"):
        rescaled_hyper(rules.sgd(), rules.adam().hyper(), loss=2)
    with pytest.raises(TypeError, match="loss='10' is not a real number"):
        rescaled_hyper(rules.sgd(), rules.sgd().hyper(), loss="10")  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_not_above_zero_is_refused(scale: float) -> None:
    rule = rules.sgd()
    with pytest.raises(ValueError, match=f"loss={scale}"):
        rescaled_hyper(rule, rule.hyper(), loss=scale)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("[loss]/[param]", (1, -1)),
        ("[param]^2/[loss]", (-1, 2)),
        ("1/[param]", (0, -1)),
        ("[loss]^2/[param]^2", (2, -2)),
        ("1", (0, 0)),
    ],
)
def test_units_read_and_print(text: str, units: tuple[int, int]) -> None:
    parsed = Units.parse(text)
    assert (parsed.loss, parsed.param) == units
    assert parsed.factor(4, 2) == 4.0 ** units[0] * 2.0 ** units[1]
    with pytest.raises(ValueError, match="cannot read units"):
        Units.parse(text + "[metre]")


def test_assumption_no_underflow_is_real() -> None:
    """Beyond the stated domain the law ends: a square that underflows is why the scales here are bounded."""
    case = case_of(("adam", {}, {"lr": 0.1, "eps": 1e-8}), Stream(decades=6), moving=False)
    tiny = scaled(case, 2.0**-520, 1.0)
    found = differences(case, tiny, "lrtheory", 2.0**-520, 1.0)
    assert max(found.values()) > 1e-3
