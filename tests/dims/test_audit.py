"""docs/audit.md is what is inferred for the pinned versions, row by row."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import jax
import optax
import pytest
import torch

from lrtheory.dims.audit import LIBRARIES, row, short, targets

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"


def sections() -> dict[str, dict[str, list[str]]]:
    """Rows by section and target."""
    found: dict[str, dict[str, list[str]]] = {}
    for block in PAGE.read_text().split("\n## ")[1:]:
        title, _, body = block.partition("\n")
        rows = [line.strip("|").split("|") for line in body.splitlines() if re.match(r"\| (optax|torch)\.", line)]
        found[title] = {cells[0].strip(): [c.strip() for c in cells[1:]] for cells in rows}
    return found


def is_pinned() -> bool:
    text = PAGE.read_text()
    versions = (f"optax {optax.__version__},", f"torch {torch.__version__.split('+')[0]} ", f"jax {jax.__version__}:")
    return all(version in text for version in versions)


pinned = pytest.mark.skipif(not is_pinned(), reason="the page was read on other versions")

BY_STATUS = {
    "broken": "Broken",
    "guarded": "Proven unless a guard acts",
    "proven": "Proven",
}


def all_targets() -> dict[str, str]:
    """What is public, by name."""
    return {name: target for library in LIBRARIES for name, target in targets(library).items()}


def hold_to_the_page(names: Iterable[str]) -> None:
    """Fail unless what is inferred of those is what the page says of them."""
    public = all_targets()
    rows = {name: row(public[name]) for name in names}
    assert {name: found.skipped for name, found in rows.items() if found.status not in BY_STATUS} == {}
    page = {title: {n: cells for n, cells in found.items() if n in rows} for title, found in sections().items()}
    for status, title in BY_STATUS.items():
        assert set(page[title]) == {name for name, found in rows.items() if found.status == status}, title
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


@pinned
@pytest.mark.parametrize("title", BY_STATUS.values())
def test_first_of_each_verdict_are_what_is_inferred(title: str) -> None:
    names = list(sections()[title])[:3]
    assert names
    hold_to_the_page(names)


@pinned
@pytest.mark.deep
def test_page_is_what_is_inferred() -> None:
    hold_to_the_page(all_targets())


@pinned
def test_page_has_every_public_name_and_states_the_counts() -> None:
    page = {title: rows for title, rows in sections().items() if title in BY_STATUS.values()}
    assert sorted(name for rows in page.values() for name in rows) == sorted(all_targets())
    counts = [len(page[title]) for title in ("Proven", BY_STATUS["guarded"], "Broken")]
    proven, guarded, broken = counts
    assert (
        f"{sum(counts)} targets, {proven} proven, {guarded} proven unless a guard acts, {broken} broken, "
        "none left out, none unknown."
    ) in PAGE.read_text()


def test_every_public_name_is_looked_at() -> None:
    """Nothing that returns a transformation is forgotten."""
    names = all_targets()
    for name in ("adam", "adamw", "sgd", "lamb", "lion", "radam", "lookahead", "clip_by_global_norm", "lbfgs"):
        assert f"optax.{name}" in names
    for name in ("dog", "dowg", "muon", "prodigy", "schedule_free"):
        assert f"optax.contrib.{name}" in names
    assert {f"torch.optim.{n}" for n in ("Adam", "LBFGS", "Muon", "SparseAdam")} <= set(names)
