"""optax against numbers that know nothing of units: every proven target bit for bit, every broken one by a search."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize

from lrtheory.dims import Dimensions, infer
from lrtheory.dims.audit import row, targets
from lrtheory.dims.optax_reader.infer import default_numbers
from lrtheory.spec import parse, resolve

STEPS = 30
SHAPES = {"matrix": (4, 3), "vector": (5,)}


# Slow ones only in a deep run.
IN_EVERY_RUN = {
    "optax.adam", "optax.lamb", "optax.novograd", "optax.rprop", "optax.yogi", "optax.radam", "optax.contrib.prodigy",
}  # fmt: skip
each_target = pytest.mark.parametrize(
    "target",
    [
        pytest.param(target, marks=[] if target in IN_EVERY_RUN else pytest.mark.deep)
        for library in ("optax", "optax.contrib")
        for target in targets(library).values()
    ],
)
# optax says of some of its own functions that they will go
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

found_for = functools.cache(row)


class Runs:
    """A factory's updates over streams of gradients and parameters: two walks of their own, so that nothing is lucky."""

    def __init__(self, target: str) -> None:
        spec = parse(target)
        self.factory: Callable[..., Any] = resolve(spec)
        names = list(inspect.signature(self.factory).parameters)
        numbers, self.options, _ = default_numbers(
            self.factory, {**dict(zip(names, spec.args, strict=False)), **spec.kwargs}
        )
        self.numbers = numbers
        searches = any(word in target for word in ("linesearch", "optax.lbfgs"))
        self.evaluates = "value_fn" if searches else "obj_fn" if target == "optax.contrib.sophia" else ""
        self.compiled = jax.jit(self._updates, static_argnames="held")

    def _updates(
        self, numbers: Any, grads: Any, params: Any, losses: Any, scales: Any, held: tuple[tuple[str, float], ...]
    ) -> Any:
        transformation = self.factory(**numbers, **dict(held), **self.options)
        takes_value = "value" in inspect.signature(transformation.update).parameters or any(
            p.kind is p.VAR_KEYWORD for p in inspect.signature(transformation.update).parameters.values()
        )

        def body(state: Any, inputs: Any) -> tuple[Any, Any]:
            g, p, loss = inputs
            more = {"value": loss} if takes_value else {}
            if self.evaluates:
                value, gradient = jax.value_and_grad(loss_of)(p)
                more = {"value": value, "grad": gradient, self.evaluates: loss_of}
            updates, state = transformation.update(g, state, p, **more)
            return state, updates

        def loss_of(p: Any) -> Any:
            """A smooth loss of its own, rescaled like everything else."""
            return scales[0] * sum(jnp.sum(jnp.square(x / scales[1]) + (x / scales[1]) ** 4) for x in p.values())

        first = jax.tree.map(lambda x: x[0], params)
        return jax.lax.scan(body, transformation.init(first), (grads, params, losses))[1]

    def updates(
        self,
        found: Dimensions,
        loss: float,
        params: float,
        factors: Mapping[str, float] | None = None,
        size: tuple[float, float] = (1.0, 1.0),
    ) -> dict[str, np.ndarray]:
        """Updates of the run rescaled by ``loss`` and ``params``; ``factors`` on the numbers instead of their units."""
        with jax.enable_x64(True):
            rng = np.random.default_rng(0)
            sizes = size[0] * 10.0 ** rng.uniform(-2, 2, size=STEPS)
            gradient = params if any("not gradients" in note for note in found.notes) else loss / params
            grads = {n: rng.normal(size=(STEPS, *s)) * sizes.reshape(-1, *[1] * len(s)) for n, s in SHAPES.items()}
            walk = {n: np.cumsum(size[1] * rng.normal(size=(STEPS, *s)), axis=0) for n, s in SHAPES.items()}
            losses = 5.0 + np.abs(rng.normal(size=STEPS))
            numbers, held = {}, {}
            for name, value in self.numbers.items():
                if name not in found.hyper:
                    held[name] = value
                    continue
                factor = found.hyper[name].factor(loss, params) if factors is None else factors.get(name, 1.0)
                numbers[name] = jnp.float64((0.5 if name.startswith("eps") and 0 < value < 1e-6 else value) * factor)
            result = self.compiled(
                numbers,
                {n: g * gradient for n, g in grads.items()},
                {n: p * params for n, p in walk.items()},
                losses * loss,
                jnp.array([loss, params]),
                held=tuple(held.items()),
            )
            return {str(i): np.asarray(u) for i, u in enumerate(jax.tree.leaves(result))}


@each_target
def test_proven_target_is_bitwise_equal_after_rescaling(target):
    found = found_for(target).dimensions
    if found is None or found.status == "broken":
        return  # the audit is held to its table elsewhere
    runs = Runs(target)
    base = runs.updates(found, 1, 1)
    if target != "optax.set_to_zero":
        assert max(np.ptp(u) for u in base.values()) > 0
    for loss, params in ((16.0, 1.0), (1.0, 0.25), (0.25, 64.0)):
        other = runs.updates(found, loss, params)
        for name, update in base.items():
            np.testing.assert_array_equal(other[name], update * found.update.factor(loss, params), err_msg=target)


def best_mismatch(runs: Runs, found: Dimensions, loss: float, params: float, size: tuple[float, float]) -> float:
    """The least that any factors on the numbers leave between the rescaled run and the run, relative to its size.

    A transformation may also multiply its output by any factor.
    """
    base = runs.updates(found, 1, 1, size=size)
    largest = {n: np.max(np.abs(u)) or 1.0 for n, u in base.items()}
    names = [n for n in runs.numbers if n in found.hyper]
    is_transformation = not any("learning_rate" in n for n in runs.numbers)

    def mismatch(logs: np.ndarray) -> float:
        logs = np.clip(logs, -50, 50)
        factors = {n: float(np.exp(v)) for n, v in zip(names, logs, strict=False)}
        out = float(np.exp(logs[-1])) if is_transformation else params
        other = runs.updates(found, loss, params, factors, size=size)
        apart = [np.max(np.abs(other[n] - base[n] * out)) / (largest[n] * out) for n in base]
        return float(np.nan_to_num(max(apart), nan=1e9, posinf=1e9))

    derived = [np.log(found.hyper[n].factor(loss, params)) for n in names]
    start = np.array([*derived, np.log(found.update.factor(loss, params))])
    best = np.inf
    rng = np.random.default_rng(0)
    for attempt in range(3):
        from_here = start + rng.normal(size=start.size) * attempt
        result = minimize(
            mismatch, from_here, method="Nelder-Mead", options={"maxfev": 250, "xatol": 1e-9, "fatol": 1e-12}
        )
        best = min(best, result.fun)
    return best


@each_target
def test_broken_target_fails_whatever_its_numbers_become(target):
    """A concrete input where the best transform found leaves the rescaled run apart from the run.

    Small inputs too: some thresholds are at 1e-16.
    """
    found = found_for(target).dimensions
    if found is None or found.status != "broken":
        return
    runs = Runs(target)
    tried = {}
    for scale in ((16.0, 1.0), (1.0, 16.0), (16.0, 4.0)):  # nothing is found along a scaling that survives
        for size in ((1.0, 1.0), (1.0, 1e-4), (1e-8, 1.0), (1e-7, 1e-4), (1e-9, 1.0), (1e-4, 1.0)):
            tried[scale, size] = best_mismatch(runs, found, *scale, size)
            if tried[scale, size] > 1e-6:
                return
    pytest.fail(f"{target}: numbers obey a law, but {found.verdict}: {tried}")


def curved(learning_rate=0.1, slip=0.0):
    """Steps by the gradient over the second derivative along signs, which the update asks of the loss itself."""

    def update(updates: Any, state: Any, params: Any = None, obj_fn: Any = None, **extra: Any) -> Any:
        if obj_fn is None:
            raise ValueError("give the loss")
        ones = jax.tree.map(jnp.ones_like, params)
        along = jax.jvp(jax.grad(obj_fn), (params,), (ones,))[1]
        return jax.tree.map(lambda g, h: -learning_rate * g / (jnp.abs(h) + slip), updates, along), state

    return optax.GradientTransformationExtraArgs(lambda params: (), update)


def test_second_derivatives_of_the_loss_itself_have_units():
    found = infer(curved, hyper={"learning_rate": 0.1})
    assert (found.verdict, str(found.hyper["learning_rate"])) == ("proven", "1")
    assert infer(curved, hyper={"learning_rate": 0.1}, slip=1e-3).status == "broken"


@pytest.mark.parametrize("name", ["sophia", "dpsgd", "differentially_private_aggregate"])
def test_gradients_of_examples_and_the_loss_itself_are_given_to_those_that_want_them(name):
    assert row(targets("optax.contrib")[f"optax.contrib.{name}"]).status == "proven"
