"""Targets in JAX: optax transformations, factories of them, and the rules of lrtheory."""

from __future__ import annotations

import contextlib
import functools
import inspect
import pickle
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory import dims
from lrtheory.dims.optax_reader.infer import default_numbers, extra_arguments
from lrtheory.rules import Rule, SparseGradient

from ..comparing import Walk
from ..outcome import Skip
from ..runs import MATRICES, SHAPES, WITHOUT_SCALAR, Run
from .target import Session, Target, curvature, going_on, is_decay


class Functions(NamedTuple):
    """One optimizer: ``init(params)``, ``step(params, state, grads)`` that gives new parameters and a state, and
    ``update``, which gives what the target itself returns first (an update, or new parameters).
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]
    step: Callable[[Any, Any, Any], tuple[Any, Any]]


class JaxTarget(Target):
    """What all of them share: a step compiled once for all checks."""

    kind = "jax"

    @abstractmethod
    def functions(self, lrs: Any = None) -> Functions:
        """A fresh optimizer, made as a user makes it; ``lrs`` are the lr of each step."""

    @abstractmethod
    def with_numbers(self, numbers: Mapping[str, Any], scale: tuple[Any, Any] = (1.0, 1.0)) -> Functions:
        """One with these numbers, which may be traced, in the place of its own, where loss and parameters have this scale."""

    @abstractmethod
    def numbers(self) -> dict[str, float]:
        """Its own numbers by name."""

    def settle(self) -> None:
        """All shapes, or fewer where the target refuses some, which the notes then say."""

        def traced(shapes: Mapping[str, tuple[int, ...]]) -> None:
            self.shapes = shapes
            params, functions = as_tree(self._ones), self.functions()
            jax.eval_shape(functions.step, params, functions.init(params), self.gradients(params))

        def run() -> None:
            session = self.start(self._ones)
            session.step(self._ones)
            self._settle_calls(session, self._ones)

        forms = {" and ".join(s): functools.partial(traced, s) for s in (SHAPES, WITHOUT_SCALAR, MATRICES)}
        if self._first_that_runs(forms):
            self.shapes = SHAPES  # what cannot be traced may run all the same
        self.trouble = self._first_that_runs({"": run})
        if self.calls > 1:
            del self.step  # one of single calls

    def start(self, params: Any, lrs: np.ndarray | None = None) -> Session:
        """A fresh optimizer."""
        moving = None if lrs is None else jnp.asarray(lrs * self._lr())
        tree = as_tree(params)
        return _JaxSession(self, tree, self.functions(moving).init(tree), moving)

    def undecayed(self, params: Any) -> Session:
        """Decays among the numbers are 0; compiled as another optimizer."""
        decays = {name: 0.0 for name, value in self.numbers().items() if is_decay(name) and value}
        if not decays:
            return self.start(params)
        functions, tree = self.with_numbers(decays), as_tree(params)
        step = jax.jit(functions.step) if hasattr(self.step, "lower") else functions.step
        return _JaxSession(self, tree, functions.init(tree), None, lambda lrs, *given: step(*given))

    def resume(self, saved: bytes, params: Any) -> Session:
        """From pickled arrays."""
        state = jax.tree.map(_restored, pickle.loads(saved), is_leaf=lambda x: isinstance(x, _Key))
        return _JaxSession(self, as_tree(params), state, None)

    def _lr(self) -> float:
        if self.lr is None:
            raise Skip("its lr is inside: give the factory, and its lr can be moved")
        return self.lr

    @functools.cached_property
    def step(self) -> Callable[[Any, Any, Any, Any], tuple[Any, Any]]:
        """``step(lrs, params, state, grads)``, compiled; as it is where it cannot be, which the check ``jit`` says."""

        def step(lrs: Any, params: Any, state: Any, grads: Any) -> tuple[Any, Any]:
            return self.functions(lrs).step(params, state, grads)

        params = as_tree({name: np.ones(shape) for name, shape in self.shapes.items()})
        try:
            functions = self.functions()
            jax.eval_shape(functions.step, params, jax.eval_shape(functions.init, params), self.gradients(params))
        except Exception:
            return step
        return jax.jit(step)

    def gradients(self, grads: Any) -> Any:
        """Gradients in the form that the target takes."""
        return grads

    def eagerly(self, run: Run, steps: int) -> Walk:
        """The walk of an optimizer that nobody compiles."""
        functions, tree = self.functions(), as_tree(run.params)
        session = _JaxSession(self, tree, functions.init(tree), None, lambda lrs, *given: functions.step(*given))
        return going_on(session, run, range(steps))

    def rescaled(self, found: Any, run: Run, loss: float, params: float) -> dict[str, np.ndarray]:
        """As one compiled scan with every number traced: one program for every scale."""
        numbers = {name: _visible(name, value) for name, value in self.numbers().items()}
        factors = {name: found.hyper[name].factor(loss, params) for name in numbers if name in found.hyper}
        given = {name: jnp.asarray(numbers[name] * factor, jnp.float64) for name, factor in factors.items()}
        scaled = run.scaled(loss / params, params)
        held = tuple((name, value) for name, value in numbers.items() if name not in given)
        walk = self._traced(held)(given, as_tree(scaled.params), as_tree(scaled.grads), (loss, params))
        return {name: np.asarray(value) for name, value in walk.items()}

    @functools.lru_cache(maxsize=4)  # noqa: B019  # targets live as long as one report
    def _traced(self, held: tuple[tuple[str, float], ...]) -> Callable[..., Any]:
        @jax.jit
        def walk(numbers: Any, params: Any, grads: Any, scale: Any) -> Any:
            functions = self.with_numbers({**dict(held), **numbers}, scale)

            def body(carry: Any, grads: Any) -> Any:
                after = functions.step(carry[0], carry[1], self.gradients(grads))
                return after, after[0]

            return jax.lax.scan(body, (params, functions.init(params)), grads)[1]

        return walk


def _visible(name: str, value: float) -> float:
    """An eps that matters: one of 1e-8 beside gradients of size 1 would hide a broken law."""
    return 0.5 if name.startswith("eps") and 0 < value < 1e-6 else value


class _JaxSession(Session):
    def __init__(self, target: JaxTarget, params: Any, state: Any, lrs: Any, step: Any = None) -> None:
        self._target, self._params, self._state, self._lrs = target, params, state, lrs
        self._step = step or target.step

    def step(self, grads: Any) -> None:
        gradients = self._target.gradients(as_tree(grads))
        self._params, self._state = self._step(self._lrs, self._params, self._state, gradients)

    def params(self) -> dict[str, np.ndarray]:
        return {name: np.array(value) for name, value in self._params.items()}

    def state(self) -> dict[str, np.ndarray]:
        return leaves(self._state)

    def saved(self) -> bytes:
        return pickle.dumps(jax.tree.map(as_saved, self._state))


class OptaxTarget(JaxTarget):
    """A factory of optax transformations with its arguments, or one transformation."""

    def __init__(self, make: Any, given: Mapping[str, Any], *names: Any, rate: str | None = None) -> None:
        super().__init__(*names)
        self.make, self.given, self.rate = make, dict(given), rate
        of_optax = str(getattr(make, "__module__", "")).startswith("optax.")
        # Those leave the minus to scale_by_learning_rate, scale_by_rprop too, which has an lr.
        name = str(getattr(make, "__name__", ""))
        scales = name.startswith("scale_by_") and name != "scale_by_learning_rate"
        self.is_part = not self.is_instance and of_optax and (rate is None or scales)
        self.decays_inside = self.is_instance or not any(map(is_decay, _parameters(make)))
        self._loss_names: tuple[str, ...] = ()  # what its update calls the loss, where it evaluates that
        if rate is not None and isinstance(given.get(rate), (int, float)):
            self.lr = float(given[rate])

    @property
    def is_instance(self) -> bool:
        """Whether a transformation was given, and not a factory."""
        return hasattr(self.make, "init") and hasattr(self.make, "update")

    def functions(self, lrs: Any = None) -> Functions:
        """With ``lrs``, made with a schedule in the place of its lr."""
        if lrs is None:
            return self.with_numbers({})
        assert self.rate is not None
        return self.with_numbers({self.rate: lambda count: lrs[count]})

    def settle(self) -> None:
        """With the loss, where the update asks for it."""
        made = self.make if self.is_instance else self.make(**self.given)
        with contextlib.suppress(Exception):  # which the first step meets again
            self._loss_names = tuple(extra_arguments(made, as_tree(self._ones))[1])
        if self._loss_names:
            self.notes += (f"run with value, grad and {self._loss_names[0]}: it evaluates the loss itself",)
        super().settle()

    def with_numbers(self, numbers: Mapping[str, Any], scale: tuple[Any, Any] = (1.0, 1.0)) -> Functions:
        """One call of the factory."""
        return self.functions_of(self.make if self.is_instance else self.make(**{**self.given, **numbers}), scale)

    def functions_of(self, transformation: Any, scale: tuple[Any, Any] = (1.0, 1.0)) -> Functions:
        """Of any transformation, with steps of as many calls."""
        takes = _takes(transformation.update, "value")

        def update(grads: Any, state: Any, params: Any = None) -> Any:
            more: dict[str, Any] = {"value": 1.0} if takes else {}
            if self._loss_names:
                loss = _curved(grads, params, scale)
                more = {"value": loss(params), "grad": grads, **dict.fromkeys(self._loss_names, loss)}
            return transformation.update(grads, state, params, **more)

        def call(params: Any, state: Any, grads: Any) -> Any:
            updates, state = update(grads, state, params)
            # As optax.apply_updates, which is not needed for it.
            return jax.tree.map(lambda p, u: jnp.asarray(p + u).astype(jnp.asarray(p).dtype), params, updates), state

        def step(params: Any, state: Any, grads: Any) -> Any:
            if self.calls == 1:
                return call(params, state, grads)
            return jax.lax.fori_loop(0, self.calls, lambda _, carry: call(carry[0], carry[1], grads), (params, state))

        return Functions(transformation.init, update, step)

    def numbers(self) -> dict[str, float]:
        """Defaults and what was given."""
        return {} if self.is_instance else default_numbers(self.make, self.given)[0]

    def dimensions(self) -> Any:
        """Inferred from the factory."""
        if self.is_instance:
            raise Skip("its hyperparameters are inside: give the factory, and they can be traced")
        numbers, others, _ = default_numbers(self.make, self.given)
        return dims.infer(self.make, hyper=numbers, shapes=self.shapes, **others)


class RuleTarget(JaxTarget):
    """One of our rules with numbers."""

    def __init__(self, rule: Rule, numbers: Mapping[str, Any], *names: Any) -> None:
        super().__init__(*names)
        self.rule, self.hyper = rule, rule.hyper(**numbers)
        self.maximizes = bool(rule.options.get("maximize", False))
        self.lr = float(self.hyper.lr) if "lr" in self.hyper._fields else None

    def gradients(self, grads: Any) -> Any:
        """Sparse ones where the rule takes no others."""
        if not self.rule.array_rule.sparse:
            return grads
        return jax.tree.map(SparseGradient.from_dense, grads)

    def functions(self, lrs: Any = None) -> Functions:
        """With ``lrs``, the number is another one at each step."""
        if lrs is None:
            return self.with_numbers({})

        def step(params: Any, state: Any, grads: Any) -> Any:
            count, inner = state
            params, inner = self.rule.step(self.hyper._replace(lr=lrs[count]), params, inner, grads)
            return params, (count + 1, inner)

        return self._with(lambda params: (jnp.int32(0), self.rule.init(params)), step)

    def with_numbers(self, numbers: Mapping[str, Any], scale: tuple[Any, Any] = (1.0, 1.0)) -> Functions:
        """The rule's own functions."""

        def step(params: Any, state: Any, grads: Any) -> Any:
            return self.rule.step(self.hyper._replace(**numbers), params, state, grads)

        return self._with(self.rule.init, step)

    @staticmethod
    def _with(init: Any, step: Any) -> Functions:
        return Functions(init, lambda grads, state, params=None: step(params, state, grads), step)

    def numbers(self) -> dict[str, float]:
        """All that are not switched off."""
        return {name: value for name, value in self.hyper._asdict().items() if value is not None}

    def dimensions(self) -> Any:
        """Inferred from the rule."""
        return dims.infer(self.rule, shapes=self.shapes)


def _curved(grads: Any, at: Any, scale: tuple[Any, Any]) -> Callable[[Any], Any]:
    """A loss that has these gradients there, and :func:`curvature`."""

    def height(p: Any, g: Any, centre: Any) -> Any:
        above = (p - centre) / scale[1]
        heights = curvature(p.shape) * (above**2 / 2 + jnp.logaddexp(above, -above))
        return jnp.sum(g * p) + scale[0] * jnp.sum(heights)

    return lambda params: sum(jax.tree.leaves(jax.tree.map(height, params, grads, at)), 0.0)


def as_tree(arrays: Any) -> dict[str, Any]:
    """Arrays in JAX, by name; a missing gradient stays ``None``."""
    return {name: None if value is None else jnp.asarray(value) for name, value in arrays.items()}


def leaves(tree: Any) -> dict[str, np.ndarray]:
    """A copy of a pytree's leaves by path."""
    found, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.array(_data(leaf)) for path, leaf in found}


@dataclass(frozen=True)
class _Key:
    """A typed key of random numbers, which NumPy has no dtype for, as its words."""

    words: np.ndarray


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.asarray(leaf).dtype, jax.dtypes.prng_key)


def _data(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def as_saved(leaf: Any) -> Any:
    """A copy of a leaf in NumPy."""
    return _Key(np.array(_data(leaf))) if _is_key(leaf) else np.array(leaf)


def _restored(leaf: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(leaf.words)) if isinstance(leaf, _Key) else jnp.asarray(leaf)


def _parameters(function: Any) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def _takes(function: Any, name: str) -> bool:
    parameters = _parameters(function)
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
