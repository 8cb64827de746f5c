"""The matrix alone on a page: a chosen cell tells all that is known of it, offline, whatever the names in it."""

from __future__ import annotations

import pytest

from parity.report.matrix import full_detail, write_page

from .chromium import NAMES, Chromium, find
from .synthetic import HOSTILE, parity

EXECUTABLE = find()
PHONE, DESKTOP = 390, 1280
VERSIONS = {"lrtheory": "0.1.0", "torch": "2.13.0"}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_page(
        parity(), tmp_path_factory.mktemp("matrix") / "matrix.html", VERSIONS, "2026-11-24T12:00:00+00:00"
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if EXECUTABLE is None:
        pytest.skip(f"no Chromium on this machine: looked for {', '.join(NAMES)}")
    with Chromium(EXECUTABLE, tmp_path_factory.mktemp("browser") / "profile") as running:
        yield running


def test_full_detail_has_both_values_the_true_one_and_the_reason():
    row = next(row for row in parity() if row["note"])
    detail = full_detail(row)
    assert detail["values"] == [
        ["lrtheory", "0.1234567891", "off by 1e-10"],
        [row["implementation"], "0.1334567891", "off by 0.01"],
        ["high precision", "0.1234567892", ""],
    ]
    assert ["Why", row["note"]] in detail["facts"]
    assert ["First difference", f"step 2 in {HOSTILE}[3, 1]"] in detail["facts"]


def test_full_detail_without_a_true_value_or_a_difference():
    rows = parity()
    different = next(row for row in rows if row["first_difference"])
    first = dict(different["first_difference"] or {}, truth=None)
    assert full_detail({**different, "first_difference": first})["values"][0] == ["lrtheory", "0.1234567891"]  # type: ignore[typeddict-item]
    assert full_detail({**different, "first_difference": None})["values"] == []


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_opens_offline_and_fits(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    assert browser.problems == []
    assert [url for url in browser.requests if url != page.as_uri()] == []
    client, needed = browser.evaluate(
        "(({clientWidth, scrollWidth}) => [clientWidth, scrollWidth])(document.documentElement)"
    )
    assert needed <= client


def test_chosen_cell_is_told_in_full(browser, page):
    browser.open(page)
    drill = "document.getElementById('drill')"
    assert browser.evaluate(f"{drill}.hidden")
    browser.evaluate("document.querySelector('.matrix td.known').click()")
    assert not browser.evaluate(f"{drill}.hidden")
    told = browser.evaluate(f"{drill}.textContent")
    for words in (
        "differs by design",
        "step 2",
        HOSTILE,
        "0.1334567891",
        "off by 0.01",
        "bias before it takes the maximum",
    ):
        assert words in told
    assert browser.evaluate(f"{drill}.querySelectorAll('circle').length") == 40
    assert browser.evaluate("document.documentElement.dataset.owned") is None
    assert browser.evaluate("document.querySelectorAll('img').length") == 0


def test_enter_chooses_a_cell(browser, page):
    browser.open(page)
    browser.evaluate("document.querySelector('.matrix td.fail').focus()")
    browser.press("Enter")
    assert "beyond the bound (1e-13)" in browser.evaluate("document.getElementById('drill').textContent")
    assert browser.evaluate("document.querySelectorAll('#drill .bound').length") == 1


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    page = tmp_path / "matrix.html"
    page.write_text("old")

    def refuse(*arguments):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="no space"):
        write_page(parity(), page, VERSIONS, "now")
    assert page.read_text() == "old"
    assert list(tmp_path.iterdir()) == [page]
