"""PyTorch: dtypes and shapes of parameters and state, closures, and parameter groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..comparing import Walk, demand, same
from ..outcome import Note, Skip, a_check, told
from ..runs import Run, standard
from ..targets import follow, going_on, walked
from .company import coupled


@a_check(
    "tree",
    "Scalars and tensors without entries may be given, and parameters and their gradients may be on their own or in "
    "groups; every parameter keeps its shape and its place in memory.",
    kinds=("torch",),
)
def tree(target: Any) -> None:
    """The update is made in place: what else refers to the parameter must see it."""
    run = standard(target.shapes)
    params = dict(run.params)
    if () in target.shapes.values():
        params["without entries"] = np.zeros((0,))
    in_groups, once = (lambda t: [{"params": list(t.values())}], lambda t: iter(t.values()))
    for groups in (target.form.hand, *((in_groups, once) if target.form.handed == "as a list" else ())):
        session = target.start(params, groups=groups)
        places = {n: (p, p.data_ptr(), p.shape) for n, p in session.tensors.items()}
        for step in range(2):
            session.step({**run.at(step), "without entries": np.zeros((0,))})
        for name, (p, place, shape) in places.items():
            demand(p.shape == shape, f"{name} had shape {tuple(shape)}, and has {tuple(p.shape)}")
            demand(p.data_ptr() == place, f"{name} is replaced by another tensor, and not updated in place")


@a_check(
    "dtypes",
    "For float32, bfloat16 and float64 parameters: parameters keep their dtype, and no tensor of the state that is shaped "
    "like a parameter has more bits (float32 at least).",
    kinds=("torch",),
)
def dtypes(target: Any) -> None:
    """Two steps each."""
    import torch

    run = standard(target.shapes)
    refused = []
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        try:
            session = target.start(run.params, dtype=dtype)
            for step in range(2):
                session.step(run.at(step))
        except (ValueError, AssertionError) as error:
            if target.form.dtype in (torch.float64, dtype):
                raise
            refused.append(f"{dtype} {told(error)}")
            continue
        for name, p in session.tensors.items():
            demand(p.dtype == dtype, f"{dtype} parameters: {name} becomes {p.dtype}")
            for key, value in session.optimizer.state.get(p, {}).items():
                if isinstance(value, torch.Tensor) and value.is_floating_point() and value.shape == p.shape and p.dim():
                    bits = torch.finfo(value.dtype).bits
                    allowed = max(32, torch.finfo(dtype).bits)
                    demand(bits <= allowed, f"{dtype} parameters: the state {key} of {name} is {value.dtype}")
    if refused:
        raise Note(f"it refuses other parameters than {target.form.dtype}: with {'; with '.join(refused)}")


@a_check(
    "closure",
    "step(closure) evaluates the closure with gradients enabled, uses the gradients that it leaves, and returns its value.",
    kinds=("torch",),
)
def closure(target: Any) -> None:
    """The gradients are those of a linear loss: the ones that are given elsewhere."""
    import torch

    run = standard(target.shapes)
    session = target.start(run.params)

    def act(step: int) -> None:
        calls: list[bool] = []
        returned: Any = None

        def evaluate() -> torch.Tensor:
            calls.append(torch.is_grad_enabled())
            session.optimizer.zero_grad()
            with torch.enable_grad():  # so that the demand below says what is wrong, and no exception on the way
                loss = session.loss()
                if target.takes_gradients:
                    loss.backward(create_graph=target.form.graph)
            if target.sparse:
                session.give(run.at(step))
            return loss

        for _ in range(target.calls):
            session.begin(run.at(step))
            returned = session.optimizer.step(evaluate)
        demand(calls, "step(closure) does not evaluate the closure")
        demand(all(calls), "the closure is evaluated without recording gradients: torch.enable_grad() is missing")
        demand(returned is not None, "step(closure) returns None, and not the closure's value")

    walk = walked(session, range(run.steps), act)
    if not target.needs_closure(session.optimizer):
        cause = "with a closure it moves otherwise than with the same gradients set before"
        same(walk, follow(target, run), cause)


@a_check(
    "param-groups",
    "Two groups with different lr move as two optimizers with these lr do, and otherwise than with one lr.",
    kinds=("torch",),
    examples=6,
)
def param_groups(target: Any, run: Run) -> None:
    """The second group's lr is three times the first's."""
    if target.lr is None:
        raise Skip("its parameter groups have no lr that could be moved")
    names = list(run.shapes)
    lr = target.lr or 1e-3
    parts = (names[:1], 1), (names[1:], 3)
    hand = target.form.hand

    def groups(tensors: dict[str, Any]) -> Any:
        return [group for part, factor in parts for group in hand({n: tensors[n] for n in part}, lr=factor * lr)]

    def alone(part: list[str], factor: int) -> Walk:
        own = run.only(part)
        session = target.start(own.params, groups=lambda tensors: hand(tensors, lr=factor * lr))
        return going_on(session, own, range(run.steps))

    _makes_no_groups(target)
    if coupled(target):
        raise Skip(f"what a group does alone says nothing where {coupled(target)}")
    try:
        found = going_on(target.start(run.params, groups=groups), run, range(run.steps))
    except (ValueError, RuntimeError, AssertionError) as refusal:
        raise Note(f"one lr serves all groups: with two it {told(refusal)}") from refusal
    for part, factor in parts:
        same(found.only(part), alone(part, factor), f"a group with {factor} times the lr moves otherwise than alone")
    if run.code() == standard(target.shapes).code():
        for part, _ in parts:
            one, three = alone(part, 1), alone(part, 3)
            demand(
                any(np.any(one[n] != three[n]) for n in part), "a group with three times the lr moves as with the lr"
            )


@a_check(
    "add-param-group",
    "After add_param_group the old parameters go on bitwise, and the new ones move as in a fresh optimizer.",
    kinds=("torch",),
)
def add_param_group(target: Any) -> None:
    """Layers are unfrozen in the middle of training."""
    _makes_no_groups(target)
    if coupled(target):
        raise Skip(f"what a group does alone says nothing where {coupled(target)}")
    run = standard(target.shapes)
    names = list(run.shapes)
    old, new = names[:-1], names[-1]
    at = 3
    session = target.start(run.params, groups=lambda tensors: target.form.hand({n: tensors[n] for n in old}))
    before = len(session.optimizer.param_groups)

    def act(step: int) -> None:
        if step == at:
            more = target.form.hand({new: session.tensors[new]})
            session.optimizer.add_param_group(more[0] if isinstance(more[0], dict) else {"params": more})
        session.step({**run.at(step), **({new: None} if step < at else {})})

    found = walked(session, range(run.steps), act)
    demand(len(session.optimizer.param_groups) == before + 1, "add_param_group adds no group")
    same(found.only(old), follow(target, run.only(old)), "the old parameters move differently")
    fresh = follow(target, run.only([new], slice(at, None)))
    same(found.only([new], slice(at, None)), fresh, "the new parameter moves otherwise than in a fresh optimizer")


def _makes_no_groups(target: Any) -> None:
    if not target.form.grouped:
        raise Skip(f"it is given parameters {target.form.handed}, and makes its groups of them itself")
