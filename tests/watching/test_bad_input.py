"""Whatever goes wrong with a recording, the training goes on, what was recorded stays readable, and a message says what is missing."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from watched_runs import batch, run_of, train

import lrtheory
from lrtheory.cli import app
from lrtheory.watching import Record, RecordWarning
from lrtheory.watching.record import LINES, SAMPLES


def sgd(model: Any, **settings: Any) -> Any:
    return torch.optim.SGD(model.parameters(), lr=1e-2, **settings)


def test_closed_handle_answers_and_records_no_more(model: Any, tmp_path: Any) -> None:
    optimizer = sgd(model)
    watch = lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run")
    train(model, optimizer, 3)
    watch.close()
    watch.close()
    train(model, optimizer, 2)
    assert len(watch.run().optimizers[0].steps) == 3
    assert len(watch.summary()) == 6
    assert watch.findings() == []
    assert json.loads(watch.report().with_name("summary.json").read_text())["ended"]


def test_open_handle_answers_too(model: Any, tmp_path: Any) -> None:
    optimizer = sgd(model)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 3)
        assert "the recording was not closed: the last measured step is 2" in str(watch.summary())
        train(model, optimizer, 1)
        assert len(watch.run().optimizers[0].steps) == 4


def test_swapped_parameters_are_recorded_as_new_ones(model: Any, tmp_path: Any) -> None:
    optimizer = sgd(model)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 2)
        model.double()  # the same objects with data of another dtype
        train(model, optimizer, 2)
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(3))], "lr": 0.5})
        train(model, optimizer, 1)
    run = run_of(watch)
    assert [note.split(":")[0] for note in run.notes] == [
        "parameters changed before step 2", "parameters changed before step 4",
    ]  # fmt: skip
    (found,) = run.optimizers
    assert [t["dtype"] for t in found.tensors] == ["float32"] * 6 + ["float64"] * 6 + ["float32"]
    assert np.isfinite(found.figures["relative_update"][2:4, 6]).all()
    assert found.groups["lr"].shape == (5, 2)


def test_lbfgs_has_what_can_be_read_off_its_steps(model: Any, tmp_path: Any) -> None:
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=2)
    x, y = batch(0)

    def loss() -> Any:
        optimizer.zero_grad()
        found = torch.nn.functional.cross_entropy(model(x), y)
        found.backward()
        return found

    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        for _ in range(3):
            optimizer.step(loss)
    (found,) = run_of(watch).optimizers
    assert "LBFGS" in found.tensors[0]["reason"]
    assert np.isnan(found.figures["mean"]).all()
    for name in ("relative_update", "rotation", "step_over_gradient", "absorbed", "nominal_lr"):
        assert np.isfinite(found.figures[name][:, 0]).all(), name


def test_optimizer_of_ones_own_is_opaque_and_says_why(model: Any, tmp_path: Any) -> None:
    class Mine(torch.optim.AdamW):
        def step(self, closure: Any = None) -> None:
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.add_(p.grad, alpha=-group["lr"])

    optimizer = Mine(model.parameters(), lr=1e-2)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 3)
    (found,) = run_of(watch).optimizers
    assert "Mine.step" in found.tensors[0]["reason"]
    np.testing.assert_allclose(found.figures["step_over_gradient"][:, 0], 1e-2, rtol=1e-4)


def test_sparse_gradients_are_sampled(tmp_path: Any) -> None:
    torch.manual_seed(0)
    table = torch.nn.Embedding(300, 4, sparse=True)
    optimizer = torch.optim.SparseAdam(table.parameters(), lr=1e-2)
    with lrtheory.watch(optimizer, model=table, every=1, out=tmp_path / "run") as watch:
        for step in range(3):
            optimizer.zero_grad()
            table(torch.arange(step, 250)).square().sum().backward()
            optimizer.step()
    (found,) = run_of(watch).optimizers
    assert found.tensors[0]["rule"] == "sparse_adam()"
    assert np.isfinite(found.figures["maximum"]).all()
    assert (found.figures["moved_without_gradient"] == 0).all()


@pytest.mark.parametrize("given", [object(), torch.nn.Linear(2, 2), None, 3])
def test_what_has_no_step_hook_is_refused(given: Any, tmp_path: Any) -> None:
    with pytest.raises(TypeError, match=r"has no step hooks to watch by: give a torch\.optim\.Optimizer"):
        lrtheory.watch(given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_optax_is_told_how_it_is_watched(tmp_path: Any) -> None:
    optax = pytest.importorskip("optax")
    with pytest.raises(TypeError, match=r"GradientTransformation.* optax is watched by lrtheory\.optax\.watched"):
        lrtheory.watch(optax.adam(1e-3), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_numbers_that_cannot_be_are_refused(model: Any, tmp_path: Any) -> None:
    for name, value in (("every", 0), ("sample", 0), ("every", 2.5), ("sample", True)):
        with pytest.raises(ValueError, match=f"{name}={value!r} must be a whole number, 1 or more"):
            lrtheory.watch(sgd(model), out=tmp_path / "run", **{name: value})
    with pytest.raises(ValueError, match="no optimizer was given"):
        lrtheory.watch([], out=tmp_path / "run")


def test_coat_of_an_optimizer_is_watched_by_what_it_wears_it_over(model: Any, tmp_path: Any) -> None:
    class Coat:
        def __init__(self, optimizer: Any) -> None:
            self.optimizer = optimizer

    optimizer = sgd(model)
    with lrtheory.watch(Coat(optimizer), every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 2)
    assert len(run_of(watch).optimizers[0].steps) == 2


def test_full_disk_stops_the_recording_alone(model: Any, tmp_path: Any, monkeypatch: Any) -> None:
    """The disk is full in the middle of a block, and of a line."""
    optimizer = sgd(model)
    watch = lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run")
    train(model, optimizer, 2)
    write, room = os.write, [100]

    def full(descriptor: int, data: Any) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = data[: room[0]]
        room[0] -= len(part)
        return write(descriptor, part)

    monkeypatch.setattr("lrtheory.watching.record.os.write", full)
    before = model[0].weight.detach().clone()
    with pytest.warns(RecordWarning, match=r"stopped \(No space left on device\); training goes on"):
        train(model, optimizer, 1)
    train(model, optimizer, 2)
    assert not torch.equal(before, model[0].weight)
    watch.close()
    run = run_of(watch)
    assert run.optimizers[0].steps.tolist() == [0, 1]
    assert not run.ended
    assert "the last measured step is 1" in run.notes[-1]


@pytest.mark.parametrize("cut", [LINES, SAMPLES])
def test_record_that_is_cut_short_is_read_up_to_there(cut: str, model: Any, tmp_path: Any) -> None:
    optimizer = sgd(model)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 3)
        assert watch.out is not None
        size = (watch.out / cut).stat().st_size
    os.truncate(watch.out / cut, size - 7)
    record = Record(watch.out)
    assert [step.number for step in record.steps] == [0, 1]


def test_failure_of_the_recorder_stops_it_alone(model: Any, tmp_path: Any, monkeypatch: Any) -> None:
    optimizer = sgd(model)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 2)
        monkeypatch.setattr("lrtheory.watching.torch_recorder.Block.brought", lambda self: 1 / 0)
        with pytest.warns(RecordWarning, match=r"step 2 could not be recorded \(ZeroDivisionError"):
            train(model, optimizer, 1)
        train(model, optimizer, 1)
    run = run_of(watch)
    assert run.optimizers[0].steps.tolist() == [0, 1]
    assert "step 2 could not be recorded" in run.notes[0]


def test_step_that_fails_is_not_recorded_with_the_next(model: Any, tmp_path: Any) -> None:
    optimizer = sgd(model)
    with lrtheory.watch(optimizer, model=model, every=2, out=tmp_path / "run") as watch:
        train(model, optimizer, 2)
        with pytest.raises(ZeroDivisionError):
            optimizer.step(lambda: 1 / 0)
        train(model, optimizer, 3)
    assert [step.number for step in Record(watch.out).steps] == [0, 4]


def test_two_watches_of_one_optimizer_have_records_of_their_own(model: Any, tmp_path: Any) -> None:
    optimizer = sgd(model)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as first:
        train(model, optimizer, 1)
        with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as second:
            train(model, optimizer, 2)
        train(model, optimizer, 1)
    assert second.out.name == "run-2"
    assert [len(list(Record(watch.out).steps)) for watch in (first, second)] == [4, 2]


def test_no_record_and_one_of_the_future_are_refused(model: Any, tmp_path: Any) -> None:
    with pytest.raises(FileNotFoundError, match="give the directory that a watched run wrote to"):
        Record(tmp_path)
    (tmp_path / LINES).write_text('{"kind": "run", "schema": 99}\n')
    (tmp_path / SAMPLES).write_text("")
    with pytest.raises(ValueError, match="has schema 99; this lrtheory reads up to 1"):
        Record(tmp_path)


def test_gradients_that_are_absent_leave_gaps(model: Any, tmp_path: Any) -> None:
    optimizer = sgd(model)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        for step in range(3):
            train(
                model,
                optimizer,
                1,
                before_step=lambda s=step: setattr(model[0].weight, "grad", None) if s == 1 else None,
            )
    steps = run_of(watch).optimizers[0].figures["relative_update"][:, 0]
    assert np.isnan(steps).tolist() == [False, True, False]


def test_run_that_is_taken_up_in_the_middle_says_what_is_assumed(model: Any, tmp_path: Any) -> None:
    """The weights of a momentum buffer that has long been filled sum to 1/(1 − momentum)."""
    optimizer = sgd(model, momentum=0.9)
    train(model, optimizer, 3)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 2)
    run = run_of(watch)
    assert "had taken steps before" in run.notes[0]
    np.testing.assert_allclose(run.optimizers[0].figures["mean"], 1e-2 / (1 - 0.9), rtol=1e-5)


KILLED = """
import os, torch, lrtheory
model = torch.nn.Linear(3, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
watch = lrtheory.watch(optimizer, model=model, every=2, out={out!r})
for step in range(5):
    optimizer.zero_grad()
    model(torch.ones(4, 3)).square().sum().backward()
    optimizer.step()
from jax._src import xla_bridge
os._exit(7 if not xla_bridge._backends else 8)
"""


def test_process_that_is_gone_without_a_word_leaves_its_record(tmp_path: Any, capsys: Any) -> None:
    """And while it recorded it has touched no backend of JAX."""
    out = tmp_path / "run"
    done = subprocess.run([sys.executable, "-c", KILLED.format(out=str(out))], timeout=120)
    assert done.returncode == 7
    record = Record(out)
    assert [step.number for step in record.steps] == [0, 2, 4]
    assert record.end is None
    assert app.run(["watch", str(out)]) == 0
    assert "the recording was not closed: the last measured step is 4" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("name", ["AdamW", "RMSprop", "Adafactor"])
def test_scalar_parameter_is_measured_at_every_step(name: str, tmp_path: Any) -> None:
    """A temperature, or the scale of CLIP: what is kept of it has the shape that a count has."""
    scale, vector = torch.nn.Parameter(torch.tensor(2.0)), torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = getattr(torch.optim, name)([scale, vector], lr=0.1)
    with lrtheory.watch(optimizer, every=1, out=tmp_path / "run") as watch:
        for step in range(4):
            optimizer.zero_grad()
            ((scale - step) ** 2 + (vector - step).square().sum()).backward()
            optimizer.step()
    (found,) = run_of(watch).optimizers
    assert [t["reason"] for t in found.tensors] == ["", ""]
    assert not np.isnan(found.figures["harmonic_mean"]).any()
    np.testing.assert_allclose(*found.figures["harmonic_mean"].T, rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "fresh"), [(torch.optim.Adagrad, True), (torch.optim.SGD, True), (torch.optim.Adam, False)]
)
def test_state_that_is_there_from_the_start_is_no_step(make: Any, fresh: bool, model: Any, tmp_path: Any) -> None:
    optimizer = make(model.parameters(), lr=1e-2)
    if not fresh:
        train(model, optimizer, 1)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 1)
    assert any("had taken steps" in note for note in run_of(watch).notes) != fresh


def test_layer_that_is_added_later_is_covered_and_others_keep_their_rows(model: Any, tmp_path: Any) -> None:
    """Layers are unfrozen one after the other: those that were there go on, and a frozen one has no decay."""
    first, *rest = model.parameters()
    second = rest.pop(0).requires_grad_(False)
    optimizer = torch.optim.AdamW([second, *rest], lr=1e-2)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 3)
        optimizer.add_param_group({"params": [first]})
        train(model, optimizer, 3)
    table = watch.summary()
    assert sorted(row.name for row in table.rows) == sorted(name for name, _ in model.named_parameters())
    ids = {finding.id: finding.where for finding in watch.findings()}
    assert "in-no-group" not in ids
    assert "0.bias" not in ids["decay-on-norms"]
    assert "4.bias" in ids["decay-on-norms"]


def test_run_without_a_step_has_a_summary(model: Any, tmp_path: Any) -> None:
    with lrtheory.watch(sgd(model), model=model, out=tmp_path / "run") as watch:
        pass
    assert str(watch.summary()) == "SGD: 0 steps, 0 measured, 0 skipped"
