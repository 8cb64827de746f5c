"""The comparison itself: what it measures, and what it refuses to compare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import parity
from parity.trajectory import Trajectory


def trajectory(name: str, values: np.ndarray, m: np.ndarray | None = None) -> Trajectory:
    steps = len(values) - 1
    states = [{"w": {} if m is None or step == 0 else {"m": m[step - 1]}} for step in range(steps + 1)]
    return Trajectory(name, {"w": values}, states, np.ones(steps))


WALK = np.cumsum(np.random.default_rng(0).standard_normal((11, 3)), axis=0)


def test_equal_runs_have_no_difference() -> None:
    comparison = parity.compare(trajectory("a", WALK), trajectory("b", WALK.copy()))
    comparison.require(0.0)
    assert comparison.first_difference(0.0) is None
    assert comparison.ulp_quantiles() == (0, 0, 0)


def test_first_difference_names_step_tensor_coordinate_and_both_values() -> None:
    other = WALK.copy()
    other[5:, 1] += 1e-3
    comparison = parity.compare(trajectory("a", WALK), trajectory("b", other))
    first = comparison.first_difference()
    assert first is not None
    assert (first.step, first.tensor, first.coordinate) == (5, "w", (1,))
    assert (first.a, first.b) == (WALK[5, 1], other[5, 1])
    with pytest.raises(AssertionError, match=r"a and b differ by .* first at step 5, w\[1\]"):
        comparison.require()


def test_a_coordinate_that_moves_little_is_not_excused_by_one_that_moves_far() -> None:
    small = WALK * np.array([1.0, 1e-9, 1.0])
    other = small.copy()
    other[7, 1] *= 1 + 1e-6
    with pytest.raises(AssertionError):
        parity.compare(trajectory("a", small), trajectory("b", other)).require()


def test_a_difference_in_state_alone_is_seen() -> None:
    m = np.random.default_rng(1).standard_normal((10, 3))
    wrong = m.copy()
    wrong[3, 2] += 1e-6
    first = parity.compare(trajectory("a", WALK, m), trajectory("b", WALK, wrong)).first_difference()
    assert first is not None
    assert (first.step, first.tensor, first.coordinate) == (4, "w.m", (2,))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_agree_only_with_themselves(value: float) -> None:
    broken = WALK.copy()
    broken[6, 0] = value
    parity.compare(trajectory("a", broken), trajectory("b", broken.copy())).require()
    with pytest.raises(AssertionError):
        parity.compare(trajectory("a", broken), trajectory("b", WALK)).require()


def test_one_ulp_is_counted_as_one() -> None:
    other = WALK.copy()
    other[2, 0] = np.nextafter(other[2, 0], np.inf)
    comparison = parity.compare(trajectory("a", WALK), trajectory("b", other))
    assert comparison.ulp["w"].max() == 1
    assert comparison.ulp_quantiles((1.0,)) == (1.0,)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (trajectory("b", WALK[:-1]), "steps"),
        (trajectory("b", WALK.astype(np.float32)), "float32"),
        (replace(trajectory("b", WALK), params={"v": WALK}), "tensors"),
    ],
    ids=["length", "dtype", "names"],
)
def test_what_cannot_be_compared_is_refused(other: Trajectory, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parity.compare(trajectory("a", WALK), other)


def test_runs_that_start_apart_are_refused() -> None:
    other = WALK.copy()
    other[0] += 1
    with pytest.raises(ValueError, match="start at different places in w"):
        parity.compare(trajectory("a", WALK), trajectory("b", other))


def test_a_run_in_another_dtype_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="dtype='float8' must be one of float64, float32, bfloat16, float16"):
        parity.Case("sgd", dtype="float8")


def test_a_run_too_short_to_prove_anything_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 7"):
        parity.compare(trajectory("a", WALK[:7]), trajectory("b", WALK[:7]))


def test_unknown_backend_mode_and_rule_are_refused_by_name() -> None:
    case = parity.Case("sgd", steps=10)
    with pytest.raises(KeyError, match="no backend 'tensorflow': there are lrtheory, lrtheory-eager, torch"):
        parity.replay(case, "tensorflow")
    with pytest.raises(ValueError, match="'free' or 'forced'"):
        parity.replay(case, "torch", "loose")
    with pytest.raises(KeyError, match="no rule named 'sdg'"):
        parity.replay(case.with_(rule="sdg"), "torch")


def test_gradients_change_sign_and_span_twelve_decades() -> None:
    gradients = parity.Case("sgd").gradients()
    for name, stream in gradients.items():
        flat = stream.reshape(len(stream), -1)
        assert ((flat > 0).any(axis=0) & (flat < 0).any(axis=0)).all(), name
    sizes = np.concatenate([np.abs(stream).reshape(len(stream), -1).mean(axis=0) for stream in gradients.values()])
    assert np.log10(sizes.max() / sizes.min()) > 10
