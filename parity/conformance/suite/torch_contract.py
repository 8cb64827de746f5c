"""PyTorch: dtypes and shapes of parameters and state, and closures."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..comparing import Path, demand, same
from ..registry import register
from ..runs import standard
from ..targets import follow


@register(
    "tree",
    "Scalars and tensors without entries may be given, and parameters and their gradients may be on their own or in "
    "groups; every parameter keeps its shape and its place in memory.",
    kinds=("torch",),
)
def tree(target: Any) -> None:
    """The update is made in place: what else refers to the parameter must see it."""
    from ..targets.torch_target import TorchSession

    run = standard(target.shapes)
    params = dict(run.params)
    if () in target.shapes.values():
        params["without entries"] = np.zeros((0,))
    for groups in (lambda t: list(t.values()), lambda t: [{"params": list(t.values())}], lambda t: iter(t.values())):
        session = TorchSession(target, params, groups=groups)
        places = {n: (p, p.data_ptr(), p.shape) for n, p in session.tensors.items()}
        for step in range(2):
            session.step({**run.at(step), "without entries": np.zeros((0,))})
        for name, (p, place, shape) in places.items():
            demand(p.shape == shape, f"{name} had shape {tuple(shape)}, and has {tuple(p.shape)}")
            demand(p.data_ptr() == place, f"{name} is replaced by another tensor, and not updated in place")


@register(
    "dtypes",
    "For float32, bfloat16 and float64 parameters: parameters keep their dtype, and no tensor of the state that is shaped "
    "like a parameter has more bits (float32 at least).",
    kinds=("torch",),
)
def dtypes(target: Any) -> None:
    """Two steps each."""
    import torch

    from ..targets.torch_target import TorchSession

    run = standard(target.shapes)
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        session = TorchSession(target, run.params, dtype=dtype)
        for step in range(2):
            session.step(run.at(step))
        for name, p in session.tensors.items():
            demand(p.dtype == dtype, f"{dtype} parameters: {name} becomes {p.dtype}")
            for key, value in session.optimizer.state.get(p, {}).items():
                if isinstance(value, torch.Tensor) and value.is_floating_point() and value.shape == p.shape and p.dim():
                    bits = torch.finfo(value.dtype).bits
                    allowed = max(32, torch.finfo(dtype).bits)
                    demand(bits <= allowed, f"{dtype} parameters: the state {key} of {name} is {value.dtype}")


@register(
    "closure",
    "step(closure) evaluates the closure with gradients enabled, uses the gradients that it leaves, and returns its value.",
    kinds=("torch",),
)
def closure(target: Any) -> None:
    """The gradients are those of a linear loss: the ones that are given elsewhere."""
    import torch

    from lrtheory.dims.torch_reader.problem import needs_closure

    run = standard(target.shapes)
    session = target.start(run.params)
    history = [session.params()]
    for step in range(run.steps):
        calls = []

        def evaluate(step: int = step, calls: list[Any] = calls) -> torch.Tensor:
            calls.append(torch.is_grad_enabled())
            session.optimizer.zero_grad()
            terms = [(p * target.as_gradient(run.at(step)[n]).to_dense()).sum() for n, p in session.tensors.items()]
            loss = torch.stack(terms).sum()
            loss.backward()
            if target.sparse:
                session.give(run.at(step))
            return loss

        returned = session.optimizer.step(evaluate)
        demand(calls, "step(closure) does not evaluate the closure")
        demand(all(calls), "the closure is evaluated without recording gradients")
        demand(returned is not None, "step(closure) returns None, and not the closure's value")
        history.append(session.params())
    if not needs_closure(session.optimizer):
        found = Path.of(history)
        same(follow(target, run), found, "with a closure it moves otherwise than with the same gradients set before")
