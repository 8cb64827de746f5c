"""What the site is made of: the page of laws, and the check of its links. ``make docs`` builds it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_of_laws_is_the_catalogue():
    made = script("make_laws")
    assert made.PAGE.read_text(encoding="utf-8") == made.page(), "python docs/make_laws.py writes it anew"


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ('<a href="other.html#here">', None),
        ('<a href="#top">', None),
        ('<a href="https://example.org/x#y">', None),
        ('<a href="none.html">', "none.html leads nowhere"),
        ('<a href="other.html#there">', "other.html#there leads to no place on that page"),
        ('<img src="none.png">', "none.png leads nowhere"),
        ('<script src="https://example.org/x.js"></script>', "https://example.org/x.js is fetched from elsewhere"),
    ],
)
def test_links_are_checked(link, wrong, tmp_path):
    (tmp_path / "page.html").write_text(f"<html><body>{link}</body></html>")
    (tmp_path / "other.html").write_text('<html><body><h1 id="here">x</h1></body></html>')
    assert script("check_links").faults(tmp_path) == ([f"page.html: {wrong}"] if wrong else [])


def test_no_page_at_all_is_a_fault(tmp_path):
    assert script("check_links").faults(tmp_path)


def test_links_for_machines_lead_to_pages():
    """docs/llms.txt names pages as they are built."""
    named = re.findall(r"\]\((\S+)\.html\)", (DOCS / "llms.txt").read_text())
    assert len(named) > 5
    assert [page for page in named if not (DOCS / f"{page}.md").exists()] == []


def test_names_of_other_libraries_lead_to_names_that_they_have():
    """Each that the docstrings and pages have: a name that the library dropped would lead nowhere."""
    import operator

    made, root = script("elsewhere"), DOCS.parent
    texts = [
        path.read_text(encoding="utf-8")
        for folder in ("lrtheory", "docs")
        for path in (root / folder).rglob("*.[mp][dy]")
    ]
    found = {name for text in texts for name in made.NAME.findall(text.replace("`", " "))}
    assert {"torch.optim.AdamW", "optax.adamw", "optax.contrib.prodigy", "jax.vmap"} <= found
    for name in sorted(found):
        library, _, rest = name.partition(".")
        operator.attrgetter(rest)(pytest.importorskip(library))
        assert made.address(name), name


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Against torch.optim.Adam and AdamW: the same.", "Against ``torch.optim.Adam`` and AdamW: the same."),
        ("Against optax.adam: it is.", "Against ``optax.adam``: it is."),
        ("``torch.optim.Adam`` is", "``torch.optim.Adam`` is"),
        ("optax.adamw(1e-3) is a call", "optax.adamw(1e-3) is a call"),
        (">>> torch.optim.Adam", ">>> torch.optim.Adam"),
        ("torch.optim.Optimizer and optax.adamish", "torch.optim.Optimizer and optax.adamish"),
    ],
)
def test_names_become_code_in_sentences_alone(line, shown):
    assert script("elsewhere").as_code(line) == shown


def test_reference_has_every_rule():
    """The page orders them by hand: rules first, then what they are made of."""
    from lrtheory import rules

    named = re.findall(r"^\.\. auto(?:class|function):: (\w+)$", (DOCS / "reference" / "rules.md").read_text(), re.M)
    constants = {"ABSENT", "COUNT", "state"}
    assert sorted(named) == sorted(set(rules.__all__) - constants)


def test_every_page_is_in_a_table_of_contents():
    """``make docs`` refuses a page that no other leads to; here without building."""
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md") if "_build" not in path.parts}
    listed = {"index"}
    for page in pages:
        for contents in re.findall(r"```\{toctree\}\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL):
            names = re.findall(r"^(?:.+ <)?([\w/-]+)>?$", contents, re.MULTILINE)
            listed |= {str((Path(page).parent / name).as_posix()) for name in names}
    assert pages <= listed, f"add to docs/guides.md or docs/inside.md: {sorted(pages - listed)}"


def test_pictures_of_questions_stand_on_their_pages():
    """Each once, with a sentence for those who do not see it, and none is left over."""
    made = script("make_pictures")
    drawn = {path.stem for path in made.FOLDER.glob("*.svg")}
    assert drawn == set(made.PICTURES), "python docs/make_pictures.py draws them anew"
    assert drawn == {path.stem for path in (DOCS / "questions").glob("*.md")} - {"index"}
    for name in drawn:
        page = (DOCS / "questions" / f"{name}.md").read_text(encoding="utf-8")
        ((alt, shown),) = re.findall(r"^!\[(.*)\]\((.*)\)$", page, re.MULTILINE)
        assert shown == f"../charts/questions/{name}.svg"
        assert len(alt) > 50


def drawn_is_kept(name: str) -> None:
    made = script("make_pictures")
    assert (made.FOLDER / f"{name}.svg").read_text(encoding="utf-8") == made.PICTURES[name](), (
        f"python docs/make_pictures.py {name} draws it anew"
    )


SAMPLE = ("accumulation", "momentum", "eps-half", "mup")


@pytest.mark.parametrize("name", SAMPLE)
def test_picture_is_what_the_library_computes_now(name):
    drawn_is_kept(name)


@pytest.mark.deep
@pytest.mark.parametrize("name", sorted(set(script("make_pictures").PICTURES) - set(SAMPLE)))
def test_every_other_picture_too(name):
    drawn_is_kept(name)
