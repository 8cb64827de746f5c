"""The record of a watched run on disk: what any recorder writes, and what the analysis reads.

A directory with two files, to which each measured step is appended, so that what was written stays readable after a crash.
``samples.bin`` holds the numbers, one block of bytes a step. ``record.jsonl`` says what they are, one JSON object a line:

``run``
    First line: ``schema`` (:data:`SCHEMA`), ``version`` of lrtheory, ``framework``, ``every``, ``sample``, ``seed``.
``optimizer``
    ``optimizer``: its number; ``name``; ``class``, such as ``AdamW``; ``reason``: why it is not taken for that class of its
    framework, else ""; ``fresh``: whether it had no state yet.
``tensor``
    ``optimizer``, ``tensor``: its number there; ``name``, ``shape``, ``dtype``, ``group``; ``count``: how many coordinates are
    recorded, all of them in order where that is its size; ``module``: class of the module it belongs to, or "";
    ``missing``: why nothing is recorded of it, or "". A later line of the same number takes its place.
``layout``
    ``layout``: its number; ``entries``: ``[tensor, what, dtype, shape]`` in the order of their bytes. ``what`` is ``before``,
    ``after`` (the parameter's coordinates), ``grad``, ``param_norm``, ``grad_norm`` (exact, or not there), ``state/NAME`` before the
    step in the framework's own names, ``group/NAME`` with a group's number in place of the tensor, ``clip/N`` for the norm that clip N saw, and
    ``found_inf``. bfloat16 goes by its bits.
``step``
    ``optimizer``; ``step``: from 0; ``time``: seconds since the start; ``layout``; ``at``, ``bytes``: its block; ``groups``:
    hyperparameters of each group; ``clips``: ``max_norm`` and ``tensors`` (``null``: all) of each clip before it;
    ``skipped``: steps so far that a gradient scaler left out; ``schedulers``: ``kind``, ``steps``, ``planned`` of each;
    ``numbers``: state that is a number, by tensor and name. Scalars of a group that are ``null`` stand in the block.
``note``
    ``text``: something the reader should know.
``coverage``
    ``outside``: parameters of the model that no optimizer has; ``twice``: those that several have.
``end``
    Last line of a run that was closed: ``steps``, ``skipped`` and ``schedulers`` of each optimizer, ``seconds``.

Unknown lines and fields are left alone: a reader of this schema reads what later versions add to it.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

SCHEMA = 1
LINES, SAMPLES = "record.jsonl", "samples.bin"
DTYPES = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn)}


class RecordWarning(UserWarning):
    """Recording stopped or is incomplete, and training goes on."""


class Writer:
    """Appends to a record; stops with a warning, once, when the disk does.

    Parameters
    ----------
    out : path
        A directory; if it has a record already, the next free ``out-2``, ``out-3``, … is taken.
    framework : str
        Whose names of state and hyperparameters the record has.
    facts
        Further fields of the first line.
    """

    def __init__(self, out: str | Path, framework: str, **facts: Any) -> None:
        from importlib.metadata import version

        self.out = _made(Path(out))
        self.stopped = ""
        self._lock, self._start, self._at, self._layouts = threading.Lock(), time.monotonic(), 0, dict[str, int]()
        self._lines = open(self.out / LINES, "ab", buffering=0)  # noqa: SIM115
        self._samples = open(self.out / SAMPLES, "ab", buffering=0)  # noqa: SIM115
        self.line("run", schema=SCHEMA, version=version("lrtheory"), framework=framework, **facts)

    def line(self, kind: str, **fields: Any) -> None:
        """Append one line."""
        with self._lock:
            self._append(kind, fields)

    def step(self, entries: Sequence[Sequence[Any]], block: bytes, **fields: Any) -> None:
        """Append one measured step: its bytes first, so that a line never speaks of bytes that are not there."""
        key = json.dumps(entries)
        with self._lock:
            if key not in self._layouts:
                self._layouts[key] = len(self._layouts)
                self._append("layout", {"layout": self._layouts[key], "entries": entries})
            self._bytes(self._samples, block)
            place = {"layout": self._layouts[key], "at": self._at, "bytes": len(block)}
            self._at += len(block)
            self._append("step", {**fields, "time": round(time.monotonic() - self._start, 3), **place})

    def close(self, **fields: Any) -> None:
        """Append the last line."""
        self.line("end", seconds=round(time.monotonic() - self._start, 3), **fields)
        with self._lock:
            self.stopped = self.stopped or "closed"
            self._lines.close()
            self._samples.close()

    def _append(self, kind: str, fields: Mapping[str, Any]) -> None:
        text = json.dumps({"kind": kind, **fields}, ensure_ascii=False, default=str)
        self._bytes(self._lines, text.encode() + b"\n")

    def _bytes(self, file: Any, data: bytes) -> None:
        if self.stopped:
            return
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(file.fileno(), left) :]
        except OSError as error:
            self.stopped = error.strerror or str(error)
            text = (
                f"recording to {self.out} stopped ({self.stopped}); training goes on, and what was recorded is readable"
            )
            warnings.warn(text, RecordWarning, stacklevel=2)


def _made(out: Path) -> Path:
    place, number = out, 1
    while (place / LINES).exists():
        number += 1
        place = out.with_name(f"{out.name}-{number}")
    place.mkdir(parents=True, exist_ok=True)
    return place


class Clip(NamedTuple):
    """One clipping of gradients before a step."""

    max_norm: float
    norm: float
    tensors: Sequence[int] | None


@dataclass
class Entry:
    """What was recorded of one tensor in one step, as flat arrays; ``None`` or nan for what was not there."""

    before: np.ndarray
    after: np.ndarray
    grad: np.ndarray | None = None
    state: dict[str, Any] = field(default_factory=dict)
    param_norm: float = np.nan
    grad_norm: float = np.nan

    def grad_norm_of(self, size: int) -> float:
        """The gradient's norm in a tensor of so many entries: as recorded, or else from the sample; nan where that is all 0."""
        if not np.isnan(self.grad_norm) or self.grad is None or not self.grad.size:
            return self.grad_norm
        sampled = float(np.linalg.norm(self.grad.astype(np.float64)))
        return sampled * np.sqrt(size / self.grad.size) if sampled else np.nan


@dataclass
class Step:
    """One measured step of one optimizer; ``fields`` are those of its line. What was recorded is read when it is asked for."""

    optimizer: int
    number: int
    groups: list[dict[str, Any]]
    clips: list[Clip]
    fields: dict[str, Any]
    read: Callable[[], dict[int, Entry]]

    @property
    def entries(self) -> dict[int, Entry]:
        """What was recorded of each tensor."""
        return self.read()


@dataclass
class OptimizerRecord:
    """One optimizer of a record: the fields of its line, its tensors, and its measured steps."""

    fields: dict[str, Any]
    tensors: dict[int, dict[str, Any]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


class Record:
    """A record read from disk; ``follow`` reads what was appended since.

    Attributes
    ----------
    run : dict
        The first line.
    optimizers : dict of int to OptimizerRecord
    notes : list of str
    coverage : dict or None
    end : dict or None
        The last line, of a run that was closed.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self.run: dict[str, Any] = {}
        self.optimizers: dict[int, OptimizerRecord] = {}
        self.notes: list[str] = []
        self.coverage: dict[str, Any] | None = None
        self.end: dict[str, Any] | None = None
        self._layouts: dict[int, Layout] = {}
        self._read = 0
        if not (self.out / LINES).is_file():
            raise FileNotFoundError(f"{self.out} has no {LINES}: give the directory that a watched run wrote to")
        self.follow()

    def follow(self) -> list[Step]:
        """Steps appended since the last call; a line or a block that is cut short is left for later."""
        with open(self.out / LINES, "rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        found: list[Step] = []
        samples = _mapped(self.out / SAMPLES)
        for text in whole.splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # a disk that was full in the middle of a line
                continue
            step = self._take(line, samples)
            if step is not None:
                found.append(step)
        return found

    @property
    def steps(self) -> Iterator[Step]:
        """Measured steps of all optimizers."""
        for one in self.optimizers.values():
            yield from one.steps

    def _take(self, line: dict[str, Any], samples: memoryview) -> Step | None:
        kind = line.get("kind")
        if kind == "run":
            if line["schema"] > SCHEMA:
                raise ValueError(
                    f"{self.out} has schema {line['schema']}; this lrtheory reads up to {SCHEMA}: update it"
                )
            self.run = line
        elif kind == "optimizer":
            self.optimizers[line["optimizer"]] = OptimizerRecord(line)
        elif kind == "tensor":
            self.optimizers[line["optimizer"]].tensors[line["tensor"]] = line
        elif kind == "layout":
            self._layouts[line["layout"]] = _placed(line["entries"])
        elif kind == "note":
            self.notes.append(line["text"])
        elif kind == "coverage":
            self.coverage = line
        elif kind == "end":
            self.end = line
        elif kind == "step" and line["layout"] in self._layouts:
            block = samples[line["at"] : line["at"] + line["bytes"]]
            if len(block) == line["bytes"]:
                step = self._step(line, block)
                self.optimizers[line["optimizer"]].steps.append(step)
                return step
        return None

    def _step(self, line: dict[str, Any], block: memoryview) -> Step:
        layout, tensors = self._layouts[line["layout"]], self.optimizers[line["optimizer"]].tensors
        groups, norms = line["groups"], dict[int, float]()
        for tensor, what, dtype, shape, at in layout:
            part, _, name = what.partition("/")
            if part not in ("group", "clip", "found_inf"):
                continue
            value = _value(block, dtype, shape, at).item()
            if part == "group":
                groups[tensor][name] = value
            elif part == "clip":
                norms[int(name)] = value
            else:
                line["found_inf"] = value
        clips = [
            Clip(clip["max_norm"], norms.get(i, np.nan), clip["tensors"])
            for i, clip in enumerate(line.get("clips", []))
        ]

        def read() -> dict[int, Entry]:
            return _entries(
                layout, block, {i: tensors[i]["dtype"] for i, *_ in layout if i in tensors}, line.get("numbers", {})
            )

        return Step(line["optimizer"], line["step"], groups, clips, line, read)


Layout = list[tuple[Any, str, np.dtype, tuple[int, ...], int]]


def _entries(
    layout: Layout, block: memoryview, dtypes: Mapping[int, str], numbers: Mapping[str, Any]
) -> dict[int, Entry]:
    entries: dict[int, Entry] = {}
    for tensor, what, dtype, shape, at in layout:
        part, _, name = what.partition("/")
        if part in ("group", "clip", "found_inf"):
            continue
        value = _value(block, dtype, shape, at)
        entry = entries.setdefault(tensor, Entry(np.zeros(0), np.zeros(0)))
        if part == "state":
            entry.state[name] = value
        else:
            setattr(entry, part, value.item() if part.endswith("norm") else value)
    for tensor, found in numbers.items():
        entries[int(tensor)].state.update(found)
    for tensor, entry in entries.items():
        own = _dtype(dtypes[tensor])
        entry.before, entry.after = entry.before.astype(own, copy=False), entry.after.astype(own, copy=False)
    return entries


def _value(block: memoryview, dtype: np.dtype, shape: tuple[int, ...], at: int) -> np.ndarray:
    return np.frombuffer(block, dtype, math.prod(shape), at).reshape(shape)


def _dtype(name: str) -> np.dtype:
    return DTYPES.get(name) or np.dtype(name)


def _mapped(path: Path) -> memoryview:
    """A file's bytes, of which only those that are looked at are held in memory."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _placed(entries: Sequence[Sequence[Any]]) -> Layout:
    placed, at = [], 0
    for tensor, what, name, shape in entries:
        dtype = _dtype(name)
        placed.append((tensor, what, dtype, tuple(shape), at))
        at += dtype.itemsize * math.prod(shape)
    return placed
