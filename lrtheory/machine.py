"""How many cores this process may use: those it is bound to, and no more than a container's quota of processor time."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath


def cores(root: Path = Path("/")) -> int:
    """Cores of this process, at least 1; half a core of a quota counts as one.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are.
    """
    quotas = [quota for quota in _quotas(root) if quota > 0]
    return max(1, min([_bound(), *(math.ceil(quota) for quota in quotas)]))


def _bound() -> int:
    """What the operating system lets it run on."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1  # type: ignore
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> list[float]:
    """Processor time over wall time that each control group around this process allows; of both versions of the files."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found, mounted = [], root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        own = PurePosixPath(path.lstrip("/"))
        # Inside a container the path may be that of the host, which is not mounted: the mount itself is then the group.
        for group in (own, *own.parents):
            if not controllers:
                found.append(_ratio(mounted / group / "cpu.max"))
            elif "cpu" in controllers.split(","):
                for name in (controllers, "cpu"):
                    found.append(_ratio(*(mounted / name / group / f"cpu.cfs_{f}_us" for f in ("quota", "period"))))
    return found


def _ratio(*files: Path) -> float:
    """Quota over period, of one file or of two; 0 where there is none."""
    try:
        quota, period = (word for file in files for word in file.read_text().split())
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # absent, or "max"
        return 0.0
