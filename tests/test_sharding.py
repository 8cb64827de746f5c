"""Collectives are read from a program's text, however long its tuples; state is laid out like its parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from lrtheory import rules, wrappers
from lrtheory.sharding import collectives, state_specs


def test_collective_of_a_long_tuple_is_seen() -> None:
    """XLA puts a comment into tuples of more than five elements."""
    text = "x = (f32[], f32[], f32[], f32[], f32[], /*index=5*/f32[4]{0}) all-reduce(a, b, c, d, e, f), channel_id=1"
    assert [tuple(found) for found in collectives(text)] == [("all-reduce", 1, 36)]


def test_eight_bit_floats_have_bytes() -> None:
    assert [tuple(found) for found in collectives("x = f8e4m3fn[16]{0} all-reduce(a), channel_id=1")] == [
        ("all-reduce", 1, 16)
    ]


def test_program_without_a_collective_has_none() -> None:
    assert collectives("x = (f32[4]{0}, f32[4]{0}) fusion(a, b), kind=kLoop") == []


@pytest.mark.parametrize(
    ("line", "operation", "size"),
    [
        (
            "%ag = (c64[2,3]{1,0}, c64[16,3]{1,0}) all-gather-start(c64[2,3]{1,0} %param), channel_id=1, dimensions={0}",
            "all-gather",
            8 * 48,
        ),
        (
            "%ag-start = ((s32[1024]{0}, s32[512]{0}), (s32[4096]{0}, s32[2048]{0})) all-gather-start(%p.0, %p.1), "
            "channel_id=1, replica_groups={{0,1,2,3}}, dimensions={0}, use_global_device_ids=true",
            "all-gather",
            4 * (4096 + 2048),
        ),
        (
            "%rs = ((bf16[16,64,256]{2,1,0}), bf16[4,64,256]{2,1,0}) reduce-scatter-start(%p0), channel_id=1",
            "reduce-scatter",
            2 * 4 * 64 * 256,
        ),
        (
            "%cp = (f32[512,8]{1,0:T(8,128)}, f32[512,8]{1,0:T(8,128)S(1)}, u32[]{:S(2)}, u32[]{:S(2)}) "
            "collective-permute-start(f32[512,8]{1,0:T(8,128)} %p2), source_target_pairs={{1,0},{0,3}}",
            "collective-permute",
            4 * 512 * 8,
        ),
        ("%ar = f32[8]{0} all-reduce-start(%bitcast), channel_id=1, to_apply=%sum", "all-reduce", 32),
        ("%ar = (f32[8]{0}, f32[4]{0}) all-reduce-start(%a, %b), channel_id=1, to_apply=%sum", "all-reduce", 48),
        ("%a2a = ((f32[8]{0}), f32[8]{0}, u32[]) all-to-all-start(%a), dimensions={0}", "all-to-all", 32),
    ],
)
def test_operation_that_is_awaited_later_counts_its_result_once(line: str, operation: str, size: int) -> None:
    """As XLA prints them for GPU and TPU: operands stand before the result, except in an all-reduce."""
    awaited = f"{line}\n%done = f32[1]{{0}} {operation}-done(%x)"
    assert [tuple(found) for found in collectives(awaited)] == [(operation, 1, size)]


PARAMS = {"w": jax.ShapeDtypeStruct((16, 8), jnp.float32), "b": jax.ShapeDtypeStruct((8,), jnp.float32)}
SPECS = {"w": P("rows", "columns"), "b": P("columns")}
NONE = {"w": P(), "b": P()}


def test_state_of_a_rule_lies_where_its_parameters_do() -> None:
    assert state_specs(rules.adamw(), PARAMS, SPECS)._asdict() == {"t": NONE, "m": SPECS, "v": SPECS, "v_max": None}


def test_state_inside_wrappers_lies_where_that_of_the_rule_does() -> None:
    """Clip factors have one entry a tensor, an average and a mean gradient all entries, counts none."""
    inner = state_specs(rules.adamw(), PARAMS, SPECS)
    by_norm = state_specs(wrappers.clip_by_global_norm(rules.adamw()), PARAMS, SPECS)
    ones = {"w": P(None, None), "b": P(None)}
    assert by_norm.rule == inner
    assert (by_norm.factors.m, by_norm.factors.t, by_norm.mean_factor) == (ones, NONE, ones)
    by_value = state_specs(wrappers.clip_by_value(rules.adamw()), PARAMS, SPECS)
    assert (by_value.rule, by_value.factors, by_value.mean_factor) == (inner, inner, SPECS)
    nested = state_specs(wrappers.accumulate(wrappers.average_weights(rules.adamw()), every=2), PARAMS, SPECS)
    assert (nested.mean, nested.count, nested.examples) == (SPECS, P(), P())
    assert (nested.rule.rule, nested.rule.average, nested.rule.count) == (inner, SPECS, P())


@pytest.mark.parametrize(
    "wrap",
    [
        wrappers.clip_by_value,
        wrappers.clip_by_norm,
        wrappers.average_weights,
        lambda rule: wrappers.accumulate(rule, every=2),
    ],
)
@pytest.mark.parametrize("params", [PARAMS, {"w": PARAMS["w"]}, PARAMS["w"], (PARAMS["w"], [PARAMS["b"]])])
def test_specs_have_the_structure_of_the_state(wrap, params) -> None:
    """For trees of several, one and no name; and no axis is divided that the array does not have at full length."""
    rule = wrap(rules.adafactor())
    specs = jax.tree.map(lambda p: SPECS["w" if len(p.shape) == 2 else "b"], params)
    state = jax.eval_shape(rule.init, params)
    found = state_specs(rule, params, specs)
    assert jax.tree.structure(found) == jax.tree.structure(state)
    for array, spec in zip(jax.tree.leaves(state), jax.tree.leaves(found), strict=True):
        assert len(spec) <= len(array.shape)
        assert all(axis is None or n > 1 for n, axis in zip(array.shape, spec, strict=False))
