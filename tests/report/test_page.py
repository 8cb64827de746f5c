"""The page as text: what it says, what it escapes, and that it names nothing to load."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from html.parser import HTMLParser
from typing import get_args

import pytest

from lrtheory.outputs import plain
from lrtheory.pages import document as documents
from parity.measured import FigureId
from parity.report import page

from .synthetic import HOSTILE, LONG, report

LOADING = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "link": ("href",),
    "iframe": ("src", "srcdoc"),
    "object": ("data",),
    "embed": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "base": ("href",),
    "form": ("action",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}


class Document(HTMLParser):
    """Elements, scripts and text of a page, as a browser would split them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag in ("script", "style"):
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside == "style":
            self.styles[-1] += data
        else:
            self.text.append(data)

    def loads(self) -> list[str]:
        """Everything that the markup or a style sheet would make a browser fetch."""
        found = [
            f"{tag} {name}={attributes[name]}"
            for tag, attributes in self.elements
            for name in LOADING.get(tag, ())
            if attributes.get(name)
        ]
        styles = self.styles + [a["style"] or "" for _, a in self.elements if "style" in a]
        return found + [match for style in styles for match in re.findall(r"@import[^;]*|url\([^)]*\)", style)]

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]


@pytest.fixture(scope="module")
def html() -> str:
    return page.render(plain(report()))


@pytest.fixture(scope="module")
def document(html) -> Document:
    return Document(html)


def test_page_names_nothing_to_load(document):
    assert document.loads() == []


@pytest.mark.parametrize(
    "markup",
    [
        '<script src="https://example.org/x.js"></script>',
        '<link rel="stylesheet" href="https://example.org/x.css">',
        '<img src="x.png">',
        "<style>@import 'x.css';</style>",
        '<p style="background: url(x.png)">',
    ],
)
def test_loads_catches_what_would_be_loaded(html, markup):
    assert len(Document(html.replace("<main>", f"<main>{markup}")).loads()) == 1


def test_specifications_name_no_address(document):
    assert "://" not in document.scripts[1]
    assert '"url"' not in document.scripts[1]


def test_runtime_is_there_once(html):
    assert html.count("window.vegaEmbed=") == 1


def test_hostile_names_stay_text(html, document):
    assert HOSTILE not in html
    assert len(document.scripts) == 5  # two of data, three that run
    assert "img" not in [tag for tag, _ in document.elements]
    assert not [name for _, attributes in document.elements for name in attributes if name.startswith("on")]
    assert any(HOSTILE in text for text in document.text)
    layers = {
        block["layer"]
        for panel in _charts(document)["panels"].values()
        for block in panel["blocks"]
        if "layer" in block
    }
    assert HOSTILE in layers


def _charts(document: Document) -> dict:
    return json.loads(document.scripts[1])


@pytest.mark.parametrize("value", ["</script>", "</SCRIPT >", "<!--<script>", "]]>", "a&amp;b", "\u2028"])
def test_script_json_cannot_end_its_element(value):
    text = documents.script_json({"name": value})
    assert "<" not in text
    assert json.loads(text) == {"name": value}


def test_policy_lets_only_the_pages_own_scripts_run(document):
    policy = next(a["content"] for tag, a in document.elements if tag == "meta" and a.get("http-equiv")) or ""
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in document.scripts[2:]]
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"].split() == [f"'sha256-{digest}'" for digest in hashes]
    assert "unsafe-eval" not in policy
    assert not {"connect-src", "font-src", "frame-src"} & set(rules)  # default-src none holds for them


def test_every_link_leads_somewhere(document):
    targets = [a["href"] or "" for tag, a in document.elements if tag == "a"]
    assert targets
    assert {target.removeprefix("#") for target in targets} <= set(document.ids())
    assert len(document.ids()) == len(set(document.ids()))


def test_labels_name_elements(document):
    for tag, attributes in document.elements:
        for name in ("aria-labelledby", "aria-describedby", "for"):
            if name in attributes:
                assert attributes[name] in document.ids(), (tag, attributes)


def test_headings_do_not_skip_a_level(document):
    levels = [int(tag[1]) for tag, _ in document.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_verdicts_come_first_with_all_they_have(html, document):
    first_figure = html.index("<figure")
    words = "".join(document.text)
    for verdict in report()["verdicts"][:2]:
        assert html.index(verdict["question"]) < first_figure
        for key in ("sentence", "evidence", "advice"):
            assert verdict[key] in words
    for badge in page.OUTCOMES.values():
        assert badge in words


def test_numbers_that_are_not_finite_are_said_to_be(document):
    assert "not finite" in [text.strip() for text in document.text]


def test_long_names_are_whole(document):
    assert any(LONG in text for text in document.text)


def test_figures_without_data_say_so():
    empty = plain(report())
    for part in (
        "verdicts",
        "training",
        "loss_scale",
        "thresholds",
        "batch",
        "adam_nominal",
        "step_schedule",
        "parity",
        "changes",
        "claims",
        "phases",
    ):
        empty[part] = []
    text = " ".join(Document(page.render(empty)).text)
    assert text.count("Nothing was measured for this figure.") == len(get_args(FigureId))
    assert "No verdict was reached." in text


@pytest.mark.parametrize(("key", "value"), [("figure", "no-such-figure"), ("outcome", "maybe")])
def test_verdict_with_an_unknown_word_is_refused(key, value):
    wrong = plain(report())
    wrong["verdicts"][0][key] = value
    with pytest.raises(ValueError, match=value):
        page.render(wrong)


@pytest.mark.parametrize("figure", ["1e-09", "9.8e-17", "5 %", "0.128 %"])
def test_no_line_ends_inside_a_figure(figure):
    text = documents.prose(f"at most <{figure}> of it")
    assert text == f'at most &lt;<span class="figure">{figure}</span>&gt; of it'
