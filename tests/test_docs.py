"""Code in README.md and docs does what it says, as pasted."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .sweep.test_devices import free_port

ROOT = Path(__file__).parents[1]


def code(page: str) -> list[str]:
    """The Python blocks of a page, in order."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)


def a_run(block: str, folder: Path) -> str:
    """What a block prints as a file of its own, in an empty folder."""
    for library in re.findall(r"^(?:import|from) (\w+)", block, re.MULTILINE):
        if importlib.util.find_spec(library) is None:  # not imported here: Keras takes its backend at once
            pytest.skip(f"{library} is not installed")
    process = start(block, cwd=folder)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    return out


def start(text: str, cwd: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"} | environment
    return subprocess.Popen(
        [sys.executable, "-c", text], cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_sweeps_page_runs(tmp_path, monkeypatch):
    """All of it in one process, one block after the other."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in code("sweeps.md"):
        exec(block, names)
    found = names["found"]
    assert found.values["loss"].shape == (8, 2, 2, 3)
    assert found.values["final_loss"].shape == (8, 2, 2)
    assert 0 < len(found.diverged()["lr"]) < found.values["final_loss"].size, "the page shows runs that diverge"
    assert list(names["drawn"].axes) == ["run"]
    np.testing.assert_allclose(names["again"].values["final_loss"], found.values["final_loss"], rtol=1e-4)
    assert list(Path("sweep").glob("*.npz"))


def here(block: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a block prints in this process, in an empty folder and with no name but its own."""
    monkeypatch.chdir(folder)
    exec(block, {"__name__": "__main__"})
    return capsys.readouterr().out


def test_readme_watches_a_run(tmp_path, monkeypatch, capsys):
    (block,) = [b for b in code("../README.md") if "lrtheory.watch(" in b]
    assert "0.weight  0.001" in here(block, tmp_path, monkeypatch, capsys)


def test_watching_page_watches_optax(tmp_path, monkeypatch, capsys):
    (block,) = [b for b in code("watching.md") if "import optax\n" in b]
    assert "'effective_lr/w'" in here(block, tmp_path, monkeypatch, capsys)


@pytest.mark.deep  # some ten seconds each, nearly all of it imports: tests/watching watches these loops in every run
@pytest.mark.parametrize(
    ("library", "line", "shown"),
    [
        ("torch", "with lrtheory.watch(", "0.weight  0.001"),
        ("lightning", "import lightning\n", "layer.weight  0.001"),
        ("transformers", "from transformers import", "transformer.wte.weight  "),
        ("keras", "import keras\n", "sequential/dense/kernel  "),
        ("optax", "import optax\n", "'effective_lr/w'"),
    ],
)
def test_watching_page_runs(library, line, shown, tmp_path):
    (block,) = [b for b in code("watching.md") if line in b]
    assert shown in a_run(block, tmp_path)


@pytest.mark.parametrize("page", ["changing.md", "optax.md", "port.md", "symmetries.md"])
def test_page_runs_and_prints_what_it_shows(page, capsys):
    """All of it; the first block of text is what the blocks up to it print."""
    names: dict = {}
    for block in code(page):
        exec(block, names)
    shown = re.findall(r"^```text\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)
    assert capsys.readouterr().out.startswith(shown[0])


@pytest.mark.deep  # tests/resume does the same in every run
def test_resume_page_runs(tmp_path):
    saved, judged, verified = code("resume.md")
    assert "count-does-not-fit-moments (proven): The count of 0.weight" in a_run(saved + judged, tmp_path)
    assert "scheduler makes the difference: with it put back, the runs are equal" in a_run(verified, tmp_path)


def test_layout_of_the_scale_page_runs():
    layout, _ = code("scale.md")
    checked = layout + (
        "\nassert sharding.collectives(program) == []"
        "\nassert params['w'].addressable_shards[0].data.shape == (256, 256)"
        "\nassert state.m['w'].sharding == params['w'].sharding"
        "\nassert program.memory_analysis().argument_size_in_bytes == 4 * 4 * (1024 * 512 + 512) // 8 + 2 * 4 + 5 * 4"
        "\nassert seen['w'].minimum > 0"
    )
    process = start(checked)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out


@pytest.mark.deep  # tests/sweep/test_devices.py joins two processes each time
def test_processes_of_the_scale_page_share_a_sweep(tmp_path):
    _, joined = code("scale.md")
    checked = joined + "\nassert found.values['final_loss'].shape == (1024,)\nassert jax.device_count() == 2"
    common = {"COORDINATOR": f"127.0.0.1:{free_port()}", "PROCESSES": "2", "SWEEP": str(tmp_path)}
    processes = [start(checked, RANK=rank, **common) for rank in "01"]
    try:
        for process in processes:
            out, _ = process.communicate(timeout=120)
            assert process.returncode == 0, out
    finally:
        for process in processes:
            process.kill()
    assert len(list(tmp_path.glob("*.npz"))) == 16
