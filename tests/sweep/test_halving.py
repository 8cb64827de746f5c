"""Successive halving: the same bits as whole sweeps, one program a rung, and the best kept."""

from __future__ import annotations

import dataclasses
import itertools
from unittest import mock

import numpy as np
import pytest

from lrtheory import rules, sweep
from lrtheory.sweep import axes, work
from lrtheory.sweep import run as run_sweep
from lrtheory.sweep.rungs import best

from .regression import DATA, init, loss

LRS = [1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1e30, 1e35]
RUNGS = (2, 4, 9)


def over():
    return sweep.grid(rule=rules.sgd(), lr=LRS, seed=[3, 4], batch_size=4)


def halved(**options):
    return sweep.halving(loss, init, DATA, over(), rungs=RUNGS, keep=0.4, record=[2, 9], **options)


def agree(rounds):
    """Every rung is bit for bit that part of a whole sweep."""
    for rung in rounds:
        full = run_sweep(loss, init, DATA, over(), steps=rung.steps, record=[s for s in (2, 9) if s <= rung.steps])
        for name, values in full.values.items():
            np.testing.assert_array_equal(values.reshape(-1, *values.shape[2:])[rung.runs], rung.found.values[name])


def test_survivors_have_the_bits_of_whole_sweeps_and_are_the_best():
    rounds = halved()
    assert [len(rung.runs) for rung in rounds] == [16, 7, 3]
    agree(rounds)
    for before, after in itertools.pairwise(rounds):
        sound = np.where(before.found.values["diverged_at"] == 0, before.found.values["final_loss"], np.inf)
        kept = np.isin(before.runs, after.runs)
        assert sound[kept].max() <= sound[~kept].min()
    assert set(rounds[-1].found.columns["lr"]) <= {0.03, 0.1, 0.3}


def test_other_runs_or_another_packing_would_be_caught():
    rounds = halved()
    wrong = [rung._replace(runs=np.roll(rung.runs, 1)) for rung in rounds]
    with pytest.raises(AssertionError):
        agree(wrong)
    few = over().part(np.array([0, 9]))
    alone = dataclasses.replace(few, whole=None)
    plans = [next(iter(run_sweep(loss, init, DATA, a, steps=2).plan.values())) for a in (few, alone)]
    assert [plan.partition(" tiles of ")[2][:1] for plan in plans] == ["8", "2"]


def test_a_rung_compiles_one_program():
    work._compiled.cache_clear()
    halved()
    assert work._compiled.cache_info().misses == len(RUNGS)
    halved()
    assert work._compiled.cache_info().misses == len(RUNGS)


def test_what_diverged_is_last_however_small_its_loss():
    found = mock.Mock(values={"diverged_at": np.array([0, 2, 0, 0]), "final_loss": np.array([3.0, 0.1, 1.0, np.nan])})
    np.testing.assert_array_equal(best(found, 2), [0, 2])
    np.testing.assert_array_equal(best(found, 1), [2])


def test_each_rung_is_kept_and_read_again(tmp_path):
    first, again = (halved(directory=tmp_path) for _ in range(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2-steps", "4-steps", "9-steps"]
    np.testing.assert_array_equal(first[-1].found.values["loss"], again[-1].found.values["loss"])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"rungs": []}, "must hold rising"),
        ({"rungs": [5, 5]}, "rising"),
        ({"rungs": [2, 4], "record": [4, 5]}, r"record=\[5\]: the last rung ends at step 4"),
        ({"rungs": [2], "keep": 1}, "keep=1 must be a share"),
    ],
    ids=str,
)
def test_refusals(given, words):
    with pytest.raises(ValueError, match=words):
        sweep.halving(loss, init, DATA, axes.grid(rule=rules.sgd(), lr=[1.0]), **given)
