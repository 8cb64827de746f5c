"""What is picked of a tensor, strided, sparse or sharded, and how the pieces of a step are brought to the host at once."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np


class Places:
    """The coordinates of one parameter that are recorded: all, or a fixed sample drawn by the seed and its name."""

    def __init__(self, name: str, shape: Sequence[int], sample: int, seed: int) -> None:
        size = int(np.prod(shape))
        if size <= sample:
            flat = np.arange(size)
        else:
            rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
            flat = np.sort(rng.choice(size, sample, replace=False, shuffle=False))
        self.count = len(flat)
        self.shape = tuple(shape)
        self.flat = flat
        self.at = np.unravel_index(flat, self.shape) if self.shape else ()
        self._on: dict[Any, Any] = {}

    def pick(self, tensor: Any) -> Any:
        """Those coordinates of a strided tensor of this shape, as a flat copy on its device."""
        import torch

        if (flat := self._on.get(tensor.device)) is None:
            flat = self._on[tensor.device] = torch.as_tensor(self.flat, device=tensor.device)
        return tensor.take(flat)

    def pick_sparse(self, gradient: Any) -> Any:
        """Those coordinates of a sparse gradient, without making it dense."""
        import torch

        gradient = gradient.coalesce()
        sparse = gradient.sparse_dim()
        sizes = np.array(self.shape[:sparse])
        strides = np.append(np.cumprod(sizes[:0:-1])[::-1], 1).astype(int)
        on = gradient.device
        wanted = sum((a * s for a, s in zip(self.at[:sparse], strides, strict=True)), np.zeros(self.count, int))
        wanted = torch.as_tensor(wanted, device=on)
        rows = (gradient.indices() * torch.as_tensor(strides, device=on)[:, None]).sum(0)
        values = gradient.values()
        if not len(rows):
            return torch.zeros(self.count, dtype=values.dtype, device=on)
        found = torch.searchsorted(rows, wanted).clamp_(max=len(rows) - 1)
        within = tuple(torch.as_tensor(a, device=on) for a in self.at[sparse:])
        return torch.where(rows[found] == wanted, values[(found, *within)], 0)

    def pick_sharded(self, tensor: Any) -> Any:
        """Those coordinates of a sharded tensor that this process holds for all, and 0 elsewhere, in float64."""
        import torch
        from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

        mesh, local = tensor.device_mesh, tensor.to_local()
        picked = torch.zeros(self.count, dtype=torch.float64, device=local.device)
        if not speaks(tensor):
            return picked
        shape, start = compute_local_shape_and_global_offset(tensor.shape, mesh, tensor.placements)
        inside = np.full(self.count, True)
        for at, n, first in zip(self.at, shape, start, strict=True):
            inside &= (at >= first) & (at < first + n)
        mine = np.flatnonzero(inside)
        if len(mine):
            within = tuple(
                torch.as_tensor(a[mine] - first, device=local.device) for a, first in zip(self.at, start, strict=True)
            )
            values = local[within] if within else local.reshape(1)
            picked[torch.as_tensor(mine, device=local.device)] = values.to(torch.float64)
        return picked


def speaks(tensor: Any) -> bool:
    """Whether this process's part counts: one process for each part that several have."""
    coordinate = tensor.device_mesh.get_coordinate()
    if coordinate is None:
        return False
    return all(place.is_shard() or at == 0 for place, at in zip(tensor.placements, coordinate, strict=True))


def is_sharded(tensor: Any) -> bool:
    """Whether it is a DTensor."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "placements")


def plain_dtype(tensor: Any) -> str:
    """Such as ``bfloat16``."""
    return str(tensor.dtype).removeprefix("torch.")


class Block:
    """What is picked in one step, brought to the host in one transfer a device, and summed over processes at once."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.numbers: dict[int, dict[str, float]] = {}
        self._pieces: dict[Any, list[tuple[Any, str, Any, tuple[int, ...]]]] = {}
        self._shared: dict[Any, list[tuple[Any, str, Any, tuple[int, ...], str, bool]]] = {}

    def add(self, tensor: Any, what: str, piece: Any, shape: Sequence[int] | None = None) -> None:
        """A flat piece that this process has whole."""
        self._pieces.setdefault((piece.device, piece.dtype), []).append(
            (tensor, what, piece, tuple(piece.shape if shape is None else shape))
        )

    def share(self, mesh: Any, tensor: Any, what: str, piece: Any, dtype: str, root: bool = False) -> None:
        """A flat float64 piece to be summed over a mesh, and of which the root is taken then."""
        shape = () if root else tuple(piece.shape)
        self._shared.setdefault(mesh, []).append((tensor, what, piece, shape, dtype, root))

    def brought(self) -> tuple[list[list[Any]], bytes]:
        """Entries of the layout, and the bytes."""
        import torch

        entries: list[list[Any]] = []
        blocks: list[bytes] = []
        for mesh, pieces in self._shared.items():
            together = torch.cat([piece.reshape(-1) for _, _, piece, *_ in pieces])
            for dimension in range(mesh.ndim):
                torch.distributed.all_reduce(together, group=mesh.get_group(dimension))
            sums, at = together.cpu(), 0
            for tensor, what, piece, shape, dtype, root in pieces:
                part = sums[at : at + piece.numel()]
                at += piece.numel()
                blocks.append(_bytes((part.sqrt() if root else part).to(getattr(torch, dtype))))
                entries.append([tensor, what, dtype, list(shape)])
        for (_, dtype), pieces in self._pieces.items():
            together = torch.cat([piece.reshape(-1) for _, _, piece, _ in pieces]).cpu()
            blocks.append(_bytes(together))
            name = str(dtype).removeprefix("torch.")
            entries += [[tensor, what, name, list(shape)] for tensor, what, _, shape in pieces]
        return entries, b"".join(blocks)


def _bytes(tensor: Any) -> bytes:
    import torch

    return tensor.contiguous().view(torch.uint8).numpy().tobytes()
