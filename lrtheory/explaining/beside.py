"""The code of an answer, constructed in its own framework and run beside the old code in float64."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..compiling import quickly_compiled
from ..dims.target import target
from ..spec import Part, Spec, SpecError, is_torch, parse, part, read, short

STEPS = 12
#: Beyond this share of its travel, a run is another one.
SAME = 1e-9
_SHAPES: Mapping[str, tuple[int, ...]] = {"matrix": (4, 3), "vector": (5,)}


class Seen(NamedTuple):
    """What running two codes has shown.

    Attributes
    ----------
    off : float or None
        Largest difference of a coordinate over the farthest that it moves; ``None`` where they could not be run.
    said : str
    """

    off: float | None
    said: str


def beside(old: str, new: str, *, loss: float, params: float) -> Seen:
    """Run both, the new one with gradients times ``loss/params`` from parameters times ``params``.

    Raises
    ------
    SpecError
        If either code cannot be constructed, or one of torch's or optax's own cannot be run.
    """
    why, steps = "", STEPS * max(1, min(_every(parse(old)), 4))
    try:
        tried = list(_tried(old))
    except SpecError as error:  # a mask is a name of the user's
        return Seen(None, f"not run beside the old ({error})")
    refused = ""
    for shapes in tried:
        try:
            one = run(old, shapes, steps=steps)
        except ModuleNotFoundError as error:
            if error.name not in ("torch", "optax", "keras"):
                raise
            return Seen(None, f"not run beside the old ({error.name} is not installed)")
        except Exception as error:
            why = why or (str(error).strip().splitlines() or [type(error).__name__])[0]
            refused = why if isinstance(error, (_NotMade, SpecError)) else refused
            continue
        try:
            other = run(new, shapes, loss / params, params, loss, steps)
        except Exception as error:
            raise SpecError(f"{new} cannot be run: {error}") from error
        off = 0.0
        for name, path in one.items():
            gap = np.abs(other[name] / params - path)
            reach = np.maximum(np.abs(path - path[0]).max(0), 1e-300)
            off = max(
                off,
                float(
                    np.nan_to_num(
                        gap / reach, nan=0.0 if np.array_equal(np.isnan(path), np.isnan(other[name])) else np.inf
                    ).max()
                ),
            )
        if off == 0:
            return Seen(
                off,
                f"run beside the old for {len(next(iter(one.values()))) - 1} steps in float64: the same bit for bit",
            )
        return Seen(
            off,
            f"run beside the old for {len(next(iter(one.values()))) - 1} steps in float64: {off:.1e} of its travel apart",
        )
    if refused or parse(old).full_name.startswith(("torch.optim.", "optax.")):
        refused = refused or f"it cannot be run: {why}"
        raise SpecError(refused if short(old) in refused else f"{short(old)}: {refused}")
    return Seen(None, f"not run beside the old ({why})")


class _NotMade(Exception):
    """What its own framework refuses to construct."""


def _made(make: Any, **given: Any) -> Any:
    try:
        return make(**given)
    except Exception as error:
        raise _NotMade(str(error)) from error


def _tried(text: str) -> Iterator[Mapping[str, tuple[int, ...]]]:
    spec = parse(text)
    if not spec.is_rule and not spec.name.startswith(("torch.", "keras.")):
        labelled = target(spec).shapes
        if labelled:
            yield {name: _SHAPES[("matrix", "vector")[i % 2]] for i, name in enumerate(labelled)}
            return
    yield _SHAPES
    yield {"matrix": _SHAPES["matrix"]}


def run(
    text: str,
    shapes: Mapping[str, tuple[int, ...]],
    gradient: float = 1.0,
    size: float = 1.0,
    loss: float = 1.0,
    steps: int = STEPS,
) -> dict[str, np.ndarray]:
    """Parameters after each step of an optimizer in text, in float64."""
    spec = parse(text)
    rng = np.random.default_rng(0)
    start = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    sizes = {name: 10.0 ** rng.uniform(-8, 1, shape) for name, shape in shapes.items()}
    grads = [
        {n: rng.standard_normal(s) * sizes[n] * 10.0 ** rng.uniform(-1, 1) * gradient for n, s in shapes.items()}
        for _ in range(steps)
    ]
    values = [loss * float(v) for v in 10.0 ** rng.uniform(-1, 1, steps)]
    start = {name: p * size for name, p in start.items()}
    if spec.is_rule:
        path = _ours(text, start, grads)
    elif spec.name.startswith("keras."):
        path = _in_keras(spec, start, grads)
    elif spec.name.startswith("torch.optim.lr_scheduler.") or is_torch(part(spec).factory):
        path = _in_torch(spec, start, grads)
    else:
        path = _in_optax(target(spec).make({}), start, grads, values)
    return {name: np.stack([p[name] for p in path]) for name in start}


def _every(spec: Spec) -> int:
    """Calls that one step takes."""
    if spec.name.rpartition(".")[2] not in ("MultiSteps", "accumulate"):
        return 1
    every = spec.kwargs.get("every_k_schedule", spec.kwargs.get("every", spec.args[1] if len(spec.args) > 1 else 1))
    return every if isinstance(every, int) else 1


def _ours(text: str, start: Any, grads: Any) -> list[dict[str, np.ndarray]]:
    import jax
    import jax.numpy as jnp

    from ..rules import SparseGradient
    from .trained import innermost

    reading = read(text)
    sparse = innermost(reading.rule, reading.hyper)[0].array_rule.sparse
    with jax.enable_x64(True):
        step = quickly_compiled()(lambda p, s, g: reading.rule.step(reading.hyper, p, s, g))
        params = {name: jnp.asarray(p) for name, p in start.items()}
        state, path = reading.rule.init(params), [start]
        for g in grads:
            given = {n: SparseGradient.from_dense(jnp.asarray(v)) if sparse else jnp.asarray(v) for n, v in g.items()}
            params, state = step(params, state, given)
            path.append({name: np.asarray(p) for name, p in params.items()})
    return path


def _in_optax(made: Any, start: Any, grads: Any, values: Any) -> list[dict[str, np.ndarray]]:
    import jax
    import jax.numpy as jnp

    parameters = inspect.signature(made.update).parameters
    takes_value = "value" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    with jax.enable_x64(True):
        params = {name: jnp.asarray(p) for name, p in start.items()}
        state, path = quickly_compiled()(made.init)(params), [start]

        @quickly_compiled()
        def step(params: Any, state: Any, g: Any, value: Any) -> Any:
            more = {"value": value} if takes_value else {}
            updates, state = made.update(g, state, params, **more)
            return jax.tree.map(lambda p, u: p + u, params, updates), state

        for g, value in zip(grads, values, strict=True):
            params, state = step(params, state, {n: jnp.asarray(v) for n, v in g.items()}, value)
            path.append({name: np.asarray(p) for name, p in params.items()})
    return path


def _in_keras(spec: Spec, start: Any, grads: Any) -> list[dict[str, np.ndarray]]:
    import jax
    import jax.numpy as jnp
    import keras

    if keras.backend.backend() != "jax":
        raise RuntimeError(f"Keras is on its {keras.backend.backend()} backend, and run on JAX")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        with jax.enable_x64(True):
            optimizer = _made(part(spec).make)
            params = [jnp.asarray(p) for p in start.values()]
            optimizer.build([keras.Variable(p, dtype="float64") for p in params])
            state, path = [jnp.asarray(v.value) for v in optimizer.variables], [start]
            step = quickly_compiled()(optimizer.stateless_apply)
            for g in grads:
                params, state = step(state, [jnp.asarray(v) for v in g.values()], params)
                path.append({name: np.asarray(p) for name, p in zip(start, params, strict=True)})
    finally:
        keras.config.set_floatx(before)
    return path


def _in_torch(spec: Any, start: Any, grads: Any) -> list[dict[str, np.ndarray]]:
    import torch

    with _float64(torch):
        leaves = (
            "differentiable=True" not in spec.text
        )  # with it a step is recorded, which a leaf with a gradient refuses
        params = {
            name: torch.nn.Parameter(torch.tensor(p, dtype=torch.float64), requires_grad=leaves)
            for name, p in start.items()
        }
        made: Part = part(spec)
        scheduler = None
        if spec.name.startswith("torch.optim.lr_scheduler."):
            first = spec.args[0] if spec.args else spec.kwargs["optimizer"]
            optimizer = _made(part(first).make, first=list(params.values()))
            scheduler = _made(made.make, first=optimizer)
        else:
            optimizer = _made(made.make, first=list(params.values()))
        if hasattr(optimizer, "train"):
            optimizer.train()
        path = [start]
        for g in grads:
            for name, p in params.items():
                p.grad = torch.tensor(g[name], dtype=torch.float64)
                if spec.name.endswith("SparseAdam"):
                    p.grad = p.grad.to_sparse()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            path.append({name: p.detach().numpy().copy() for name, p in params.items()})
    return path


@contextlib.contextmanager
def _float64(torch: Any) -> Iterator[None]:
    """Of the counts and products that some optimizers keep in tensors of their own."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
