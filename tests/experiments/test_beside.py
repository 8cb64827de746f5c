"""Work shared with a second process gives the same results in the same order."""

from __future__ import annotations

import os

import pytest

from parity.experiments.beside import Job, begun


def square(value: int) -> tuple[int, int]:
    return value * value, os.getpid()


def die() -> int:
    if os.environ.get("LRTHEORY_TEST_PARENT") != str(os.getpid()):
        os._exit(9)
    return 1


CALLS = [Job("square", square, (value,)) for value in range(5)]


@pytest.mark.parametrize("processes", [1, 2])
def test_results_are_all_there_in_order(processes: int) -> None:
    told: list[tuple[str, float]] = []
    with begun(CALLS, processes=processes) as collect:
        results = collect(lambda text, done: told.append((text, done)))
    assert [result for result, _ in results] == [0, 1, 4, 9, 16]
    assert {text for text, _ in told} == {"square"}
    assert all(0 <= done < 1 for _, done in told)
    if processes == 1:
        assert {pid for _, pid in results} == {os.getpid()}


def test_a_process_that_dies_loses_no_work(monkeypatch) -> None:
    monkeypatch.setenv("LRTHEORY_TEST_PARENT", str(os.getpid()))
    with begun([Job("a", die), Job("b", die)], processes=2) as collect:
        assert collect(lambda text, done: None) == [1, 1]


def test_an_error_is_the_callers() -> None:
    with pytest.raises(TypeError), begun([Job("square", square, ("x",))], processes=1) as collect:
        collect(lambda text, done: None)
