"""Every run is given its own numbers, first parameters and batches, however runs are packed into tiles."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from lrtheory import rules, sweep
from lrtheory.sweep import running, tiles, work

STEPS = 3
COMPILED = "/jax/core/compile/backend_compile_duration"
DATA = np.array([1.0, 2.0, 3.0, 4.0, 5.0], np.float32)


def loss(params, batch):
    """Its gradient is p − x: a step of SGD moves p by lr times the way to the batch's row."""
    return 0.5 * ((params - batch) ** 2).mean()


def first(seed):
    return np.float32(seed + 1)


def moved(lr, seed):
    """The last parameter of a run, from the recursion itself in float64."""
    p = seed + 1.0
    for (row,) in sweep.shuffled(len(DATA), 1, STEPS, seed):
        p += lr * (DATA[row] - p)
    return p


def identity(params):
    return params


def check(seeds, **options):
    lrs = 0.05 + 0.1 * np.arange(5)
    axes = sweep.grid(rule=rules.sgd(), lr=lrs, seed=seeds, batch_size=1)
    found = sweep.run(loss, first, DATA, axes, steps=STEPS, evaluate=identity, **options)
    wanted = [[moved(lr, seed) for seed in seeds] for lr in lrs]
    assert np.abs(found.evaluated - wanted).max() < 1e-5, "a run has another's result"


# Fewer than eight runs a seed share tiles with other seeds; the last tile is filled up.
CASES = [([3, 1, 2], 4), ([2], 2)]


def check_all():
    for seeds, width in CASES:
        check(seeds, width=width)


@pytest.mark.parametrize(("seeds", "width"), CASES)
def test_every_run_is_its_own(seeds, width):
    check(seeds, width=width)


def _shifted(self, members, width, true=work.Work.fed):
    return true(self, [np.roll(m, 1) for m in members], width)


def _last_runs(outcome, count):
    return jax.tree.map(lambda x: x[-count:], outcome)


def _seeds_by_themselves(axes, true=tiles.groups, **options):
    """Seeds sorted and the runs that they belong to left where they were."""
    for group in true(axes, **options):
        yield tiles.Group(group.rule, group.batch_size, np.sort(group.runs), group.seeds, group.shared)


@pytest.mark.parametrize(
    ("owner", "name", "wrong"),
    [
        pytest.param(work.Work, "fed", _shifted, id="runs-shifted-in-their-tile"),
        pytest.param(running, "_first_runs", _last_runs, id="results-of-what-fills-up"),
        pytest.param(tiles, "groups", _seeds_by_themselves, id="seeds-of-other-runs"),
    ],
)
def test_a_packing_that_mixes_up_runs_is_caught(monkeypatch, owner, name, wrong):
    monkeypatch.setattr(owner, name, wrong)
    with pytest.raises(AssertionError, match="another's result"):
        check_all()


@pytest.mark.parametrize("seeds", [1, 8])
def test_many_seeds_have_tiles_as_wide_as_one(seeds):
    """1,024 runs make sixteen tiles, however they are divided among seeds."""
    axes = sweep.grid(rule=rules.sgd(), lr=np.geomspace(1e-3, 1, 1024 // seeds), seed=range(seeds))
    (group,) = tiles.groups(axes, seed_matters=True)
    width = tiles.automatic_width(group, bytes_per_run=1, platform="cpu", devices=1)
    assert (width, group.count(width), len(group.tiles(width))) == (64, 16, 16)


def compiles(run):
    """Programs that XLA compiles in the meantime."""
    seen = []

    def heard(event, seconds, **_):
        if event == COMPILED:
            seen.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        run()
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)
    return len(seen)


def test_one_program_serves_any_values():
    """Other numbers, seeds and loss scales compile nothing; another static structure does, which the counter sees."""

    def run(lr, scales, seeds, steps=STEPS):
        axes = sweep.grid(rule=rules.adam(), lr=lr, beta2=[0.9, 0.99], loss_scale=scales, seed=seeds, batch_size=1)
        sweep.run(loss, first, DATA, axes, steps=steps)

    run([0.1, 0.2], [1, 2], [0, 1])
    assert compiles(lambda: run([1e-6, 1e6], [1e-3, 0.5], [7, 99])) == 0
    assert compiles(lambda: run([0.1, 0.2], [1, 2], [0, 1], steps=STEPS + 1)) >= 1
