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
from lrtheory.sweep.store import Store

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
    name, store = sorted(tmp_path.glob("*.npz"))[0].stem, Store(tmp_path)
    arrays = store.load(name)
    arrays[1][:] = 123.0  # final losses
    store.save(name, arrays)
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


def first_rows(kept):
    return {key: array[:3] if array.ndim else array for key, array in kept.items()}


def other_values(kept):
    return {**kept, "0001": np.full_like(kept["0001"], 123)}


def other_keys(kept):
    return {f"loss {key}" if key == "0001" else key: array for key, array in kept.items()}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:100]), id="cut off"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(bytes(path.stat().st_size)), id="zeros"),
        *(
            pytest.param(lambda path, change=change: np.savez(path, **change(dict(np.load(path)))), id=change.__name__)
            for change in (first_rows, other_values, other_keys, lambda kept: {})
        ),
    ],
)
def test_a_damaged_tile_is_named(damage, tmp_path):
    """What a full disk, a power cut or a hand leaves of a tile is no result (C1, C2): one line says what to do."""
    whole(directory=tmp_path)
    path = sorted(tmp_path.glob("*.npz"))[2]
    damage(path)
    with pytest.raises(
        ValueError, match=rf"^[^\n]*{path.name} (cannot be read|is not what was written)[^\n]*delete it"
    ) as told:
        whole(directory=tmp_path)
    assert "\n" not in str(told.value)
    path.unlink()
    assert bits(whole(directory=tmp_path)) == bits(whole())


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"', "{", ""])
def test_a_definition_that_is_none_is_refused(text, tmp_path):
    whole(directory=tmp_path)
    (tmp_path / "definition.json").write_text(text)
    with pytest.raises(ValueError, match=r"definition.json is no definition of a sweep \(.*give another directory"):
        whole(directory=tmp_path)


@pytest.mark.parametrize("widths", [None, [], {"adam(), batch 4": "wide"}])
def test_a_definition_with_other_widths_is_refused(widths, tmp_path):
    whole(directory=tmp_path)
    path = tmp_path / "definition.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"width": widths}))
    with pytest.raises(sweep.ChangedDefinition, match="width: "):
        whole(directory=tmp_path)


def test_tiles_without_their_definition_are_no_other_sweeps(tmp_path):
    """With the definition deleted, other data are other results (C2), and the same data those that were kept."""
    given = {"steps": 9, "record": [1, 5, 9], "width": 8, "directory": tmp_path}
    first = bits(sweep.run(loss, init, DATA, AXES, **given))
    kept = {path.name for path in tmp_path.glob("*.npz")}
    (tmp_path / "definition.json").unlink()
    data = {**DATA, "y": 2 * DATA["y"]}
    assert bits(sweep.run(loss, init, data, AXES, **given)) == bits(
        sweep.run(loss, init, data, AXES, **{**given, "directory": None})
    )
    (tmp_path / "definition.json").unlink()
    there = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz") if path.name in kept}
    assert bits(sweep.run(loss, init, DATA, AXES, **given)) == first
    assert {path: path.stat().st_mtime_ns for path in there} == there
