"""Units of a PyTorch optimizer, from running its own unmodified code on numbers that carry units."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ...units import PARAM, Units
from .._kernel.equations import Demand, Location, UnknownOperationError
from .._kernel.expression import Expression
from .._kernel.ledger import HYPER, LEARNING_RATE, STATE, Ledger
from .._kernel.solver import Solver
from .._kernel.value import PURE_VALUE, Value, number
from .._verdict import FAR, SCALES, SIZES, Walked, diagnose, dimensions, disagreement, settled, trials
from ..dimensions import NOT_READ_HERE, UNREAD, Dimensions
from .ageing import Counters, ages
from .arguments import Numbers, argument_of, default_numbers, entries_of, held_notes, rescaled_numbers
from .completing import completed
from .functions import BITS
from .mode import UnitsMode
from .numbers import Carried, carry, standing_in
from .problem import Form, SmallProblem, forms, moved
from .running import NotAnOptimizerError, Program, as_written, failure, modules_of, seeded, train, unfused
from .unread import out_of_reach, watched

# RAdam's branch changes after five steps. After the first steps, more follow until so many have shown nothing new and
# every parameter has moved, so that what happens every tenth step is seen; a whole number may say how often it happens.
FIRST_STEPS, QUIET_STEPS, MOST_STEPS = 8, 12, 250
# Steps with so many calls search along lines or solve problems of their own: a few that show nothing new are enough.
LONG_STEP, QUIET_LONG_STEPS = 2000, 4
# What a number that is 0 by default is run with, so that the code it switches on is seen.
SWITCHED_ON = 0.01
# A break that more lines share is not looked into line by line.
_LINES_TRIED = 6


class _OutOfRangeError(ValueError):
    """A constructor refuses rescaled numbers: a decay of 2, say."""


def infer_torch(
    optimizer: Any,
    *,
    hyper: Mapping[str, float] | None = None,
    expected: Mapping[str, Units] | None = None,
    target: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    judge: bool = True,
    **options: Any,
) -> Dimensions:
    """Units of an optimizer's numbers and state, over the branches that real steps take.

    Numbers that are 0 by default are run with a small value, so that what they switch on is seen; one that makes
    a law impossible when switched on is left at 0, and the notes say so. A law that comes out is tried in numbers.
    """
    given = {**options, **(hyper or {})}
    if isinstance(optimizer, functools.partial) and not optimizer.args:
        optimizer, given = optimizer.func, {**optimizer.keywords, **given}
    if not hasattr(optimizer, "__name__"):
        raise TypeError(f"{optimizer!r} has no name: give a class, or a function that makes its optimizer")
    cls, (optimizer, chosen) = optimizer, completed(optimizer, given)
    numbers, others = default_numbers(optimizer, given)
    for name in expected or {}:
        if name not in numbers:
            raise ValueError(f"{optimizer.__name__} has no hyperparameter {name!r}: it has {', '.join(numbers)}")
    zeros = {name for name, value in numbers.items() if value == 0 and argument_of(name) not in given}
    room = "torch.optim" if optimizer.__module__.startswith("torch.optim.") else optimizer.__module__
    attempt = _Attempt(optimizer, numbers, others, expected or {}, target or f"{room}.{optimizer.__name__}")
    works: list[tuple[Form, set[str]]] = []

    def read(held: Mapping[str, str]) -> Walked:
        """Of the forms of parameters that some insist on, and of the zeros, which may exclude each other, what runs."""
        failures: list[tuple[int, Exception]] = []  # after how many steps, and -1 where there was nothing to step
        unread: list[Walked] = []
        idle: Form | None = None
        on = zeros - set(held)
        subsets = [on, *(on - {name} for name in sorted(on)), set[str]()] if on else [on]
        for form, switched in (works and [(works[0][0], works[0][1] - set(held))]) or itertools.product(
            forms(shapes), subsets
        ):
            if form is idle:
                continue
            try:
                reading = attempt.read(form, switched, held, zeros)
            except UnknownOperationError as error:
                kept = Program(optimizer, numbers, others, form, FIRST_STEPS)
                reading = Walked(Dimensions(attempt.target, unknown=str(error), program=kept))
                if "sparse" not in form.shapes and not unread:
                    return reading
                unread.append(reading)  # what fails with dense gradients may yet want another form of them
                failures.append((attempt.steps, error))
                continue
            except Exception as error:
                failures.append((attempt.steps, error))
                continue
            if reading.found.unknown is None:
                works.append((form, switched))
                return reading
            idle = form  # nothing moved, as it may in another form
            unread.extend([] if failures else [reading])
        if unread:
            return unread[0]
        steps, error = max(failures, key=lambda one: one[0])  # of the form that got furthest
        raise NotAnOptimizerError(f"{attempt.target} cannot be run: {failure(error, steps)}") from error

    try:
        found = settled(read, {name for name, value in numbers.items() if value == 0})
    except NotAnOptimizerError:
        lr = inspect.signature(optimizer).parameters.get("lr")
        if lr is None or lr.default is not None or "lr" in given:
            raise
        given = {"expected": expected, "target": target, "shapes": shapes, "judge": judge, **given}
        again = infer_torch(cls, lr=1e-3, **given)
        return replace(again, notes=(*again.notes, "lr = 0.001: chosen here, since with None it cannot be run"))
    if judge:
        found = attempt.judged(found)
        if zeros and attempt.judged(found, numbers).unknown != found.unknown:  # switched off, it is another program
            units = ", ".join(f"{name} in {u}" for name, u in found.hyper.items() if not u.is_pure)
            for names in (*({name} for name in sorted(zeros)), zeros):
                off = read(dict.fromkeys(names, f"with another value the law is another ({units})")).found
                if off.unknown is None and attempt.judged(off, numbers).unknown is None:
                    break
            found = attempt.judged(off)
    usual, _ = default_numbers(optimizer, {})
    unusual = {name for name, x in numbers.items() if argument_of(name) in given and x != usual.get(name)}
    found = replace(found, unread=attempt.unread(found))
    notes = (*chosen, *held_notes(optimizer, numbers, given), *found.of_no_use(unusual))
    return replace(found, notes=(*found.notes, *notes))


class _News:
    """Whether the ledger has learned anything since it was last asked."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._solver, self._read = ledger, Solver(), 0
        self._seen: set[object] = set()

    def any(self) -> bool:
        """Another unknown determined, or another line that contradicts."""
        before = self._solver.rank, len(self._seen)
        for at, e in enumerate(self._ledger.equations[self._read :], start=self._read):
            if e.guard is not None or self._solver.add(at, e.difference) is not None:
                self._seen.add((e.what, e.origin))
        self._read = len(self._ledger.equations)
        return before != (self._solver.rank, len(self._seen))


@dataclass
class _Attempt:
    """One optimizer class with its numbers, to be run with units and without."""

    optimizer: Any
    numbers: Numbers
    others: Mapping[str, Any]
    expected: Mapping[str, Units]
    target: str
    without_a_line: list[Dimensions] = field(default_factory=list)  # of a broken reading, what would be the law
    steps: int = -1  # that the last reading took, and -1 where there was nothing to step
    ever_read: set[str] = field(default_factory=set)  # names of the numbers that an operation has taken in any reading
    out_of_reach: set[str] = field(default_factory=set)  # of those that no operation can take

    def read(self, form: Form, switched_on: set[str], held: Mapping[str, str], zeros: set[str]) -> Walked:
        """Run it on numbers that carry units, until nothing new is seen."""
        ledger, self.steps = Ledger(), -1
        ledger.read = self.ever_read
        self.numbers = {n: x for n, x in self.numbers.items() if argument_of(n) not in form.shapes}
        self.numbers |= self._of_groups(form)
        numbers = {n: SWITCHED_ON if n in switched_on else value for n, value in self.numbers.items()}
        unknowns = {
            name: ledger.unknown(name, LEARNING_RATE if name.rpartition(".")[2] == "lr" else HYPER)
            for name in self.numbers
            if name not in held
        }
        for name, units in self.expected.items():
            if name in unknowns:
                ledger.demand(unknowns[name], Expression(units), f"expects {name} in {units}:", Demand())
        values = {name: Value(u, name=name, nonnegative=numbers[name] >= 0) for name, u in unknowns.items()}
        carried = {n: carry(x, values[n], ledger) if n in values else x for n, x in numbers.items()}
        mode = UnitsMode(ledger)
        problem = SmallProblem(form, note=lambda tensor, units: mode.note(tensor, _measured(units)))
        program = Program(self.optimizer, numbers, self.others, form, 0)
        before = {name: p.detach().clone() for name, p in problem.params.items()}
        state: dict[str, Expression] = {}
        paths: dict[str, None] = {}
        with (
            standing_in(modules_of(self.optimizer)),
            as_written(self.optimizer) as compiled,
            unfused() as fused,
            seeded(),
        ):
            ledger.checking = True
            with mode:
                references, instance = watched(carried), program.make(problem.params, carried)
            ledger.checking, self.steps = False, 0
            carried.clear()
            self.out_of_reach = out_of_reach(self.optimizer, instance, references)
            train(instance)
            closure = program.takes_closure(instance)
            periods = [x for x in (*self.numbers.values(), *self.others.values(), *vars(instance).values(),
                                   *instance.param_groups[0].values()) if type(x) is int and 1 < x <= 100]  # fmt: skip

            def step(number: int) -> None:
                problem.give_gradients(number)
                with mode:
                    instance.step(*([mode.paused_while(problem.evaluate)] if closure else []))
                for name, p in problem.params.items():
                    at = mode.known(p)
                    ledger.demand(at.or_pure, Expression(PARAM), "moves parameters by", at.origin)
                    for path, value in _state_values(mode, instance.state.get(p, {}), name):
                        paths[path] = None
                        if value is not PURE_VALUE and value.units is not None:
                            if path not in state:
                                state[path] = ledger.unknown(path, STATE)
                            what = f"updates the state {path}:"
                            ledger.demand(state[path], value.units, what, value.origin, value.constant)

            quiet, news, still = 0, _News(ledger), set(form.shapes)
            counters = Counters(
                instance, lambda _, x: not isinstance(x, torch.Tensor) or mode.known(x).or_pure == PURE_VALUE.units
            )
            while self.steps < max(FIRST_STEPS, *(x + 2 for x in periods), 0) or quiet < (
                QUIET_STEPS if mode.calls < LONG_STEP * self.steps else QUIET_LONG_STEPS
            ):
                if self.steps == MOST_STEPS:
                    break
                step(self.steps)
                self.steps += 1
                counters.look()
                still -= moved(before, problem.params)  # some come back to where they were
                quiet = 0 if news.any() or still else quiet + 1
            program = replace(program, steps=self.steps)
            unreached: list[str] = []
            for age in ages(instance) if not still else ():
                if (written := counters.put_forward(age)) is None:
                    break
                for tensor in written:
                    mode.note(tensor, PURE_VALUE)
                try:
                    step(self.steps)
                except UnknownOperationError:
                    raise
                except Exception as error:
                    unreached.append(f"could not be put forward to step {age:,}: {type(error).__name__}: {error}"[:200])
                else:
                    program = replace(program, ages=(*program.ages, age), counters=frozenset(counters.names))
        if still:
            why = f"no step was seen: {' and '.join(sorted(still))} did not move in {self.steps} steps"
            return Walked(Dimensions(self.target, unknown=why))
        shapes = list(form.shapes)
        on = " and ".join(f"a {name} of shape {shape}" for name, shape in form.shapes.items())
        notes = [f"covers the branches that {self.steps} steps took on {on}"]
        if program.ages:
            *first, last = (f"{age:,}" for age in program.ages)
            notes.append(f"put forward to step {' and '.join(filter(None, (', '.join(first), last)))} after those")
        notes.extend(unreached)
        notes.extend(_one_way(ledger))
        notes.extend(form.notes())
        if compiled:
            notes.append("what torch.compile is given is run as it is written")
        if fused:
            notes.append("in place of torch's fused kernel the loop over tensors is read that it stands for")
        if switched_on:
            notes.append(
                f"{', '.join(sorted(switched_on))}: 0 by default, run with {SWITCHED_ON:g} to see what it does"
            )
        off = sorted(zeros - switched_on - set(held))
        if off:
            notes.append(f"{', '.join(off)}: 0 by default, and cannot be switched on with the other options")
        notes.extend(f"{name} is held at {self.numbers[name]:g}: {why}" for name, why in held.items())
        diagnosis = diagnose(ledger, {name: numbers[name] for name in held})
        found = dimensions(self.target, ledger, diagnosis, unknowns, state, paths, shapes, notes=notes)
        found = replace(found, program=program)
        bits = [e for e in ledger.equations if e.what == BITS]
        if bits and diagnosis.breaks:
            raise UnknownOperationError("bits", "of a quantity", bits[0].origin.location())
        lines = {link.location for broken in diagnosis.breaks for link in broken.chain} - {None}
        equations = ledger.equations
        for line in lines if len(lines) <= _LINES_TRIED else ():
            ledger.equations = [e for e in equations if e.origin.location() != line]
            if not (without := diagnose(ledger)).breaks:
                law = dimensions(self.target, ledger, without, unknowns, state, paths, shapes)
                self.without_a_line.append(replace(law, program=program))
        ledger.equations = equations
        return Walked(found, ledger.exponents, {ledger.names[n] for n in diagnosis.involved})

    def _of_groups(self, form: Form) -> Numbers:
        """Numbers that stand in parameter groups alone, where the constructor takes none."""
        if not form.groups or self.numbers:
            return {}
        params = SmallProblem(form).params
        with as_written(self.optimizer), seeded():
            made = Program(self.optimizer, self.numbers, self.others, form, 0).make(params, self.numbers)
        entries = [
            entry
            for name, group in zip(form.groups, made.param_groups, strict=False)
            for key, value in group.items()
            if key != "params"
            for entry in entries_of(f"{name}.{key}", value)
        ]
        return {name: value for name, value in entries if isinstance(value, float)}

    def judged(self, found: Dimensions, numbers: Numbers | None = None) -> Dimensions:
        """The verdict, unless plain runs, without any units, say otherwise: a number may have escaped the walk.

        With the numbers that it was come by, or with others. A break is not shown where numbers obey the units that
        come out without one of its lines: what that line computes may never be used.
        """
        if found.status in ("proven", "guarded"):
            return replace(found, unknown=self._evidence(found, numbers, trials(found)))
        everywhere = [(size, [*SCALES, *FAR]) for size in SIZES]
        for law in (found, *self.without_a_line) if found.status == "broken" else ():
            if self._evidence(law, numbers, everywhere, 1e-9, wholly=True) is None:
                why = f"{found.verdict}, but in numbers the law holds: what breaks it may never act"
                return replace(law, breaks=found.breaks, notes=found.notes, unknown=why)
        return found

    def _evidence(
        self,
        found: Dimensions,
        numbers: Numbers | None,
        tried_at: Sequence[tuple[float, Sequence[tuple[float, float]]]],
        tolerance: float = 1e-6,
        *,
        wholly: bool = False,  # whether a scale whose hyperparameters are refused is one of those that do not obey
    ) -> str | None:
        """What a run says that does not obey the units found; ``None`` where all do."""
        of: Program = found.program
        if of.form.dtype is not torch.float64:  # decompositions round off
            tolerance = 1e-3

        for size, scales in tried_at:
            out_of_range, tried = None, []

            def run(loss: float, params: float, size: float = size) -> list[torch.Tensor]:
                values = of.numbers if numbers is None else numbers
                return self._run(of, rescaled_numbers(values, found.hyper, loss, params), loss * size, params)

            try:
                base = run(1.0, 1.0)
                for loss, params in scales:
                    try:
                        scaled = run(loss, params)
                    except _OutOfRangeError as error:
                        out_of_range = error
                        continue
                    tried.append((math.log(loss), math.log(params)))
                    for name, expected, got in zip(of.form.shapes, base, scaled, strict=True):
                        apart = float((got - expected).nan_to_num(1e300).abs().max())
                        travel = float((expected - expected[0]).nan_to_num(1e300).abs().max())
                        if apart > tolerance * travel:
                            return disagreement(loss, params, size, name, apart / (travel or apart))
                if out_of_range is not None and (
                    wholly or np.linalg.matrix_rank(np.array([(0.0, 0.0), *tried])) < 2
                ):  # what is left says nothing of the loss, or of the parameters
                    raise out_of_range
            except Exception as error:
                return f"numbers could not be run: {(str(error).splitlines() or ['?'])[0]}"
        return None

    def _run(self, of: Program, numbers: Numbers, loss: float = 1.0, params: float = 1.0) -> list[torch.Tensor]:
        """The parameters over their scale, before the first step and after each, without any units."""
        problem = SmallProblem(of.form, loss, params)
        path = [[p.detach() / params for p in problem.params.values()]]
        with seeded(), as_written(self.optimizer):
            try:
                instance = of.make(problem.params, numbers)
            except (ValueError, AssertionError) as error:
                raise _OutOfRangeError(str(error)) from error
            train(instance)
            closure = of.takes_closure(instance)
            counters = Counters(instance, lambda name, _: name in of.counters)
            last = min(of.steps, 20) if closure else of.steps  # with a closure each is many
            for step in range(last + len(of.ages)):
                if step >= last:
                    counters.put_forward(of.ages[step - last])
                problem.give_gradients(step)
                instance.step(*([problem.evaluate] if closure else []))
                if step < last:
                    counters.look()
                path.append([p.detach() / params for p in problem.params.values()])
        return [torch.stack(of_one) for of_one in zip(*path, strict=True)]

    def unread(self, found: Dimensions) -> dict[str, str]:
        """Floats that no operation took in any reading, and whose other values make the same run, as far as they are taken."""
        of: Program | None = found.program
        floats = [n for n in found.hyper if n not in self.ever_read and of and isinstance(of.numbers[n], float)]
        if of is None or not floats:
            return {}

        def path(**changed: Any) -> list[torch.Tensor] | None:
            try:
                return [p.nan_to_num() for p in self._run(of, {**of.numbers, **changed})]
            except _OutOfRangeError:
                return None
            except Exception:  # fails where it did not, or cannot be tried at all
                return []

        def acts(name: str) -> bool:
            value = of.numbers[name]
            others = (path(**{name: x}) for x in (0.75 * value or SWITCHED_ON, 2 * value or 0.5, 0.0))
            taken = [other for other in others if other is not None]
            return not (base and taken and all(other and all(map(torch.equal, base, other)) for other in taken))

        base = path()
        return {n: UNREAD if n in self.out_of_reach else NOT_READ_HERE for n in floats if not acts(n)}


def _one_way(ledger: Ledger) -> Iterator[str]:
    """Lines where Python went by a comparison of data, and always the same way."""
    ways: dict[Location, set[bool]] = {}
    for origin, came_out in ledger.ways.items():
        if (at := origin.location()) is not None:
            ways.setdefault(at._replace(callers=()), set()).update(came_out)
    for at, came_out in ways.items():
        if len(came_out) == 1:
            yield f"the other way was not seen: {at} came out {came_out.pop()} in every step: {at.source.strip()}"


def _measured(units: Units) -> Value:
    return Value(Expression(units), measured=True)


def _state_values(mode: UnitsMode, entries: Any, name: str) -> Iterator[tuple[str, Value]]:
    """What is known of each piece of a parameter's state, by path."""
    if isinstance(entries, torch.Tensor):
        value = mode.known(entries)
        yield name, value if entries.is_floating_point() else PURE_VALUE
    elif isinstance(entries, (list, tuple)):
        for entry in entries:
            yield from _state_values(mode, entry, name)
    elif isinstance(entries, Mapping):
        for key, entry in entries.items():
            yield from _state_values(mode, entry, f"{key}.{name}")
    elif isinstance(entries, Carried):
        yield name, entries.value
    elif isinstance(entries, (int, float)) and not isinstance(entries, bool):
        yield name, PURE_VALUE if isinstance(entries, int) else number(entries)
