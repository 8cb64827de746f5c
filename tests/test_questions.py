"""The pages of docs/questions: each is run, all in this process, and shows what is printed."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "questions"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "index")
#: Those that take seconds; what they show is also tested by its own room, and `bf16-weights` watches a run as they do.
LONG = {"frozen-parameters", "lion-lr", "muon-lr", "no-decay", "which-lr-adam"}

_BLOCK = re.compile(r"^```(console|python|text)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def lines(text: str) -> list[str]:
    """Without the spaces that only align, and without empty ones."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def shows(shown: str, printed: str) -> str | None:
    """The first line that is not printed there; a line ``…`` stands for any number of lines."""
    there, at, gap = lines(printed), 0, False
    for line in lines(shown):
        if line == "…":
            gap = True
            continue
        if line not in (there[at:] if gap else there[at : at + 1]):
            return line
        at, gap = there.index(line, at) + 1, False
    return None if gap or at == len(there) else f"the end: {there[at]} follows"


def printed_by_commands(block: str) -> list[tuple[str, str]]:
    """What is shown below each command of a block, and what it prints."""
    from lrtheory.cli.app import run

    found = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        name, *arguments = shlex.split(command)
        assert name == "lrtheory", command
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            run(arguments)
        found.append((shown, printed.getvalue()))
    return found


def run_page(page: str, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """All that is shown on a page with what is printed; names of Python live from block to block."""
    names: dict = {}
    found, printed = [], None
    for kind, block in _BLOCK.findall((FOLDER / f"{page}.md").read_text()):
        if kind == "console":
            found += printed_by_commands(block)
        elif kind == "python":
            capsys.readouterr()
            exec(compile(block, f"{page}.md", "exec"), names)
            printed = capsys.readouterr().out
        else:
            assert printed is not None, f"no Python above: {block}"
            found.append((block, printed))
            printed = None
    return found


@pytest.mark.parametrize("page", [pytest.param(page, marks=pytest.mark.deep if page in LONG else ()) for page in PAGES])
def test_page_shows_what_is_printed(page, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run_page(page, capsys)
    assert ran, "a page without a command answers nothing"
    for shown, printed in ran:
        assert shows(shown, printed) is None, f"{shows(shown, printed)}\nis not in\n{printed}"


@pytest.mark.parametrize("page", PAGES)
def test_page_is_a_question_that_is_answered_and_fails_somewhere(page):
    text = (FOLDER / f"{page}.md").read_text()
    assert text.startswith("# ")
    first = text.split("\n\n")[1]
    assert not first.startswith(("```", "#", "|")), "the answer comes first, in words"
    assert "\n## When it fails\n" in text
    law = text.partition("\n## The law\n")[2].partition("\n## When it fails\n")[0]
    assert "](../" in law or "`lrtheory laws " in law, "the law behind it is linked, or named"


def test_every_page_is_listed_once():
    text = (FOLDER / "index.md").read_text()
    listed = dict(reversed(found) for found in re.findall(r"^- \[(.+)\]\((\S+)\.md\)$", text, re.MULTILINE))
    assert listed == {page: (FOLDER / f"{page}.md").read_text().split("\n")[0].removeprefix("# ") for page in PAGES}
    assert sorted(re.findall(r"^[a-z0-9-]+$", text, re.MULTILINE)) == PAGES, "the contents of the site"


@pytest.mark.parametrize(
    ("shown", "caught"),
    [
        ("a 1\nb 2\nc 3\n", None),
        ("a  1\n…\nc 3\n", None),
        ("…\nb 2\n…\n", None),
        ("a 1\nb 2\n", "the end: c 3 follows"),
        ("a 1\nc 3\n", "c 3"),
        ("…\nb 3\n…\n", "b 3"),
        ("…\nc 3\n…\nb 2\n…\n", "b 2"),
    ],
)
def test_shows_catches_what_is_not_printed(shown, caught):
    assert shows(shown, "a 1\n\nb   2\nc 3\n") == caught
