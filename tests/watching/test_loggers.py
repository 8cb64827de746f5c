"""Each logger, with the tracker itself: what it wrote is read back."""

from __future__ import annotations

import json

import pytest

from lrtheory.watching import loggers

FIGURES = {"relative_update/fc1.weight": 1.5e-3, "lr/0": 0.125}


def read_events(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_writes_event_files(tmp_path):
    pytest.importorskip("tensorboard")
    log = loggers.tensorboard(tmp_path)
    log(FIGURES, 0)
    log({"lr/0": 0.0625}, 100)
    found = read_events(tmp_path)
    assert found["lrtheory/lr/0"] == [(0, 0.125), (100, 0.0625)]
    assert found["lrtheory/relative_update/fc1.weight"] == [(0, pytest.approx(1.5e-3))]


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_takes_torchs_writer(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as writer:
        loggers.tensorboard(writer)(FIGURES, 7)
    assert read_events(tmp_path)["lrtheory/lr/0"] == [(7, 0.125)]


@pytest.mark.filterwarnings("ignore")
def test_wandb_logs_against_a_step_of_its_own(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(mode="offline", dir=str(tmp_path), project="p")
    try:
        run.log({"loss": 1.0}, step=500)
        loggers.wandb()(FIGURES, 100)  # later than the loss, and of an earlier step
        found = dict(run.summary)
    finally:
        run.finish()
    assert found["lrtheory/step"] == 100
    assert found["lrtheory/lr/0"] == 0.125


def test_wandb_without_a_run_is_refused():
    pytest.importorskip("wandb")
    with pytest.raises(ValueError, match=r"wandb\.init"):
        loggers.wandb()


def test_trackio_logs_with_the_step():
    class Run:
        def log(self, metrics, step=None):
            self.seen = step, metrics

    run = Run()
    loggers.trackio(run)(FIGURES, 3)
    assert run.seen == (3, {f"lrtheory/{name}": value for name, value in FIGURES.items()})


def test_jsonl_appends_lines(tmp_path):
    log = loggers.jsonl(tmp_path / "f.jsonl")
    log(FIGURES, 0)
    log({"lr/0": float("nan")}, 1)
    lines = [json.loads(line) for line in (tmp_path / "f.jsonl").read_text().splitlines()]
    assert lines == [{"step": 0, "figures": FIGURES}, {"step": 1, "figures": {"lr/0": None}}]
