"""A small problem for an optimizer to take real steps on, at any scale of the loss and of the parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ...units import GRADIENT, LOSS, PARAM, Units

Note = Callable[[torch.Tensor, Units], None]


class SmallProblem:
    """Parameters, and gradients that change sign and size; for an optimizer with a closure, a bowl to descend."""

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],  # a parameter named ``sparse`` gets sparse gradients
        loss: float = 1.0,  # what the loss is multiplied by
        params: float = 1.0,
        note: Note = lambda tensor, units: None,  # told of every tensor that is made, and of its units
    ) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self._loss, self._scale, self._note = loss, params, note
        self.params = {name: torch.nn.Parameter(self._random(shape) * params) for name, shape in shapes.items()}
        self._curvature = {name: self._random(shape).abs() + 0.5 for name, shape in shapes.items()}
        for p in self.params.values():
            note(p, PARAM)

    def _random(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)

    def give_gradients(self, step: int) -> None:
        """A gradient for every parameter."""
        for name, p in self.params.items():
            g = self._random(tuple(p.shape)) * 10.0 ** (step % 3 - 1) * (self._loss / self._scale)
            if name == "sparse":
                g = g.to_sparse(1)
                self._note(g._values(), GRADIENT)
            p.grad = g
            self._note(g, GRADIENT)

    def evaluate(self) -> torch.Tensor:
        """The bowl's height, with its slopes as gradients."""
        height = torch.zeros((), dtype=torch.float64)
        for name, p in self.params.items():
            slope = self._curvature[name] * p.detach() * (self._loss / self._scale**2)
            p.grad = slope
            self._note(slope, GRADIENT)
            height = height + 0.5 * (slope * p.detach()).sum()
        self._note(height, LOSS)
        return height


def moved(before: Mapping[str, torch.Tensor], params: Mapping[str, torch.Tensor]) -> set[str]:
    """Names of the parameters that are not what they were."""
    return {name for name, p in params.items() if not torch.equal(before[name], p.detach())}


def needs_closure(instance: Any) -> bool:
    """Whether the optimizer evaluates the loss itself."""
    closure = inspect.signature(type(instance).step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty
