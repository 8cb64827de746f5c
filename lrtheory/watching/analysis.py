"""From a record to figures: the rules and ``effective.measure`` on what was recorded. No formula of a rule is written here.

The state after a step is that which the rule itself makes of the state before it, so that also what a framework does not keep
(the lr that ASGD has just used, the size of Adafactor's parameter) is known.

A rule that works coordinate by coordinate is measured on the sampled coordinates, which are all of a small tensor. Any other
rule (Muon, Adafactor, LAMB, LARS) is measured where a whole tensor was recorded; of its larger tensors, and of optimizers that
are no rule of ours, only what can be read off a step is known.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import effective
from ..adopting import AdoptError, group_rule, kept_state
from ..compiling import quickly_compiled
from ..effective import Summary, Whole
from ..rules import Rule, SparseGradient
from ..wrappers import torch_factor
from .figures import Run, Watched
from .own_terms import FRAMEWORK, own_group, own_state
from .record import Clip, Entry, OptimizerRecord, Record, Step

#: How the state and the groups of each framework's record are read.
READERS = {"torch": (group_rule, kept_state), FRAMEWORK: (own_group, own_state)}
#: Tensors that are measured together, and steps that are held in memory.
TOGETHER, BLOCK = 1024, 64
#: As many are measured where there are fewer, then four times as many and so on: measuring is quick, compiling for one more
#: number of them is not.
FEW = 16
#: Steps after which a sum of weights has come to rest, where a run was taken up in the middle.
LONG = 100_000


@contextlib.contextmanager
def on_cpu() -> Iterator[None]:
    """Wide numbers, on the CPU."""
    with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
        yield


def analyse(record: Record) -> Run:
    """All figures of a record."""
    ended = record.end or {}
    notes = list(record.notes)
    watched = []
    for number, one in record.optimizers.items():
        figures = Figures(record.run["framework"], one)
        for i in range(0, len(one.steps), BLOCK):
            figures.take(one.steps[i : i + BLOCK])
        notes += figures.notes
        if not one.fields.get("fresh", True):
            name = one.fields["name"]
            notes.append(
                f"{name} had taken steps before: sums of weights that it keeps no count for are taken as at rest"
            )
        watched.append(figures.watched({name: of[str(number)] for name, of in ended.items() if isinstance(of, dict)}))
    if record.end is None:
        last = max((step.number for step in record.steps), default=None)
        seen = "no step was measured" if last is None else f"the last measured step is {last}"
        notes.append(f"the recording was not closed: {seen}, and what came after it is not known")
    covered = record.coverage or {}
    coverage = {name: covered.get(name, []) for name in ("outside", "twice")}
    return Run(record.out, watched, list(dict.fromkeys(notes)), coverage, record.end is not None)


@dataclass
class Job:
    """What is measured of one tensor in one step; ``carries`` if the next step needs state that only our rule keeps."""

    row: int
    tensor: int
    rule: Rule | None
    hyper: Any
    state: Any
    entry: Entry
    whole: Whole
    carries: bool = False

    @property
    def signature(self) -> Any:
        """Jobs of one signature are measured together."""
        arrays = jax.tree.leaves((self.state, self.entry.grad, self.entry.before))
        return self.rule, *((np.shape(a), np.asarray(a).dtype) for a in arrays)


class Figures:
    """Figures of one optimizer, step after step."""

    def __init__(self, framework: str, record: OptimizerRecord) -> None:
        self.record, self.notes = record, []
        self._group_rule, self._kept_state = READERS[framework]
        self._rows: list[dict[int, dict[str, Any]]] = []
        self._kept_rows: list[dict[int, np.ndarray]] = []
        self._steps: list[Step] = []
        self._rules: dict[int, str] = {}
        self._reasons: dict[int, str] = {}
        self._not_finite: dict[int, int] = {}
        self._read: dict[str, Any] = {}
        self._carried: dict[int, tuple[int, Any]] = {}

    def take(self, steps: list[Step]) -> list[dict[int, dict[str, Any]]]:
        """Figures of further steps, by tensor: a list like ``steps``."""
        jobs: dict[Any, list[Job]] = {}
        read = [step.entries for step in steps]
        self._rows = [{} for _ in steps]
        with on_cpu():
            for row, (step, entries) in enumerate(zip(steps, read, strict=True)):
                at_once: dict[Any, list[Job]] = {}
                for job in self._jobs(step, entries, row):
                    (at_once if job.carries else jobs).setdefault(job.signature, []).append(job)
                for alike in at_once.values():
                    self._measure(alike, step.number)
            for alike in jobs.values():
                for i in range(0, len(alike), TOGETHER):
                    self._measure(alike[i : i + TOGETHER])
            for step, entries, row in zip(steps, read, self._rows, strict=True):
                for tensor, figures in row.items():
                    entry = entries[tensor]
                    if entry.grad is not None and not np.isfinite(entry.after).all():  # a frozen one may be a mask
                        self._not_finite.setdefault(tensor, step.number)
                    figures["grad_norm"] = entry.grad_norm_of(_size(self.record.tensors[tensor]))
                    figures["clip_factor"] = _factor(step.clips, tensor, figures["clip_factor"])
        self._steps += steps
        self._kept_rows += [{t: np.hstack([*figures.values()]) for t, figures in row.items()} for row in self._rows]
        return self._rows

    def watched(self, ended: dict[str, Any] | None = None) -> Watched:
        """All figures so far, as arrays; ``ended`` is what the last line says of this optimizer."""
        ended = ended or {}
        tensors, steps = self.record.tensors, self._steps
        place = {number: i for i, number in enumerate(tensors)}
        levels = len(effective.QUANTILES)
        widths = {name: levels if name == "quantiles" else 1 for name in (*Summary._fields, "grad_norm")}
        together = np.full((len(steps), len(tensors), sum(widths.values())), np.nan)
        for row, found in enumerate(self._kept_rows):
            for tensor, values in found.items():
                together[row, place[tensor]] = values
        cut = np.split(together, np.cumsum([*widths.values()])[:-1], axis=2)
        figures = {n: part if widths[n] > 1 else part[..., 0] for n, part in zip(widths, cut, strict=True)}
        groups = {
            name: _ragged([[_number(group.get(name)) for group in step.groups] for step in steps])
            for name in ("lr", "weight_decay")
        }
        clips = [max(step.clips, key=_hard, default=Clip(np.nan, np.nan, None)) for step in steps]
        groups |= {name: _ragged([[getattr(clip, name)] for clip in clips]) for name in ("max_norm", "norm")}
        told = []
        for number, line in tensors.items():
            told.append({
                **{name: line[name] for name in ("name", "shape", "dtype", "group", "module")},
                "rule": self._rules.get(number, ""),
                "reason": line["missing"] or self._reasons.get(number, ""),
                "sampled": [line["count"], _size(line)],
                "not_finite": self._not_finite.get(number),
            })  # fmt: skip
        last = steps[-1] if steps else None
        taken = ended.get("steps", last.number + 1 if last else 0)
        skipped = ended.get("skipped", last.fields["skipped"] if last else 0)
        fields = self.record.fields
        return Watched(
            fields["name"], fields["class"], told, np.array([s.number for s in steps], int), figures, groups, taken,
            skipped + _skipped_inside(steps), _schedulers(steps, taken, ended.get("schedulers", [])),
        )  # fmt: skip

    def _jobs(self, step: Step, entries: dict[int, Entry], row: int) -> Iterator[Job]:
        if step.fields.get("found_inf"):
            return
        by_group: dict[int, dict[int, Entry]] = {}
        for tensor, entry in entries.items():
            if entry.grad is not None and entry.before.size:
                by_group.setdefault(self.record.tensors[tensor]["group"], {})[tensor] = entry
        for group, of_group in by_group.items():
            if group >= len(step.groups):
                continue
            rule, hyper, reason = self._rule(step.groups[group])
            lr = _number(step.groups[group].get("lr"))
            known: dict[int, tuple[Any, tuple[int, ...], tuple[str, ...]]] = {}
            if rule is not None:
                known = self._states(step, rule, hyper, of_group)
            for tensor, entry in of_group.items():
                whole = Whole(float(_size(self.record.tensors[tensor])), entry.param_norm)
                if tensor in known:
                    state, shape, unknown = known[tensor]
                    carries = needs(rule, unknown) or step.number == 0
                    if unknown and carries:
                        state = self._carry(step, tensor, state, unknown)
                    self._rules[tensor] = repr(rule)
                    parts = {n: getattr(entry, n).reshape(shape) for n in ("before", "after", "grad")}
                    yield Job(row, tensor, rule, hyper, state, replace(entry, **parts), whole, carries)
                else:
                    self._reasons.setdefault(tensor, reason)
                    yield Job(row, tensor, None, lr, (), entry, whole)

    def _carry(self, step: Step, tensor: int, state: Any, unknown: tuple[str, ...]) -> Any:
        """The state with slots that only our rule keeps, where the step before was measured too."""
        number, before = self._carried.get(tensor, (-1, None))
        if number == step.number - 1 and before is not None:
            return state._replace(**{slot: getattr(before, slot) for slot in unknown})
        if step.number or not self.record.fields.get("fresh", True):
            text = f"{self.record.fields['class']} keeps no {', '.join(unknown)}, on which the effective lr depends: it is known where "
            text += "every step is measured from the first (every=1)"
            self.notes += [] if text in self.notes else [text]
        return state

    def _rule(self, group: dict[str, Any]) -> tuple[Rule | None, Any, str]:
        """Rule and hyperparameters of a group, or why there are none; read once for each set of values."""
        reason = self.record.fields["reason"]
        if reason:
            return None, None, reason
        key = json.dumps(group, default=str)
        if key not in self._read:
            given = {name: tuple(value) if isinstance(value, list) else value for name, value in group.items()}
            self._read[key] = self._group_rule(self.record.fields["class"], given)
        found = self._read[key]
        return found.rule, found.hyper, found.reason

    def _states(
        self, step: Step, rule: Rule, hyper: Any, entries: dict[int, Entry]
    ) -> dict[int, tuple[Any, tuple[int, ...], tuple[str, ...]]]:
        """Our state of each tensor of a group that can be measured, the shape it is measured in, and slots not known."""
        steps = step.number + (0 if self.record.fields.get("fresh", True) else LONG)
        found: dict[int, tuple[Any, tuple[int, ...], tuple[str, ...]]] = {}
        floor = next(iter(entries.values())).before.dtype
        alike: dict[Any, list[int]] = {}
        for tensor, entry in entries.items():
            shape = tuple(self.record.tensors[tensor]["shape"])
            if not shape or not by_coordinates(rule):  # what is kept of a scalar has the shape of a count
                if int(np.prod(shape)) != entry.before.size:
                    self._reasons[tensor] = f"{rule!r} looks at whole tensors, and this one is larger than the sample"
                    continue
                like = entry.before.reshape(shape)
                kept = {k: np.reshape(v, shape) if np.size(v) == like.size else v for k, v in entry.state.items()}
                self._kept(found, [tensor], rule, hyper, kept, like, steps, floor)
                continue
            scalars = [(k, float(v)) for k, v in sorted(entry.state.items()) if _is_scalar(v, entry)]
            arrays = [(k, np.asarray(v).dtype) for k, v in sorted(entry.state.items()) if not _is_scalar(v, entry)]
            alike.setdefault((str(scalars), str(arrays), entry.before.dtype), []).append(tensor)
        for tensors in alike.values():
            first = entries[tensors[0]]
            kept = {
                key: value
                if _is_scalar(value, first)
                else np.concatenate([np.ravel(entries[t].state[key]) for t in tensors])
                for key, value in first.state.items()
            }
            like = np.concatenate([entries[t].before for t in tensors])
            self._kept(found, tensors, rule, hyper, kept, like, steps, None, [entries[t].before.size for t in tensors])
        return found

    def _kept(
        self, found: dict[int, Any], tensors: list[int], rule: Rule, hyper: Any, kept: Any, like: Any, steps: int,
        floor: Any, sizes: list[int] | None = None,
    ) -> None:  # fmt: skip
        try:
            state, unknown = self._kept_state(
                self.record.fields["class"], rule, hyper, kept, like, steps=steps, floor=floor
            )
        except AdoptError as error:
            self._reasons |= dict.fromkeys(tensors, str(error))
            return
        if sizes is None:
            found[tensors[0]] = state, like.shape, unknown
            return
        at = 0
        for tensor, size in zip(tensors, sizes, strict=True):
            cut = slice(at, at + size)
            parts = (None if v is None else (v[cut] if np.ndim(v) else v) for v in state)
            found[tensor] = type(state)(*parts), (size,), unknown
            at += size

    def _measure(self, jobs: list[Job], step: int = 0) -> None:
        rule, size = jobs[0].rule, FEW
        while size < len(jobs):
            size *= 4
        padded = jobs + [jobs[-1]] * (size - len(jobs))
        stack = lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves])  # noqa: E731
        given = [(j.hyper, j.state, j.entry.grad, j.entry.before, j.entry.after, j.whole) for j in padded]
        found, stepped = _measured(rule)(*jax.tree.map(stack, *given))
        found = type(found)(*(np.asarray(value, np.float64) for value in found))
        stepped = jax.tree.map(np.asarray, stepped)
        for i, job in enumerate(jobs):
            self._rows[job.row][job.tensor] = {name: value[i] for name, value in zip(found._fields, found, strict=True)}
            if job.carries:
                self._carried[job.tensor] = step, jax.tree.map(lambda x, i=i: x[i], stepped)


@functools.cache
def by_coordinates(rule: Rule) -> bool:
    """Whether a sample of coordinates is moved as it would be among all."""
    with on_cpu():
        return rule.array_rule.sparse or rule.is_elementwise


@functools.cache
def needs(rule: Rule, unknown: tuple[str, ...]) -> bool:
    """Whether the effective lr after a step depends on these slots before it: as one sees by nan in their place."""
    if not unknown:
        return False
    with on_cpu():
        p = jnp.ones(rule.facts.shape)
        state = rule.array_rule.init(p)
        state = state._replace(**{s: jnp.full_like(getattr(state, s), jnp.nan) for s in unknown if s != "t"})
        g, still = p.at[..., 0].set(0), {"w": p}
        g = SparseGradient.from_dense(g) if rule.array_rule.sparse else g
        state = type(state)(*(None if value is None else {"w": value} for value in state))
        _, state = rule.step(_some_hyper(rule), still, state, {"w": g})
        return bool(jnp.isnan(rule.effective_lr(_some_hyper(rule), state)["w"]).any())


def _some_hyper(rule: Rule) -> Any:
    return rule.hyper(**({"momentum": 0.5} if "momentum" in rule.Hyper._fields else {}))


@functools.cache
def _measured(rule: Rule | None) -> Any:
    """One program for many tensors: a step and ``effective.measure`` of it, under ``vmap``."""

    def one(hyper: Any, state: Any, grad: Any, before: Any, after: Any, whole: Whole) -> tuple[Summary, Any]:
        of = {"w": whole}
        if rule is None:
            return effective.realised(hyper, {"w": grad}, {"w": before}, {"w": after}, whole=of)["w"], None
        if rule.array_rule.sparse:
            grad = SparseGradient.from_dense(grad)
        states = type(state)(*(None if value is None else {"w": value} for value in state))
        _, stepped = rule.step(hyper, {"w": before}, states, {"w": grad})
        summary = effective.measure(rule, hyper, stepped, {"w": grad}, {"w": before}, {"w": after}, whole=of)["w"]
        return summary, type(state)(*(None if value is None else value["w"] for value in stepped))

    return quickly_compiled()(jax.vmap(one))


def _size(tensor: dict[str, Any]) -> int:
    return int(np.prod(tensor["shape"]))


def _is_scalar(value: Any, entry: Entry) -> bool:
    return np.ndim(value) == 0 or (np.size(value) == 1 and entry.before.size != 1)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _ragged(rows: list[list[float]]) -> np.ndarray:
    width = max(map(len, rows), default=1)
    return np.array([row + [np.nan] * (width - len(row)) for row in rows], float).reshape(len(rows), width)


def _hard(clip: Clip) -> float:
    """How hard a clip clips."""
    return clip.norm / clip.max_norm if clip.max_norm else np.inf


def _factor(clips: list[Clip], tensor: int, own: float) -> float:
    """What clipping multiplied a tensor's gradient by, all clips together."""
    for clip in clips:
        if clip.tensors is None or tensor in clip.tensors:
            own = (1.0 if np.isnan(own) else own) * float(torch_factor(clip.max_norm, clip.norm))
    return own


def _skipped_inside(steps: list[Step]) -> int:
    """Steps that a fused optimizer was called for and left out, as its own count of steps tells."""
    counts = [
        (step.number, max(float(np.max(entry.state.get("step", 0))) for entry in step.entries.values()))
        for step in steps
        if "found_inf" in step.fields
    ]
    if not counts:
        return 0
    (first, before), (last, after) = counts[0], counts[-1]
    return max(0, round(last - first - (after - before))) + (steps[-1].fields.get("found_inf", 0) > 0)


def _schedulers(steps: list[Step], taken: int, ended: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[tuple[int, str], dict[str, Any]] = {}
    seen = [(step.number, step.fields.get("schedulers", [])) for step in steps] + [(taken, ended)]
    for at, lines in seen:
        for i, line in enumerate(lines):
            one = found.setdefault((i, line["kind"]), {**line, "at": [], "steps": []})
            if line["steps"] is not None:
                one["at"].append(at)
                one["steps"].append(line["steps"])
    return [{**one, "at": np.array(one["at"], float), "steps": np.array(one["steps"], float)} for one in found.values()]
