"""Guards: footnotes where they only act on degenerate input, breaks where they act on ordinary one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from lrtheory.dims import Dimensions, Units
from lrtheory.dims._jaxpr.program import Program, infer_program


def infer(direction: Callable[..., Any], *numbers: str) -> Dimensions:
    """``p − lr·direction(numbers, t, g, p)``."""

    def step(given: Any, state: Any, grads: Any, params: Any, extra: Any) -> Any:
        return {"p": -given["lr"] * direction(given, state["t"], grads["p"], params["p"])}, {"t": state["t"] + 1}

    shapes = {"p": jax.ShapeDtypeStruct((5,), jnp.float32)}
    names = dict.fromkeys(("lr", *numbers), 0.5)
    return infer_program(Program("guarded", lambda n, p: {"t": jnp.int32(0)}, step, names, shapes))


def norm(x: Any) -> Any:
    return jnp.sqrt(jnp.sum(x * x))


FOOTNOTES = {
    "ratio_of_a_zero_norm": (lambda h, t, g, p: g * jnp.where(norm(g) == 0, 1.0, norm(p) / norm(g)), "exactly 0"),
    "norm_above_zero": (lambda h, t, g, p: g * jnp.where(norm(g) > 0, norm(p) / norm(g), 1.0), "exactly 0"),
    "norm_at_most_zero": (lambda h, t, g, p: g * jnp.where(norm(g) <= 0, 1.0, norm(p) / norm(g)), "exactly 0"),
    "either_norm_zero": (
        lambda h, t, g, p: g * jnp.where((norm(g) == 0) | (norm(p) == 0), 1.0, norm(p) / norm(g)), "exactly 0"),
    "cond": (
        lambda h, t, g, p: g * jax.lax.cond(norm(g) == 0, lambda: 1.0, lambda: norm(p) / norm(g)), "exactly 0"),
    "not_nan": (lambda h, t, g, p: jnp.where(jnp.isnan(g), 1.0, g), "nan"),
    "finite": (lambda h, t, g, p: jnp.where(jnp.isfinite(g), g, 1.0), "not finite"),
    "tiny_maximum": (lambda h, t, g, p: g / jnp.maximum(norm(g), 1e-30), "below 1e-30"),
    "tiny_clip": (lambda h, t, g, p: g / jnp.clip(norm(g), 1e-30, None), "below 1e-30"),
    "tiny_sum": (lambda h, t, g, p: g / jnp.sqrt(jnp.sum(g * g) + 1e-30), "not far above 1e-30"),
    "tiny_threshold": (lambda h, t, g, p: jnp.where(norm(g) < 1e-20, 1.0, g / norm(g) * norm(p)), "below 1e-20"),
    "huge_minimum": (lambda h, t, g, p: jnp.minimum(g, 1e30), "above 1e+30"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOOTNOTES)
def test_guard_against_degenerate_input_is_a_footnote(name):
    direction, condition = FOOTNOTES[name]
    found = infer(direction)
    assert found.status == "guarded", found.verdict
    assert found.verdict.startswith("proven unless ")
    assert any(condition in guard.condition for guard in found.guards), found.verdict
    for guard in found.guards:
        assert guard.location is not None
        assert guard.location.file == __file__


BREAKS = {
    "maximum": lambda h, t, g, p: g / jnp.maximum(norm(g), 1e-8),
    "sum": lambda h, t, g, p: g / (norm(g) + 1e-6),
    "sum_inside_a_root": lambda h, t, g, p: g / jnp.sqrt(g * g + 1e-16),
    "machine_epsilon_of_a_square": lambda h, t, g, p: jnp.where(jnp.sum(g * g) < 2.2e-16, 0.0, g),
    "minimum": lambda h, t, g, p: jnp.minimum(g, 10.0),
    "threshold": lambda h, t, g, p: jnp.where(norm(g) < 1e-3, 0.0, g),
    "first_step": lambda h, t, g, p: jnp.where(t == 0, 1.0, g),
    "sign_of_a_signed_value": lambda h, t, g, p: jnp.where(g > 0, 1.0, g),
    "number_of_the_user": lambda h, t, g, p: jnp.where(h["momentum"] == 0, 1.0, g),
    "zero_of_a_bound": lambda h, t, g, p: jnp.where(jax.nn.relu(g) == 0, 1e-13, g),
    "zero_of_a_mask": lambda h, t, g, p: jnp.where(jnp.abs(g * (g * p > 0)) > 0, g, 1e-13),
    "zero_of_a_count": lambda h, t, g, p: jnp.where(jnp.sum(g > 0) == 0, 1e-13, g),
    "zero_of_an_index": lambda h, t, g, p: jnp.where(jnp.argmax(g) == 0, 1e-13, g),
    "zero_of_a_whole_number": lambda h, t, g, p: jnp.where((g / norm(g)).astype(int) == 0, 1e-13, g),
    "zeros_of_places": lambda h, t, g, p: jnp.where(jnp.zeros_like(g).at[0].set(norm(g)) == 0, 1e-13, g),
    "whole_numbers_are_others": lambda h, t, g, p: jnp.where(
        norm(g) / norm(p) == 1000, 0.0, jnp.where((norm(g) / norm(p)).astype(int) == 1000, 1e-3, g)
    ),
    "negative_frequencies": lambda h, t, g, p: jnp.maximum(jnp.fft.fft(jnp.abs(g)).real, -1e3),
    "negative_factors": lambda h, t, g, p: jnp.maximum(jnp.linalg.qr(jnp.abs(g)[:, None])[1].ravel(), -1e3) * g,
    "compared_in_order": lambda h, t, g, p: g * jnp.searchsorted(jnp.array([0.0, 1e5]), norm(p)),
}


@pytest.mark.parametrize("name", BREAKS)
def test_guard_that_acts_at_ordinary_magnitudes_is_a_break(name):
    found = infer(BREAKS[name], *(["momentum"] if name == "number_of_the_user" else []))
    assert found.status == "broken", found.verdict
    assert found.breaks[0].location is not None
    assert found.breaks[0].location.file == __file__


LAWFUL = {
    "zero_instead": lambda h, t, g, p: jnp.where(norm(g) == 0, 0.0, g / norm(g)),
    "scaled_by_zero": lambda h, t, g, p: g + 0.0 * p,
    "undone": lambda h, t, g, p: jnp.where(norm(g) == 0, 0.0, g / jnp.where(norm(g) == 0, 1.0, norm(g))),
    "undone_entry_by_entry": lambda h, t, g, p: jnp.where(g == 0, 0.0, p / jnp.where(g == 0, 1.0, g)),
    "threshold_of_the_user": lambda h, t, g, p: jnp.where(norm(g) < h["threshold"], 0.0, g),
    "cancelled_literal": lambda h, t, g, p: g * (1e-8 + 1.0),
}


@pytest.mark.parametrize("name", LAWFUL)
def test_protection_that_obeys_the_law_is_no_guard(name):
    found = infer(LAWFUL[name], *(["threshold"] if "user" in name else []))
    assert found.verdict == "proven"


def test_protection_is_not_undone_where_entries_are_mixed():
    def direction(h: Any, t: Any, g: Any, p: Any) -> Any:
        small = jnp.abs(g) < h["threshold"]
        kept = jnp.where(small, 1.0, g)
        return jnp.where(small, 0.0, jnp.sum(kept))  # the ones of other entries are in the sum

    assert infer(direction, "threshold").status == "broken"


def test_units_of_what_a_guard_protects_are_those_of_the_usual_value():
    found = infer(FOOTNOTES["ratio_of_a_zero_norm"][0])
    assert found.hyper["lr"] == Units.parse("1")
