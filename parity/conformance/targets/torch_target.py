"""Targets in PyTorch: classes and factories of optimizers."""

from __future__ import annotations

import functools
import inspect
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from lrtheory import dims
from lrtheory.dims.target import TargetError
from lrtheory.dims.torch_reader.arguments import constructor_arguments, default_numbers, rescaled_numbers
from lrtheory.dims.torch_reader.problem import needs_closure

from ..outcome import Skip
from ..runs import MATRICES, SHAPES, WITHOUT_SCALAR, Run
from .target import DEFAULT_LR, Session, Target, going_on, is_decay


class TorchTarget(Target):
    """An optimizer class, or a callable of parameters that gives an optimizer, with its arguments."""

    kind = "torch"

    def __init__(self, make: Callable[..., Any], given: Mapping[str, Any], *names: Any) -> None:
        super().__init__(*names)
        self.make, self.given = make, dict(given)
        self.sparse = False
        self.closure = False  # whether it takes no step without one, though its signature does not say so
        self._decays: set[str] = set()

    @functools.cached_property
    def arguments_taken(self) -> Mapping[str, inspect.Parameter]:
        """Of the constructor."""
        try:
            return inspect.signature(self.make).parameters
        except (TypeError, ValueError):
            return {}

    def optimizer(self, params: Any, **changes: Any) -> Any:
        """A fresh optimizer of tensors or of parameter groups."""
        optimizer = self.make(params, **{**self.given, **changes})
        if hasattr(optimizer, "train"):  # schedule-free optimizers refuse to step before it
            optimizer.train()
        return optimizer

    def start(self, params: Any, lrs: np.ndarray | None = None, **more: Any) -> _TorchSession:
        """A fresh optimizer, of one group unless ``groups`` makes others; more as in :class:`_TorchSession`."""
        return _TorchSession(self, params, lrs, **more)

    def undecayed(self, params: Any) -> _TorchSession:
        """Decays that the class takes are 0."""
        return self.start(params, arguments=dict.fromkeys(self._decays, 0.0))

    def resume(self, saved: bytes, params: Any) -> _TorchSession:
        """From a file that ``torch.save`` wrote, read as a user should, without running code from it."""
        session = self.start(params)
        session.optimizer.load_state_dict(torch.load(io.BytesIO(saved), weights_only=True))
        return session

    def as_gradient(self, value: np.ndarray) -> torch.Tensor:
        """A gradient of its own, sparse where the target takes no other."""
        dense = torch.tensor(np.asarray(value))
        return dense.to_sparse() if self.sparse else dense

    def dimensions(self) -> Any:
        """Inferred from the class."""
        if not isinstance(self.make, type):
            raise Skip("its hyperparameters are inside: give the class, and they can be followed")
        if self.sparse:
            return dims.infer(self.make, shapes={"sparse": (4, 3)}, **self.given)
        return dims.infer(_in_training(self.make), shapes={n: s for n, s in self.shapes.items() if s}, **self.given)

    def rescaled(self, found: Any, run: Run, loss: float, params: float) -> dict[str, np.ndarray]:
        """Another optimizer with the rescaled numbers."""
        assert isinstance(self.make, type)
        numbers, others = default_numbers(self.make, self.given)
        numbers = rescaled_numbers(numbers, found.hyper, loss, params)
        arguments = constructor_arguments(numbers, others)
        scaled = run.scaled(loss / params, params)
        walk = going_on(self.start(scaled.params, arguments=arguments), scaled, range(run.steps))
        return {name: value[1:] for name, value in walk.items()}

    def needs_closure(self, optimizer: Any) -> bool:
        """Whether one of these takes no step without the loss."""
        return self.closure or needs_closure(optimizer)

    def settle(self) -> None:
        """All shapes, or matrices alone, dense, sparse or with a closure, where the target refuses the rest."""
        made = []

        def run(shapes: Mapping[str, tuple[int, ...]], *, sparse: bool = False, closure: bool = False) -> None:
            self.shapes, self.sparse, self.closure = shapes, sparse, closure
            session = self.start(self._ones)
            made.append(session)
            group = session.optimizer.param_groups[0]
            self.lr = float(group["lr"]) if isinstance(group.get("lr"), (int, float)) else None
            self.maximizes = bool(group.get("maximize", False))
            decays = {n for n, x in group.items() if is_decay(n) and isinstance(x, (int, float)) and x}
            self._decays = decays & set(self.arguments_taken)
            self.decays_inside = decays != self._decays
            session.step(self._ones)
            self._settle_calls(session, self._ones)

        dense = {" and ".join(s): functools.partial(run, s) for s in (SHAPES, WITHOUT_SCALAR, MATRICES)}
        sparse = {f"sparse {' and '.join(MATRICES)}": functools.partial(run, MATRICES, sparse=True)}
        closed = {f"{what} with a closure": functools.partial(form, closure=True) for what, form in dense.items()}
        forms = {**dense, **sparse, **closed}
        refused = self._first_that_runs(forms)
        lr = self.arguments_taken.get("lr")
        if refused and lr is not None and lr.default is None and "lr" not in self.given:
            self.given["lr"] = DEFAULT_LR
            self.notes += (f"lr = {DEFAULT_LR:g}: with its default of None it {refused}",)
            refused = self._first_that_runs(forms)
        if refused:
            self.shapes, self.sparse, self.closure, self.trouble = SHAPES, False, False, refused
            if not made:
                raise TargetError(f"{self.name} cannot be made: it {refused}")


class _TorchSession(Session):
    """One ``optimizer`` and its parameters, ``tensors`` by name."""

    def __init__(
        self,
        target: TorchTarget,
        params: Any,
        lrs: np.ndarray | None = None,
        *,
        groups: Callable[[dict[str, Any]], Any] = lambda tensors: list(tensors.values()),
        arguments: Mapping[str, Any] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._target = target
        self.tensors = {n: torch.nn.Parameter(torch.tensor(np.asarray(p), dtype=dtype)) for n, p in params.items()}
        self.optimizer = target.optimizer(groups(self.tensors), **(arguments or {}))
        self._lrs, self._count = lrs, 0
        if lrs is not None and target.lr is None:
            raise Skip("its parameter groups have no lr that could be moved")

    def step(self, grads: Mapping[str, np.ndarray | None]) -> None:
        if self._lrs is not None:
            assert self._target.lr is not None
            for group in self.optimizer.param_groups:
                group["lr"] = self._target.lr * float(self._lrs[self._count])
        self._count += 1
        for _ in range(self._target.calls):
            self.give(grads)
            self.run_step()

    def give(self, grads: Mapping[str, np.ndarray | None]) -> None:
        for name, p in self.tensors.items():
            value = grads.get(name)
            p.grad = None if value is None else self._target.as_gradient(value).to(p.dtype)

    def run_step(self) -> None:
        """``step()``, with a closure where it takes no step without one."""
        if self._target.needs_closure(self.optimizer):
            gradients = {name: p.grad for name, p in self.tensors.items()}

            def closure() -> torch.Tensor:
                for name, p in self.tensors.items():
                    p.grad = None if gradients[name] is None else gradients[name].clone()  # type: ignore[union-attr]
                return sum((p.detach().sum() for p in self.tensors.values()), torch.zeros((), dtype=torch.float64))

            self.optimizer.step(closure)
        else:
            self.optimizer.step()

    def params(self) -> dict[str, np.ndarray]:
        return {name: np.array(p.detach().double().numpy()) for name, p in self.tensors.items()}

    def state(self) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for name, p in self.tensors.items():
            for key, value in self.optimizer.state.get(p, {}).items():
                if isinstance(value, torch.Tensor):
                    dense = value.to_dense() if value.is_sparse else value
                    found[f"{name}.{key}"] = np.array(dense.detach().double().numpy())
                elif isinstance(value, (int, float)):
                    found[f"{name}.{key}"] = np.array(value, np.float64)
        return found

    def saved(self) -> bytes:
        file = io.BytesIO()
        torch.save(self.optimizer.state_dict(), file)
        return file.getvalue()


def _in_training(optimizer: type) -> type:
    """The class itself, or for a schedule-free one the same class that steps in its training mode."""
    if not hasattr(optimizer, "train"):
        return optimizer

    @functools.wraps(optimizer.step)  # type: ignore[attr-defined]
    def step(self: Any, *args: Any, **more: Any) -> Any:
        self.train()
        return optimizer.step(self, *args, **more)  # type: ignore[attr-defined]

    return type(optimizer.__name__, (optimizer,), {"step": step, "__module__": optimizer.__module__})
