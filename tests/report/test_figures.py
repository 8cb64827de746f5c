"""From measured numbers to drawable ones, and from parity rows to cells."""

from __future__ import annotations

import json
import math

import pytest

from lrtheory.pages import charts as shared
from lrtheory.pages import marks
from lrtheory.pages.figure import POINTS, SLOTS, Panel, log_axis, log_ticks, pick, positive, slot, slot_keys, thinned
from lrtheory.words import number
from parity.report import charts, experiments, matrix, training, variants

from .synthetic import loss_scale, parity, report


@pytest.mark.parametrize("length", [0, 1, 2, POINTS, POINTS + 1, 1234])
def test_thinned_keeps_both_ends_and_order(length):
    at = thinned(length)
    assert len(at) == min(length, POINTS)
    assert at == sorted(set(at))
    assert at[:1] + at[-1:] == ([0, length - 1] if length else [])


def test_positive_and_pick_leave_gaps():
    assert pick(positive([1.23456789, 0.0, -1.0, None]), [0, 1, 2, 3]) == [1.235, None, None, None]


def test_log_axis_holds_every_value():
    axis = log_axis([[1e-3, None, 2.0], [0.5]])
    assert axis["y_low"] < 1e-3
    assert axis["y_high"] > 2.0
    assert axis["y_ticks"] == [0.001, 0.01, 0.1, 1.0]


def test_log_axis_lets_the_diverging_leave_and_the_vanishing_sink():
    axis = log_axis([[1.0, 1e200], [1e-300]], cap=10.0, span=1e6)
    assert axis["y_high"] == pytest.approx(1.25)
    assert axis["y_low"] == pytest.approx(1e-6 / 1.25)


@pytest.mark.parametrize("curves", [[], [[]], [[None]], [[0.0, -1.0]]])
def test_log_axis_of_nothing_is_an_axis(curves):
    axis = log_axis(curves)
    assert 0 < axis["y_low"] < axis["y_high"]


@pytest.mark.parametrize("low", [3e-9, 0.04, 0.99, 7.3e4])
@pytest.mark.parametrize("factor", [1.02, 1.5, 4.0, 30.0, 1e4, 1e30])
def test_log_ticks_are_few_inside_and_ascending(low, factor):
    ticks = log_ticks(low, low * factor)
    assert 1 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    assert all(low * 0.999 <= tick <= low * factor * 1.001 for tick in ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not finite"),
        (math.nan, "not finite"),
        (math.inf, "not finite"),
        (0.0, "0"),
        (3, "3"),
        (300.0, "300"),
        (1.23456e-7, "1.23e-07"),
        (0.1 + 0.2, "0.3"),
        (1e300, "1e+300"),
        (-2.5, "-2.5"),
    ],
)
def test_number_reads(value, text):
    assert number(value) == text


def test_slots_tell_curves_apart():
    styles = [(marks.COLOURS[slot(i)], tuple(marks.DASHES[slot(i)])) for i in range(SLOTS)]
    assert len(set(styles)) == SLOTS
    for i in range(SLOTS):  # the legend shows what the chart draws
        key = slot_keys(["name"] * SLOTS)[i]
        assert f"@{key.colour}" == marks.COLOURS[slot(i)]
        assert (key.line == "solid") == (marks.DASHES[slot(i)] == [1, 0])


def test_panel_is_empty_without_a_measured_number():
    assert Panel("", "ribbon", [{"step": [1, 2], "nominal": [1.0, 1.0], "q50": [None, None]}]).empty
    assert not Panel("", "ribbon", [{"step": [1, 2], "nominal": [1.0, 1.0], "q50": [None, 0.1]}]).empty


@pytest.mark.parametrize("name", charts.CHARTS)
def test_specification_is_as_wide_as_its_place_and_names_no_address(name):
    spec = shared.specification(charts.CHARTS[name])
    assert spec["width"] == "container"
    assert "://" not in json.dumps(spec)
    assert not {"config", "$schema", "height"} & set(spec)


def test_loss_panels_have_one_base_and_say_who_coincides():
    figure = variants.loss_scale_figure(loss_scale())
    assert len(figure.panels) == 6
    for panel in figure.panels:
        assert [block["order"] for block in panel.blocks] == [0, 1, 2, 3]
    notes = {panel.title: panel.note for panel in figure.panels}
    assert notes["SGD, JAX"] == [
        "loss × 10, same numbers: diverges",
        "loss × 10, lr / 10: coincides, 1e-15 of the travel apart",
        "loss × 10, corrected by its law: coincides, 2e-15 of the travel apart",
    ]
    assert notes["Adam, PyTorch"][1] == "loss × 10, lr / 10: differs, 0.9 of the travel apart"


def test_loss_panel_is_not_flattened_by_a_diverging_run():
    panel = variants.loss_scale_figure(loss_scale()).panels[0]
    assert panel.params["y_high"] <= 1.25e3 * 3.2


def test_coordinates_have_one_style_in_all_frameworks():
    runs = report()["adam_nominal"]
    shuffled = {**runs[1], "coordinates": dict(reversed(runs[1]["coordinates"].items()))}
    first, second = experiments.adam_figure([runs[0], shuffled]).panels
    styles = [{block["coordinate"]: block["slot"] for block in panel.blocks} for panel in (first, second)]
    assert styles[0] == styles[1]


def test_layers_of_a_run_share_one_scale():
    figure = training.effective_figure(report()["training"])
    scales = {(panel.run, panel.params["y_low"], panel.params["y_high"]) for panel in figure.panels}
    assert len(scales) == len(report()["training"])


def test_heat_map_is_the_logarithm_of_the_ratio():
    run = report()["training"][0]
    panel = training.heat_map_figure([run]).panels[0]
    median, nominal = run["layers"][0]["q50"][0], run["nominal_lr"][0]
    assert median is not None
    assert nominal is not None
    assert panel.blocks[0]["ratio"][0] == pytest.approx(math.log10(median / nominal), abs=1e-3)
    assert panel.blocks[0]["since"][0] == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (0.0, 0),
        (1e-17, 0),
        (5e-16, 1),
        (9e-15, 1),
        (1.1e-14, 2),
        (1e-7, 5),
        (2e-4, 7),
        (1.0, 7),
        (1e5, 7),
        (None, 7),
        (math.nan, 7),
        (math.inf, 7),
    ],
)
def test_shade_goes_by_two_decades(error, expected):
    assert matrix.shade(error) == expected


def test_matrix_has_every_row_in_its_place():
    view, other = matrix.views(parity())
    assert (view.label, other.label) == ("float64", "float32")
    assert view.columns == [
        ("torch", "free"),
        ("torch", "forced"),
        ("torch-foreach", "free"),
        ("torch-fused", "free"),
        ("optax", "free"),
    ]
    cells = [cell for lines in view.rules.values() for line in lines for cell in line.cells]
    assert len(cells) == sum(row["dtype"] == "float64" for row in parity())
    assert None not in cells
    assert (view.passed, view.failed, view.reported) == (56, 2, 2)
    line = view.rules["SGD"][2]
    assert (line.options, line.schedule) == ("momentum 0.9", "constant")
    assert [cell.outcome for cell in line.cells if cell] == ["pass", "pass", "pass", "fail", "pass"]


def test_cell_tells_the_first_difference_and_the_reason():
    view = matrix.views(parity())[0]
    cell = view.rules["Adam"][2].cells[-1]
    assert cell is not None
    assert cell.outcome == "known"
    assert "first difference: step 2 in " in cell.detail
    assert "[3, 1], ours 0.123456789, theirs 0.133456789;" in cell.detail
    assert cell.detail.endswith("before it takes the maximum")


def test_matrix_leaves_a_gap_where_nothing_was_run():
    rows = [row for row in parity() if not (row["implementation"] == "optax" and row["rule"] == "sgd")]
    view = matrix.views(rows)[0]
    assert all(line.cells[-1] is None for line in view.rules["SGD"])
    assert all(line.cells[-1] is not None for line in view.rules["Adam"])


def test_angular_lr_is_shown_of_scale_invariant_layers_alone():
    runs = report()["training"]
    for index, run in enumerate(runs):
        for i, layer in enumerate(run["layers"]):
            layer["scale_invariant"] = index == 0 and i == 0
    figure = training.angular_figure(runs)
    assert [(panel.run, len(panel.blocks)) for panel in figure.panels] == [(0, 1)]
    assert figure.panels[0].blocks[0]["layer"] == runs[0]["layers"][0]["name"]
    assert [len(table.rows) for table in figure.tables] == [1] + [0] * (len(runs) - 1)
    assert f"choose a run of {runs[0]['model']}" in figure.tables[1].caption
