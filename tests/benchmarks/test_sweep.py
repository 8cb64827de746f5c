"""What is timed beside each other trains the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks import sweep


@pytest.fixture(scope="module")
def grid() -> sweep.Grid:
    return sweep.Grid.of(4, 8, steps=20)


def test_all_end_at_the_same_losses(grid: sweep.Grid) -> None:
    apart = sweep.disagreement(grid, sweep.contest(grid, mesh=False))
    assert set(apart) == {sweep.OURS, sweep.OPTAX, sweep.TORCH}
    assert max(apart.values()) < sweep.ALIKE / 10


@pytest.mark.parametrize("other", [{"lrs": 1.01}, {"seeds": 1}])
def test_an_lr_that_is_off_and_other_batches_are_noticed(grid: sweep.Grid, other: dict[str, float]) -> None:
    changed = replace(grid, lrs=grid.lrs * other.get("lrs", 1), seeds=grid.seeds + other.get("seeds", 0))
    loops = {sweep.OURS: sweep.torch_loop(grid), sweep.TORCH: sweep.torch_loop(changed)}
    assert sweep.disagreement(grid, loops)[sweep.TORCH] > 10 * sweep.ALIKE
