"""Calls that run beside each other give what they give alone, in their order."""

from __future__ import annotations

import signal
import threading
import time

import jax
import numpy as np
import pytest

from lrtheory import rules, sweep
from lrtheory.sweep import at_once, work

from .regression import DATA, bits, init, loss, whole


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order_and_arguments_are_not_made_ahead(workers):
    """However long a call takes; and no more arguments exist than run, and one."""
    made, taken, first = [], [], threading.Event()

    def calls():
        for place in range(8):
            made.append(place)

            def call(place=place):
                if place == 0 and workers > 1:
                    assert first.wait(5)  # the others overtake it
                if place == 1:
                    first.set()
                return place

            yield call

    for place in at_once.in_order(calls(), workers):
        taken.append(place)
        assert len(made) - len(taken) <= workers
    assert taken == list(range(8))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_call_ends_it(workers):
    """The error comes out, and what waits is not begun."""
    begun = []

    def call(place):
        begun.append(place)
        if place == 0:
            raise ArithmeticError("first")
        return place

    with pytest.raises(ArithmeticError, match="first"):
        list(at_once.in_order((lambda place=place: call(place) for place in range(100)), workers))
    assert len(begun) <= workers + 1


@pytest.fixture
def interruptible():
    """A shell that starts tests in the background has them ignore interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_waits_for_what_runs_and_begins_nothing():
    """A compiled program cannot be stopped in the middle; what it uses must outlive it."""
    begun, ended, waits, sent = [], [], threading.Event(), threading.Event()

    def call(place):
        begun.append(place)
        if place == 0:
            assert waits.wait(5)
            time.sleep(0.05)  # until the caller waits for this one
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            sent.set()
        assert sent.wait(5)
        time.sleep(0.3)
        ended.append(place)

    def calls():
        for place in range(100):
            if place == 2:
                waits.set()
            yield lambda place=place: call(place)

    with pytest.raises(KeyboardInterrupt):
        list(at_once.in_order(calls(), 2))
    assert ended, "the interrupt did not wait"
    assert sorted(begun) == sorted(ended)
    assert sorted(begun) == [0, 1]


def test_an_interrupted_sweep_leaves_no_thread_and_a_directory_that_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "cores", lambda: 3)

    def interrupted(text, done):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole(directory=tmp_path, progress=interrupted)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sweep")]
    assert len(list(tmp_path.glob("*.npz"))) == 1
    assert bits(whole(directory=tmp_path)) == bits(whole())


@pytest.mark.parametrize("x64", [False, True])
def test_tiles_beside_each_other_give_the_bits_of_tiles_in_turn(monkeypatch, x64):
    """In the precision of the caller, whose setting no other thread knows."""
    axes = sweep.grid(rule=rules.adam(), lr=[0.01, 0.1], seed=range(16), batch_size=4)
    data = jax.tree.map(lambda x: np.asarray(x, float), DATA)

    def first(seed):
        return jax.tree.map(lambda p: np.asarray(p, float), init(seed))

    def run(cores):
        monkeypatch.setattr(work, "cores", lambda: cores)
        with jax.enable_x64(x64):
            return sweep.run(loss, first, data, axes, steps=5, record=[1, 5], width=4)

    alone, together = run(1), run(3)
    assert "3 at a time" in next(iter(together.plan.values()))
    assert "at a time" not in next(iter(alone.plan.values()))
    assert bits(alone) == bits(together)
    assert together.values["loss"].dtype == ("float64" if x64 else "float32")


def test_a_budget_for_one_tile_runs_one_at_a_time(monkeypatch):
    """The memory of all that run counts."""
    monkeypatch.setattr(work, "cores", lambda: 4)
    axes = sweep.grid(rule=rules.adam(), lr=[0.01] * 16)

    def plan(budget):
        found = sweep.run(loss, init(0), DATA, axes, steps=5, width=4, memory_budget=budget)
        return next(iter(found.plan.values()))

    assert "4 at a time" in plan(None)
    assert "2 at a time" in plan(2 * _needed(plan(None)))
    assert "at a time" not in plan(_needed(plan(None)))


@pytest.mark.parametrize(
    ("rows", "steps", "tiles", "at_a_time"),
    [(100_000, 5, 1.1, 4), (12, 4000, 2.1, 1), (12, 4000, 3.1, 2)],
    ids=["data are there once", "arguments wait", "arguments wait, and fit"],
)
def test_what_is_shared_counts_once_and_what_waits_counts(monkeypatch, rows, steps, tiles, at_a_time):
    """Most of the memory is the data, or the row numbers of the batches, of which one tile more is ready."""
    monkeypatch.setattr(work, "cores", lambda: 4)
    axes = sweep.grid(rule=rules.sgd(), lr=[0.01] * 16, batch_size=4)
    data = jax.tree.map(lambda x: np.resize(x, (rows, *x.shape[1:])), DATA)

    def plan(budget):
        found = sweep.run(loss, init(0), data, axes, steps=steps, width=4, memory_budget=budget)
        return next(iter(found.plan.values()))

    words = plan(int(tiles * _needed(plan(None))))
    assert f"{at_a_time} at a time" in words if at_a_time > 1 else "at a time" not in words


def _needed(plan):
    """Bytes in ``… tiles of 4, 1.23 kB of a device each``, rounded up in the last digit."""
    value, unit = plan.split(", ")[1].split(" of ")[0].split()
    return int((float(value) + 0.01) * {"B": 1, "kB": 1000, "MB": 1_000_000}[unit])
