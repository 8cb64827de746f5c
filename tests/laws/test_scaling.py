"""The rows of the section: what they state is what is inferred, and their check sees what it must."""

from __future__ import annotations

import numpy as np
import pytest

from lrtheory import dims, laws, rules
from lrtheory.laws.scaling import rows
from lrtheory.laws.scaling.bitwise import Transform, apart, from_units, left_alone
from lrtheory.laws.scaling.exceptions import RADAM

ROWS = {row.name: row for row in rows.ROWS}


@pytest.mark.parametrize("name", ROWS)
def test_stated_units_are_the_inferred_ones_and_complete(name: str) -> None:
    row = ROWS[name]
    found = row.subject.dimensions()
    assert found.status in ("proven", "guarded")
    inferred = {**found.hyper, **found.state}
    for quantity, text in row.units.items():
        assert inferred[quantity] == dims.Units.parse(text), quantity
    stated = {n for n in row.units if n in row.subject.numbers}
    assert stated == {n for n, units in found.hyper.items() if not units.is_pure}


def test_every_rule_has_a_row_or_an_exception() -> None:
    inside = {row.subject.name.partition("(")[0] for row in rows.ROWS}
    missing = {rules.get(name)().name for name in rules.names()} - inside
    assert missing == {"radam"}


@pytest.mark.parametrize("name", ["sgd", "adam", "lamb"])
def test_numbers_of_a_row_are_all_seen(name: str) -> None:
    """Each number of a row changes the run when it is changed alone, so that each of its factors is checked."""
    row = ROWS[name]
    check, formula = laws.get(f"scaling.{name}").check, from_units(row.subject.dimensions)
    for number in row.subject.numbers:
        wrong = lambda loss, params, n=number: formula(loss, params)._replace(  # noqa: E731
            hyper={**formula(loss, params).hyper, n: formula(loss, params).hyper.get(n, 1.0) * 0.99}
        )
        assert not check(wrong, 0).holds, number


def test_a_run_that_is_not_finite_or_does_not_move_proves_nothing() -> None:
    assert np.isnan(apart(np.array([1.0, np.nan]), np.ones(2)))
    assert apart(np.array([1.0, 1.5]), np.ones(2)) == 0.5
    formula = laws.get("scaling.sgd").formula
    still = lambda loss, params: Transform({**formula(loss, params).hyper, "lr": float("nan")}, {})  # noqa: E731
    assert not laws.get("scaling.sgd").check(still, 0).holds


def test_state_left_behind_in_mid_run_is_seen_and_from_the_start_is_not_to_blame() -> None:
    law = laws.get("scaling.adam")
    evidence = law.check(left_alone(law.formula, "v"), 0)
    assert evidence.figures["parameters from the start"] == 0
    assert evidence.figures["parameters in mid-run"] > 0


def test_a_broken_program_has_no_law_to_apply() -> None:
    with pytest.raises(ValueError, match="no law to apply: broken"):
        from_units(RADAM.dimensions)(2.0, 1.0)


def test_settled_questions_about_optax() -> None:
    """theory.md left yogi and sm3 open."""
    from lrtheory.dims.target import infer_target

    yogi, sm3 = infer_target("optax.yogi(1e-3)"), infer_target("optax.sm3(1e-3)")
    assert yogi.status == sm3.status == "broken"
    assert yogi.breaks[0].literal == pytest.approx(1e-6)
    assert "starts the state" in yogi.breaks[0].statement
    assert sm3.breaks[0].literal == pytest.approx(1e-8)
    assert infer_target("optax.scale_by_sm3()").status == "proven"
