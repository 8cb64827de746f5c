"""Small torch runs that are watched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For tensors this small, handing out work takes several times as long as the work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model() -> Any:
    """A perceptron with normalisation and dropout; its tensors have two sizes, since a program is compiled for each."""
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(12, 12), torch.nn.LayerNorm(12), torch.nn.Dropout(0.1), torch.nn.Tanh(), torch.nn.Linear(12, 12)
    )
