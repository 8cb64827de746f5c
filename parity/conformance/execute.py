"""Running checks: within a time limit, in silence, with the smallest failing run that Hypothesis finds."""

from __future__ import annotations

import contextlib
import io
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from . import suite, worker
from .comparing import Failed, counted
from .expected import expected_for
from .outcome import Check, Note, Report, Result, Skip
from .references import reference_for
from .runs import Run, drawn, standard
from .targets import Target, resolve

#: Seconds that a check may take, most of which are for compiling on a busy machine.
TIME_LIMIT = 60.0

HERE = Path(__file__).parent

#: Seconds of work that are spent on making a failing run smaller.
SHRINKING = 3.0


#: What a target may raise and still be told about.
RAISED = (Exception, SystemExit)


class _Enough(BaseException):
    """Ends Hypothesis's search; it lets everything through that is no Exception."""


def check(
    target: Any,
    *,
    arguments: Mapping[str, Any] | None = None,
    reference: Any = None,
    claims_law: bool = False,
    expected_failures: Mapping[str, str] | None = None,
    only: Sequence[str] | None = None,
    time_limit: float = TIME_LIMIT,
    progress: Callable[[str, float], None] = lambda text, done: None,
) -> Report:
    """Check any optax transformation, torch optimizer or rule against everything that one may expect of it.

    Parameters
    ----------
    target : SPEC text, transformation, factory, class or Rule
        ``"optax.adam"``, ``optax.adam``, ``optax.adam(1e-3)``, ``torch.optim.SGD``, ``"mine.module:Optimizer(lr=0.1)"``.
        With a factory or a class more can be checked than with an instance.
    arguments : mapping, optional
        Keyword arguments of the factory or class; for a Rule, its numbers.
    reference : target, optional
        What it should equal. Where its name is known, the rule of that name unless given.
    claims_law : bool
        Whether a scaling law is claimed: then one that is broken is a failure, and not only noted.
    expected_failures : mapping of str to str, optional
        Check id → reason. One that passes after all, or is skipped, is stale and fails. Unless given, what is known of
        a published optimizer (:data:`~parity.conformance.EXPECTED`); ``{}`` expects nothing.
    only : check ids, optional
    time_limit : seconds for each check
    progress : called with what runs now and the share that is done

    Returns
    -------
    Report
        Call ``.require()`` to raise for failures.

    Raises
    ------
    TargetError
        If the target cannot be imported or made.
    ValueError
        For an unknown check id, or an expected failure without a reason.

    Examples
    --------
    >>> import parity
    >>> report = parity.check("sgd(lr=0.1)", only=["deterministic"])
    >>> report["deterministic"].status
    'passed'
    >>> report.require()
    """
    subject = prepare(target, arguments=arguments, reference=reference, claims_law=claims_law)
    expected = dict(expected_for(subject) if expected_failures is None else expected_failures)
    chosen = [suite.get(subject.kind, id) for id in only or suite.checks(subject.kind)]
    for id, reason in expected.items():
        suite.get(subject.kind, id)
        if not reason.strip():
            raise ValueError(f"expected failure of {id!r}: a reason is needed")
    results = {}
    for number, one in enumerate(chosen):
        progress(one.id, number / len(chosen))
        results[one.id] = as_expected(execute(one, subject, time_limit=time_limit), expected.get(one.id))
    return Report(subject.name, subject.kind, results, subject.notes)


def prepare(
    target: Any, *, arguments: Mapping[str, Any] | None = None, reference: Any = None, claims_law: bool = False
) -> Target:
    """The target with its reference and claims."""
    with _silence(), jax.enable_x64(True):
        subject = resolve(target, arguments)
        if reference is not None:
            subject.reference = resolve(reference)
        elif subject.reference is None:
            subject.reference = reference_for(subject)
    subject.arguments = dict(arguments or {})
    subject.claims_law = subject.claims_law or claims_law
    return subject


def execute(one: Check, target: Target, *, time_limit: float = TIME_LIMIT, shrinking: float = SHRINKING) -> Result:
    """Run one check; whatever the target does becomes its result. A failing run is made smaller for ``shrinking`` s."""
    started = time.monotonic()
    box: list[Result] = []

    def job() -> None:
        with counted() as tally, jax.enable_x64(True):
            box.append(_outcome(one, target, tally, started + time_limit, shrinking))

    with _silence():
        try:
            worker.run(job, time_limit)
        except TimeoutError:
            box[:] = [Result(one.id, "failed", f"did not finish within {time_limit:g} s", code(one, target, None))]
    return Result(**{**vars(box[0]), "seconds": time.monotonic() - started})


def as_expected(result: Result, reason: str | None) -> Result:
    """A result in the light of a declared failure: a failure is expected, anything else makes the declaration stale."""
    if reason is None:
        return result
    if result.status == "failed":
        return Result(**{**vars(result), "status": "expected failure", "cause": f"{reason} [{result.cause}]"})
    stale = f"stale: declared to fail ({reason}), but it {_what_it_did(result)}"
    return Result(**{**vars(result), "status": "failed", "cause": stale})


def _what_it_did(result: Result) -> str:
    return {"passed": "passes", "noted": f"was only noted: {result.cause}"}.get(result.status, f"was {result.status}")


def _outcome(one: Check, target: Target, tally: Any, until: float, shrinking: float) -> Result:
    try:
        failure = _search(one, target, until, shrinking)
    except Skip as skip:
        return Result(one.id, "skipped", str(skip), compared=tally.made)
    except Note as note:
        return Result(one.id, "noted", str(note), compared=tally.made)
    if failure is not None:
        run, error = failure
        return Result(one.id, "failed", cause(error), code(one, target, run), tally.made)
    if tally.made == 0:
        return Result(one.id, "failed", "the check compared nothing", code(one, target, None))
    return Result(one.id, "passed", compared=tally.made)


def _search(one: Check, target: Target, until: float, shrinking: float) -> tuple[Run | None, BaseException] | None:
    """The smallest failing run found and its error, or ``None``."""
    if not one.examples:
        try:
            one.function(target)
        except RAISED as error:
            return None, error
        return None
    failing: list[tuple[str, Run, BaseException]] = []
    enough = [np.inf]  # of the thread's own time, so that a busy machine makes as many runs smaller

    def once(run: Run) -> None:
        try:
            one.function(target, run)
        except RAISED as error:
            if not failing:
                enough[0] = time.thread_time() + shrinking
            failing.append((run.code(), run, error))
            raise
        finally:
            if time.thread_time() > enough[0] or time.monotonic() > until:
                raise _Enough

    with contextlib.suppress(*RAISED, _Enough):
        once(standard(target.shapes))
    if not failing or shrinking > 0:
        with contextlib.suppress(*RAISED, _Enough):
            _drawing(once, target, one.examples)
    if not failing:
        return None
    _, run, error = min(failing, key=lambda found: (len(found[0]), found[0]))
    return run, error


def _drawing(once: Callable[[Run], None], target: Target, examples: int) -> None:
    try:
        from hypothesis import HealthCheck, Phase, given, settings
    except ModuleNotFoundError as error:
        raise Skip("hypothesis is not installed: pip install hypothesis") from error
    options = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),  # type: ignore[arg-type]
    )
    options(given(drawn(target.shapes))(once))()


def cause(error: BaseException) -> str:
    """What went wrong, in a sentence; for an exception of the target, where it was raised."""
    if isinstance(error, Failed):
        return str(error)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(str(HERE))]
    first_line = (str(error).strip().splitlines() or [""])[0]
    text = f"raises {type(error).__name__}" + (f": {first_line}" if first_line else "")
    own = [f for f in frames if "/jax/" not in f.filename and "/hypothesis/" not in f.filename]
    if own:
        text += f" ({own[-1].filename.rpartition('/')[2]}:{own[-1].lineno})"
    return text


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
    call = [target.expression.partition("  #")[0], repr(one.id), *(["run"] if run is not None else []), *arguments]
    comment = "  # target: the object that was checked" if "#" in target.expression else ""
    lines.append(f"rerun({', '.join(call)}){comment}")
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
    with jax.enable_x64(True):
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
