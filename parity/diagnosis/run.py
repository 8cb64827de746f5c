"""How the optimizers of each library are run along a probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory.rules import Rule, evaluation_params
from lrtheory.spec.text import SpecError

from ..drivers.in_keras import floatx, load_keras
from ..drivers.in_torch import default_dtype, single_thread
from .probe import AVERAGE, Path, Probe

Values = Mapping[str, Any]


def ours(rule: Rule, hyper: Any, probe: Probe) -> Path:
    """One of the rules of this package."""
    with jax.enable_x64(probe.dtype == "float64"):
        params: Any = {name: jnp.asarray(value, probe.dtype) for name, value in probe.start.items()}
        state = rule.init(params)
        step, now, begun = jax.jit(rule.step), hyper, False

        def act(t: int) -> None:
            nonlocal params, state, now, begun
            grads = {name: jnp.asarray(values[t], probe.dtype) for name, values in probe.gradients.items()}
            now, begun = hyper._replace(lr=float(hyper.lr * probe.factors[t])), True
            params, state = step(now, params, state, grads)

        def averages() -> Values:
            if hasattr(state, "ax"):
                return state.ax if begun else params  # the average of no parameters is kept as zeros
            return evaluation_params(now, state, params) if hasattr(state, "z") else {}

        return _along(probe, lambda: _seen(params, averages()), act)


def _seen(params: Values, averages: Values) -> dict[str, np.ndarray]:
    """Parameters and their averages at one step, copied."""
    both = {**params, **{AVERAGE.format(name): value for name, value in averages.items()}}
    return {name: np.array(value, np.float64) for name, value in both.items()}


def _along(probe: Probe, now: Callable[[], Values], act: Callable[[int], Any]) -> Path:
    """What is seen before the first step of a probe and after each."""
    seen = [now()]
    for t in range(probe.steps):
        act(t)
        seen.append(now())
    return {name: np.stack([values[name] for values in seen]) for name in seen[0]}


def with_optax(factory: Any, name: str, arguments: Mapping[str, Any], probe: Probe) -> Path:
    """An optimizer of optax."""
    import optax

    def averages(state: Any, params: Any) -> Values:
        free = hasattr(state, "z") and hasattr(state, "b1")
        return optax.contrib.schedule_free_eval_params(state, params) if free else {}

    if arguments.get("warmup_steps"):
        raise SpecError("warmup_steps=… is diagnosed as 0 alone: it makes a schedule of one lr, and here the lr moves")
    narrow = probe.dtype != "float64"
    with jax.enable_x64(not narrow):
        given = {k: v for k, v in arguments.items() if v is not None or k in ("momentum",)}
        # A schedule would hide what dtype an lr was given in; rprop's is the first step size and takes no schedule.
        if name != "optax.rprop" and not narrow:
            lrs = jnp.asarray(float(arguments["learning_rate"]) * probe.factors)
            given["learning_rate"] = lambda count: lrs[count]
        optimizer = factory(**given)
        params: Any = {key: jnp.asarray(value, probe.dtype) for key, value in probe.start.items()}
        state = optimizer.init(params)
        asks = isinstance(optimizer, optax.GradientTransformationExtraArgs)  # perhaps for the value of the loss
        # A compiled program may keep the digits of a narrow dtype from one operation to the next.
        update = optimizer.update if narrow else jax.jit(optimizer.update)

        def act(t: int) -> None:
            nonlocal params, state
            grads = {key: jnp.asarray(values[t], probe.dtype) for key, values in probe.gradients.items()}
            updates, state = update(grads, state, params, **({"value": 1.0 + t % 3} if asks else {}))
            params = optax.apply_updates(params, updates)

        return _along(probe, lambda: _seen(params, averages(state, params)), act)


def with_torch(
    factory: Any,
    name: str,
    arguments: Mapping[str, Any],
    probe: Probe,
    grouped: Callable[[Mapping[str, Any]], list[Any]] | None = None,
) -> Path:
    """An optimizer of torch, or of a package made for it; ``grouped(params)`` are its groups where it has several."""
    import torch

    def read(kept: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {key: p.detach().double().numpy().copy() for key, p in kept.items()}

    def now() -> dict[str, np.ndarray]:
        values, averages = read(params), {}
        if isinstance(optimizer, torch.optim.ASGD):
            averages = read({key: optimizer.state[p].get("ax", p) for key, p in params.items()})
        elif hasattr(optimizer, "eval"):
            optimizer.eval()  # puts the average in the place of the parameters
            averages = read(params)
            optimizer.train()
        return _seen(values, averages)

    def act(t: int) -> None:
        for group, base in zip(optimizer.param_groups, bases, strict=True):
            group["lr"] = base if name == "torch.optim.Rprop" else base * float(probe.factors[t])
        for key, p in params.items():
            missing = t < probe.absent.get(key, 0)
            p.grad = None if missing else torch.tensor(probe.gradients[key][t], dtype=dtype)
        optimizer.step()

    # NAdam and ASGD keep numbers in the default dtype (docs/rules.md), which beside narrow parameters is torch's own.
    with single_thread(), default_dtype("float64" if probe.dtype == "float64" else "float32"):
        dtype = getattr(torch, probe.dtype)
        params = {key: torch.nn.Parameter(torch.tensor(value, dtype=dtype)) for key, value in probe.start.items()}
        optimizer = factory(list(params.values()) if grouped is None else grouped(params), **arguments)
        bases = [float(group.get("lr", 1.0)) for group in optimizer.param_groups]
        return _along(probe, now, act)


def with_keras(factory: Any, name: str, arguments: Mapping[str, Any], probe: Probe) -> Path:
    """An optimizer of Keras, whose schedule-free one gives no average out; with ``use_ema`` there is one."""
    keras = load_keras()
    if probe.dtype != "float64":
        raise SpecError(f"Keras is diagnosed in float64 alone, not in {probe.dtype}")
    with jax.enable_x64(True), floatx(keras, "float64"):
        optimizer = factory(**arguments)
        variables = [keras.Variable(jnp.asarray(v), dtype="float64", name=key) for key, v in probe.start.items()]
        optimizer.build(variables)
        base = float(arguments["learning_rate"])

        def now() -> dict[str, np.ndarray]:
            params = {key: v.value for key, v in zip(probe.start, variables, strict=True)}
            # What finalize_variable_values puts in the place of the parameters when training ends.
            ends = [v.value for v in optimizer._model_variables_moving_average] if optimizer.use_ema else []
            return _seen(params, dict(zip(probe.start, ends, strict=False)))

        def act(t: int) -> None:
            optimizer.learning_rate = base * float(probe.factors[t])
            optimizer.apply([jnp.asarray(values[t]) for values in probe.gradients.values()], variables)

        return _along(probe, now, act)


#: By the first name of a SPEC: ``run(factory, name, arguments, probe) -> path``.
RUNS: dict[str, Callable[[Any, str, Mapping[str, Any], Probe], Path]] = {
    "torch": with_torch,
    "schedulefree": with_torch,
    "optax": with_optax,
    "keras": with_keras,
}
