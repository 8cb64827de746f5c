"""Training loops for the tests of watching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lrtheory.watching import Run
from lrtheory.watching.analysis import analyse
from lrtheory.watching.record import Record


def batch(seed: int, dtype: Any = torch.float32) -> tuple[Any, Any]:
    """Sixteen examples of three classes."""
    drawn = torch.Generator().manual_seed(seed)
    x = torch.randn(16, 12, generator=drawn).to(dtype)
    return x, torch.randint(3, (16,), generator=drawn)


def train(model: Any, optimizer: Any, steps: int, *, before_step: Callable[[], Any] = lambda: None) -> None:
    """Steps on a batch that is another each time; ``before_step`` is called with gradients there."""
    dtype = next(model.parameters()).dtype
    for step in range(steps):
        x, y = batch(step, dtype)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x).float(), y).backward()
        before_step()
        optimizer.step()


def run_of(watch: Any) -> Run:
    """What was recorded, worked out in this process."""
    return analyse(Record(watch.out))
