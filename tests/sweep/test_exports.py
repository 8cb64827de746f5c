"""What a sweep hands on: tables of pandas and xarray, a picture, and what was done before an interrupt."""

from __future__ import annotations

import json
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import rules, sweep

from .regression import DATA, init, loss, whole


def norm(params):
    return {"norm": jnp.linalg.norm(params["w"]), "large": params["b"] > 100, "parts": params["w"]}


@pytest.fixture(scope="module")
def found():
    over = sweep.grid(rule=rules.sgd(), lr=[0.01, 0.1, 1e30], momentum=[0.0, 0.9], seed=[0, 1])
    return sweep.run(loss, init, DATA, over, steps=4, record=[2, 4], summarise=True, evaluate=norm)


def test_to_pandas_is_the_table(found):
    pandas = pytest.importorskip("pandas")
    frame = found.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(found.table())
    chosen = frame[(frame.lr == 0.1) & (frame.momentum == 0.9) & (frame.seed == 1)]
    np.testing.assert_array_equal(chosen.final_loss, found.values["final_loss"][1, 1, 1])


def test_to_xarray_has_axes_as_dimensions(found):
    pytest.importorskip("xarray")
    data = found.to_xarray()
    at = {"lr": 0.1, "momentum": 0.9, "seed": 1}
    assert float(data["final_loss"].sel(at)) == found.values["final_loss"][1, 1, 1]
    assert float(data["loss"].sel({**at, "step": 4})) == found.values["loss"][1, 1, 1, 1]
    assert float(data["evaluated/norm"].sel(at)) == found.evaluated["norm"][1, 1, 1]
    assert data["evaluated/parts"].shape == (3, 2, 2, 3)
    assert data["effective/w/quantiles"].dims == ("lr", "momentum", "seed", "step", "quantile")
    assert float(data["effective/b/mean"].sel({**at, "step": 2})) == found.summaries["b"].mean[1, 1, 1, 0]


def test_listed_points_are_coordinates_of_their_runs():
    pytest.importorskip("xarray")
    drawn = sweep.run(loss, init(0), DATA, sweep.points(rule=rules.sgd(), lr=[0.3, 0.1]), steps=2).to_xarray()
    assert drawn["final_loss"].dims == ("run",)
    np.testing.assert_array_equal(drawn["lr"], [0.3, 0.1])


@pytest.mark.parametrize(
    ("call", "package", "extra"),
    [
        (lambda f, out: f.to_pandas(), "pandas", "tables"),
        (lambda f, out: f.to_xarray(), "xarray", "tables"),
        (lambda f, out: f.plot(out), "altair", "report"),
        (lambda f, out: f.plot(out), "vl_convert", "report"),
    ],
    ids=["pandas", "xarray", "altair", "vl-convert"],
)
def test_a_missing_package_is_refused_by_name(found, monkeypatch, tmp_path, call, package, extra):
    """In one line that says what to install; and the sweep itself needs none of them."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ModuleNotFoundError, match=rf"needs {package}, which is not installed: pip install 'lrtheory\[{extra}\]'$"
    ):
        call(found, tmp_path / "p.svg")


def test_plot_shows_the_median_and_leaves_out_what_diverged(found, tmp_path):
    path = found.plot(tmp_path / "plot.json")
    text = json.loads(path.read_text())
    rows = next(iter(text["datasets"].values()))
    cells = {(row["x"], row["y"]): row for row in rows}
    assert len(cells) == 6
    np.testing.assert_allclose(cells["0.1", "0.9"]["value"], np.median(found.values["final_loss"][1, 1]), rtol=1e-6)
    assert cells["1e+30", "0"]["value"] is None
    assert cells["1e+30", "0"]["runs"] == "2 of 2 diverged or not done"
    assert found.plot(tmp_path / "plot.svg", x="seed", y="lr", value="norm").read_text().startswith("<svg")


def test_a_number_that_a_failed_run_left_is_not_in_the_median():
    from lrtheory.pages.two_way import two_way

    shown, failed = np.array([[[1.0, 5.0]], [[2.0, 3.0]]]), np.array([[[False, True]], [[True, True]]])
    rows = two_way("x", "y", "v", [0.0, 1.0], [0.0], shown, failed).to_dict()["datasets"].values()
    assert [row["value"] for row in next(iter(rows))] == [1.0, None]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"x": "lrr"}, "x='lrr'.*has lr, momentum, seed"),
        ({"x": "lr", "y": "lr"}, "needs two axes"),
        ({"value": "loss"}, "value='loss' is no number of each run: there are final_loss, large, norm"),
        ({"value": "parts"}, "value='parts'"),
        ({"out": "plot.gif"}, r"ends in \.svg"),
    ],
    ids=str,
)
def test_plot_refuses(found, tmp_path, given, words):
    with pytest.raises(ValueError, match=words):
        found.plot(**{"out": tmp_path / "p.svg", **given})


def test_a_plot_that_fails_leaves_the_file_as_it_was(found, tmp_path, monkeypatch):
    import altair

    out = found.plot(tmp_path / "plot.png")
    before = out.read_bytes()
    assert before.startswith(b"\x89PNG")

    def half(self, file, **how):
        file.write(b"half")
        raise OSError("no space")

    monkeypatch.setattr(altair.LayerChart, "save", half)
    with pytest.raises(OSError, match="no space"):
        found.plot(out)
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]


def interrupt_after(chunks):
    """A progress that presses Ctrl-C."""

    def progress(text, done, seen=[0]):  # noqa: B006
        seen[0] += 1
        if seen[0] > chunks:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("kept", [True, False])
def test_an_interrupt_hands_over_what_is_done(tmp_path, kept):
    """Those runs to the last bit, the others as not done; and how to go on is said."""
    directory = tmp_path / "sweep" if kept else None
    with pytest.raises(sweep.Interrupted) as caught:
        whole(directory=directory, progress=interrupt_after(3))
    so_far, words = caught.value.so_far, str(caught.value)
    done = so_far.values["diverged_at"] >= 0
    assert "24 of 64 runs were done" in words
    assert done.sum() == 24
    full = whole()
    for name in ("final_loss", "diverged_at", "loss"):
        np.testing.assert_array_equal(so_far.values[name][done], full.values[name][done])
    assert np.isnan(so_far.values["loss"][~done]).all()
    assert (so_far.values["diverged_at"][~done] == -1).all()
    assert len(so_far.diverged()["lr"]) < len(full.diverged()["lr"])
    assert ("goes on from" in words) is kept
    if kept:
        again = whole(directory=directory)
        np.testing.assert_array_equal(again.values["final_loss"], full.values["final_loss"])
