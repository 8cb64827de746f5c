"""Two processes over loopback: what is watched of replicated and of sharded parameters is that of one process with all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lrtheory.watching import Record
from lrtheory.watching.analysis import analyse

from .distributed import train

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed")


def launched(kind: str, out: Path) -> Any:
    out.mkdir(exist_ok=True)
    script = str(Path(__file__).with_name("distributed.py"))
    processes = [
        subprocess.Popen([sys.executable, script, kind, str(rank), str(out)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    said = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert [path.name for path in out.iterdir() if path.is_dir()] == [kind], "the first process alone writes"
    return analyse(Record(out / kind))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: Any) -> Any:
    out = train("alone", 0, str(tmp_path_factory.mktemp("alone")))
    assert out is not None
    return analyse(Record(out))


@pytest.mark.parametrize("kind", [pytest.param("replicated", marks=pytest.mark.deep), "sharded"])
def test_several_processes_are_watched_as_one(kind: str, alone: Any, tmp_path: Any) -> None:
    run = launched(kind, tmp_path)
    (expected,), (found,) = alone.optimizers, run.optimizers
    assert run.notes == alone.notes
    assert found.steps.tolist() == [0, 2, 4]
    assert [t["name"] for t in found.tensors] == [t["name"] for t in expected.tensors] == [
        "0.weight", "0.bias", "2.weight", "2.bias",
    ]  # fmt: skip
    assert [t["sampled"] for t in found.tensors] == [t["sampled"] for t in expected.tensors]
    for name in expected.figures:
        # The mean of two halves' gradients is rounded otherwise than that of the whole: some ulp of float32 a step.
        np.testing.assert_allclose(found.figures[name], expected.figures[name], rtol=2e-3, atol=1e-6, err_msg=name)
