"""Two sweeps never write to one directory at once; a killed one leaves it free."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrtheory import rules, sweep
from lrtheory.sweep import definition
from lrtheory.sweep.store import Store

from .regression import DATA, init, loss
from .test_resume import ROOT

HOLD = """
import sys
from lrtheory.sweep.store import Store
with Store(sys.argv[1]).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def small(directory):
    axes = sweep.grid(rule=rules.sgd(), lr=[0.1, 0.2])
    return sweep.run(loss, init(0), DATA, axes, steps=2, directory=directory)


def test_a_directory_in_use_is_refused_until_its_process_is_killed(tmp_path):
    env = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            with pytest.raises(sweep.DirectoryInUse, match=f"written to by process {other.pid}: wait until it ends"):
                small(tmp_path)
            assert not list(tmp_path.glob("*.npz")), "a refused sweep has written"
        finally:
            other.kill()  # SIGKILL
            other.wait()
    small(tmp_path)
    assert list(tmp_path.glob("*.npz"))


def test_a_sweep_that_fails_leaves_its_directory_free(tmp_path):
    with pytest.raises(ZeroDivisionError), Store(tmp_path).held():
        raise ZeroDivisionError
    small(tmp_path)


def test_a_thread_of_the_same_process_is_another_sweep(tmp_path):
    with Store(tmp_path).held(), pytest.raises(sweep.DirectoryInUse, match=f"by process {os.getpid()}"):
        small(tmp_path)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_whole_sweep_is_read_where_nothing_can_be_written(tmp_path, monkeypatch, number):
    found = small(tmp_path).values["final_loss"]
    (tmp_path / ".lock").unlink()

    opened = Path.open

    def refused(path, mode="r", *rest, **more):
        if mode == "a+":
            raise OSError(number, os.strerror(number))
        return opened(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", refused)
    assert (small(tmp_path).values["final_loss"] == found).all()
    with pytest.raises(OSError, match=os.strerror(number)):
        small(tmp_path / "other")


def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    small(tmp_path)
    assert list(tmp_path.glob("*.npz"))


class Device:
    def __init__(self, platform, device_kind):
        self.platform, self.device_kind = platform, device_kind


def test_device_is_told_by_its_model():
    assert definition.device_in_words(Device("gpu", "NVIDIA H100 80GB HBM3")) == "NVIDIA H100 80GB HBM3 (gpu)"
    words = definition.device_in_words(Device("cpu", "cpu"))
    assert words.endswith(" (cpu)")
    assert words.count("cpu") == 1
    assert len(words) > len(" (cpu)")
