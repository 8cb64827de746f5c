"""The helper that decides: what it lets pass, what it does not, and that it counts."""

from __future__ import annotations

import numpy as np
import pytest

from parity.conformance.comparing import Failed, Walk, close, counted, demand, finite, moved, same

A = {"w": np.array([1.0, np.nan, np.inf])}


def test_same_is_bitwise_and_takes_nan_for_nan():
    same(A, {"w": A["w"].copy()}, "")
    for other in (
        {"w": np.array([1.0, np.nan, -np.inf])},
        {"w": np.array([np.nextafter(1.0, 2), np.nan, np.inf])},
        {"w": np.array([1.0, 0.0, np.inf])},
        {"w": A["w"].astype(np.float32)},
        {"w": A["w"][:2]},
        {"v": A["w"]},
        {},
    ):
        with pytest.raises(Failed):
            same(A, other, "differs")


def test_close_is_relative_to_the_reach_of_each_coordinate():
    path = Walk({"w": np.array([[1.0, 0.0], [1e6, 1e-9]])})
    close(path, Walk({"w": np.array([[1.0, 0.0], [1e6 + 1e-6, 1e-9]])}), "", bound=1e-11)
    with pytest.raises(Failed, match=r"after step 1, w\[1\]: 1e-09 instead of 2e-09"):
        close(path, Walk({"w": np.array([[1.0, 0.0], [1e6, 2e-9]])}), "differs", bound=1e-11)
    for bad in (np.nan, np.inf):
        with pytest.raises(Failed):
            close(path, Walk({"w": np.array([[1.0, 0.0], [bad, 1e-9]])}), "differs", bound=1.0)


def test_finite_moved_and_demand():
    finite({"w": np.ones(3)}, "")
    with pytest.raises(Failed, match=r"gives: w\[1\]: nan"):
        finite(A, "gives")
    moved(Walk({"w": np.array([1.0, 1.5])}))
    with pytest.raises(Failed, match="do not move"):
        moved(Walk({"w": np.ones((5, 2))}))
    demand(1, "")
    with pytest.raises(Failed, match="the cause"):
        demand(0, "the cause")


def test_comparisons_are_counted_and_empty_arrays_are_none_of_values():
    with counted() as tally:
        finite({"w": np.zeros(0)}, "")
        assert tally.made == 0
        demand(True, "")
        same({"w": np.ones(2)}, {"w": np.ones(2)}, "")
        assert tally.made == 1 + 4  # names, shapes, dtypes, values
