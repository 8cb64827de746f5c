"""Many devices in one process, and two processes joined: the bits of one device."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrtheory.sweep.store import Store

from .devices import many
from .regression import bits, whole

HERE = Path(__file__).parent


NEED_NORMS_OR_MATRICES = {"adafactor", "lamb", "lars", "muon"}
"""Rules whose step must communicate; every other moves each coordinate by itself."""


def start(devices: int, *arguments: object) -> subprocess.Popen[str]:
    """The script :mod:`.devices` in a process that sees that many devices."""
    env = os.environ | {
        "PYTHONPATH": f"{HERE.parents[1]}",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    command = [sys.executable, "-m", "tests.sweep.devices", *map(str, arguments)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def killed_at_the_end(*processes: subprocess.Popen[str]) -> Iterator[tuple[subprocess.Popen[str], ...]]:
    """A process that hangs, or whose partner failed, does not outlive its test."""
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def result(process: subprocess.Popen[str]) -> dict:
    """What it printed."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def alone() -> dict[str, str]:
    return bits(whole())


def test_eight_devices_give_the_bits_of_one(alone):
    with killed_at_the_end(start(8, "eight")) as (process,):
        found = result(process)
    assert found["devices"] == 8
    assert found["bits"] == alone
    assert found["sent"] == [[]], "tiles send something"
    assert found["bits of a mesh of two axes"] == alone
    assert {name for name, operations in found["communicated"].items() if operations} == NEED_NORMS_OR_MATRICES
    assert found["refused"] == [
        "the mesh has 8 devices, which do not divide the 2 tiles of 8 that the 13 runs make (adam(), all rows): "
        "6 would idle in the last of 1 calls; 3 more runs, or 5 fewer, can be divided",
        "the mesh has 8 devices, which do not divide the 3 tiles of 8 that the 24 runs make (adam(), all rows): "
        "5 would idle in the last of 1 calls; width=3 makes 8 tiles (the width is part of a sweep's definition)",
    ]
    assert found["bits of three a tile"] == bits(many(24, width=3))


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return tried.getsockname()[1]


def test_two_joined_processes_give_the_bits_of_one(alone, tmp_path):
    """Each has two devices and gets the whole result; what is stored by one resumes on all."""
    port = free_port()
    held = Store(tmp_path / "held").held()
    with held, killed_at_the_end(*(start(2, "joined", port, rank, tmp_path) for rank in (0, 1))) as processes:
        for found in map(result, processes):
            assert (found["processes"], found["devices"]) == (2, 4)
            assert found["bits"] == alone
            assert found["again"] == alone
            assert f"held is being written to by process {os.getpid()}" in found["refused"]
    assert bits(whole(directory=tmp_path)) == alone  # and on one device
