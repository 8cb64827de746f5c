"""PyTorch: parameter groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..comparing import Path, demand, same
from ..registry import register
from ..runs import Run, standard
from ..targets import follow
from ..targets.target import going_on


def _part(run: Run, names: list[str]) -> Run:
    return run.with_(params={n: run.params[n] for n in names}, grads={n: run.grads[n] for n in names})


@register(
    "param-groups",
    "Two groups with different lr move as two optimizers with these lr do, and otherwise than with one lr.",
    kinds=("torch",),
    examples=6,
)
def param_groups(target: Any, run: Run) -> None:
    """The second group's lr is three times the first's."""
    from ..targets.torch_target import TorchSession

    names = list(run.shapes)
    lr = target.lr or 1e-3
    parts = (names[:1], 1), (names[1:], 3)

    def groups(tensors: dict[str, Any]) -> Any:
        return [{"params": [tensors[n] for n in part if n in tensors], "lr": factor * lr} for part, factor in parts]

    def alone(part: list[str], factor: int) -> Path:
        session = TorchSession(
            target,
            {n: run.params[n] for n in part},
            groups=lambda tensors: [{"params": list(tensors.values()), "lr": factor * lr}],
        )
        return going_on(session, _part(run, part), range(run.steps))

    found = going_on(TorchSession(target, run.params, groups=groups), run, range(run.steps))
    for part, factor in parts:
        same(alone(part, factor), found.only(part), f"a group with {factor} times the lr moves otherwise than alone")
    if run.code() == standard(target.shapes).code():
        other = alone(names[1:], 1)
        demand(any(np.any(found[n] != other[n]) for n in other), "a group with three times the lr moves as with the lr")


@register(
    "add-param-group",
    "After add_param_group the old parameters go on bitwise, and the new ones move as in a fresh optimizer.",
    kinds=("torch",),
)
def add_param_group(target: Any) -> None:
    """Layers are unfrozen in the middle of training."""
    run = standard(target.shapes)
    names = list(run.shapes)
    old, new = names[:-1], names[-1]
    at = 3
    from ..targets.torch_target import TorchSession

    session = TorchSession(target, run.params, groups=lambda t: [t[n] for n in old])
    history = [session.params()]
    for step in range(run.steps):
        if step == at:
            session.optimizer.add_param_group({"params": [session.tensors[new]]})
        session.step({**run.at(step), **({new: None} if step < at else {})})
        history.append(session.params())
    found = Path.of(history)
    demand(len(session.optimizer.param_groups) == 2, "add_param_group adds no group")
    same(follow(target, _part(run, old)), found.only(old), "the old parameters move differently")
    later = _part(run, [new]).with_(grads={new: run.grads[new][at:]}, lrs=run.lrs[at:])
    same(
        follow(target, later),
        found.only([new], slice(at, None)),
        "the new parameter moves otherwise than in a fresh optimizer",
    )
