"""Tables and charts of the kept results, put into the docs between the markers that name them.

A table stands between ``<!-- benchmark: NAME/TABLE -->`` and ``<!-- /benchmark -->``; a chart is ``docs/charts/ID.svg``.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from lrtheory.outputs import replace_all

from .harness import RESULTS, Record, Table, caption, load

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
MARKED = re.compile(r"(<!-- benchmark: (\w+)/(\w+) -->\n).*?(<!-- /benchmark -->)", re.DOTALL)


def measured() -> list[str]:
    """Names of the benchmarks whose results are kept."""
    return sorted(path.stem for path in RESULTS.glob("*.json"))


def tables(name: str) -> tuple[Record, dict[str, Table]]:
    """Facts and tables of one benchmark."""
    facts, records = load(name)
    return facts, importlib.import_module(f".{name}", __package__).tables(records)


def filled(text: str) -> str:
    """The page with its tables drawn anew. Raises KeyError for a table that its benchmark does not draw."""

    def table(match: re.Match[str]) -> str:
        name, part = match[2], match[3]
        facts, found = tables(name)
        if part not in found:
            raise KeyError(f"benchmark {name} has no table {part!r}: it has {', '.join(found)}")
        return f"{match[1]}\n{found[part].markdown()}\n{caption(facts)}\n\n{match[4]}"

    return MARKED.sub(table, text)


def write() -> list[Path]:
    """Draw every table and chart; the files that changed."""
    texts = {page: filled(page.read_text()) for page in PAGES}
    for name in measured():
        module = importlib.import_module(f".{name}", __package__)
        if not hasattr(module, "charts"):
            continue
        from .charts import svg

        for chart, figure in module.charts(load(name)[1]).items():
            texts[ROOT / "docs" / "charts" / f"{chart}.svg"] = svg(figure)
    changed = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    for path in changed:
        path.parent.mkdir(exist_ok=True)
    replace_all({path: texts[path] for path in changed})
    return changed
