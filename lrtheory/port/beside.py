"""New code run beside the old: at a constant lr, at one that moves, and with every hyperparameter changed a little."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..compiling import quickly_compiled
from ..explaining.beside import SAME, float64, followed, in_words, moved_lr, run_on, stream, tried
from ..names import find, keras
from ..spec import Reading, curve, is_schedule, parse, part, short
from ..words import first_line
from ..wrappers import innermost
from . import courses
from .errors import PortError

STEPS = 30
#: Of rules that compute in bfloat16.
SAME_BFLOAT16 = 2e-3
#: Of Keras's schedules, which have π in float32, and of the means that it makes in float32.
SAME_KERAS = 2e-6


@dataclass(frozen=True)
class Beside:
    """What was seen.

    Attributes
    ----------
    off : float
    differs : str
        In which way they are not the same; empty where they are.
    notes : tuple of str
    """

    off: float
    differs: str
    notes: tuple[str, ...]


def beside(reading: Reading, made: Any, to: str) -> Beside:
    """Run both.

    Raises
    ------
    PortError
        For an old one that cannot be run.
    """
    inside, _ = innermost(reading.rule, reading.hyper)
    same = SAME_BFLOAT16 if inside.facts.in_bfloat16 else SAME
    name = find(keras.NAMES, inside)
    if "keras" in (to, reading.framework) and (reading.curve is not None or (name and name.float32_mean)):
        same = SAME_KERAS
    notes = []
    parted = None if reading.curve is None else _parted(reading, made, to, notes)
    count = STEPS if parted is None else min(parted, STEPS)
    one, other = [1.0] * count, [float(f) for f in 10.0 ** np.random.default_rng(1).uniform(-1, 1, count)]
    start, grads, values, old = _old(reading, count * made.every, one)
    off, said = _apart(old, _run(made, to, start, grads, values, one)), ""
    if not off <= same:
        told = "" if reading.curve is None else ", with its schedule"
        return Beside(off, f"{off:.1e} of its travel apart after {count} steps in float64{told}", tuple(notes))
    moved = _apart(run_on(reading.text, start, grads, values, other), _run(made, to, start, grads, values, other))
    if moved <= same:
        off = max(off, moved)
        how = (
            "at a constant lr and at one that moves"
            if reading.curve is None
            else "on its schedule and at an lr that moves"
        )
        notes.append(f"run beside the old for {count} steps in float64, {how}: {in_words(off)}")
    elif reading.curve is not None:
        said = f"{moved:.1e} of its travel apart where the lr moves"
    else:
        notes.append(f"run beside the old for {count} steps in float64: {in_words(off)}, while the lr is constant")
        notes.append(f"where the lr moves they part, by {moved:.1e} of their travel: do not give it a schedule")
    if silent := _silent(reading, start, grads):
        notes.append(f"{', '.join(silent)} made no difference in {count} steps: of that nothing is said")
    return Beside(off, said, tuple(notes))


def _old(reading: Reading, steps: int, lrs: list[float]) -> tuple[Any, Any, Any, Any]:
    """First parameters, gradients and values of a loss that the old can be run on, and its run."""
    why = ""
    for shapes in tried(reading.text):
        start, grads, values = stream(shapes, steps=steps)
        try:
            return start, grads, values, run_on(reading.text, start, grads, values, lrs)
        except ModuleNotFoundError:
            raise
        except Exception as error:
            why = why or first_line(error)
    raise PortError(why if short(reading.text) in why else f"{short(reading.text)} cannot be run: {why}")


def _apart(one: Sequence[Mapping[str, np.ndarray]], other: Sequence[Mapping[str, np.ndarray]]) -> float:
    """Largest difference of a coordinate over the farthest that it moves."""
    off = 0.0
    for name in one[0]:
        a, b = (np.stack([p[name] for p in path]) for path in (one, other))
        reach = np.maximum(np.abs(a - a[0]).max(0), 1e-300)
        with np.errstate(invalid="ignore"):
            gap = np.where(np.isnan(a) & np.isnan(b), 0.0, np.abs(a - b) / reach)
        off = max(off, float(np.nan_to_num(gap, nan=np.inf).max()))
    return off


def _run(made: Any, to: str, start: Any, grads: Any, values: Any, lrs: Any) -> list[dict[str, np.ndarray]]:
    if to == "torch" and (made.loop or made.every > 1 or "scheduler" in made.code):
        return _torch_loop(made, start, grads, lrs)
    if to == "lrtheory" and made.loop:
        return _own_loop(made, start, grads, lrs)
    return run_on(made.code, start, grads, values, lrs)


def _torch_loop(made: Any, start: Any, grads: Any, lrs: Any) -> list[dict[str, np.ndarray]]:
    """The code as it is pasted into a loop."""
    import torch

    with float64(torch):
        params = {name: torch.nn.Parameter(torch.tensor(p)) for name, p in start.items()}
        names: dict[str, Any] = {"torch": torch, "math": math, "params": list(params.values())}
        exec(made.code if "optimizer = " in made.code else f"optimizer = {made.code}", names)
        before, _, after = (made.loop or "optimizer.step()").partition("optimizer.step()")
        step, path = compile(f"{before}optimizer.step()", "<loop>", "exec"), [start]
        for t, g in enumerate(grads):
            for name, p in params.items():
                gathered = torch.tensor(g[name]) / made.every
                p.grad = gathered if p.grad is None else p.grad + gathered
            if (t + 1) % made.every == 0:
                with moved_lr(names["optimizer"], 1.0 if lrs is None else lrs[t // made.every]):
                    exec(step, names)
                exec(after.strip(), names)
                names["optimizer"].zero_grad()
            path.append({name: p.detach().numpy().copy() for name, p in params.items()})
    return path


def _own_loop(made: Any, start: Any, grads: Any, lrs: Any) -> list[dict[str, np.ndarray]]:
    names = _own_names(made)
    with jax.enable_x64(True):
        rule, hyper, schedule = names["rule"], names["hyper"], names["schedule"]
        step = quickly_compiled()(lambda lr, p, s, g: rule.step(hyper._replace(lr=lr), p, s, g))
        lr = lambda t: schedule(t) * (1.0 if lrs is None else lrs[t])  # noqa: E731
        return followed(start, grads, rule.init, lambda i, p, s, g: step(lr(i // made.every), p, s, g))


def _own_names(made: Any) -> dict[str, Any]:
    from .. import rules, schedules, wrappers

    class lrtheory:
        """The names that the code goes by."""

    for room in (rules, schedules, wrappers):
        setattr(lrtheory, room.__name__.rpartition(".")[2], room)
    names: dict[str, Any] = {"lrtheory": lrtheory, "jnp": jnp}
    exec(made.code, names)
    return names


def _parted(reading: Reading, made: Any, to: str, notes: list[str]) -> int | None:
    """The step from which the course of the lr is another, if it is."""
    assert reading.curve is not None
    horizon = min(max(reading.curve.end.t, reading.curve.peak.t, STEPS), 1 << 14)
    parted = courses.same_until(reading.curve.at, _lr_of(made, to, 2 * horizon + 10), horizon)
    if parted is None:
        return None
    if parted <= min(reading.curve.end.t, horizon):
        raise PortError(f"{short(reading.text)}: its lr as {made.code} is another from step {parted} on")
    notes.append(f"the lr is the same up to step {parted - 1}, where the schedule has ended, and another from there")
    return parted


def _lr_of(made: Any, to: str, last: int) -> Any:
    """The lr of the new code as a function of an array of steps."""
    if to == "torch":
        import torch

        names: dict[str, Any] = {"torch": torch, "math": math, "params": [torch.nn.Parameter(torch.zeros(2, 2))]}
        exec(made.code, names)
        names["optimizer"].step()
        lrs = []
        for _ in range(last + 1):
            lrs.append(float(names["optimizer"].param_groups[0]["lr"]))
            names["scheduler"].step()
        return lambda t: np.asarray(lrs)[np.asarray(t)]
    if to == "lrtheory":
        with jax.enable_x64(True):
            known = np.asarray(jax.vmap(_own_names(made)["schedule"])(jnp.arange(last + 1)), np.float64)
        return lambda t: known[np.asarray(t)]
    schedule = next(p for p in part(parse(made.code)).all() if is_schedule(p.spec))
    return curve(parse(schedule.spec.text)).at


def _silent(reading: Reading, start: Any, grads: Any) -> list[str]:
    """Hyperparameters that make no difference in this run."""
    rule, hyper = reading.rule, reading.hyper
    inside, _ = innermost(rule, hyper)
    numbers = [n for n, v in hyper._asdict().items() if v and n != "examples"]
    if inside.array_rule.sparse or not numbers:
        return []
    with jax.enable_x64(True):
        rows = [[(0.9 if n == m else 1.0) * getattr(hyper, m) if m in numbers else getattr(hyper, m) for m in hyper._fields]
                for n in ("", *numbers)]  # fmt: skip
        stacked = type(hyper)(
            *(None if column[0] is None else jnp.asarray(column) for column in zip(*rows, strict=True))
        )
        axes = type(hyper)(*(None if column is None else 0 for column in stacked))
        params = {name: jnp.asarray(p) for name, p in start.items()}
        given = {name: jnp.asarray(np.stack([g[name] for g in grads])) for name in start}

        @quickly_compiled()
        def ends(hypers: Any) -> Any:
            def one(h: Any) -> Any:
                step = lambda carry, g: (rule.step(h, carry[0], carry[1], g), None)  # noqa: E731
                return jax.lax.scan(step, (params, rule.init(params)), given)[0][0]

            return jax.vmap(one, in_axes=(axes,))(hypers)

        last = ends(stacked)
    found = []
    for i, number in enumerate(numbers, start=1):
        if all(np.array_equal(np.asarray(p)[0], np.asarray(p)[i], equal_nan=True) for p in last.values()):
            found.append(number)
    return found
