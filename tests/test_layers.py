"""The contracts of imports hold, and each is broken by an import that is planted against it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

#: What is planted: the contract that it breaks, and modules by path.
PLANTS = {
    "an import upward": ("rooms", {"lrtheory/rules/planted.py": "def lazily():\n    from lrtheory.sweep import run\n"}),
    "a room without a place": ("rooms", {"lrtheory/planted.py": ""}),
    "an import upward in parity": ("rooms-of-parity", {"parity/bounds/planted.py": "from parity import report\n"}),
    "parity in lrtheory": ("parity-above", {"lrtheory/sweep/planted.py": "def lazily():\n    import parity.report\n"}),
    "the command line in parity": ("front-door", {"parity/report/planted.py": "from lrtheory.cli import app\n"}),
    "the face in a room": ("face", {"lrtheory/rules/planted.py": "def lazily():\n    from lrtheory import rescale\n"}),
    "a circle": (
        "circles",
        {
            "lrtheory/effective/planted.py": "def lazily():\n    from . import planted_too\n",
            "lrtheory/effective/planted_too.py": "from . import planted\n",
        },
    ),
    "a private module": (
        "private",
        {"lrtheory/rules/_planted.py": "", "lrtheory/sweep/planted.py": "from lrtheory.rules import _planted\n"},
    ),
    "torch in the core": ("core", {"lrtheory/effective/planted.py": "def lazily():\n    import torch\n"}),
    "Hypothesis": ("no-test-tools", {"lrtheory/explaining/planted.py": "def lazily():\n    import hypothesis\n"}),
}


def linted(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command as lint; lint()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--no-logo", *arguments],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", root)
    for package in ("lrtheory", "parity"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def test_contracts_hold(tree: Path) -> None:
    run = linted(tree)
    assert run.returncode == 0, run.stdout


def contracts() -> dict[str, dict[str, Any]]:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return {contract["id"]: contract for contract in listed}


def test_every_contract_is_broken_by_a_plant() -> None:
    assert set(contracts()) == {contract for contract, _ in PLANTS.values()}


def test_picture_of_the_rooms_is_that_of_the_contracts() -> None:
    ours, theirs = (contracts()[name]["layers"] for name in ("rooms", "rooms-of-parity"))
    front = ours.index("cli") + 1
    packages = {"lrtheory": ours[:front], "parity": theirs, "lrtheory ": ours[front:]}
    levels = {package: [level.replace(" : ", "   ") for level in levels] for package, levels in packages.items()}
    picture = "\n   │\n".join("\n   ".join([package.strip(), *of]) for package, of in levels.items())
    page = (ROOT / "docs" / "architecture.md").read_text()
    assert f"tests/test_layers.py -->\n```text\n{picture}\n```\n" in page, f"put this into the page:\n{picture}"
    table = {name for line in page.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line)}
    rooms = {name for of in packages.values() for level in of for name in re.findall(r"\w+", level)}
    assert rooms <= table, f"the page's table lacks {rooms - table}"


@pytest.mark.parametrize("plant", PLANTS)
def test_plant_breaks_its_contract(plant: str, tree: Path) -> None:
    contract, modules = PLANTS[plant]
    for path, code in modules.items():
        (tree / path).write_text(code)
    try:
        run = linted(tree, "--contract", contract)
    finally:
        for path in modules:
            (tree / path).unlink()
    assert run.returncode == 1, run.stdout + run.stderr
    assert "Contracts: 0 kept, 1 broken." in run.stdout
    assert "planted" in run.stdout


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"`([a-z_/]+\.py)`", (ROOT / page).read_text())
    assert len(named) > 3
    assert not [name for name in named if not any((root / name).is_file() for root in (ROOT, ROOT / "lrtheory"))]
