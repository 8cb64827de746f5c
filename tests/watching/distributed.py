"""What each process of a distributed run does in ``test_distributed.py``: ``python distributed.py KIND RANK OUT``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

import lrtheory


def train(kind: str, rank: int, out: str) -> Path | None:
    """Watch the run of a kind; with ``alone`` that of one process with all of the data."""
    torch.manual_seed(0)
    trained: Any
    model = torch.nn.Sequential(torch.nn.Linear(12, 41), torch.nn.Tanh(), torch.nn.Linear(41, 3))
    if kind == "sharded":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (2,))
        trained = fully_shard(model, mesh=mesh)
    elif kind == "replicated":
        trained = torch.nn.parallel.DistributedDataParallel(model)
    else:
        trained = model
    optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-2)
    watch = lrtheory.watch(optimizer, model=trained, every=2, sample=50, out=f"{out}/{kind}")
    drawn = torch.Generator().manual_seed(5)
    for _ in range(5):
        x, y = torch.randn(16, 12, generator=drawn), torch.randint(3, (16,), generator=drawn)
        half = slice(None) if kind == "alone" else slice(8 * rank, 8 * rank + 8)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(trained(x[half]), y[half]).backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 0.1)
        optimizer.step()
    watch.close()
    return watch.out


if __name__ == "__main__":
    KIND, RANK, OUT = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "RANK": str(RANK), "WORLD_SIZE": "2"}
    dist.init_process_group("gloo", rank=RANK, world_size=2, init_method=f"file://{OUT}/meet")
    torch.set_num_threads(1)
    assert (train(KIND, RANK, OUT) is None) == (RANK > 0)
    dist.destroy_process_group()
