"""Figures that are worked out beside the training, in a process that keeps off the accelerator."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from watched_runs import run_of, train

import lrtheory
from lrtheory.watching import handle, table_of


def test_every_measured_step_is_logged_in_the_thread_of_the_training(model: Any, tmp_path: Any) -> None:
    import threading

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    lines, threads = [], set()

    def log(figures: Any, step: int) -> None:
        lines.append({"step": step, **figures})
        threads.add(threading.get_ident())

    with lrtheory.watch(optimizer, model=model, every=3, out=tmp_path / "run", log=log) as watch:
        train(model, optimizer, 10)
    assert threads == {threading.get_ident()}
    assert [line["step"] for line in lines] == [0, 3, 6, 9]
    figures = run_of(watch).optimizers[0].figures
    for i, line in enumerate(lines):
        assert line["lr/0"] == 1e-2
        np.testing.assert_allclose(line["effective_lr/4.weight"], figures["harmonic_mean"][i, 4], rtol=1e-6)
        np.testing.assert_allclose(line["relative_update/4.weight"], figures["relative_update"][i, 4], rtol=1e-6)
    json.dumps(lines)


def test_process_of_its_own_says_the_same(model: Any, tmp_path: Any, monkeypatch: Any) -> None:
    """Where JAX might take an accelerator here, another process works the figures out, and is told of the CPU alone."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    with lrtheory.watch(optimizer, model=model, every=1, out=tmp_path / "run") as watch:
        train(model, optimizer, 4)
    here = str(table_of(run_of(watch)))
    monkeypatch.setattr(handle, "_alone_on_cpu", lambda: False)
    assert str(watch.summary()) == here
    assert (handle._environment()["JAX_PLATFORMS"], handle._environment()["CUDA_VISIBLE_DEVICES"]) == ("cpu", "")


@pytest.mark.parametrize(
    ("platforms", "plugins", "alone"), [("cpu", True, True), (None, True, False), (None, False, True)]
)
def test_jax_works_here_only_where_it_cannot_touch_an_accelerator(
    platforms: str | None, plugins: bool, alone: bool, monkeypatch: Any
) -> None:
    import importlib.metadata

    import jax

    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: ["cuda"] if plugins else [])
    before = getattr(jax.config, "jax_platforms")  # noqa: B009
    jax.config.update("jax_platforms", platforms)
    try:
        assert handle._alone_on_cpu() is alone
    finally:
        jax.config.update("jax_platforms", before)
