"""Collectives are read from a program's text, however long its tuples."""

from __future__ import annotations

from lrtheory.sharding import collectives


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
