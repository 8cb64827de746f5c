"""The code of an answer, constructed in its own framework and run beside the old code in float64."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..compiling import quickly_compiled
from ..dims.target import target
from ..spec import Part, Spec, SpecError, is_schedule, is_torch, parse, part, read, short
from ..words import first_line

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
        shapes_tried = list(tried(old))
    except SpecError as error:  # a mask is a name of the user's
        return Seen(None, f"not run beside the old ({error})")
    refused = ""
    for shapes in shapes_tried:
        try:
            one = run(old, shapes, steps=steps)
        except ModuleNotFoundError as error:
            if error.name not in ("torch", "optax", "keras"):
                raise
            return Seen(None, f"not run beside the old ({error.name} is not installed)")
        except Exception as error:
            why = why or first_line(error)
            refused = why if isinstance(error, SpecError) else refused
            continue
        try:
            other = run(new, shapes, loss / params, params, loss, steps)
        except Exception as error:
            raise SpecError(f"{new} cannot be run: {error}") from error
        off = 0.0
        for name, path in one.items():
            with np.errstate(invalid="ignore"):  # infinity less infinity
                gap = np.abs(other[name] / params - path)
                reach = np.maximum(np.abs(path - path[0]).max(0), 1e-300)
            lost = 0.0 if np.array_equal(np.isnan(path), np.isnan(other[name])) else np.inf
            off = max(off, float(np.nan_to_num(gap / reach, nan=lost).max()))
        acted = any(np.any(np.isfinite(path) & (path != path[0])) for path in one.values())
        told = f"run beside the old for {steps} steps in float64" + ", not capturable" * ("capturable=True" in new)
        if off == 0 and not acted:
            return Seen(None, f"{told}: no parameter moved to a finite value in either")
        return Seen(off, f"{told}: {in_words(off)}")
    if refused or parse(old).full_name.startswith(("torch.optim.", "optax.")):
        refused = refused or f"it cannot be run: {why}"
        raise SpecError(refused if short(old) in refused else f"{short(old)}: {refused}")
    return Seen(None, f"not run beside the old ({why})")


def in_words(off: float) -> str:
    """How far apart two runs were."""
    return "the same bit for bit" if off == 0 else f"{off:.1e} of its travel apart"


class _NotMade(SpecError):
    """What its own framework refuses to construct."""


def _made(make: Any, **given: Any) -> Any:
    try:
        return make(**given)
    except Exception as error:
        raise _NotMade(str(error)) from error


def tried(text: str) -> Iterator[Mapping[str, tuple[int, ...]]]:
    """Shapes of parameters that an optimizer may take, the most telling first."""
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
    lrs: Sequence[float] | None = None,
) -> dict[str, np.ndarray]:
    """Parameters after each step of an optimizer in text, in float64; ``lrs`` multiply its lr, step by step.

    Raises
    ------
    SpecError
        For an optimizer whose lr cannot be moved.
    """
    start, grads, values = stream(shapes, gradient, size, loss, steps)
    path = run_on(text, start, grads, values, lrs)
    return {name: np.stack([p[name] for p in path]) for name in start}


def stream(
    shapes: Mapping[str, tuple[int, ...]],
    gradient: float = 1.0,
    size: float = 1.0,
    loss: float = 1.0,
    steps: int = STEPS,
) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]], list[float]]:
    """First parameters, gradients of every size, and values of a loss."""
    rng = np.random.default_rng(0)
    start = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    sizes = {name: 10.0 ** rng.uniform(-8, 1, shape) for name, shape in shapes.items()}
    grads = [
        {n: rng.standard_normal(s) * sizes[n] * 10.0 ** rng.uniform(-1, 1) * gradient for n, s in shapes.items()}
        for _ in range(steps)
    ]
    values = [loss * float(v) for v in 10.0 ** rng.uniform(-1, 1, steps)]
    return {name: p * size for name, p in start.items()}, grads, values


def run_on(text: str, start: Any, grads: Any, values: Any, lrs: Any = None) -> list[dict[str, np.ndarray]]:
    """Parameters before the first step and after each."""
    spec = parse(text)
    if spec.is_rule:
        return _ours(text, start, grads, lrs)
    if spec.name.startswith("keras."):
        return _in_keras(spec, start, grads, lrs)
    if is_schedule(spec) or is_torch(part(spec).factory):
        return _in_torch(spec, start, grads, lrs)
    import jax

    if lrs is None:
        return _in_optax(target(spec).make({}), start, grads, values)
    with jax.enable_x64(True):
        made = part(spec).make(_moved(part(spec), lrs))
    return _in_optax(made, start, grads, values)


#: Arguments that are an lr, or its schedule.
_RATES = ("learning_rate", "step_size_fn")


def _moved(root: Part, lrs: Sequence[float]) -> dict[str, Any]:
    """The lr of an optimizer of optax times ``lrs``, wherever it is given, as new arguments by their paths."""
    import jax.numpy as jnp

    factors = np.asarray(lrs)  # an array of JAX would take the dtype of now

    def moving(given: Any, first: int) -> Any:
        schedule = given.make() if isinstance(given, Part) else lambda count: given

        def lr(count: Any) -> Any:
            count = jnp.asarray(count, jnp.int64)  # of an int32 optax makes an lr in float32
            return schedule(count) * jnp.asarray(factors)[jnp.clip(count - first, 0, len(lrs) - 1)]

        return lr

    new: dict[str, Any] = {}
    for p in root.all():
        for argument in _RATES:
            given = p.value(argument) if argument in p.parameters else None
            if given is not None:  # schedule_free counts from 1
                new[p.path + argument] = moving(given, 1 if p.name == "schedule_free" else 0)
        if "accumulator_dtype" in p.parameters and p.name == "MultiSteps":
            new[p.path + "accumulator_dtype"] = jnp.float64  # float32 by default
    if not new:
        raise SpecError.of(root.spec, "its lr is no argument that could follow a schedule")
    return new


def _every(spec: Spec) -> int:
    """Calls that one step takes."""
    if spec.name.rpartition(".")[2] not in ("MultiSteps", "accumulate"):
        return 1
    every = spec.kwargs.get("every_k_schedule", spec.kwargs.get("every", spec.args[1] if len(spec.args) > 1 else 1))
    return every if isinstance(every, int) else 1


def _ours(text: str, start: Any, grads: Any, lrs: Any = None) -> list[dict[str, np.ndarray]]:
    import jax

    from ..rules import SparseGradient
    from ..wrappers import innermost

    reading = read(text)
    sparse = innermost(reading.rule, reading.hyper)[0].array_rule.sparse
    with jax.enable_x64(True):
        every = _every(parse(text))

        @quickly_compiled()
        def step(p: Any, s: Any, g: Any, factor: Any) -> Any:
            g = {n: SparseGradient.from_dense(v) for n, v in g.items()} if sparse else g
            hyper = reading.hyper if lrs is None else reading.hyper._replace(lr=reading.hyper.lr * factor)
            return reading.rule.step(hyper, p, s, g)

        at = lambda t: 1.0 if lrs is None else lrs[t // every]  # noqa: E731
        return followed(start, grads, reading.rule.init, lambda t, p, s, g: step(p, s, g, at(t)))


def followed(start: Any, grads: Any, init: Any, step: Any) -> list[dict[str, np.ndarray]]:
    """Parameters before the first step and after each, where ``step(t, params, state, grads)`` takes arrays of JAX."""
    import jax.numpy as jnp

    params = {name: jnp.asarray(p) for name, p in start.items()}
    state, path = init(params), [start]
    for t, g in enumerate(grads):
        params, state = step(t, params, state, {name: jnp.asarray(v) for name, v in g.items()})
        path.append({name: np.asarray(p) for name, p in params.items()})
    return path


def _in_optax(made: Any, start: Any, grads: Any, values: Any) -> list[dict[str, np.ndarray]]:
    import jax

    parameters = inspect.signature(made.update).parameters
    takes_value = "value" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    with jax.enable_x64(True):

        @quickly_compiled()
        def step(params: Any, state: Any, g: Any, value: Any) -> Any:
            more = {"value": value} if takes_value else {}
            updates, state = made.update(g, state, params, **more)
            return jax.tree.map(lambda p, u: p + u, params, updates), state

        return followed(start, grads, quickly_compiled()(made.init), lambda t, p, s, g: step(p, s, g, values[t]))


def _in_keras(spec: Spec, start: Any, grads: Any, lrs: Any = None) -> list[dict[str, np.ndarray]]:
    import jax
    import jax.numpy as jnp
    import keras

    if keras.backend.backend() != "jax":
        raise RuntimeError(f"Keras is on its {keras.backend.backend()} backend, and run on JAX")
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        with jax.enable_x64(True):
            made = part(spec)
            rate = made.value("learning_rate")
            rate = rate.make() if isinstance(rate, Part) else rate
            optimizer = _made(made.make, new={} if lrs is None else {"learning_rate": _scheduled(keras, rate, lrs)})
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


def _scheduled(keras: Any, rate: Any, lrs: Sequence[float]) -> Any:
    """A schedule of Keras: another, or a constant, times a factor for each step."""
    import jax.numpy as jnp

    factors = jnp.asarray(np.asarray(lrs))

    class Moving(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> Any:
            at = jnp.clip(jnp.asarray(step).astype(jnp.int32), 0, len(lrs) - 1)
            lr: Any = rate(step) if callable(rate) else rate
            return lr * factors[at]

    return Moving()


def _in_torch(spec: Any, start: Any, grads: Any, lrs: Any = None) -> list[dict[str, np.ndarray]]:
    import torch

    with float64(torch):
        leaves = (
            "differentiable=True" not in spec.text
        )  # with it a step is recorded, which a leaf with a gradient refuses
        params = {
            name: torch.nn.Parameter(torch.tensor(p, dtype=torch.float64), requires_grad=leaves)
            for name, p in start.items()
        }
        made: Part = part(spec)
        scheduler = None
        if is_schedule(spec):
            first = spec.args[0] if spec.args else spec.kwargs["optimizer"]
            optimizer = _made(part(first).make, first=list(params.values()))
            scheduler = _made(made.make, first=optimizer)
        else:
            optimizer = _made(made.make, first=list(params.values()))
        for group in optimizer.param_groups:  # for a step inside a CUDA graph; on a CPU torch refuses it
            group |= {"capturable": False} if "capturable" in group else {}
        if hasattr(optimizer, "train"):
            optimizer.train()
        path = [start]
        for t, g in enumerate(grads):
            for name, p in params.items():
                p.grad = torch.tensor(g[name], dtype=torch.float64)
                if spec.name.endswith("SparseAdam"):
                    p.grad = p.grad.to_sparse()
            with moved_lr(optimizer, 1.0 if lrs is None else lrs[t]):
                optimizer.step()
            if scheduler is not None:
                scheduler.step()
            path.append({name: p.detach().numpy().copy() for name, p in params.items()})
    return path


@contextlib.contextmanager
def moved_lr(optimizer: Any, factor: float) -> Iterator[None]:
    """The lr of a torch optimizer times a factor, for one step."""
    before = [group["lr"] for group in optimizer.param_groups]
    for group, lr in zip(optimizer.param_groups, before, strict=True):
        group["lr"] = lr * factor
    try:
        yield
    finally:
        for group, lr in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = lr


@contextlib.contextmanager
def float64(torch: Any) -> Iterator[None]:
    """Of the counts and products that some optimizers keep in tensors of their own."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
