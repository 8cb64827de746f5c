"""Targets in PyTorch: classes and factories of optimizers."""

from __future__ import annotations

import functools
import inspect
import io
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from lrtheory import dims
from lrtheory.dims.target import TargetError
from lrtheory.dims.torch_reader.arguments import constructor_arguments, default_numbers, rescaled_numbers
from lrtheory.dims.torch_reader.problem import OTHERWISE, Form, needs_closure
from lrtheory.dims.torch_reader.running import train

from ..comparing import Failed
from ..outcome import Skip
from ..runs import MATRICES, SHAPES, VECTORS, WITHOUT_SCALAR, Run, standard
from .target import CALLS, DEFAULT_LR, Session, Target, curvature, follow, going_on, is_decay


class TorchTarget(Target):
    """An optimizer class, or a callable of parameters that gives an optimizer, with its arguments."""

    kind = "torch"

    def __init__(self, make: Callable[..., Any], given: Mapping[str, Any], *names: Any, written: Any = None) -> None:
        super().__init__(*names)
        self.make, self.given = make, dict(given)
        self.written = written or make  # as it is without what was chosen for it
        self.form = Form(self.shapes)
        self.sparse = 0  # dimensions of its gradients that are
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
        train(optimizer)
        return optimizer

    def start(self, params: Any, lrs: np.ndarray | None = None, **more: Any) -> _TorchSession:
        """A fresh optimizer, of one group unless ``groups`` makes others; more as in :class:`_TorchSession`."""
        return _TorchSession(self, params, lrs, **more)

    def undecayed(self, params: Any) -> _TorchSession:
        """Decays that the class takes are 0, and those of groups that it insists on."""
        session = self.start(params, arguments=dict.fromkeys(self._decays, 0.0))
        for group in session.optimizer.param_groups if self.form.handed == "in groups" else ():
            group.update({n: 0.0 for n in _decays(group)})
        return session

    def resume(self, saved: bytes, params: Any) -> _TorchSession:
        """From a file that ``torch.save`` wrote, read as a user should, without running code from it."""
        session = self.start(params)
        session.optimizer.load_state_dict(torch.load(io.BytesIO(saved), weights_only=True))
        return session

    def as_gradient(self, value: np.ndarray) -> torch.Tensor:
        """A gradient of its own, sparse where the target takes no other."""
        dense = torch.tensor(np.asarray(value))
        return dense.to_sparse(self.sparse) if self.sparse else dense

    def dimensions(self) -> Any:
        """Inferred from the class."""
        if not isinstance(self.written, type):
            raise Skip("its hyperparameters are inside: give the class, and they can be followed")
        shapes = {"sparse": (4, 3)} if self.sparse else {n: s for n, s in self.shapes.items() if s}
        return dims.infer(self.written, shapes=shapes, **self.given)

    def rescaled(self, found: Any, run: Run, loss: float, params: float) -> dict[str, np.ndarray]:
        """Another optimizer with the rescaled numbers."""
        numbers, others = default_numbers(self.make, self.given)
        if not numbers.keys() >= found.hyper.keys():
            raise Skip("its hyperparameters stand in its groups, not among the arguments of its class")
        numbers = rescaled_numbers(numbers, found.hyper, loss, params)
        arguments = constructor_arguments(numbers, others)
        scaled = run.scaled(loss / params, params)
        session = self.start(scaled.params, arguments=arguments, scale=(loss, params))
        walk = going_on(session, scaled, range(run.steps))
        return {name: value[1:] for name, value in walk.items()}

    @property
    def takes_gradients(self) -> bool:  # type: ignore[override]
        """Whether they are given to it."""
        return not self.form.loss_alone

    def needs_closure(self, optimizer: Any) -> bool:
        """Whether one of these takes no step without the loss."""
        return self.form.closure or needs_closure(optimizer)

    def settle(self) -> None:
        """All shapes, or matrices alone, dense or sparse, or in another form, where the target refuses the rest."""
        made, idle = [], []

        def run(form: Form, sparse: int = 0, *, idly: bool = False) -> None:
            self.form, self.shapes, self.sparse = form, form.shapes, sparse
            session = self.start(self._ones)
            made.append(session)
            group = session.optimizer.param_groups[0]
            lr = group.get("lr")
            one = isinstance(lr, (int, float)) or (isinstance(lr, torch.Tensor) and lr.numel() == 1)
            self.lr = float(lr) if one else None  # type: ignore[arg-type]
            self.maximizes = bool(group.get("maximize", False))
            decays = _decays(group)
            self._decays = decays & set(self.arguments_taken)
            self.decays_inside = decays != self._decays and form.handed != "in groups"
            session.step(self._ones)
            self._settle_calls(session, self._ones)
            if not idly and self._stands_still(session):
                idle.append(form)
                raise Failed(f"does not move in {CALLS} steps")

        plain = [Form(shapes) for shapes in (SHAPES, WITHOUT_SCALAR, MATRICES)]
        forms = {_words(form): functools.partial(run, form) for form in plain}
        forms |= {f"{kind} {' and '.join(MATRICES)}": functools.partial(run, Form(MATRICES), sparse)
                  for kind, sparse in (("sparse", 2), ("sparse rows of", 1))}  # fmt: skip
        others = [replace(form, **more) for more, form in itertools.product(OTHERWISE, plain)]
        others += [Form(VECTORS), Form(VECTORS, graph=True)]
        forms |= {_words(form): functools.partial(run, form) for form in others}
        refused = self._first_that_runs(forms)
        if refused and idle and idle[0] in plain:  # where it moves in no other form either
            refused = self._first_that_runs({_words(idle[0]): functools.partial(run, idle[0], idly=True)})
        lr = self.arguments_taken.get("lr")
        if refused and lr is not None and lr.default is None and "lr" not in self.given:
            self.given["lr"] = DEFAULT_LR
            self.notes += (f"lr = {DEFAULT_LR:g}: with its default of None it {refused}",)
            refused = self._first_that_runs(forms)
        self.notes += tuple(note for note in self.form.notes() if not refused and re.search("[:,]", note))
        if refused:
            self.form, self.shapes, self.sparse, self.trouble = Form(SHAPES), SHAPES, 0, refused
            if not made:
                raise TargetError(f"{self.name} cannot be made: it {refused}")

    def _stands_still(self, session: Session) -> bool:
        """Whether it has not moved from ones, where gradients of ones may have no effect by design, nor does elsewhere."""
        if not all(np.array_equal(p, self._ones[name]) for name, p in session.params().items()):
            return False
        try:
            walk = follow(self, standard(self.shapes))
        except Exception:  # which a check tells
            return False
        return all(bool(np.all(path == path[0])) for path in walk.values())


class _TorchSession(Session):
    """One ``optimizer`` and its parameters, ``tensors`` by name."""

    def __init__(
        self,
        target: TorchTarget,
        params: Any,
        lrs: np.ndarray | None = None,
        *,
        groups: Callable[[dict[str, Any]], Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
        dtype: torch.dtype | None = None,
        scale: tuple[float, float] = (1.0, 1.0),  # what the loss and the parameters of the run were multiplied by
    ) -> None:
        self._target, self._scale = target, scale
        if dtype is None and target.form.dtype is not torch.float64:
            dtype = target.form.dtype
        self.tensors = {n: torch.nn.Parameter(torch.tensor(np.asarray(p), dtype=dtype)) for n, p in params.items()}
        self.optimizer = target.optimizer((groups or target.form.hand)(self.tensors), **(arguments or {}))
        self._lrs, self._count = lrs, 0
        if lrs is not None and target.lr is None:
            raise Skip("its parameter groups have no lr that could be moved")
        self._own_lrs = [group.get("lr", target.lr) for group in self.optimizer.param_groups]

    def step(self, grads: Mapping[str, np.ndarray | None]) -> None:
        if self._lrs is not None:
            for group, lr in zip(self.optimizer.param_groups, self._own_lrs, strict=False):
                group["lr"] = lr * float(self._lrs[self._count])
        self._count += 1
        for _ in range(self._target.calls):
            self.give(grads)
            self.run_step()

    def begin(self, grads: Mapping[str, np.ndarray | None]) -> None:
        """A step at which these are the gradients, if they are given or not."""
        self._at = {name: p.detach().clone() for name, p in self.tensors.items()}
        self._gradients = {
            name: self._target.as_gradient(value).to(p.dtype)
            for name, p in self.tensors.items()
            if (value := grads.get(name)) is not None
        }

    def loss(self, share: float = 1.0) -> torch.Tensor:
        """What has the gradients of this step where the step began; one that is differentiated again is curved there."""
        terms = [(self.tensors[name] * g.to_dense()).sum() for name, g in self._gradients.items()]
        if self._target.form.graph:
            loss, size = self._scale
            for name in self._gradients:
                above = (self.tensors[name] - self._at[name]) / size
                heights = above**2 / 2 + torch.logaddexp(above, -above)
                terms.append(loss * (torch.tensor(curvature(above.shape)) * heights).sum().to(above.dtype))
        return share * torch.stack(terms).sum()

    def give(self, grads: Mapping[str, np.ndarray | None]) -> None:
        self.begin(grads)
        form, loss = self._target.form, None
        for name, p in self.tensors.items():
            p.grad = None
            if name in self._gradients and not form.loss_alone:
                if form.graph:
                    loss = self.loss() if loss is None else loss
                    p.grad = torch.autograd.grad(loss, p, create_graph=True)[0]
                else:
                    p.grad = self._gradients[name]

    def run_step(self) -> None:
        """``step()``, with a closure where it takes no step without one."""
        if not self._target.needs_closure(self.optimizer):
            self.optimizer.step()
        else:
            gradients = {name: p.grad for name, p in self.tensors.items()}

            def closure() -> torch.Tensor:
                for name, p in self.tensors.items():
                    p.grad = None if gradients[name] is None else gradients[name].clone()  # type: ignore[union-attr]
                if self._target.form.loss_alone:
                    return self.loss()
                return sum((p.detach().sum() for p in self.tensors.values()), torch.zeros((), dtype=torch.float64))

            self.optimizer.step(closure)

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


def _decays(group: Mapping[str, Any]) -> set[str]:
    """Names of the decays of a group that are on."""
    return {n for n, x in group.items() if is_decay(n) and isinstance(x, (int, float)) and x}


def _words(form: Form) -> str:
    """What a form is, in few words: its notes up to their reasons."""
    return " ".join([" and ".join(form.shapes), *(re.split("[:,]", n)[0].removeprefix("run ") for n in form.notes())])
