"""The site: pages and notebooks as they are, and the reference made of the docstrings. Nothing is fetched or executed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from elsewhere import address, as_code  # noqa: E402

from benchmarks.atlas import page as atlas  # noqa: E402
from lrtheory import __version__  # noqa: E402

project = "lrtheory"
author = "the lrtheory authors"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
math_numfig = False

# The reference is read from the code without the libraries that a user brings.
autodoc_mock_imports = [
    "accelerate", "altair", "hypothesis", "jinja2", "keras", "lightning", "markupsafe", "optax", "orbax", "rich", "safetensors",
    "sklearn", "torch", "transformers", "typer", "vl_convert",
]  # fmt: skip
autodoc_typehints = "none"  # types stand in the signatures
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "lrtheory"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["llms.txt", "atlas/atlas.json"]
html_show_sourcelink = False
html_sidebars = {page: [] for page in ("laws", "index", "explorer", "atlas/index")}
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": False,
    "secondary_sidebar_items": {"[!qie]**": ["page-toc"]},  # not on questions, index and explorer: they are wide
    "footer_start": [],
    "footer_end": [],
}


def _mathml(translator, node: nodes.math | nodes.math_block, display: str) -> None:
    """TeX as MathML, which browsers show without a script or a font from elsewhere."""
    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def _types_as_written(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    """Types of fields as they are written, units too: as names of classes they would be looked up one by one; names as code."""
    lines[:] = [as_code(re.sub(r"^(\s+):type: ", r"\1Type: ", line)) for line in lines]


def _link_elsewhere(app: Sphinx, document: nodes.document) -> None:
    """Names of other libraries, where they stand as code, lead to where those describe them."""
    for code in list(document.findall(nodes.literal)):
        target = address(code.astext().removesuffix("()"))
        if target and not isinstance(code.parent, nodes.reference):
            code.replace_self(nodes.reference("", "", code.deepcopy(), refuri=target, internal=False))


def _leave_out(app: Sphinx, what: str, name: str, thing: object, skip: bool, options: object) -> bool | None:
    """Fields of a tuple: its docstring has them."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def _atlas(app: Sphinx, name: str, source: list[str]) -> None:
    """The list of optimizers, from its data."""
    if name == "atlas/index":
        app.env.note_dependency(str(atlas.JSON))
        app.add_js_file("atlas.js")
        link = '<p><a href="../atlas.json">atlas.json</a> has all of it for machines.</p>'
        source[0] = source[0].replace("<!-- atlas -->", f"```{{raw}} html\n{atlas.html()}{link}\n```")


def setup(app: Sphinx) -> dict[str, bool]:
    """Formulas are drawn by the browser, and fields of classes are listed once."""
    app.connect("autodoc-process-docstring", _types_as_written, priority=900)
    app.connect("autodoc-skip-member", _leave_out)
    app.connect("source-read", _atlas)
    app.connect("doctree-read", _link_elsewhere)
    app.add_html_math_renderer(
        "mathml",
        (lambda translator, node: _mathml(translator, node, "inline"), None),
        (lambda translator, node: _mathml(translator, node, "block"), None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
