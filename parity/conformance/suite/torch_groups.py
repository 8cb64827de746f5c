"""PyTorch: parameter groups."""

from __future__ import annotations

from typing import Any

from ..comparing import Path, demand, same
from ..registry import register
from ..runs import Run, standard
from ..targets import follow
from ..targets.target import going_on


def _part(run: Run, names: list[str]) -> Run:
    return run.with_(params={n: run.params[n] for n in names}, grads={n: run.grads[n] for n in names})


@register(
    "param-groups",
    "Two groups with different lr move as two optimizers with these lr do.",
    kinds=("torch",),
    examples=6,
)
def param_groups(target: Any, run: Run) -> None:
    """The second group's lr is three times the first's."""
    names = list(run.shapes)
    lr = target.lr or 1e-3

    def groups(tensors: dict[str, Any]) -> Any:
        return [{"params": [tensors[names[0]]], "lr": lr}, {"params": [tensors[n] for n in names[1:]], "lr": 3 * lr}]

    from ..targets.torch_target import TorchSession

    together = TorchSession(target, run.params, groups=groups)
    found = going_on(together, run, range(run.steps))
    for part, factor in (([names[0]], 1), (names[1:], 3)):
        alone = TorchSession(
            target,
            {n: run.params[n] for n in part},
            groups=lambda t, factor=factor: [{"params": list(t.values()), "lr": factor * lr}],
        )
        expected = going_on(alone, _part(run, part), range(run.steps))
        same(expected, found.only(part), f"a group with {factor} times the lr moves otherwise than alone")


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
