"""docs/audit.md is what is inferred for the pinned versions, row by row."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import optax
import pytest
import torch

from lrtheory.dims.audit import LIBRARIES, Audited, audit, short, summary

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


def sections() -> dict[str, dict[str, list[str]]]:
    """Rows by section and target."""
    found: dict[str, dict[str, list[str]]] = {}
    for block in PAGE.read_text().split("\n## ")[1:]:
        title, _, body = block.partition("\n")
        rows = [line.strip("|").split("|") for line in body.splitlines() if re.match(r"\| (optax|torch)\.", line)]
        found[title] = {cells[0].strip(): [c.strip() for c in cells[1:]] for cells in rows}
    return found


@pytest.fixture(scope="module")
def rows() -> dict[str, Audited]:
    return {row.name: row for library in LIBRARIES for row in audit(library)}


def is_pinned() -> bool:
    text = PAGE.read_text()
    versions = (f"optax {optax.__version__},", f"torch {torch.__version__.split('+')[0]} ", f"jax {jax.__version__}:")
    return all(version in text for version in versions)


@pytest.mark.skipif(not is_pinned(), reason="the page was read on other versions")
def test_page_is_what_is_inferred(rows):
    page = sections()
    by_status = {"broken": "Broken", "guarded": "Proven unless a guard acts", "proven": "Proven", "skipped": "Left out"}
    for status, title in by_status.items():
        assert set(page[title]) == {name for name, row in rows.items() if row.status == status}, title
    assert not [name for name, row in rows.items() if row.status == "unknown"]
    for name, (lines, survives, why) in page["Broken"].items():
        found = rows[name].dimensions
        assert found is not None
        assert lines.replace("`", "").split("<br>") == list(dict.fromkeys(short(b.location) for b in found.breaks)), (
            name
        )
        assert survives == (found.survives or "nothing"), name
        assert len(why.split()) >= 4, f"{name} is not explained"
    for name, (lines, _) in page["Proven unless a guard acts"].items():
        found = rows[name].dimensions
        assert found is not None
        assert lines.replace("`", "").split("<br>") == list(dict.fromkeys(short(g.location) for g in found.guards)), (
            name
        )
    for name, (numbers, output, _) in page["Proven"].items():
        found = rows[name].dimensions
        assert found is not None
        stated = [f"{n} {u}" for n, u in found.hyper.items() if not u.is_pure and n not in found.free]
        assert numbers == ", ".join(stated), name
        assert output == str(found.update), name


@pytest.mark.skipif(not is_pinned(), reason="the page was read on other versions")
def test_page_states_the_counts(rows):
    counts = summary(list(rows.values()))
    text = PAGE.read_text().replace("\n", " ")
    for number, word in re.findall(r"(\d+) (targets|proven|broken)", counts):
        assert f"{number} {word}" in text


def test_every_public_name_is_looked_at(rows):
    """Nothing that returns a transformation is forgotten."""
    for name in ("adam", "adamw", "sgd", "lamb", "lion", "radam", "lookahead", "clip_by_global_norm", "lbfgs"):
        assert f"optax.{name}" in rows
    for name in ("dog", "dowg", "muon", "prodigy", "schedule_free"):
        assert f"optax.contrib.{name}" in rows
    assert {f"torch.optim.{n}" for n in ("Adam", "LBFGS", "Muon", "SparseAdam")} <= set(rows)
