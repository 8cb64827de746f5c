"""The page in a headless browser: every picture is drawn, nothing is complained of, no request leaves, it fits a phone.

One function says what is wrong with a page, and pages that are wrong on purpose show that it would.
"""

from __future__ import annotations

import json
import re

import pytest

from lrtheory.pages.document import script_json
from parity.report import write

from .chromium import NAMES, Chromium, find
from .synthetic import HOSTILE, report

EXECUTABLE = find()
pytestmark = pytest.mark.skipif(
    EXECUTABLE is None, reason=f"no Chromium on this machine: looked for {', '.join(NAMES)}"
)

PHONE, DESKTOP = 390, 1280

# Pictures are those the page's data speaks of, so that a figure which lost its place is missed; drawn means that
# a measurement with an outline is there: axes, guides and what is only there to be touched are left out.
PICTURES = """
(() => {
  const inSight = [...document.querySelectorAll('.plot')].filter((plot) => plot.offsetParent);
  const marks = '.mark-line path, .mark-area path, .mark-rect path, .mark-symbol path, .mark-rule line';
  const isDrawn = (plot) => [...plot.querySelectorAll(marks)].some((mark) => {
    const axis = mark.closest('.role-axis, .role-legend, .guide_marks, .touch_marks');
    const box = mark.getBBox();
    return !axis && box.width + box.height > 1 && !(mark.getAttribute('d') || '').includes('NaN');
  });
  return {
    asked: Object.keys(JSON.parse(document.getElementById('charts').textContent).panels).length,
    places: document.querySelectorAll('[data-panel]').length,
    failed: document.querySelectorAll('.failed').length - document.querySelectorAll('noscript .failed').length,
    inSight: inSight.length,
    empty: inSight.filter((plot) => !isDrawn(plot)).map((plot) => plot.dataset.panel),
  };
})()
"""


def complaints(browser: Chromium, page) -> list[str]:
    """Everything that is wrong with the page now open; an empty list says that the page is right."""
    found = [f"logged: {problem}" for problem in browser.problems]
    found += [f"requested: {url}" for url in browser.requests if url != page.as_uri()]
    pictures = browser.evaluate(PICTURES)
    if pictures["inSight"] == 0:
        found.append("no picture is in sight")
    if pictures["failed"]:
        found.append(f"{pictures['failed']} pictures are replaced by a message")
    found += [f"not drawn: {name}" for name in pictures["empty"]]
    width, needed = browser.evaluate(
        "(({clientWidth, scrollWidth}) => [clientWidth, scrollWidth])(document.documentElement)"
    )
    if needed > width:
        found.append(f"overflow: the page needs {needed} pixels in a window of {width}")
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    assert EXECUTABLE is not None
    with Chromium(EXECUTABLE, tmp_path_factory.mktemp("browser") / "profile") as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write(report(), tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_is_right(browser, page, width, dark):
    browser.open(page, width, dark=dark)
    assert complaints(browser, page) == []
    pictures = browser.evaluate(PICTURES)
    assert pictures["places"] == pictures["asked"] - 1  # one layer of the made-up report has no finite value
    assert browser.evaluate("window.innerWidth") == width


def test_every_training_run_can_be_shown(browser, page):
    browser.open(page, PHONE)
    runs = browser.evaluate("[...document.getElementById('run').options].map((option) => option.value)")
    assert len(runs) == len(report()["training"])
    for run in runs:
        browser.evaluate(
            f"(() => {{ const s = document.getElementById('run'); s.value = {run!r};"
            "s.dispatchEvent(new Event('change')); })()"
        )
        browser.settle()
        assert complaints(browser, page) == []
        titles = browser.evaluate(
            "[...document.querySelectorAll('#effective-lr h4')].filter((h) => h.offsetParent).map((h) => h.textContent)"
        )
        assert titles == [layer["name"] for layer in report()["training"][int(run)]["layers"]]


def test_hostile_names_do_nothing(browser, page):
    browser.open(page)
    assert browser.evaluate("document.documentElement.dataset.owned") is None
    browser.point(".matrix td.known")
    assert HOSTILE in browser.evaluate("document.getElementById('detail').textContent")
    assert browser.evaluate("document.querySelectorAll('img').length") == 0


def test_matrix_is_read_by_pointer_and_by_keyboard(browser, page):
    browser.open(page)
    read = "document.getElementById('detail').textContent"
    browser.point(".matrix td.fail")
    assert "first difference: step 2 in " in browser.evaluate(read)
    assert browser.evaluate("document.querySelectorAll('.view:not([hidden]) td[tabindex=\"0\"]').length") == 1
    browser.evaluate("document.querySelector('.matrix td[tabindex=\"0\"]').focus()")
    first = browser.evaluate(read)
    assert first.startswith("SGD defaults, constant lr, free against torch:")
    browser.press("ArrowRight")
    assert browser.evaluate(read).startswith("SGD defaults, constant lr, forced against torch:")
    browser.press("ArrowDown")
    browser.press("ArrowLeft")
    assert browser.evaluate(read).startswith("SGD defaults, moving lr, free against torch:")
    browser.press("ArrowUp")
    browser.press("ArrowUp")  # the edge: the focus stays
    assert browser.evaluate(read) == first


def test_matrix_changes_its_precision(browser, page):
    browser.open(page)
    shown = "document.querySelector('.view:not([hidden]) .matrix').getAttribute('aria-label')"
    assert "float64" in browser.evaluate(shown)
    browser.evaluate(
        "(() => { const s = document.getElementById('view'); s.value = '1'; s.dispatchEvent(new Event('change')); })()"
    )
    assert "float32" in browser.evaluate(shown)


def test_tab_reaches_everything_that_acts(browser, page):
    browser.open(page)
    focus = "(() => { const e = document.activeElement; return [e.id || e.className, getComputedStyle(e).outlineStyle]; })()"
    reached = {}
    for _ in range(40):
        browser.press("Tab")
        name, outline = browser.evaluate(focus)
        reached[name] = outline
    assert next(iter(reached)) == "skip"
    for name in ("skip", "run", "view", "scroll"):  # a table that scrolls can be scrolled by key
        assert reached[name] != "none"
    assert any("pass" in name for name in reached)  # one stop inside the matrix


def unguarded(text: str) -> str:
    """The page without its content security policy, so that what it tries to load is tried."""
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)


def with_charts(text: str, change) -> str:
    """The page with changed chart data."""
    start = text.index('id="charts">') + len('id="charts">')
    end = text.index("</script>", start)
    charts = json.loads(text[start:end])
    change(charts)
    return text[:start] + str(script_json(charts)) + text[end:]


def _no_such_mark(charts):
    charts["specs"]["ribbon"]["layer"][0]["mark"]["type"] = "no-such-mark"


def _no_such_field(charts):
    for block in charts["panels"]["threshold/0"]["blocks"]:
        del block["below"], block["above"]


def _remote_data(charts):
    charts["specs"]["steps"]["layer"][0]["data"] = {"url": "https://example.invalid/rows.json"}


@pytest.mark.parametrize(
    ("spoil", "caught"),
    [
        pytest.param(
            lambda t: with_charts(t, _no_such_mark), "no-such-mark|not drawn|message", id="broken-specification"
        ),
        pytest.param(lambda t: with_charts(t, _no_such_field), "not drawn: threshold", id="picture-without-marks"),
        pytest.param(lambda t: with_charts(t, _remote_data), "logged: ", id="data-from-outside"),
        pytest.param(
            lambda t: with_charts(unguarded(t), _remote_data), "requested: https://example.invalid", id="data-unguarded"
        ),
        pytest.param(
            lambda t: t.replace("<main>", '<main><script src="https://example.invalid/x.js"></script>'),
            "logged: ",
            id="script-from-outside",
        ),
        pytest.param(
            lambda t: unguarded(t).replace("<main>", '<main><script src="https://example.invalid/x.js"></script>'),
            "requested: https://example.invalid/x.js",
            id="script-unguarded",
        ),
        pytest.param(
            lambda t: t.replace("<main>", "<main><script>document.title = 'owned'</script>"),
            "logged: ",
            id="script-of-a-stranger",
        ),
        pytest.param(
            lambda t: t.replace("<main>", '<main><p style="width: 500px">wide</p>'), "overflow", id="wider-than-a-phone"
        ),
        pytest.param(lambda t: t.replace("vegaEmbed(node", "vegaEmbedd(node"), "logged: ", id="script-changed"),
        pytest.param(
            lambda t: unguarded(t).replace("await vegaEmbed(node", "await vegaEmbedd(node"),
            "replaced by a message",
            id="drawing-throws",
        ),
    ],
)
def test_a_wrong_page_is_caught(spoil, caught, browser, page, tmp_path):
    text = page.read_text(encoding="utf-8")
    spoiled = spoil(text)
    assert spoiled != text
    wrong = tmp_path / "index.html"
    wrong.write_text(spoiled, encoding="utf-8")
    browser.open(wrong, PHONE, seconds=8)
    assert any(re.search(caught, complaint) for complaint in complaints(browser, wrong)), complaints(browser, wrong)
