"""Tensors beside each other: those without a gradient, and what they may change for the others, which is nothing."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..comparing import ROUNDING, Walk, close, demand, same
from ..outcome import Skip, a_check
from ..runs import Run, standard
from ..targets import Target, follow, walked
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


FROZEN = "A parameter on which its gradient has no effect (masked, or set to zero) stays as it is, bit for bit."


@a_check(
    "frozen",
    "A parameter that does not require a gradient may be given, stays as it is, and changes nothing for the others. "
    + FROZEN,
    kinds=("torch",),
)
def frozen(target: Any) -> None:
    """Fine-tuning hands over whole models, frozen parts and all."""
    _still_where_deaf(target)
    run = standard(target.shapes)
    name = list(run.shapes)[-1]
    session = target.start(run.params)
    session.tensors[name].requires_grad_(False)
    walk = walked(session, range(run.steps), lambda step: session.step({**run.at(step), name: None}))
    same({name: walk[name][-1]}, {name: walk[name][0]}, "a frozen parameter moves")
    alone = follow(target, run.only(n for n in run.shapes if n != name))
    same(walk.only(alone), alone, "beside a frozen parameter the others move differently")


@a_check("frozen", FROZEN, kinds=("jax",))
def deaf(target: Target) -> None:
    """A mask that stops gradients before the weight decay does not stop the decay."""
    _still_where_deaf(target)


def _still_where_deaf(target: Target) -> None:
    run, other = standard(target.shapes), standard(target.shapes, seed=1)
    walk = follow(target, run)
    for name in run.shapes:
        heard = np.any(walk[name] != follow(target, run, grads={**run.grads, name: other.grads[name]})[name])
        still = bool(np.all(walk[name] == walk[name][0]))
        demand(heard or still, f"the gradient of {name} has no effect, as if it were frozen, and yet it moves")


#: What a tensor may differ by in another company; in float32 what eight steps stay well within.
ROUNDED = {("torch", "float64"): 0.0, ("torch", "float32"): 0.0, ("jax", "float64"): ROUNDING, ("jax", "float32"): 1e-4}


@functools.lru_cache(maxsize=8)
def coupled(target: Target) -> str:
    """In words that what one tensor's gradient is moves another tensor, by design or not; empty where it does not."""
    run, other = standard(target.shapes), standard(target.shapes, seed=1)
    walk = follow(target, run)
    for name in (next(iter(run.shapes)), list(run.shapes)[-1]):
        changed = follow(target, run, grads={**run.grads, name: other.grads[name]})
        moved = [n for n in run.shapes if n != name and np.any(walk[n] != changed[n])]
        if moved:
            return f"one number serves all tensors: the gradient of {name} moves {moved[0]}"
    return ""


@a_check(
    "company",
    "A tensor moves as it does alone (bitwise in torch, to rounding where another program is compiled), whatever shares its "
    "group: in any order, beside tensors of another dtype, and where its own or its neighbours' gradients are missing at "
    "times. Where a rule couples tensors by their gradients, as "
    "clipping does, the order still makes no difference beyond rounding.",
)
def company(target: Any) -> None:
    """Catches a count, a dtype or a flag of one tensor that serves all of its group."""
    run = standard(target.shapes)
    names = list(run.shapes)
    if coupled(target):
        together = _together(target, run, names)
        close(_together(target, run, names[::-1]), together, "in another order it moves differently")
        return
    alone = functools.cache(lambda name, missing, dtype: _together(target, _cast(run, {name: dtype}), [name], missing))
    none_at_times = target.takes_gradients if target.kind == "torch" else isinstance(target, RuleTarget)
    for missing in (False, True) if none_at_times else (False,):
        for order in (names, names[::-1]):
            found = _together(target, run, order, missing)
            for name in names:
                where = " where gradients are missing at times" if missing else ""
                cause = f"{name} moves otherwise than alone{where}"
                close(found.only([name]), alone(name, missing, "float64"), cause, ROUNDED[target.kind, "float64"])
    mixed = (("float32", "float64"), ("float64", "float32"))
    if target.kind == "jax":
        mixed = mixed[:1]  # each is another program to compile
    elif target.form.dtype.itemsize < 8:  # it takes no other
        mixed = ()
    for first, others in mixed:
        dtypes = {name: others if number else first for number, name in enumerate(names)}
        found = _together(target, _cast(run, dtypes), names)
        for name, dtype in dtypes.items():
            cause = f"beside tensors of another dtype {name} ({dtype}) moves otherwise than alone"
            close(found.only([name]), alone(name, False, dtype), cause, ROUNDED[target.kind, dtype])


def _cast(run: Run, dtypes: Mapping[str, str]) -> Run:
    return run.with_(
        params={n: run.params[n].astype(dtype) for n, dtype in dtypes.items()},
        grads={n: run.grads[n].astype(dtype) for n, dtype in dtypes.items()},
    )


def _together(target: Any, run: Run, order: list[str], missing: bool = False) -> Walk:
    """A run of these tensors in this order; with some gradients missing, each tensor's at other steps."""
    gone = {name: (step, step + 3) for step, name in enumerate(target.shapes, 1)} if missing else {}
    if target.kind == "torch":
        keys = {name: name for name in order}
        session = target.start(
            {n: run.params[n] for n in order}, groups=lambda tensors: target.form.hand({n: tensors[n] for n in order})
        )
    else:  # whose dicts are sorted by their keys
        keys = {name: f"{number} {name}" for number, name in enumerate(order)}
        session = target.start({keys[n]: run.params[n] for n in order})

    def act(step: int) -> None:
        session.step({keys[n]: None if step in gone.get(n, ()) else run.grads[n][step] for n in order})

    walk = walked(session, range(run.steps), act)
    return Walk({n: walk[keys[n]] for n in order})
