"""What every page is made with: templates, JSON inside a script element, and a policy that lets nothing be loaded."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ..words import number

TEMPLATES = Path(__file__).parent / "templates"
FIGURE = re.compile(r"[\d.]+e-\d+|[\d.]+ %")


def render(folder: Path, template: str, scripts: Sequence[str], styles: Sequence[str] = (), **given: Any) -> str:
    """A page that runs these scripts and no other, and loads nothing.

    Parameters
    ----------
    folder
        Where the template is, and what else is named and is not among this package's own.
    template
        One that extends ``frame.html.jinja``.
    scripts
        Files, or their text.
    styles
        Files after ``page.css``.
    """
    folders = (folder, TEMPLATES)
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders), autoescape=True, undefined=jinja2.StrictUndefined
    )
    made.filters |= {"number": number, "prose": prose}
    texts = [read(folders, script) if script.endswith(".js") else script for script in scripts]
    css = Markup("".join(read(folders, style) for style in ("page.css", *styles)))
    return made.get_template(template).render(
        **given, css=css, scripts=[Markup(text) for text in texts], policy=policy(*texts)
    )


def prose(text: str) -> Markup:
    """A sentence in which no line ends inside a number such as 1e-09 or 5 %."""
    return Markup(FIGURE.sub(r'<span class="figure">\g<0></span>', str(escape(text))))


def read(folders: Sequence[Path], name: str) -> str:
    """A file in the first of the folders that has it."""
    return next(path for path in (folder / name for folder in folders) if path.exists()).read_text(encoding="utf-8")


def script_json(value: Any) -> Markup:
    """JSON that is safe inside a ``<script>`` element: nothing in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def policy(*scripts: str) -> str:
    """A content security policy that runs these scripts, to the letter, and lets nothing be loaded."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
