"""Cores are counted by what a process is bound to and by the quota of its container, of either version of control groups."""

from __future__ import annotations

import pytest

from lrtheory import machine


def made(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "5000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1600000 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "200000 100000\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/of/the/host\n", "sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
        ({"proc/self/cgroup": "9:cpu,cpuacct:/job\n2:memory:/job\n", "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "250000\n", "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n"}, 3),
        ({"proc/self/cgroup": "9:cpu:/host\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "rubbish"}, 8),
    ],
    ids=["no groups", "quota", "one and a half", "a twentieth", "none set", "more than bound", "of a parent", "host path", "first version", "no quota of the first", "unreadable"],
)  # fmt: skip
def test_quota(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr(machine, "_bound", lambda: 8)
    assert machine.cores(made(tmp_path, files)) == expected


def test_affinity_counts(monkeypatch):
    """By either of the functions that Python has."""
    monkeypatch.setattr(machine.os, "process_cpu_count", lambda: 3, raising=False)
    assert machine._bound() == 3
    monkeypatch.delattr(machine.os, "process_cpu_count")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: {0, 5}, raising=False)
    assert machine._bound() == 2
    assert 1 <= machine.cores() <= 2
