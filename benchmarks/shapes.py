"""Shapes of the parameters of real models, in their order: what an optimizer is given in practice."""

from __future__ import annotations

import math
from collections.abc import Iterator

Shapes = list[tuple[int, ...]]


def _resnet_50() -> Iterator[tuple[int, ...]]:
    """Torchvision's resnet50: convolutions without bias, each with the two vectors of its batch norm."""

    def convolved(out: int, into: int, side: int) -> Iterator[tuple[int, ...]]:
        yield from ((out, into, side, side), (out,), (out,))

    yield from convolved(64, 3, 7)
    into = 64
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            yield from convolved(width, into, 1)
            yield from convolved(width, width, 3)
            yield from convolved(4 * width, width, 1)
            if not block:
                yield from convolved(4 * width, into, 1)
            into = 4 * width
    yield from ((1000, 2048), (1000,))


def _gpt2_small() -> Iterator[tuple[int, ...]]:
    """GPT-2 of 124 million parameters; the head is the embedding."""
    n = 768
    yield from ((50257, n), (1024, n))
    for _ in range(12):
        yield from ((n,), (n,), (n, 3 * n), (3 * n,), (n, n), (n,), (n,), (n,), (n, 4 * n), (4 * n,), (4 * n, n), (n,))
    yield from ((n,), (n,))


RESNET_50: Shapes = [*_resnet_50()]
GPT2_SMALL: Shapes = [*_gpt2_small()]
MODELS = {"ResNet-50": RESNET_50, "GPT-2 small": GPT2_SMALL}


def count(shapes: Shapes) -> int:
    """Parameters."""
    return sum(math.prod(shape) for shape in shapes)
