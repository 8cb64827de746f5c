"""Parameters without a gradient: missing, masked and frozen ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..comparing import Walk, demand, same
from ..outcome import Skip, a_check
from ..runs import Run, standard
from ..targets import Target, follow
from ..targets.jax_target import RuleTarget, as_tree


@a_check(
    "missing-gradient",
    "A parameter whose gradient is None stays as it is, and so does its state; it is no zero gradient.",
    kinds=("torch",),
    examples=6,
)
def missing_gradient(target: Any, run: Run) -> None:
    """After two steps with a gradient, so that momentum would show."""
    _stands_still(target, run)


@a_check(
    "missing-gradient",
    "A rule leaves a parameter and its state alone where the gradient is None; a transformation under optax.masked moves "
    "the parameters that are not masked out as it does without the others.",
    kinds=("jax",),
)
def masked(target: Any) -> None:
    """Masked-out leaves become empty nodes, which a transformation must take as part of the structure."""
    run = standard(target.shapes)
    if isinstance(target, RuleTarget):
        _stands_still(target, run)
        return
    try:
        import optax
    except ModuleNotFoundError as error:
        raise Skip("optax is not installed, which has the mask") from error

    kept = next(iter(run.shapes))
    plain = target.functions()
    mask = {name: name == kept for name in run.shapes}
    transformation = optax.masked(optax.GradientTransformation(plain.init, plain.update), mask)
    params, grads = as_tree(run.params), as_tree(run.at(0))
    found: Any = transformation.update(grads, transformation.init(params), params)[0]
    part = {kept: params[kept]}
    alone = plain.update({kept: grads[kept]}, plain.init(part), part)[0]
    same({kept: np.asarray(found[kept])}, {kept: np.asarray(alone[kept])}, "masking the other parameters changes it")


def _stands_still(target: Target, run: Run) -> None:
    session = target.start(run.params)
    name = list(run.shapes)[-1]
    for step in range(2):
        session.step(run.at(step))
    before, state = session.params()[name], _of(session.state(), name)
    for step in range(2, 5):
        session.step({**run.at(step), name: None})
        same({name: session.params()[name]}, {name: before}, f"without a gradient {name} moves at step {step + 1}")
        same(_of(session.state(), name), state, f"without a gradient the state of {name} changes at step {step + 1}")
    demand(set(session.params()) == set(run.shapes), "a parameter is gone")


def _of(state: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {path: value for path, value in state.items() if path.startswith(f"{name}.") or f"['{name}']" in path}


@a_check(
    "frozen",
    "A parameter that does not require a gradient may be given, stays as it is, and changes nothing for the others.",
    kinds=("torch",),
)
def frozen(target: Any) -> None:
    """Fine-tuning hands over whole models, frozen parts and all."""
    run = standard(target.shapes)
    name = list(run.shapes)[-1]
    session = target.start(run.params)
    session.tensors[name].requires_grad_(False)
    history = [session.params()]
    for step in range(run.steps):
        session.step({**run.at(step), name: None})
        history.append(session.params())
    same({name: session.params()[name]}, {name: run.params[name]}, "a frozen parameter moves")
    alone = follow(target, run.only(n for n in run.shapes if n != name))
    same(Walk.of(history).only(alone), alone, "beside a frozen parameter the others move differently")
