"""All checks of one optimizer, and their report."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lrtheory import rules

from . import suite
from .execute import TIME_LIMIT, WITHOUT_HYPOTHESIS
from .outcome import About, Check, Report, Result
from .process import Elsewhere, Here

#: Checks that did not come back by themselves, after which the others are not run.
ENDLESS = 3


def check(
    target: Any,
    *,
    arguments: Mapping[str, Any] | None = None,
    reference: Any = None,
    claims_law: bool = False,
    expected_failures: Mapping[str, str] | None = None,
    only: Sequence[str] | None = None,
    time_limit: float = TIME_LIMIT,
    own_process: bool | None = None,
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
    time_limit : seconds for each check, and for making the target
    own_process : bool, optional
        Whether the target runs in a process of its own, with a limit of memory, which it may end without ending the
        report. Unless given, where target and reference are text, and the target is no rule of :mod:`lrtheory.rules`: one
        that this program has registered is known in this process alone.
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
    given = {"arguments": arguments, "reference": reference, "claims_law": claims_law, "time_limit": time_limit}
    as_text = isinstance(target, str) and isinstance(reference, str | None)
    if own_process and not as_text:
        raise ValueError("a process of its own needs the target and the reference as text")
    if own_process is None:
        own_process = as_text and target.partition("(")[0].strip() not in rules.names()
    subject = (Elsewhere if own_process else Here)(target, given)
    try:
        return _report(subject, expected_failures, only, time_limit, progress)
    finally:
        subject.close()


def _report(
    subject: Here | Elsewhere,
    expected_failures: Mapping[str, str] | None,
    only: Sequence[str] | None,
    time_limit: float,
    progress: Callable[[str, float], None],
) -> Report:
    about = subject.about
    expected = dict(about.expected if expected_failures is None else expected_failures)
    chosen = [suite.get(about.kind, id) for id in only or suite.checks(about.kind)]
    first = suite.get(about.kind, "first-step")
    for id, reason in expected.items():
        suite.get(about.kind, id)
        if not reason.strip():
            raise ValueError(f"expected failure of {id!r}: a reason is needed")
    results: dict[str, Result] = {}
    if first not in chosen:  # looked at all the same, and told if it fails
        found = _run(first, about, subject, time_limit)
        results = {first.id: as_expected(found, expected.get(first.id))} if found.status == "failed" else {}
    for number, one in enumerate(chosen):
        progress(one.id, number / len(chosen))
        result = _blocked(one, results) or _run(one, about, subject, time_limit)
        results[one.id] = as_expected(_once(result, results), expected.get(one.id))
    without = () if importlib.util.find_spec("hypothesis") else (WITHOUT_HYPOTHESIS,)
    return Report(about.name, about.kind, results, about.notes + without)


def _run(one: Check, about: About, subject: Here | Elsewhere, time_limit: float) -> Result:
    if about.trouble:
        return Result(one.id, "failed", about.trouble)
    return subject.execute(one.id, time_limit)


def _blocked(one: Check, results: Mapping[str, Result]) -> Result | None:
    """That a check is not run, where one that it needs has failed unexpectedly or too many did not come back."""
    for id in suite.NEEDS.get(one.id, ()):
        failed = ("failed", "expected failure") if id == "first-step" else ("failed",)
        if id in results and results[id].status in failed:
            return Result(one.id, "not run", f"because {id} failed")
    if sum(not result.ended for result in results.values()) >= ENDLESS:
        return Result(one.id, "not run", f"because {ENDLESS} checks did not come back")
    return None


def _once(result: Result, results: Mapping[str, Result]) -> Result:
    """A check that raises what another one has raised adds nothing: one cause is one failure."""
    if result.status == "failed" and result.cause.startswith(("raises ", "ends the process")):
        for other in results.values():
            if other.status == "failed" and other.cause == result.cause:
                return Result(result.check, "not run", f"to its end: like {other.check} it {result.cause}")
    return result


def as_expected(result: Result, reason: str | None) -> Result:
    """A result in the light of a declared failure: a failure is expected, anything else makes the declaration stale."""
    if reason is None or result.status == "not run":
        return result
    if result.status == "failed":
        return Result(**{**vars(result), "status": "expected failure", "cause": f"{reason} [{result.cause}]"})
    stale = f"stale: declared to fail ({reason}), but it {_what_it_did(result)}"
    return Result(**{**vars(result), "status": "failed", "cause": stale})


def _what_it_did(result: Result) -> str:
    return {"passed": "passes", "noted": f"was only noted: {result.cause}"}.get(result.status, f"was {result.status}")
