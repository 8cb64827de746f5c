"""A torch module and its loss, run once as they are while every operation is followed, and then on numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils._pytree import tree_leaves, tree_map

from ...words import first_line
from .._kernel.equations import Origin
from .._kernel.expression import PURE_EXPRESSION
from .._kernel.ledger import HYPER, Ledger
from .._kernel.value import PURE_VALUE, Value
from ..torch_reader.aten import AtenMode
from ..torch_reader.running import as_written, seeded
from ._jax import PROTECTING
from ._solution import solve
from .result import Symmetries


def symmetries_torch(loss: Callable[..., Any], module: torch.nn.Module, data: Sequence[Any]) -> Symmetries:
    """Of a module, by what its own forward pass does."""
    program = _Program(loss, module, data)
    ledger = Ledger(protecting=PROTECTING, lenient=True)
    unknowns = {name: ledger.unknown(name, HYPER) for name in program.tensors}
    first = AtenMode()
    mode = AtenMode(ledger, first.needed(program.checked(first)))
    tensors, inputs = program.copies()
    for name, t in tensors.items():
        mode.book.note(t, Value(unknowns[name], measured=True, name=name))
    for x in inputs.all():
        mode.book.note(x, PURE_VALUE)
    value = mode.book.known(program.run(tensors, inputs, mode))
    ledger.read.add(value.name)
    if value.units is not None:
        ledger.demand(value.units, PURE_EXPRESSION, "gives as the loss", value.origin)
    program.precision = mode.precision

    def sizes(wanted: Mapping[Origin, float]) -> Mapping[Origin, tuple[float, float]]:
        seen = {origin: mode.sizes[origin] for origin in wanted if origin in mode.sizes}
        return {o: (min(s for s, _ in each), float(np.median([m for _, m in each]))) for o, each in seen.items()}

    return solve(ledger, unknowns, sizes, program.notes).run_by(program)


class _Loss(torch.nn.Module):
    """The loss as the forward pass of a module that holds the model."""

    def __init__(self, loss: Callable[..., Any], model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, *data: Any, then: Callable[[Any], Any] | None = None) -> Any:
        """The loss, or what ``then`` makes of it while the model still has the tensors that were put in."""
        result = self._loss(self.model, *data)
        return result if then is None else then(result)


class _Inputs(NamedTuple):
    """What the loss reads beside the tensors; buffers may change in a run."""

    data: Any
    buffers: dict[str, torch.Tensor]

    def all(self) -> list[torch.Tensor]:
        """Every tensor."""
        return [x for x in tree_leaves((self.data, self.buffers)) if isinstance(x, torch.Tensor)]


class _Program:
    """The loss as a function of the module's parameters; the module, its buffers and the data stay as they are."""

    def __init__(self, loss: Callable[..., Any], module: torch.nn.Module, data: Sequence[Any]) -> None:
        self._loss, self._data = _Loss(loss, module), tuple(data)
        parameters = dict(module.named_parameters())
        crooked = [f"{name} is complex ({p.dtype})" for name, p in parameters.items() if p.is_complex()]
        if crooked:
            raise TypeError(f"{crooked[0]}: give its real and imaginary parts as two tensors")
        self.tensors = {name: p.detach() for name, p in parameters.items() if p.is_floating_point()}
        whole = [name for name in parameters if name not in self.tensors]
        self.notes = [f"not real, and taken as data: {', '.join(whole)}"] if whole else []
        self._buffers = {f"model.{name}": b for name, b in module.named_buffers()}
        self.precision, self._wide = 0.0, True
        if not self.tensors:
            raise ValueError("the module has no real parameter")

    def copies(self, tensors: Mapping[str, torch.Tensor] | None = None) -> tuple[dict[str, torch.Tensor], _Inputs]:
        """Copies of the tensors, that slopes may be asked for, and of all else that the loss reads."""

        def copied(x: Any) -> Any:
            return self._widened(x.detach()).clone() if isinstance(x, torch.Tensor) else x

        leaves = {name: copied(t).requires_grad_() for name, t in (tensors or self.tensors).items()}
        return leaves, _Inputs(tree_map(copied, self._data), {name: copied(b) for name, b in self._buffers.items()})

    def _widened(self, x: torch.Tensor) -> torch.Tensor:
        return x.double() if self._wide and x.is_floating_point() else x

    def run(self, tensors: Mapping[str, torch.Tensor], inputs: _Inputs, mode: Any = None, then: Any = None) -> Any:
        """The loss, always with the same random numbers, or what ``then`` makes of it."""
        named = {**{f"model.{name}": t for name, t in tensors.items()}, **inputs.buffers}
        with seeded(), as_written(), mode.watching() if mode else contextlib.nullcontext():
            return torch.func.functional_call(self._loss, named, inputs.data, {"then": then})

    def checked(self, mode: Any) -> torch.Tensor:
        """Run it once, in float64 if it can be run so, and see that it is a loss and leaves alone what it is given."""
        try:
            try:
                tensors, inputs = self.copies()
                result = self.run(tensors, inputs, mode)
            except Exception:
                self._wide = False
                tensors, inputs = self.copies()
                mode.__init__()
                result = self.run(tensors, inputs, mode)
        except Exception as error:
            message = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"the loss cannot be run: {message}") from error
        if not isinstance(result, torch.Tensor):
            raise TypeError(f"the loss returns {type(result).__name__}, not a real scalar: return the loss alone")
        if result.dim() or not result.is_floating_point():
            raise TypeError(
                f"the loss returns a tensor of shape {tuple(result.shape)} and {result.dtype}, not a real scalar: "
                "return its mean or its sum"
            )
        for name, t in tensors.items():
            if not torch.equal(t.detach(), self._widened(self.tensors[name])):
                raise ValueError(f"the loss changes the parameter {name}: let it work on a copy")
        for before, after in zip(tree_leaves(self._data), tree_leaves(inputs.data), strict=True):
            if isinstance(before, torch.Tensor) and not torch.equal(self._widened(before), after):
                raise ValueError("the loss changes the data that it is given: let it work on a copy")
        return result

    # --- runs on numbers ---

    def given(self) -> list[np.ndarray]:
        """The tensors as they were given."""
        return [t.double().cpu().numpy() for t in self.tensors.values()]

    def at(self, tensors: list[np.ndarray], *, slopes: bool = True) -> tuple[float, list[np.ndarray]]:
        """The loss, and its gradient by tensor."""
        arrays = zip(self.tensors.items(), tensors, strict=True)
        leaves, inputs = self.copies({n: torch.from_numpy(x).to(self._widened(t)) for (n, t), x in arrays})
        given = list(leaves.values())

        def sloped(result: torch.Tensor) -> tuple[torch.Tensor, Sequence[Any]]:
            if not slopes or not result.requires_grad:
                return result, [None] * len(given)
            try:
                return result, torch.autograd.grad(result, given, allow_unused=True)
            except (RuntimeError, TypeError) as error:
                raise ValueError(f"the loss has no derivative: {first_line(error)}") from error

        result, found = self.run(leaves, inputs, then=sloped)
        zero = [t.new_zeros(t.shape) if s is None else s for s, t in zip(found, given, strict=True)]
        return float(result.detach()), [s.detach().double().cpu().numpy() for s in zero] if slopes else []
