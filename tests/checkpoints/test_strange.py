"""Whatever is in a checkpoint, it is judged or refused in one line; nothing else is raised."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from lrtheory.checkpoints import CheckpointError, judge, read
from lrtheory.checkpoints._tree import checkpoint

from .saved_runs import run

STRANGE: list[Any] = [
    None, True, -1, 0, 10**30, 1.5, float("nan"), float("inf"), "text", b"bytes", [], {}, [1, "a"], {"a": 1}, (1, 2), 1j,
    torch.zeros(0), torch.zeros(3), torch.ones(2, 3, dtype=torch.bfloat16), torch.tensor(5), torch.full((4,), torch.nan),
    torch.zeros(2, dtype=torch.complex64), torch.zeros(2, dtype=torch.bool), torch.eye(3).to_sparse(), torch.tensor(3.5),
]  # fmt: skip


def places(tree: Any) -> list[tuple[Any, Any]]:
    """All containers with a key of each."""
    found = []
    pairs = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in pairs:
        found.append((tree, key))
        found += places(value)
    return found


def harmed(seed: int) -> Any:
    """A checkpoint in which some values were put in place of others, or taken out."""
    draw = random.Random(seed)
    tree: Any = {key: value for key, value in run().items()}
    tree["model"] = dict(tree["model"])
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        holder, key = draw.choice(places(tree))
        if draw.random() < 0.2:
            del holder[key]
        elif draw.random() < 0.1 and isinstance(holder, dict):
            holder[draw.choice(["x", 7, "step", "lr"])] = holder.pop(key)
        else:
            holder[key] = draw.choice(STRANGE)
    return tree


def judged_or_refused(seeds: range) -> int:
    said = []
    for seed in seeds:
        tree = harmed(seed)
        try:
            judge(checkpoint(tree, "checkpoint.pt", "torch"))
        except CheckpointError as error:
            said.append(str(error))
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error
    assert not [text for text in said if "\n" in text]
    return len(said)


def test_strange_values_are_judged_or_refused():
    assert 0 < judged_or_refused(range(150)) < 75


@pytest.mark.deep
def test_many_strange_values_are_judged_or_refused():
    judged_or_refused(range(1000, 6000))


def test_broken_bytes_are_judged_or_refused(tmp_path: Path):
    torch.save(run(), tmp_path / "saved.pt")
    whole = (tmp_path / "saved.pt").read_bytes()
    draw = random.Random(0)
    said = []
    for at in range(60):
        cut = bytearray(whole[: draw.randrange(len(whole))] if at % 2 else whole)
        for _ in range(0 if at % 2 else 30):
            cut[draw.randrange(len(cut))] = draw.randrange(256)
        (tmp_path / "broken.pt").write_bytes(cut)
        try:
            judge(read(tmp_path / "broken.pt"))
        except CheckpointError as error:
            said.append(str(error))
    assert len(said) > 20
    assert not [text for text in said if "\n" in text]
