"""A target that ends, fills or hangs its process (B5, C13): a failure in the report, which is whole."""

from __future__ import annotations

import time

import pytest
from mutants import hostile

import parity
from lrtheory.cli.app import run


def checked(name: str, only: list[str], time_limit: float = 10.0) -> parity.conformance.Report:
    return parity.check(f"mutants.hostile:{name}", only=only, time_limit=time_limit)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("Exits", "ends the process (exit status 0)"),
        ("Interrupts", "raises KeyboardInterrupt"),
        ("Unspeakable", "raises Silent: its message cannot be read"),
        *(
            pytest.param(name, "did not finish within 3 s", marks=pytest.mark.deep)
            for name in ("Sleeps", "SleepsWhenMade")
        ),
    ],
)
def test_what_goes_wrong_in_the_first_step_is_one_failure(name: str, cause: str) -> None:
    started = time.monotonic()
    report = checked(name, ["quiet", "resume"], 3.0 if "finish" in cause else 20.0)
    assert time.monotonic() - started < 120
    assert [r.status for r in report.values()] == ["failed", "not run", "not run"]
    assert cause in report["first-step"].cause
    with pytest.raises(AssertionError, match="first-step"):
        report.require()


@pytest.mark.parametrize("name", ["SleepsWhenMade", "Sleeps"])
def test_the_time_limit_covers_making_the_target_here_too(name: str) -> None:
    """In this process, where it cannot be ended: a class is given, and no text."""
    started = time.monotonic()
    report = parity.check(getattr(hostile, name), only=["quiet"], time_limit=0.5)
    assert time.monotonic() - started < 30
    assert "did not finish within 0.5 s" in report["first-step"].cause
    assert report["quiet"].status == "not run"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("ExitsLater", "ends the process (exit status 0)"),
        pytest.param("Fills", "MemoryError", marks=pytest.mark.deep),
        pytest.param("CannotBeStopped", "did not finish within 3 s", marks=pytest.mark.deep),
    ],
)
def test_a_check_that_ends_the_process_fails_and_the_others_go_on(name: str, cause: str) -> None:
    report = checked(name, ["deterministic", "tree", "quiet"], 3.0 if "finish" in cause else 20.0)
    assert cause in report["deterministic"].cause
    assert [report[id].status for id in ("tree", "quiet")] == ["passed", "passed"]


def test_what_is_printed_past_python_is_a_failure_and_not_in_the_output(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "mutants.hostile:PrintsPastPython", "--only", "quiet", "--json"]) == 1
    out = capfd.readouterr().out
    assert out.startswith("{")
    assert "prints 'from below' to its output" in out
