"""A sweep that was killed continues to bitwise the same table; one that was changed is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lrtheory import rules, schedules, sweep

from .regression import AXES, DATA, bits, init, loss, whole

ROOT = Path(__file__).parents[2]


def run_in_process(directory, kill_at):
    """The sweep of :mod:`.regression` in a process of its own."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(Path(__file__).with_name("regression.py")), str(directory), str(kill_at)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_killed_and_started_again_it_gives_the_same_bits(tmp_path):
    """Kill -9 between writing the fifth tile and renaming it."""
    killed = run_in_process(tmp_path, 5)
    assert killed.returncode == -9, killed.stderr
    assert len(list(tmp_path.glob("*.npz"))) == 4
    first = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    resumed = run_in_process(tmp_path, 0)
    assert resumed.returncode == 0, resumed.stderr
    assert {path: path.stat().st_mtime_ns for path in first} == first  # what was done was not done again
    assert json.loads(resumed.stdout) == bits(whole())


def test_rules_whose_labels_differ_in_a_sign_keep_their_own_tiles(tmp_path):
    """Greek letters are no part of a file name."""
    over = sweep.grid(rule={"α": rules.sgd(), "β": rules.adam()}, lr=[0.01, 0.1], seed=0)
    first, again = (sweep.run(loss, init, DATA, over, steps=5, directory=tmp_path) for _ in range(2))
    np.testing.assert_array_equal(first.values["final_loss"], again.values["final_loss"])
    assert (first.values["final_loss"][0] != first.values["final_loss"][1]).all()


def test_finished_tiles_are_read_and_not_run(tmp_path):
    """A value planted in a finished tile comes out: it was not computed again."""
    whole(directory=tmp_path)
    path = sorted(tmp_path.glob("*.npz"))[0]
    with np.load(path) as arrays:
        kept = dict(arrays)
    kept["0001"] = np.full_like(kept["0001"], 123.0)  # final losses
    np.savez(path, **kept)
    table = whole(directory=tmp_path).table()
    assert (table["final_loss"] == 123.0).sum() == 8


def other_loss(params, batch):
    return 1.5 * loss(params, batch)


OTHER_DATA = {**DATA, "y": DATA["y"] + np.float32(1e-7)}
LR = np.geomspace(1e-3, 1e36, 16)
MOVED = np.where(np.arange(16) == 7, np.nextafter(LR, np.inf), LR)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"loss": other_loss}, r"loss: .*\.loss -> .*other_loss(.|\n)*program: "),
        ({"loss": lambda p, b: loss(p, b)}, r"loss: "),
        ({"data": OTHER_DATA}, r"data: "),
        ({"params": lambda seed: init(seed + 1)}, r"first parameters: "),
        (
            {"over": sweep.grid(rule=rules.adam(), lr=MOVED, loss_scale=[1, 10], seed=[3, 4], batch_size=4)},
            "values of lr",
        ),
        ({"over": sweep.grid(rule=rules.adamw(), lr=LR, loss_scale=[1, 10], seed=[3, 4], batch_size=4)}, "program"),
        ({"steps": 10}, r"steps: 9 -> 10"),
        ({"record": [1, 5]}, r"record: \[1, 5, 9\] -> \[1, 5\]"),
        ({"width": 4}, r"width: .*8.* -> .*4"),
        ({"schedule": lambda lr: schedules.step(lr=lr, step_size=2)}, "schedule: none -> "),
        ({"batches": lambda *a: sweep.shuffled(*a)[::-1]}, "batches: "),
    ],
)
def test_a_changed_definition_is_refused_with_what_changed(tmp_path_factory, changed, words):
    directory = tmp_path_factory.getbasetemp() / "begun"
    given = {"loss": loss, "params": init, "data": DATA, "over": AXES, "steps": 9, "record": [1, 5, 9], "width": 8}
    if not directory.exists():
        sweep.run(**given, directory=directory)
    before = sorted(path.name for path in directory.iterdir())
    with pytest.raises(sweep.ChangedDefinition, match=words):
        sweep.run(**{**given, **changed}, directory=directory)
    assert sorted(path.name for path in directory.iterdir()) == before


def test_a_loss_of_the_same_name_with_another_constant_is_noticed(tmp_path):
    """What counts is the computation, not what it is called."""

    def made(factor):
        def inner(params, batch):
            return factor * loss(params, batch)

        return inner

    axes = sweep.grid(rule=rules.sgd(), lr=[0.1])
    sweep.run(made(1.0), init(0), DATA, axes, steps=2, directory=tmp_path)
    sweep.run(made(1.0), init(0), DATA, axes, steps=2, directory=tmp_path)
    with pytest.raises(sweep.ChangedDefinition, match=r"another definition:\n  program: .*\nGive"):
        sweep.run(made(1.0 + 1e-6), init(0), DATA, axes, steps=2, directory=tmp_path)


def test_a_torn_file_is_named(tmp_path):
    whole(directory=tmp_path)
    path = sorted(tmp_path.glob("*.npz"))[2]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"{path.name} cannot be read.*delete it"):
        whole(directory=tmp_path)
