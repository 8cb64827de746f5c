"""The checks as pytest tests: one a target and a check."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import suite
from .comparing import Failed
from .execute import TIME_LIMIT, execute, prepare
from .expected import expected_for
from .outcome import Check
from .targets import Target


def parametrize_with_checks(
    targets: Sequence[Any],
    *,
    expected_failures: Mapping[str, str] | Callable[[str], Mapping[str, str]] | None = None,
    time_limit: float = TIME_LIMIT,
    **more: Any,
) -> Any:
    """Parametrise a test over every target and every check that there is for it.

    Parameters
    ----------
    targets : sequence of what :func:`parity.check` takes
    expected_failures : mapping of check id to reason, or a function of the target's name that gives one
        They become strict xfails: a check that passes after all fails the test.
    time_limit : seconds for each check
    more : as in :func:`parity.check`, such as ``reference`` or ``arguments``

    Examples
    --------
    .. code-block:: python

        @parity.parametrize_with_checks([MyOptimizer, "optax.lion"])
        def test_conformance(target, check):
            check(target)
    """
    import pytest

    parameters = []
    for given in targets:
        target = prepare(given, **more)
        if expected_failures is None:
            expected = expected_for(target)
        else:
            expected = expected_failures(target.name) if callable(expected_failures) else expected_failures
        for id in expected:
            suite.get(target.kind, id)
        for one in suite.checks(target.kind).values():
            marks = (
                [pytest.mark.xfail(reason=expected[one.id], strict=True, raises=Failed)] if one.id in expected else []
            )
            call = functools.partial(_call, one, time_limit=time_limit)
            parameters.append(pytest.param(target, call, marks=marks, id=f"{target.name}-{one.id}"))
    return pytest.mark.parametrize(("target", "check"), parameters)


def _call(one: Check, target: Target, *, time_limit: float) -> None:
    """Run a check as a test: skipped with its reason, or failed with its cause and the code that shows it."""
    import pytest

    result = execute(one, target, time_limit=time_limit)
    if result.status == "failed":
        raise Failed(f"{target.name}, {one.id}: {result.cause}\n\n{result.example}")
    if result.status in ("skipped", "noted"):
        pytest.skip(result.cause)
