"""The shapes that speed is measured on are those of the models they are named after."""

from __future__ import annotations

import math

import pytest

from benchmarks import models


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"), [("ResNet-50", 161, 25_557_032), ("GPT-2 small", 148, 124_439_808)]
)
def test_shapes_are_the_models(name: str, tensors: int, parameters: int) -> None:
    """Tensors and parameters as their publishers count them."""
    shapes = models.MODELS[name]
    assert (len(shapes), sum(map(math.prod, shapes))) == (tensors, parameters)
