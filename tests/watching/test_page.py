"""The page of a watched run: what it says as text, and what it shows in a browser."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
pytest.importorskip("jinja2")

from lrtheory.effective import Summary
from lrtheory.watching.figures import Run, Watched
from lrtheory.watching.page import SIZE, page_of, write_page

HOSTILE = "</script><script>document.documentElement.dataset.owned='yes'</script><img src=x>.weight"


def made_up(out: Path, layers: int = 30, steps: int = 12) -> Run:
    """A run in which layer 3 hardly moves, every seventh loses its steps, and gradients are clipped."""
    rng = np.random.default_rng(0)
    at = 100 * np.arange(steps)
    lr = 1e-3 * (0.55 + 0.45 * np.cos(np.pi * at / at.max()))
    spread = lr[:, None] * np.exp(rng.normal(0, 1, layers)) * 10
    figures = {name: np.zeros((steps, layers)) for name in Summary._fields}
    figures |= {
        "quantiles": spread[:, :, None] * np.array([0.2, 0.5, 1, 2, 5]), "harmonic_mean": spread, "rotation": spread / 10,
        "nominal_lr": np.repeat(lr[:, None], layers, 1), "relative_update": spread / 10, "grad_norm": np.ones_like(spread),
        "clip_factor": np.repeat(rng.uniform(0.1, 1, (steps, 1)), layers, 1),
    }  # fmt: skip
    figures["relative_update"][:, 3] = 1e-9
    figures["absorbed"][:, ::7] = rng.uniform(0.6, 1, (steps, 1))
    tensors = [
        {
            "name": HOSTILE if i == 1 else f"model.blocks.{i}.mlp.fc.weight", "shape": [64, 64], "dtype": "float32",
            "group": i % 2, "module": "Linear", "rule": "adam(decoupled=True)", "reason": "", "sampled": [256, 4096],
        }
        for i in range(layers)
    ]  # fmt: skip
    groups = {
        "lr": np.stack([lr, lr / 10], 1), "weight_decay": np.zeros((steps, 2)), "max_norm": np.ones((steps, 1)),
        "norm": np.exp(rng.normal(1, 1, (steps, 1))),
    }  # fmt: skip
    return Run(out, [Watched("AdamW", "AdamW", tensors, at, figures, groups, 100 * steps, 3)], ["a note"], ended=True)


def data_of(text: str, name: str) -> dict:
    return json.loads(re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', text, re.DOTALL)[0])


def test_the_worst_layers_come_first_and_nothing_is_lost(tmp_path):
    run = made_up(tmp_path)
    text = page_of(run)
    data = data_of(text, "layer-data")
    assert len(data["layers"]) == 30
    absorbed = {f"model.blocks.{i}.mlp.fc.weight" for i in range(0, 30, 7)}
    assert {layer["name"] for layer in data["layers"][:6]} == absorbed | {"model.blocks.3.mlp.fc.weight"}
    watched = run.optimizers[0]
    for layer in data["layers"]:
        i = next(i for i, t in enumerate(watched.tensors) if t["name"] == layer["name"])
        np.testing.assert_allclose(layer["q50"], watched.figures["quantiles"][:, i, 2], rtol=1e-3)
        np.testing.assert_allclose(layer["update"], watched.figures["relative_update"][:, i], rtol=1e-3)
        assert data["groups"][layer["group"]]["label"] == f"group {i % 2}"
    assert "a note" in text


def test_findings_come_before_pictures(tmp_path):
    text = page_of(made_up(tmp_path))
    assert text.index('id="findings"') < text.index("<figure")
    assert text.index("hardly moved") < text.index("<figure")
    assert HOSTILE not in text


def test_a_run_of_five_hundred_layers_stays_small(tmp_path):
    page = write_page(made_up(tmp_path, 500, 400))
    assert page == tmp_path / "index.html"
    assert page.stat().st_size < 5_000_000


@pytest.mark.parametrize("steps", [1, 2])
def test_short_runs_and_runs_of_nothing_have_a_page(tmp_path, steps):
    run = made_up(tmp_path, steps=3)
    run.optimizers[0].steps = run.optimizers[0].steps[:steps]
    run.optimizers[0].figures = {name: value[:steps] for name, value in run.optimizers[0].figures.items()}
    run.optimizers[0].groups = {name: value[:steps] for name, value in run.optimizers[0].groups.items()}
    assert "Nothing was found" in page_of(run)
    assert "Nothing was found" in page_of(Run(tmp_path, []))


def test_an_optimizer_without_a_rule_has_a_page(tmp_path):
    run = made_up(tmp_path)
    for name in ("quantiles", "harmonic_mean", "eps_dominated", "decay_share"):
        run.optimizers[0].figures[name][:] = np.nan
    data = data_of(page_of(run), "layer-data")
    assert {layer["q50"] for layer in data["layers"]} == {None}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from ..report.chromium import NAMES, Chromium, find

    if find() is None:
        pytest.skip(f"no Chromium on this machine: looked for {', '.join(NAMES)}")
    profile = tmp_path_factory.mktemp("profile") / "p"
    with Chromium(find(), profile) as opened:
        yield opened
    shutil.rmtree(profile, ignore_errors=True)


TITLES = "[...document.querySelectorAll('#effective-lr h4')].filter((h) => h.offsetParent).map((h) => h.textContent)"


@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_layers_are_drawn_searched_and_turned_over(browser, tmp_path, width):
    browser.open(write_page(made_up(tmp_path)), width, seconds=60)
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith("file:")] == []
    assert browser.evaluate("document.documentElement.dataset.problems") is None
    assert browser.evaluate("document.documentElement.dataset.owned") is None
    across, wide = browser.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollWidth]")
    assert wide <= across
    undrawn = "[...document.querySelectorAll('.plot')].filter((n) => n.offsetParent && !n.querySelector('svg')).length"
    assert browser.evaluate(undrawn) == 0
    assert len(browser.evaluate(TITLES)) == SIZE
    first = browser.evaluate(TITLES)
    browser.evaluate("document.getElementById('on').click()")
    browser.settle(60)
    assert set(browser.evaluate(TITLES)).isdisjoint(first)
    browser.evaluate(
        "(() => { const s = document.getElementById('search'); s.value = 'BLOCKS.3.'; s.dispatchEvent(new Event('input')); })()"
    )
    browser.settle(60)
    assert browser.evaluate(TITLES) == ["model.blocks.3.mlp.fc.weight"]
    assert browser.evaluate("document.getElementById('shown').textContent") == "1–1 of 1"
    assert (
        browser.evaluate("[...document.querySelectorAll('#tensors tbody tr')].filter((r) => r.offsetParent).length")
        == 1
    )
    assert browser.problems == []
