"""A small problem for an optimizer to take real steps on, at any scale of the loss and of the parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...units import GRADIENT, LOSS, PARAM, Units

Note = Callable[[torch.Tensor, Units], None]


@dataclass(frozen=True)
class Form:
    """What an optimizer is given to step on: most take a list of parameters, some insist on another form."""

    shapes: Mapping[str, tuple[int, ...]]
    handed: str = "as a list"
    dtype: torch.dtype = torch.float64
    closure: bool = False  # it asks for the loss, though its signature does not
    graph: bool = False  # it differentiates gradients, or with a closure the loss

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the parameters that have a group each."""
        return tuple(self.shapes) if self.handed == "in groups" else ()

    @property
    def loss_alone(self) -> bool:
        """Whether it takes no gradients: it differentiates the loss that a closure gives it."""
        return self.closure and self.graph

    @property
    def grouped(self) -> bool:
        """Whether it may be given groups of parameters; where it insists on names or a module it makes them itself."""
        return self.handed in ("as a list", "in groups")

    def hand(self, params: Mapping[str, torch.nn.Parameter], **options: Any) -> Any:
        """The parameters, as a constructor's first argument; with options, as groups that have them."""
        if self.handed == "by name":
            return list(params.items())
        if self.handed == "as a module":
            module = torch.nn.Module()
            for name, p in params.items():
                module.register_parameter(name, p)
            return module
        if self.handed == "in groups":
            return [{"params": [p], "use_muon": p.ndim > 1, **options} for p in params.values()]
        return [{"params": list(params.values()), **options}] if options else list(params.values())

    def notes(self) -> Iterator[str]:
        """What is unlike other runs."""
        if self.handed == "in groups":
            yield "run with groups: use_muon is true for matrices, false for vectors"
        elif self.handed != "as a list":
            yield f"run with parameters given {self.handed}"
        if self.dtype is torch.float32:
            yield "run in float32: in float64 it fails"
        elif self.dtype is torch.bfloat16:
            yield "run in bfloat16, since it takes nothing else: what changes parameters by less than a 256th may not be seen"
        if self.closure:
            yield "run with a closure" + " whose result can be differentiated" * self.loss_alone
        elif self.graph:
            yield "run with gradients that are linear in the parameters, since it differentiates them"


_PLAIN = (Form({"matrix": (4, 3), "vector": (5,)}), Form({"matrix": (4, 3)}), Form({"sparse": (4, 3)}))
_VECTOR = Form({"vector": (5,)})
#: What some insist on beside shapes, that of most first.
OTHERWISE: Sequence[Mapping[str, Any]] = (
    *({"closure": True}, {"graph": True}, {"dtype": torch.float32}, {"closure": True, "graph": True}),
    *({"handed": how} for how in ("in groups", "by name", "as a module")),
    *({"handed": "as a module", "closure": True, "graph": True}, {"dtype": torch.bfloat16}),
)


def forms(shapes: Mapping[str, tuple[int, ...]] | None) -> Sequence[Form]:
    """All forms, those that most take first."""
    plain = (Form(dict(shapes)),) if shapes else _PLAIN
    last = () if shapes else (_VECTOR, replace(_VECTOR, graph=True))
    return (*plain, *(replace(form, **other) for form in plain[:2] for other in OTHERWISE), *last)


class SmallProblem:
    """Parameters, and gradients that change sign and size; for an optimizer with a closure, a bowl to descend."""

    def __init__(
        self,
        form: Form,  # a parameter named ``sparse`` gets sparse gradients
        loss: float = 1.0,  # what the loss is multiplied by
        params: float = 1.0,
        note: Note = lambda tensor, units: None,  # told of every tensor that is made, and of its units
    ) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self._loss, self._scale, self._note, self._form = loss, params, note, form
        self.params = {name: torch.nn.Parameter(self._random(shape) * params) for name, shape in form.shapes.items()}
        self._curvature = {name: self._random(shape).abs() + 0.5 for name, shape in form.shapes.items()}
        self._lowest: dict[str, Any] = dict.fromkeys(form.shapes, 0.0)
        for p in self.params.values():
            note(p, PARAM)

    def _random(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64).to(self._form.dtype)

    def give_gradients(self, step: int) -> None:
        """A gradient for every parameter, unless it takes them from the loss itself: then the bowl moves away.

        Second derivatives come so close to the lowest point of a bowl that stays where it is that nothing is left to see.
        """
        if self._form.loss_alone:
            shapes = self._form.shapes.items()
            self._lowest = {name: self._random(shape) * self._scale for name, shape in shapes} if step else self._lowest
            for p in self.params.values():
                p.grad = None
            return
        for name, p in self.params.items():
            g = self._random(tuple(p.shape)) * 10.0 ** (step % 3 - 1) * (self._loss / self._scale)
            if name == "sparse":
                g = g.to_sparse(1)
                self._note(g._values(), GRADIENT)
            if self._form.graph:
                g = g + self._curvature[name] * (p - p.detach()) * (self._loss / self._scale**2)
            p.grad = g
            self._note(g, GRADIENT)

    def evaluate(self) -> torch.Tensor:
        """The bowl's height, with its slopes as gradients; or a height to differentiate, as often as one likes."""
        if self._form.loss_alone:
            above = {name: p - self._lowest[name] for name, p in self.params.items()}
            height = steep_bowl(above, self._curvature, self._loss, self._scale)
            self._note(height, LOSS)
            return height
        height = torch.zeros((), dtype=self._form.dtype)
        for name, p in self.params.items():
            slope = self._curvature[name] * p.detach() * (self._loss / self._scale**2)
            p.grad = slope
            self._note(slope, GRADIENT)
            height = height + 0.5 * (slope * p.detach()).sum()
        self._note(height, LOSS)
        return height


def steep_bowl(
    params: Mapping[str, torch.Tensor], curvature: Mapping[str, torch.Tensor], loss: float, scale: float
) -> torch.Tensor:
    """A convex height whose derivatives of the first four orders are none of them 0."""
    terms = [c * (params[n] / scale) ** 2 / 2 + (params[n] / scale) ** 4 / 12 for n, c in curvature.items()]
    return loss * torch.stack([t.sum() for t in terms]).sum()


def moved(before: Mapping[str, torch.Tensor], params: Mapping[str, torch.Tensor]) -> set[str]:
    """Names of the parameters that are not what they were."""
    return {name for name, p in params.items() if not torch.equal(before[name], p.detach())}


def needs_closure(instance: Any) -> bool:
    """Whether the optimizer evaluates the loss itself."""
    closure = inspect.signature(type(instance).step).parameters.get("closure")
    return closure is not None and closure.default is closure.empty
