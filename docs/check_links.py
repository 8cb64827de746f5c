"""Every link of the built site that leads inside it leads to a page and a place that is there: ``check_links.py FOLDER``."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """Links, places that they may lead to, and whatever a browser would fetch from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag has of them."""
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        source = given.get("src") or (given.get("href") if tag == "link" else None)
        if source and given.get("rel") != "canonical":
            self.links.append(source)
            if urlsplit(source).netloc:
                self.fetched.append(source)


def faults(folder: Path) -> list[str]:
    """What is wrong, a sentence each."""
    there = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.relative_to(folder).parts]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in there}
    found = []
    for path, page in pages.items():
        here = path.relative_to(folder)
        found += [f"{here}: {source} is fetched from elsewhere" for source in page.fetched]
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or to.netloc:
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append(f"{here}: {link} leads nowhere")
            elif to.fragment and target in pages and unquote(to.fragment) not in pages[target].places | {"top"}:
                found.append(f"{here}: {link} leads to no place on that page")
    if not pages:
        found.append(f"{folder} has no pages")
    return found


if __name__ == "__main__":
    wrong = faults(Path(sys.argv[1]).resolve())
    print(*wrong, sep="\n", end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)
