"""How runs are packed into tiles that one compiled program serves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .axes import Axes

SHARE_FROM = 8
"""Runs per seed from which a tile holds one seed alone, so that its batches are read once for all its runs."""

TILES = 16
"""Tiles that a large sweep is cut into at least, so that there is work for several devices."""

CACHE = 4 << 20
"""Bytes of parameters, gradients and state in a tile on a CPU: about what its caches hold."""


@dataclass(frozen=True)
class Group:
    """The runs that one program serves: one rule, one batch size.

    Attributes
    ----------
    rule : label
    batch_size : int, or ``None`` for the whole data
    runs : places of the runs in the sweep, those of one seed together
    seeds : the seed of each
    shared : whether a tile holds one seed alone
    like : the group of the whole sweep, of which this is a part
    """

    rule: str
    batch_size: int | None
    runs: np.ndarray
    seeds: np.ndarray
    shared: bool
    like: Group | None = None

    @property
    def most_in_tile(self) -> int:
        """Runs that may share a tile."""
        return int(np.unique(self.seeds, return_counts=True)[1].max()) if self.shared else len(self.runs)

    def count(self, width: int) -> int:
        """Number of tiles of that width."""
        blocks = np.unique(self.seeds, return_counts=True)[1] if self.shared else np.array([len(self.runs)])
        return int(np.sum(-(-blocks // width)))

    def tiles(self, width: int) -> list[np.ndarray]:
        """Places in the group of the runs of each tile, at most ``width``."""
        whole = np.arange(len(self.runs))
        blocks = [whole[self.seeds == seed] for seed in np.unique(self.seeds)] if self.shared else [whole]
        return [block[i : i + width] for block in blocks for i in range(0, len(block), width)]


def groups(axes: Axes, *, seed_matters: bool) -> Iterator[Group]:
    """The groups of a sweep, in order of first appearance."""
    none = np.zeros(axes.size, int)
    batch_sizes = axes.columns.get("batch_size", none)
    seeds = axes.columns.get("seed", none) if seed_matters else none
    whole = (
        {} if axes.whole is None else {(g.rule, g.batch_size): g for g in groups(axes.whole, seed_matters=seed_matters)}
    )
    kinds = dict.fromkeys(zip(axes.columns["rule"].tolist(), batch_sizes.tolist(), strict=True))
    for rule, batch_size in kinds:
        runs = np.flatnonzero((axes.columns["rule"] == rule) & (batch_sizes == batch_size))
        like = whole.get((rule, batch_size or None))
        runs = runs[np.argsort(seeds[runs], kind="stable")]
        shared = len(runs) >= SHARE_FROM * len(np.unique(seeds[runs])) or len(np.unique(seeds[runs])) == 1
        yield Group(rule, batch_size or None, runs, seeds[runs], shared if like is None else like.shared, like)


def automatic_width(group: Group, bytes_per_run: int, platform: str, devices: int) -> int:
    """Runs per tile, a power of two.

    On a CPU a tile's state fits the cache, and the width does not depend on the number of devices, so that neither do the
    results: XLA compiles products of another width to another order of additions. An accelerator wants to be filled.
    """
    group = group.like or group
    most = 1 << (group.most_in_tile - 1).bit_length()
    if platform != "cpu":
        return max(1, most // (1 << (devices - 1).bit_length()))
    fair = max(SHARE_FROM, 1 << max(1, len(group.runs) // TILES).bit_length() - 1)
    cached = 1 << max(0, (CACHE // max(1, bytes_per_run)).bit_length() - 1)
    return min(most, fair, cached)
