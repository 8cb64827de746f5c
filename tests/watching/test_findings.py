"""Every finding is raised by a run that was planted, at several seeds, and none by a healthy one."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import schemas
import torch
from watched_runs import batch, run_of, train

import lrtheory
from lrtheory.watching import findings_of, load, save, table_of
from lrtheory.watching.findings import CHECKS, _coverage, _group_line, moves_without_gradient

STEPS, EVERY = 60, 5
#: A decay whose time scale, one over lr·weight_decay, is a third of the run.
LR, DECAY = 5e-3, 10.0


def made(seed: int, dtype: Any = torch.float32) -> Any:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        torch.nn.Linear(12, 40), torch.nn.LayerNorm(40), torch.nn.Tanh(), torch.nn.Linear(40, 3)
    )
    return model.to(dtype)


def grouped(model: Any, lr: float = LR, decay: float = DECAY, **settings: Any) -> Any:
    """AdamW as it is usually set: no decay on norms and biases."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, **settings)


def scheduled(model: Any, schedule: Callable[[Any], Any], each: Callable[[int], int]) -> tuple[Any, Callable[[], None]]:
    optimizer = grouped(model)
    scheduler = schedule(optimizer)
    step = iter(range(10**6))

    def advance() -> None:
        for _ in range(each(next(step))):
            scheduler.step()

    return optimizer, advance


def nothing() -> None:
    pass


def healthy(model: Any) -> Any:
    cosine = lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)  # noqa: E731
    optimizer, advance = scheduled(model, cosine, lambda step: int(step > 0))

    def act() -> None:
        advance()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)

    return optimizer, act


def slow(model: Any) -> Any:
    lrs = [{"params": [model[0].weight], "lr": 1e-7}, {"params": [model[3].weight]}]
    return torch.optim.AdamW(lrs, lr=LR, weight_decay=0.0), nothing


def unused(model: Any) -> Any:
    def act() -> None:
        model[0].weight.grad.zero_()

    return grouped(model), act


def poisoned(model: Any) -> Any:
    steps = iter(range(STEPS))

    def act() -> None:
        if next(steps) == STEPS // 2:
            model[0].weight.grad[0, 0] = torch.nan

    return grouped(model), act


def cosine_of(steps: int) -> Callable[[Any], Any]:
    return lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


PLANTED: dict[str, tuple[str, Callable[[Any], Any], Any]] = {
    "slow layer": ("hardly-moves", slow, torch.float32),
    "lr too large": ("rewritten", lambda m: (grouped(m, 1.0, 0.0), nothing), torch.float32),
    "eps too large": ("eps-dominates", lambda m: (grouped(m, eps=10.0), nothing), torch.float32),
    "bfloat16": ("absorbed", lambda m: (grouped(m, 1e-6, 0.0), nothing), torch.bfloat16),
    "bfloat16 decay": ("decay-absorbed", lambda m: (grouped(m, 1e-2, 1e-2), nothing), torch.bfloat16),
    "always clipped": (
        "clipping",
        lambda m: (grouped(m), lambda: torch.nn.utils.clip_grad_norm_(m.parameters(), 1e-3)),
        torch.float32,
    ),
    "one group": (
        "decay-on-norms",
        lambda m: (torch.optim.AdamW(m.parameters(), lr=LR, weight_decay=DECAY), nothing),
        torch.float32,
    ),
    "left out": ("in-no-group", lambda m: (torch.optim.AdamW(m[0].parameters(), lr=LR), nothing), torch.float32),
    "zeros for gradients": ("moves-without-gradient", unused, torch.float32),
    "never stepped": ("scheduler-calls", lambda m: scheduled(m, cosine_of(STEPS), lambda s: 0), torch.float32),
    "stepped twice": ("scheduler-calls", lambda m: scheduled(m, cosine_of(200), lambda s: 2 * (s > 0)), torch.float32),
    "stepped seldom": ("scheduler-calls", lambda m: scheduled(m, cosine_of(STEPS), lambda s: s % 10 == 9), torch.float32),
    "over too soon": (
        "lr-at-zero",
        lambda m: scheduled(
            m, lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda s: max(0, 1 - s / 20)), lambda s: int(s > 0)
        ),
        torch.float32,
    ),
    "never above 0": (
        "lr-at-zero",
        lambda m: scheduled(m, lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda s: s // 1000), lambda s: int(s > 0)),
        torch.float32,
    ),
    "nan": ("not-finite", poisoned, torch.float32),
    "slow decay": ("decay-longer-than-run", lambda m: (grouped(m, decay=1e-2), nothing), torch.float32),
}  # fmt: skip


def found_in(plant: Callable[[Any], Any], dtype: Any, seed: int, out: Any) -> Any:
    model = made(seed, dtype)
    optimizer, act = plant(model)
    with lrtheory.watch(optimizer, model=model, every=EVERY, out=out) as watch:
        train(model, optimizer, STEPS, before_step=act)
    return run_of(watch)


@pytest.mark.parametrize("seed", range(3))
def test_healthy_run_raises_nothing(seed: int, tmp_path: Any) -> None:
    run = found_in(healthy, torch.float32, seed, tmp_path / "run")
    assert findings_of(run) == []
    assert run.notes == []


class OfItsOwnLength(torch.optim.SGD):
    """Its lr is 0, and its steps are not."""

    def step(self, closure: Any = None) -> None:
        for p in (p for group in self.param_groups for p in group["params"] if p.grad is not None):
            p.data.sub_(p.grad, alpha=0.01)


def test_a_frozen_mask_and_an_lr_that_nothing_reads_are_no_faults(tmp_path: Any) -> None:
    def plant(model: Any) -> Any:
        mask = torch.nn.Parameter(torch.full((2, 2), -torch.inf), requires_grad=False)
        return OfItsOwnLength([*model.parameters(), mask], lr=0.0), nothing

    run = found_in(plant, torch.float32, 0, tmp_path / "run")
    assert np.isfinite(run.optimizers[0].figures["relative_update"][:, 0]).all()
    assert {"lr-at-zero", "not-finite"}.isdisjoint(finding.id for finding in findings_of(run))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PLANTED)
def test_plant_is_found(name: str, seed: int, tmp_path: Any) -> None:
    expected, plant, dtype = PLANTED[name]
    found = findings_of(found_in(plant, dtype, seed, tmp_path / "run"))
    hit = [finding for finding in found if finding.id == expected]
    assert hit, [finding.id for finding in found]
    for finding in hit:
        assert finding.evidence
        assert finding.fix
        assert finding.level in ("warning", "hint")


def test_two_optimizers_of_one_parameter_are_found(tmp_path: Any) -> None:
    model = made(0)
    both = [torch.optim.SGD(model.parameters(), lr=1e-2), torch.optim.SGD([model[0].weight], lr=1e-2)]
    with lrtheory.watch(both, model=model, out=tmp_path / "run") as watch:
        train(model, both[0], 3)
    (finding,) = findings_of(run_of(watch))
    assert (finding.id, finding.where) == ("in-two-groups", ["0.weight"])


@pytest.mark.parametrize("seed", range(3))
def test_skipped_steps_are_found(seed: int, tmp_path: Any) -> None:
    model = made(seed)
    optimizer = grouped(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4)
    with lrtheory.watch(optimizer, model=model, every=EVERY, out=tmp_path / "run") as watch:
        for step in range(STEPS):
            optimizer.zero_grad()
            x, y = batch(step)
            scaler.scale(torch.nn.functional.cross_entropy(model(x), y)).backward()
            if step % 4 == 1:
                model[0].weight.grad[0, 0] = float("nan")
            scaler.step(optimizer)
            scaler.update()
    found = findings_of(run_of(watch))
    assert [(f.id, f.evidence["skipped"]) for f in found] == [("skipped-steps", STEPS // 4)]


def test_every_check_has_a_plant() -> None:
    planted = {expected for expected, _, _ in PLANTED.values()}
    assert planted | {"skipped-steps"} == {*CHECKS, "in-no-group"}


def test_results_are_the_same_after_they_were_saved(tmp_path: Any) -> None:
    run = found_in(PLANTED["always clipped"][1], torch.float32, 0, tmp_path / "run")
    told = json.loads(save(run).read_text())
    assert schemas.fault(told) is None
    assert [f["id"] for f in told["findings"]] == [f.id for f in findings_of(run)]
    assert {row["name"] for row in told["tensors"]} == {t["name"] for t in run.optimizers[0].tensors}
    again = load(run.out)
    assert str(table_of(again)) == str(table_of(run))
    assert [dataclasses.asdict(f) for f in findings_of(again)] == [dataclasses.asdict(f) for f in findings_of(run)]
    text = str(table_of(run))
    assert "clip" in text.splitlines()[0]
    assert "Gradients were clipped in 100% of the measured steps" in text


def test_docs_list_every_finding() -> None:
    page = (Path(__file__).parents[2] / "docs" / "watching.md").read_text()
    listed = set(
        re.findall(r"`([a-z-]+)`", "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `")))
    )
    assert {*CHECKS, "in-no-group", "in-two-groups"} <= listed


def test_the_line_to_paste_names_every_tensor():
    """Text says three and how many more; what is pasted must do all of them."""
    names = [f"layer.{i}" for i in range(5)]
    found = next(iter(_coverage(SimpleNamespace(coverage={"outside": names, "twice": []}))))
    assert "and 2 more" in found.text
    assert all(repr(name) in found.fix for name in names)
    assert all(repr(name) in _group_line(names) for name in names)


@pytest.mark.parametrize(("norm", "found"), [(0.0, ["large"]), (1.0, [])])
def test_steps_without_a_recorded_norm_say_nothing_of_a_gradient_of_zero(norm, found):
    """Norms of large tensors are taken some steps apart; nan between them."""
    norms = np.full((40, 1), np.nan)
    norms[::20] = norm
    watched: Any = SimpleNamespace(figures={"grad_norm": norms}, tensors=[{"name": "large", "group": 0}])
    told = list(moves_without_gradient(watched, {"moved_without_gradient": np.array([1.0])}))
    assert [name for one in told for name in one["where"]] == found
