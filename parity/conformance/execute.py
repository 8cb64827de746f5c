"""Running one check: within a time limit, in silence, with the smallest failing run that is found."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from . import settings, suite, worker
from .comparing import counted
from .outcome import Check, Note, Result, Skip, told
from .references import reference_for
from .runs import Run, drawn, plainly_drawn, standard
from .targets import Target, TargetError, resolve

#: Seconds that a check may take, most of which are for compiling on a busy machine.
TIME_LIMIT = 60.0

#: Seconds of work that are spent on making a failing run smaller.
SHRINKING = 3.0

#: What is told where runs are drawn without Hypothesis.
WITHOUT_HYPOTHESIS = "hypothesis is not installed, and failing runs are not made smaller: pip install 'lrtheory[check]'"


class _Enough(BaseException):
    """Ends Hypothesis's search; it lets everything through that is no Exception."""


class _Failing(Exception):
    """What a target raised, whatever it was, in a form that Hypothesis goes on from."""


def prepare(
    target: Any,
    *,
    arguments: Mapping[str, Any] | None = None,
    reference: Any = None,
    claims_law: bool = False,
    time_limit: float = TIME_LIMIT,
) -> Target:
    """The target with its first step taken, its reference and its claims.

    What goes wrong in the first step is kept in the target, for the check ``first-step``.

    Raises TargetError if it cannot be made.
    """
    found: list[Target] = []

    def make() -> None:
        subject = resolve(target, arguments)
        found.append(subject)
        subject.settle()

    warm(target)
    changes: list[str] = []
    try:
        _within(make, time_limit, changes)
    except TimeoutError:
        if not found:
            raise TargetError(f"{target}: making it did not finish within {time_limit:g} s") from None
        found[0].trouble = f"making it and its first step did not finish within {time_limit:g} s"
    subject = found[0]
    subject.changes += tuple(changes)

    def beside() -> None:
        if reference is not None:
            subject.reference = resolve(reference)
            subject.reference.settle()
            if subject.reference.trouble:
                raise TargetError(f"the reference {subject.reference.name} takes no step: {subject.reference.trouble}")
        elif subject.reference is None:
            subject.reference = reference_for(subject)
            if subject.reference is not None:
                subject.reference.settle()

    try:
        _within(beside, time_limit)
    except TimeoutError:
        raise TargetError(f"the reference {reference}: its first step did not finish within {time_limit:g} s") from None
    subject.arguments = dict(arguments or {})
    subject.claims_law = subject.claims_law or claims_law
    return subject


def warm(target: Any) -> None:
    """Import the framework that a target may need, which is no work of its own."""
    in_text = isinstance(target, str) and not target.startswith("optax.") and ("." in target or ":" in target)
    if in_text or "torch" in sys.modules:
        _warm_torch()


@functools.cache
def _warm_torch() -> None:
    """What any optimizer of torch imports with its first step is no work, and no change of settings, of the target."""
    with contextlib.suppress(ModuleNotFoundError):
        torch = importlib.import_module("torch")
        tensor = torch.nn.Parameter(torch.ones(()))
        tensor.grad = torch.ones(())
        torch.optim.SGD([tensor], lr=0.1).step()


def _within(job: Callable[[], None], time_limit: float, changes: list[str] | None = None) -> None:
    """Run a job in silence with 64-bit numbers, and put back what is global, whatever becomes of it."""

    def contained() -> None:
        with settings.put_back() as before, jax.enable_x64(True):
            try:
                job()
            finally:
                if changes is not None:
                    changes.extend(settings.changed(before))

    kept = settings.read()
    with _silence():
        try:
            worker.run(contained, time_limit)
        except TimeoutError:
            settings.restore(kept)
            raise


def execute(one: Check, target: Target, *, time_limit: float = TIME_LIMIT, shrinking: float = SHRINKING) -> Result:
    """Run one check; whatever the target does becomes its result. A failing run is made smaller for ``shrinking`` s."""
    started = time.monotonic()
    box: list[Result] = []

    def job() -> None:
        with counted() as tally:
            box.append(_outcome(one, target, tally, started + time_limit, shrinking))

    try:
        _within(job, time_limit)
    except TimeoutError:
        late = f"did not finish within {time_limit:g} s"
        box[:] = [Result(one.id, "failed", late, code(one, target, None), ended=False)]
    return Result(**{**vars(box[0]), "seconds": time.monotonic() - started})


def _outcome(one: Check, target: Target, tally: Any, until: float, shrinking: float) -> Result:
    try:
        failure = _search(one, target, until, shrinking)
    except Skip as skip:
        return Result(one.id, "skipped", str(skip), compared=tally.made)
    except Note as note:
        return Result(one.id, "noted", str(note), compared=tally.made)
    if failure is not None:
        run, error = failure
        return Result(one.id, "failed", told(error), code(one, target, run), tally.made)
    if tally.made == 0:
        return Result(one.id, "failed", "the check compared nothing", code(one, target, None))
    return Result(one.id, "passed", compared=tally.made)


def _search(one: Check, target: Target, until: float, shrinking: float) -> tuple[Run | None, BaseException] | None:
    """The smallest failing run found and its error, or ``None``."""
    failing: list[tuple[str, Run | None, BaseException]] = []
    enough = [np.inf]  # of the thread's own time, so that a busy machine makes as many runs smaller

    def once(run: Run | None) -> None:
        try:
            one.function(target, *([] if run is None else [run]))
        except (Skip, Note, worker.OutOfTime):
            raise
        except BaseException as error:
            if not failing:
                enough[0] = time.thread_time() + shrinking
            failing.append(("" if run is None else run.code(), run, error))
            raise _Failing from error
        finally:
            if time.thread_time() > enough[0] or time.monotonic() > until:
                raise _Enough

    with contextlib.suppress(Exception, _Enough):
        once(standard(target.shapes) if one.examples else None)
    if one.examples and (not failing or shrinking > 0):
        with contextlib.suppress(Exception, _Enough):
            _drawing(once, target, one.examples, shrink=bool(failing))
    if not failing:
        return None
    _, run, error = min(failing, key=lambda found: (len(found[0]), found[0]))
    return run, error


def _drawing(once: Callable[[Run], None], target: Target, examples: int, *, shrink: bool) -> None:
    """Runs that Hypothesis draws and makes smaller; without it as many plain ones, if there is none to make smaller."""
    try:
        from hypothesis import HealthCheck, Phase, given
        from hypothesis import settings as hypothesis_settings
    except ModuleNotFoundError:
        for seed in range(0 if shrink else examples):
            once(plainly_drawn(target.shapes, seed))
        return
    options = hypothesis_settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),  # type: ignore[arg-type]
    )
    options(given(drawn(target.shapes))(once))()


def code(one: Check, target: Target, run: Run | None) -> str:
    """A script that runs the one check on the one run, and raises its cause."""
    reference = target.reference
    arguments = [f"arguments={dict(target.arguments)!r}"] if target.arguments else []
    if reference is not None:
        arguments.append(f"reference={reference.expression.partition('  #')[0]}")
    if target.claims_law:
        arguments.append("claims_law=True")
    lines = ["from parity.conformance import Run, rerun" if run is not None else "from parity.conformance import rerun"]
    lines += dict.fromkeys(t.imports for t in (target, reference) if t is not None and t.imports)
    if run is not None:
        lines += ["", f"run = {run.code()}"]
    called = [target.expression.partition("  #")[0], repr(one.id), *(["run"] if run is not None else []), *arguments]
    comment = "  # target: the object that was checked" if "#" in target.expression else ""
    lines.append(f"rerun({', '.join(called)}){comment}")
    return "\n".join(lines)


def rerun(target: Any, check: str, run: Run | None = None, **more: Any) -> None:
    """Run one check on one run, and raise what it raises; ``more`` as in :func:`~parity.conformance.check`.

    Raises
    ------
    AssertionError or what the target raises
        With the cause.
    """
    subject = prepare(target, **more)
    one = suite.get(subject.kind, check)
    with settings.put_back(), jax.enable_x64(True):
        one.function(*([subject] if run is None else [subject, run]))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep a target's words and warnings out of the report; the check ``quiet`` looks at them."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
