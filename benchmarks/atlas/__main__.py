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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lrtheory.outputs import replace_all

from .conformance import conformance
from .entry import SCHEMA, UNRESUMED, UNSAVED, entry
from .page import LATE
from .targets import NOT_LISTED, PARTS, ROOT, Subject, distributions, look_up, parts, pinned, targets, version_of

KEPT, CHECKED = ROOT / ".atlas" / "results", ROOT / ".atlas" / "checked"
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
    parser.add_argument(
        "--again",
        default="",
        metavar="STATUS",
        help="read those anew: unknown,refused …, or all; those with another verdict now: changed; checks are made anew with: checks",
    )
    parser.add_argument(
        "--only", choices=("units", "checks"), help="units and their verdict, or checks; both by default"
    )
    parser.add_argument("--time-limit", type=float, default=150.0, help="seconds of a processor for one target")
    parser.add_argument(
        "--for", dest="budget", type=float, default=float("inf"), help="seconds, after which no target is begun"
    )
    arguments = parser.parse_args()
    for kept in (KEPT, CHECKED):
        kept.mkdir(parents=True, exist_ok=True)
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
    checked = {path.stem: json.loads(path.read_text()) for path in CHECKED.glob("*.json")}
    there = [
        _with_checks(e, found["conformance"])
        if (found := checked.get(e["name"])) and found["version"] == e["version"]
        else e
        for e in there
    ]
    why, of_optax = reasons(), parts()
    there = [{**e, "part": True} if e["name"] in of_optax else e for e in there if e["name"] not in NOT_LISTED]
    there = [{**e, "why": why[e["name"]]} if e["name"] in why and e["status"] == "broken" else e for e in there]
    return sorted(there, key=lambda e: (e["name"].lower(), e["name"]))


def _with_checks(entry: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """An oddity of the state that a check tells is told once."""
    told = {"resume", "state-dict"} & set(found.get("failed", ()))
    odd = [words for words in entry.get("odd", ()) if not (told and words.startswith((UNRESUMED, UNSAVED)))]
    return {**entry, **({"odd": odd} if "odd" in entry else {}), "conformance": found}


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
    limit, version = arguments.time_limit, version_of(name)
    for target, subject in found.items():
        if wanted and name not in wanted and not any(fnmatch.fnmatch(target, pattern) for pattern in wanted):
            continue
        about = {"name": target, "distribution": name, "version": version}
        again = set(arguments.again.split(","))
        for folder, make, instead in _jobs(about, subject, limit):
            path = folder / f"{target}.json"
            before = json.loads(path.read_text()) if path.exists() else {}
            anew = ({"all", "checks"} if folder is CHECKED else {"all", "changed", before.get("status")}) & again
            passed_over = folder is {"units": CHECKED, "checks": KEPT}.get(arguments.only)
            if passed_over or (before.get("version") == version and not anew) or time.monotonic() > ends:
                continue
            start = time.monotonic()
            known = before if "changed" in again and before.get("version") == version else None
            made = _made(path, lambda make=make, known=known: make(known), instead, limit)
            print(f"{time.monotonic() - start:5.0f} s  {target}: {_short(made)}", flush=True)


def _jobs(
    about: dict[str, Any], subject: Subject, limit: float
) -> Iterator[tuple[Path, Callable[[Any], Any], Callable[[str], Any]]]:
    """What is made of an optimizer: the folder of it, what makes it, and what stands there if that does not end by itself.

    What makes it takes what was made before, where that is to stand if the verdict is the same.
    """
    yield (
        KEPT,
        lambda before: entry(**about, infer=subject.infer, seconds=limit / 4, before=before),
        lambda why: {**about, "status": "refused", "reason": why},
    )
    yield (
        CHECKED,
        lambda _: {**about, "conformance": conformance(subject, limit / 4)},
        lambda why: {**about, "conformance": {"cannot": why}},
    )


def _made(path: Path, make: Callable[[], Any], instead: Callable[[str], Any], limit: float) -> dict[str, Any]:
    """Make the file in a process of its own, and what stands in its place where that ends before it is made."""

    def job() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), math.ceil(limit)))
        _silence()
        replace_all({path: json.dumps(make())})

    path.unlink(missing_ok=True)
    how = _apart(job, 40 * limit)  # others may be busy
    if not path.exists():
        late = how is None or how in (-signal.SIGXCPU, -signal.SIGKILL)
        replace_all({path: json.dumps(instead(f"{LATE} {limit:g} s" if late else f"its process ended with {how}"))})
    return json.loads(path.read_text())


def _short(made: dict[str, Any]) -> str:
    """For the terminal."""
    if "conformance" not in made:
        return f"{made['status']}, {made.get('numbers', {}).get('says', '')} {made.get('reason', '')[:150]}"
    found = made["conformance"]
    failed = ", ".join(found.get("failed", ()))
    return found.get("cannot") or f"{found['passed']} checks passed{failed and '; failed: '}{failed}"


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
