"""jit, vmap, scan and grad; numbers as leaves; kinds of step counts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import schedules
from lrtheory.compiling import quickly_compiled

from .cases import BY_ID, CASES, Case, as_arrays
from .stepping import TRACES, U, evaluate

T = np.arange(500)
FAMILIES = list({case.name: case for case in reversed(CASES)}.values())  # the first case of each schedule


def moved(value):
    """Another value of the same kind: one step, half a percent, or from 0 a thousandth away."""
    if isinstance(value, (list, tuple)):
        return type(value)(moved(entry) for entry in value)
    return value + 1 if isinstance(value, int) else value * 0.995 or 1e-3


def assert_same(got, want):
    """Equal but for what the compiler may fuse: a few roundings of the largest lr."""
    np.testing.assert_allclose(got, want, rtol=0, atol=16 * U * np.max(np.abs(want)))


def test_every_schedule_has_a_case():
    assert {case.name for case in CASES} | {"plateau"} == set(schedules.names())


@pytest.mark.parametrize("case", FAMILIES, ids=lambda case: case.id)
def test_schedule_compiles_once_for_all_numbers_and_vmaps_over_each(case: Case):
    traces = 0

    def at(numbers, t):
        nonlocal traces
        traces += 1
        return case.schedule(numbers)(t)

    # Row i has number i moved, row 0 none; the one compiled program runs twice, the second time all are moved.
    rows = [case.numbers, *({**case.numbers, name: moved(case.numbers[name])} for name in case.numbers)]
    all_moved = [{name: moved(value) for name, value in row.items()} for row in rows]
    with jax.enable_x64(True):
        compiled = quickly_compiled()(jax.vmap(at, in_axes=(0, None)))
        for batch in (rows, all_moved):
            stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *(as_arrays(row) for row in batch))
            got = np.asarray(compiled(stacked, T))
            for row, values in zip(batch, got, strict=True):
                assert_same(values, evaluate(case.schedule(row), T))
            # A number that moved nothing would have been traced in vain; those of the momentum move that only.
            untouched = {"base_momentum", "max_momentum"} | ({"gamma"} if "triangular" in case.id else set())
            for name, values in zip(case.numbers, got[1:], strict=True):
                assert np.any(values != got[0]) or name in untouched, name
    assert traces == 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_schedule_is_a_pytree_of_its_numbers(case: Case):
    schedule = case.schedule()
    leaves, structure = jax.tree.flatten(schedule)
    assert leaves
    assert all(jnp.issubdtype(jnp.result_type(leaf), jnp.number) for leaf in leaves)
    values = evaluate(schedule, T)
    programs = TRACES.count
    np.testing.assert_array_equal(evaluate(jax.tree.unflatten(structure, leaves), T), values)
    other = case.schedule({name: moved(value) for name, value in case.numbers.items()})
    assert np.any(evaluate(other, T) != values)
    assert programs == TRACES.count, "another schedule of the same family was compiled again"


@pytest.mark.parametrize("case", FAMILIES, ids=lambda case: case.id)
def test_schedule_gives_the_same_in_a_scan_and_for_arrays(case: Case):
    schedule = case.schedule()
    with jax.enable_x64(True):
        _, scanned = quickly_compiled()(lambda s: jax.lax.scan(lambda t, _: (t + 1, s(t)), 0, length=40))(schedule)
        assert_same(np.asarray(scanned), evaluate(schedule, T)[:40])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_schedule_has_a_finite_gradient_in_its_lr(case: Case):
    """Branches that are not taken must not leak nan into a derivative."""
    name = next(name for name in ("lr", "max_lr", "base_lr") if name in case.numbers)

    def total(lr):
        return jnp.sum(case.schedule({**case.numbers, name: lr})(T))

    with jax.enable_x64(True):
        derivative = quickly_compiled()(jax.grad(total))(case.numbers[name])
        assert np.isfinite(derivative)
        assert derivative != 0


@pytest.mark.parametrize("case_id", ["constant", "cosine", "multi-step", "cyclic-triangular2"])
def test_schedule_takes_a_scalar_outside_of_jit(case_id: str):
    schedule = BY_ID[case_id].schedule()
    with jax.enable_x64(True):
        assert schedule(30).shape == ()
        assert_same(np.asarray(schedule(30)), evaluate(schedule, T)[30])


KINDS_OF_STEPS = [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float32, np.float64,
                  jnp.float16, jnp.bfloat16]  # fmt: skip


@pytest.mark.parametrize("dtype", KINDS_OF_STEPS, ids=lambda dtype: np.dtype(dtype).name)
def test_schedule_takes_steps_of_every_kind(dtype):
    schedule = schedules.cosine_annealing(lr=0.3, T_max=300)  # beyond uint8
    t = np.arange(0, 128, 16).reshape(2, 4)
    want = evaluate(schedule, t, x64=False)
    got = schedule(t.astype(dtype))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(schedule(t.tolist()), want)


@pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"])
def test_schedule_has_the_default_float_dtype_whatever_its_numbers_are(x64: bool):
    with jax.enable_x64(x64):
        for lr in (0.5, 1, np.float64(0.5), np.float32(0.5), jnp.bfloat16(0.5), jnp.float32(0.5)):
            for case in (schedules.constant(lr=lr), schedules.linear(lr=lr), schedules.exponential(lr=lr, gamma=0.5)):
                assert case(0).dtype == case([0, 1]).dtype == jnp.result_type(float)
                assert not case(0).weak_type


def test_schedule_takes_a_million_steps_at_once():
    values = evaluate(schedules.one_cycle(max_lr=0.3, total_steps=1_000_000), np.arange(1_000_000), x64=False)
    assert values.shape == (1_000_000,)
    assert values[299_999] == np.float32(0.3)
    assert np.all(np.isfinite(values))


def test_lambda_takes_its_numbers_traced_and_says_what_it_cannot_trace():
    schedule = schedules.lambda_lr(lr=1.0, function=lambda t: 1.0 if t < 5 else 0.5)
    with pytest.raises(TypeError, match=r"looks at the value of a single t.*jnp\.where"):
        evaluate(schedule, np.arange(9))


def test_multiplicative_takes_traced_factors_and_is_nan_past_its_table():
    @jax.jit
    def at(rate, t):
        return schedules.multiplicative(lr=1.0, function=lambda k: rate if k % 2 else 1.0, total_steps=4)(t)

    np.testing.assert_array_equal(at(0.5, np.arange(6)), [1, 0.5, 0.5, 0.25, 0.25, np.nan])


def test_registered_schedule_is_known_by_name():
    assert schedules.get("cosine_annealing") is schedules.cosine_annealing
    with pytest.raises(KeyError, match=r"no schedule named 'cosine'.*cosine_annealing"):
        schedules.get("cosine")
    with pytest.raises(ValueError, match="'constant' is already registered"):
        schedules.register("constant", type(schedules.constant(lr=1.0)))
