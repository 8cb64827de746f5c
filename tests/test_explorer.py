"""The explorer: a sample of what is stored is what the library says now, and the page shows that cell and no other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from lrtheory import laws, rescale
from lrtheory.explaining import facts
from lrtheory.spec import read

from .report.chromium import Chromium, find
from .test_site import DOCS, script

MAKER = script("make_explorer")
STORED = json.loads(MAKER.DATA.read_text(encoding="utf-8").removeprefix("const EXPLORER = ").rstrip(";\n"))
ANEW = "python docs/make_explorer.py writes it anew"


def choices(rule: str) -> list[str]:
    return list(MAKER.specs(rule, MAKER.RULES[rule]))


def test_what_can_be_chosen_is_what_is_stored():
    kept = {rule["spec"]: rule for rule in STORED["rules"]}
    assert list(kept) == list(MAKER.RULES), ANEW
    for name, rule in kept.items():
        axes = [[axis, [f"{value:g}" for value in values]] for axis, values in MAKER.RULES[name].items()]
        assert rule["axes"] == axes, ANEW
        assert len(rule["cells"]) == len(choices(name)), ANEW
    changes = [[group, said, MAKER.flags(asked)] for group, of in MAKER.CHANGES.items() for said, asked in of.items()]
    assert STORED["changes"] == changes, ANEW
    assert STORED["patterns"] == list(MAKER.PATTERNS), ANEW
    assert set(STORED["laws"]) == {*laws.catalogue(), *laws.SECTIONS}, ANEW


@pytest.mark.parametrize("rule", MAKER.RULES)
def test_a_choice_of_each_rule_is_what_the_library_says_now(rule):
    """Facts and answers of one choice, another one for each rule, read from its SPEC."""
    (kept,) = [one for one in STORED["rules"] if one["spec"] == rule]
    at = int(np.random.default_rng(len(rule)).integers(len(kept["cells"])))
    of_facts, _, of_answers = kept["cells"][at]
    reading, notes = read(choices(rule)[at]), MAKER.Pool()
    said = [[fact.name, fact.said, fact.law] for fact in facts.facts(reading.rule, reading.hyper)]
    assert [STORED["facts"][i] for i in of_facts] == said, ANEW
    asked = [asked for group in MAKER.CHANGES.values() for asked in group.values()]
    for change, i in zip(asked, of_answers, strict=True):
        *found, told = MAKER.answer(reading.rule, reading.hyper, change, notes)
        *stored, shown = STORED["answers"][i]
        assert stored == found, ANEW
        texts = [[pool[n] for n in np.atleast_1d(of)] for pool, of in ((STORED["notes"], shown), (notes, told))]
        assert texts[0] == texts[1], ANEW


@pytest.mark.parametrize("rule", ["adamw()", "sgd()", "muon()"])
def test_curves_are_those_of_the_rule_itself(rule):
    (kept,) = [one for one in STORED["rules"] if one["spec"] == rule]
    at = [1, len(kept["cells"]) - 2]
    readings = [read(choices(rule)[i]) for i in at]
    computed = MAKER.curves(readings[0].rule, [reading.hyper for reading in readings])
    stored = np.asarray([[STORED["curves"][i] for i in kept["cells"][choice][1]] for choice in at])
    for column, curves in enumerate(computed):
        shown = np.asarray([[text.split() for text in of_choice[:, column]] for of_choice in stored], float)
        np.testing.assert_allclose(shown, curves, rtol=5.1e-3, err_msg=ANEW)  # three digits


def test_a_wrong_figure_is_seen():
    """That the sample is compared at all: an answer of another change is another one."""
    reading = read("sgd(lr=0.1, momentum=0.9)")
    given = [
        MAKER.answer(reading.rule, reading.hyper, asked, MAKER.Pool())[0] for asked in ({"loss": 32}, {"loss": 33})
    ]
    assert given[0] != given[1]
    assert MAKER.answer(reading.rule, reading.hyper, {"batch": 1000, "method": "sde"}, MAKER.Pool()) == [0], "no answer"


def test_script_computes_nothing_but_places():
    """Formulas are the library's: the script has no power, no root and no exponential."""
    text = (DOCS / "_static" / "explorer.js").read_text(encoding="utf-8")
    assert set(re.findall(r"Math\.(\w+)", text)) <= {"abs", "ceil", "floor", "log10", "max", "min"}
    assert "**" not in text
    assert MAKER.DATA.stat().st_size < 1.5e6


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The form and the scripts of docs/explorer.md without the site around them."""
    html = re.search(r"```\{raw\} html\n(.*?)```", (DOCS / "explorer.md").read_text(encoding="utf-8"), re.DOTALL)
    made = tmp_path_factory.mktemp("explorer") / "page.html"
    text = html.group(1).replace('src="_static/', f'src="{(DOCS / "_static").as_uri()}/')
    made.write_text(
        f"<!doctype html><meta charset=utf-8>{text}<script>document.documentElement.dataset.settled=true</script>"
    )
    return made


class Opened(Chromium):
    def at(self, page: Path, **chosen: str) -> str:
        """What is shown with these choices in the address."""
        self.problems = []
        self.call("Page.navigate", url=f"{page.as_uri()}?{len(chosen)}#{urlencode(chosen)}")  # ? loads it anew
        self.settle()
        return self.evaluate("document.body.innerText")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if (executable := find()) is None:
        pytest.skip("no Chromium on this machine")
    with Opened(executable, tmp_path_factory.mktemp("chromium") / "profile") as opened:
        yield opened


def test_page_shows_the_cell_of_what_is_chosen(page, browser):
    hyper = read("sgd(lr=0.01, momentum=0.99, weight_decay=1e-4)")
    change = "I accumulate over 8 steps, backward() adds up"
    found = rescale(hyper.rule, hyper.hyper, accumulation=8, accumulation_reduction="sum")
    text = browser.at(page, rule="sgd", lr="0.01", momentum="0.99", weight_decay="0.0001", change=change)
    rows = dict(re.findall(r"^(\w+)\t[\d.e-]+\t(\S+)$", text, re.MULTILINE))
    old, new = hyper.hyper._asdict(), found.hyper._asdict()
    assert rows == {name: f"{value:.6g}" for name, value in new.items() if value != old[name]}
    assert rows == {"weight_decay": "0.0008"}
    assert "memory of momentum\t100 steps of gradients" in text
    assert "--accumulation 8 --accumulation-reduction sum" in text
    assert browser.problems == []


def test_every_rule_and_change_is_shown_and_the_keyboard_stays(page, browser):
    browser.at(page)
    wrong = browser.evaluate(
        """(() => {
          const form = document.getElementById("explorer-form"), wrong = [];
          const choose = (name, value) => {
            const select = form.elements[name];
            select.focus();
            select.value = value;
            select.dispatchEvent(new Event("change", { bubbles: true }));
            if (document.activeElement !== form.elements[name]) wrong.push(`${name} lost the focus`);
          };
          history.replaceState = () => {};  // a browser hangs up on a hundred of them in a second
          const changes = [...form.elements.change.options].map((o) => o.value);
          [...form.elements.rule.options].map((o) => o.value).forEach((rule, at) => {
            choose("rule", rule);
            for (const change of [changes[at % changes.length], changes[(at + 5) % changes.length]]) {
              choose("change", change);
              const shown = document.getElementById("explorer-shown");
              if (/NaN|undefined|null|Infinity|object/.test(shown.innerText)) wrong.push(`${rule}, ${change}: ${shown.innerText}`);
              if (shown.querySelectorAll("figure svg").length !== 2) wrong.push(`${rule}: pictures`);
              if (/NaN|Infinity/.test(shown.innerHTML)) wrong.push(`${rule}: places`);
            }
          });
          return wrong;
        })()"""
    )
    assert wrong == []
    assert browser.problems == []


def test_command_that_is_shown_is_one(page, browser):
    """It runs, and says what the page says."""
    text = browser.at(page, rule="lion", change="8 processes, averaged as DDP does")
    command = re.search(r'^lrtheory explain "(.+)" (--.+)$', text.replace("more: ", "more:\n"), re.MULTILINE)
    from lrtheory.explaining import explain

    found = explain(command.group(1), world_size=8, world_reduction="mean")
    assert command.group(2) == "--world-size 8 --world-reduction mean"
    assert f"lr\t0.0001\t{found.numbers[0].becomes:.6g}" in text


def test_page_of_explain_leads_to_what_it_explains(page, browser, monkeypatch, capsys):
    """Where the site is built; the page itself loads nothing."""
    from lrtheory.cli import explain
    from lrtheory.cli.app import run

    opened = []
    monkeypatch.setattr(explain.webbrowser, "open", opened.append)
    monkeypatch.setattr(explain, "EXPLORER", page)
    run(["explain", "torch.optim.AdamW(lr=3e-4, weight_decay=0.1)", "--accumulation", "8", "--open"])
    ((shown,),) = [opened]
    path = Path(shown.removeprefix("file://"))
    assert f"no browser could be started: the page is {path}" in capsys.readouterr().out.replace("\n", " ")
    text = path.read_text(encoding="utf-8")
    assert "becomes" in text
    assert not re.search(r"<(?:script|link|img)", text)
    place = re.search(r'href="([^"]+)"', text).group(1).replace("&amp;", "&")
    browser.call("Page.navigate", url=place.replace("#", "?open#"))
    browser.settle()
    chosen = browser.evaluate("Object.fromEntries(new FormData(document.getElementById('explorer-form')))")
    assert {"rule": "adamw", "lr": "0.0003", "weight_decay": "0.1", "beta2": "0.999"}.items() <= chosen.items()


def test_page_of_explain_stands_without_the_site(monkeypatch, tmp_path):
    from lrtheory.cli import explain
    from lrtheory.explaining import explain as explained

    monkeypatch.setattr(explain, "EXPLORER", tmp_path / "explorer.html")
    text = explain.as_page([(explained("sgd(lr=0.1)"), ["<b>told</b>"])])
    assert "<a " not in text
    assert "<b>" not in text
    assert "largest stable curvature" in text
