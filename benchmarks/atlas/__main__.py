"""Make docs/atlas/atlas.json: ``python -m benchmarks.atlas [NAME]...``, where what was read before is not read again."""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lrtheory.outputs import replace_all

from .entry import SCHEMA, entry
from .targets import NOT_LISTED, PARTS, ROOT, distributions, look_up, parts, pinned, targets, version_of

KEPT = ROOT / ".atlas" / "results"
JSON = ROOT / "docs" / "atlas" / "atlas.json"
WHY = Path(__file__).with_name("why.toml")
_FORK = multiprocessing.get_context(
    "fork"
)  # libraries are imported once a package, and each target has its own process


def main() -> int:
    """Read what is asked for, gather what was read, print counts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.atlas", description="Read and judge public optimizers.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="distributions, or targets with * in them; all by default"
    )
    parser.add_argument("--again", default="", metavar="STATUS", help="read those anew: unknown,refused …, or all")
    parser.add_argument("--time-limit", type=float, default=150.0, help="seconds of a processor for one target")
    parser.add_argument(
        "--for", dest="budget", type=float, default=float("inf"), help="seconds, after which no target is begun"
    )
    arguments = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    look_up()
    ends = time.monotonic() + arguments.budget
    for name in distributions():
        wanted = [n for n in arguments.names if n == name or "*" in n or n.startswith(name.replace("-", "_"))]
        if (wanted or not arguments.names) and time.monotonic() < ends:
            _apart(lambda name=name, wanted=wanted: _package(name, wanted, arguments, ends), None)
    entries = gather()
    JSON.parent.mkdir(exist_ok=True)
    replace_all({JSON: written(entries)})
    whole = [e for e in entries if "part" not in e]
    counts = sorted(Counter(e["status"] for e in whole).items())
    print(*counts, f"{len(whole)} optimizers, {len(entries) - len(whole)} parts of optimizers", sep="\n")
    disagree = [e["name"] for e in entries if e.get("numbers", {}).get("says") == "disagrees"]
    print(*(f"numbers disagree: {name}" for name in disagree), sep="\n")
    return 1 if disagree else 0


def written(entries: list[dict[str, Any]]) -> str:
    """The whole file, one optimizer a line."""
    versions = {n: version_of(n) for n in ("optax", "torch", "transformers")} | pinned()
    head = json.dumps(
        {"schema": SCHEMA, "versions": versions, "parts": PARTS, "not_listed": NOT_LISTED}, ensure_ascii=False
    )
    rows = ",\n".join(json.dumps(e, ensure_ascii=False) for e in entries)
    return f'{head[:-1]}, "optimizers": [\n{rows}\n]}}\n'


def gather() -> list[dict[str, Any]]:
    """What was read of the versions that are pinned, in order."""
    kept = [json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))]
    versions = {name: version_of(name) for name in distributions()}
    there = [e for e in kept if versions.get(e["distribution"]) == e["version"]]
    why, of_optax = reasons(), parts()
    there = [{**e, "part": True} if e["name"] in of_optax else e for e in there if e["name"] not in NOT_LISTED]
    there = [{**e, "why": why[e["name"]]} if e["name"] in why and e["status"] == "broken" else e for e in there]
    return sorted(there, key=lambda e: (e["name"].lower(), e["name"]))


def reasons() -> dict[str, dict[str, str]]:
    """By optimizer, why it breaks and the smallest mend, written by hand."""
    causes = tomllib.loads(WHY.read_text(encoding="utf-8"))["cause"]
    return {name: {"why": cause["why"], "mend": cause["mend"]} for cause in causes for name in cause["names"]}


def _package(name: str, wanted: list[str], arguments: argparse.Namespace, ends: float) -> None:
    import torch

    torch.set_num_threads(1)
    try:
        found = targets(name)
    except Exception as error:
        print(f"{name}: cannot be imported: {type(error).__name__}: {error}"[:200], flush=True)
        return
    limit = arguments.time_limit
    for target, infer in found.items():
        if wanted and name not in wanted and not any(fnmatch.fnmatch(target, pattern) for pattern in wanted):
            continue
        path = KEPT / f"{target}.json"
        before = json.loads(path.read_text()) if path.exists() else None
        again = {"all", (before or {}).get("status")} & set(arguments.again.split(","))
        if (before and before["version"] == version_of(name) and not again) or time.monotonic() > ends:
            continue
        start = time.monotonic()

        def read(target: str = target, infer: Any = infer, path: Path = path) -> None:
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), math.ceil(limit)))
            _silence()
            replace_all({path: json.dumps(entry(target, name, version_of(name), infer, limit / 4))})

        path.unlink(missing_ok=True)
        how = _apart(read, 40 * limit)  # others may be busy
        if not path.exists():
            late = how is None or how in (-signal.SIGXCPU, -signal.SIGKILL)
            reason = f"not read within {limit:g} s" if late else f"its process ended with {how}"
            made = {
                "name": target,
                "distribution": name,
                "version": version_of(name),
                "status": "refused",
                "reason": reason,
            }
            replace_all({path: json.dumps(made)})
        made = json.loads(path.read_text())
        says = made.get("numbers", {}).get("says", "")
        print(
            f"{time.monotonic() - start:5.0f} s  {target}: {made['status']}, {says} {made.get('reason', '')[:150]}",
            flush=True,
        )


def _silence() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)


def _apart(job: Callable[[], None], limit: float | None) -> int | None:
    """Run it in a process of its own; how that ended, ``None`` where it was stopped."""
    process = _FORK.Process(target=job)
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        return None
    return process.exitcode


if __name__ == "__main__":
    sys.exit(main())
