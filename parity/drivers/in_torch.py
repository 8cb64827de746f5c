"""Replay in torch.optim: the plain loop, foreach and fused implementations."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from lrtheory import rules
from lrtheory.adopting.in_torch import to_numpy, to_torch
from lrtheory.names.torch import TorchName

from ..cases import Case
from ..dtypes import numbers_in
from ..table import Inexpressible, Refused, row
from ..trajectory import Snapshot, Trajectory
from . import held

IMPLEMENTATIONS: dict[str, dict[str, bool]] = {
    "loop": {"foreach": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "capturable": {"capturable": True},
}


def single_thread() -> contextlib.AbstractContextManager[None]:
    """One thread for torch: for tensors this small, handing out work takes several times as long as the work."""
    import torch

    return held(torch.get_num_threads, torch.set_num_threads, 1)


def default_dtype(name: str) -> contextlib.AbstractContextManager[None]:
    """The dtype of what torch creates on its own, such as step counts."""
    import torch

    return held(torch.get_default_dtype, torch.set_default_dtype, getattr(torch, name))


def replay(case: Case, *, implementation: str = "loop", reference: Trajectory | None = None) -> Trajectory:
    """One run; with ``reference``, parameters and state are set to the reference's before every step.

    Torch's default dtype is the run's, float32 with half precision: step counts, and the numbers that some rules keep as
    tensors (NAdam's ``mu_product``, ASGD's ``eta`` and ``mu``), have the default dtype whatever that of the parameters.

    Raises
    ------
    Inexpressible
        When torch has no such rule or the implementation does not exist for it.
    Refused
        When torch refuses to take a step.
    """
    with single_thread(), default_dtype(numbers_in(case.dtype)):
        return _replay(case, implementation, reference)


def _replay(case: Case, implementation: str, reference: Trajectory | None) -> Trajectory:
    import torch

    torch_name = _row(case, implementation)
    gradients = {name: to_torch(value) for name, value in case.gradients().items()}
    tensors = {name: torch.nn.Parameter(to_torch(value)) for name, value in case.first_params().items()}
    optimizer = _optimizer(case, torch_name, list(tensors.values()), implementation)
    scheduler = case.schedule.in_torch(optimizer)
    drawn = case.schedule.drawn(optimizer.defaults["lr"], case.steps) if case.schedule.is_drawn else None

    params = {name: [to_numpy(p)] for name, p in tensors.items()}
    states: list[Snapshot] = [_read(optimizer, tensors, torch_name)]
    lrs = []
    for step in range(case.steps):
        if reference is not None:
            _write(optimizer, tensors, torch_name, reference, step)
        if drawn is not None:
            optimizer.param_groups[0]["lr"] = float(drawn[step])
        lrs.append(float(optimizer.param_groups[0]["lr"]))
        for name, p in tensors.items():
            gradient = gradients[name][step].clone()
            p.grad = gradient.to_sparse() if row(case.rule).sparse else gradient
        try:
            optimizer.step()
        except (AssertionError, NotImplementedError) as error:  # what torch checks, and what it lacks for a dtype
            raise Refused(str(error)) from error
        if scheduler is not None and step + 1 < case.steps:
            scheduler.step()
        for name, p in tensors.items():
            params[name].append(to_numpy(p))
        states.append(_read(optimizer, tensors, torch_name))
    return Trajectory(
        f"torch {implementation}", {name: np.stack(values) for name, values in params.items()}, states, np.array(lrs)
    )


def implementations(rule: str) -> tuple[str, ...]:
    """Torch's implementations of a rule, the loop first; none where torch lacks the rule."""
    torch_name = row(rule).torch
    return () if torch_name is None else ("loop", *torch_name.implementations)


def takes_capturable(rule: str) -> bool:
    """Whether torch's optimizer of a rule has the argument ``capturable``."""
    import torch

    torch_name = row(rule).torch
    if torch_name is None:
        return False
    kind = getattr(torch.optim, torch_name.class_name(rules.get(rule)().options))
    return "capturable" in inspect.signature(kind).parameters


def _row(case: Case, implementation: str) -> TorchName:
    torch_name = row(case.rule).torch
    if torch_name is None:
        raise Inexpressible(f"torch.optim has no {case.rule}")
    exists = (
        takes_capturable(case.rule) if implementation == "capturable" else implementation in implementations(case.rule)
    )
    if not exists:
        raise Inexpressible(f"torch.optim has no {implementation} implementation of {case.rule}")
    return torch_name


def _optimizer(case: Case, torch_name: TorchName, tensors: list[Any], implementation: str) -> Any:
    import torch

    rule = rules.get(case.rule)(**case.options)
    choice = IMPLEMENTATIONS[implementation] if torch_name.implementations else {}
    return getattr(torch.optim, torch_name.class_name(rule.options))(
        tensors, **torch_name.arguments(rule.options, rule.hyper(**case.numbers)), **choice
    )


def _read(optimizer: Any, tensors: Mapping[str, Any], torch_name: TorchName) -> Snapshot:
    snapshot: Snapshot = {}
    for name, p in tensors.items():
        kept = optimizer.state.get(p, {})
        snapshot[name] = {
            field: to_numpy(kept[key]) for field, key in torch_name.state.items() if kept.get(key) is not None
        }
    return snapshot


def _write(optimizer: Any, tensors: Mapping[str, Any], torch_name: TorchName, reference: Trajectory, step: int) -> None:
    import torch

    with torch.no_grad():
        for name, p in tensors.items():
            p.copy_(to_torch(reference.params[name][step]))
            kept = optimizer.state.get(p, {})
            for field, key in torch_name.state.items():
                value = reference.states[step].get(name, {}).get(field)
                if value is None or kept.get(key) is None:
                    continue
                if isinstance(kept[key], torch.Tensor):
                    kept[key].copy_(to_torch(value))
                else:
                    kept[key] = type(kept[key])(value)
