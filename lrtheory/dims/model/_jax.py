"""A loss in JAX: its tensors by path, its program with data as inputs, and runs of it on numbers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...compiling import known_options
from ...words import first_line
from .._jaxpr.sizes import coarsest, sizes_of
from .._jaxpr.walk import walk
from .._kernel.equations import Origin
from .._kernel.expression import PURE_EXPRESSION
from .._kernel.ledger import HYPER, Ledger
from .._kernel.value import PURE_VALUE, Value
from ._solution import solve
from .result import Symmetries

#: The largest eps that protects from zero: Keras has 1e-3 in its norms.
PROTECTING = 1e-2


def symmetries_jax(loss: Callable[..., Any], params: Any, data: Sequence[Any]) -> Symmetries:
    """Of a loss whose parameters are a pytree, or a model that knows its own."""
    program = _Program(loss, params, data)
    closed = program.traced()
    ledger = Ledger(protecting=PROTECTING, lenient=True)
    unknowns = {name: ledger.unknown(name, HYPER) for name in program.names}
    tensors = [Value(u, measured=True, name=name, identity=object()) for name, u in unknowns.items()]
    inputs = [PURE_VALUE.but(identity=object()) for _ in program.inputs]
    (value,) = walk(ledger, closed, [*tensors, *inputs])
    ledger.settle(value)
    ledger.read.add(value.name)
    if value.units is not None:
        ledger.demand(value.units, PURE_EXPRESSION, "gives as the loss", value.origin)

    def sizes(wanted: Mapping[Origin, float]) -> Mapping[Origin, tuple[float, float]]:
        return sizes_of(closed, wanted, [*program.tensors, *program.inputs]) if program.concrete else {}

    found = solve(ledger, unknowns, sizes, program.notes)
    return found.run_by(program if program.concrete else None)


class _Program:
    """The loss as a function of lists of arrays: real tensors, and all else that is an array."""

    def __init__(self, loss: Callable[..., Any], params: Any, data: Sequence[Any]) -> None:
        tree, rest, self._call = _opened(loss, params)
        leaves, self._structure = jax.tree_util.tree_flatten_with_path((tree, (rest, *data)))
        self._static: dict[int, Any] = {}
        self.names: list[str] = []
        self.tensors: list[Any] = []
        self.inputs: list[Any] = []
        self._is_tensor: list[bool] = []
        self.notes: list[str] = []
        whole = []
        for at, (path, leaf) in enumerate(leaves):
            of_params, leaf = path[0].idx == 0, _array(leaf, path[0].idx == 0)
            if leaf is None:
                self._static[at] = leaves[at][1]
                continue
            name = jax.tree_util.keystr(path[1:], simple=True, separator=".").removesuffix(".value") or "params"
            real = of_params and jnp.issubdtype(leaf.dtype, jnp.floating)
            if of_params and jnp.issubdtype(leaf.dtype, jnp.complexfloating):
                raise TypeError(f"{name} is complex ({leaf.dtype}): give its real and imaginary parts as two tensors")
            self._is_tensor.append(real)
            (self.tensors if real else self.inputs).append(leaf)
            if real:
                self.names.append(name)
            elif of_params:
                whole.append(name)
        if not self.tensors:
            raise ValueError("the parameters hold no real array: give a pytree of arrays, or a model")
        if twice := [name for name in self.names if self.names.count(name) > 1]:
            raise ValueError(f"two tensors are called {twice[0]!r} by their paths: give one of them another key")
        if whole:
            self.notes.append(f"not real, and taken as data: {', '.join(whole)}")
        self.concrete = not any(isinstance(x, jax.ShapeDtypeStruct) for x in (*self.tensors, *self.inputs))
        self.precision = float(np.finfo(np.float64).eps)
        self._run: Any = None

    def _loss(self, tensors: Sequence[Any], inputs: Sequence[Any]) -> Any:
        """The user's loss, on containers of its own."""
        given, rest, leaves = iter(tensors), iter(inputs), []
        kinds = iter(self._is_tensor)
        for at in range(self._structure.num_leaves):
            leaves.append(self._static[at] if at in self._static else next(given) if next(kinds) else next(rest))
        params, data = jax.tree_util.tree_unflatten(self._structure, leaves)
        result = self._call(params, *data)
        after = jax.tree_util.tree_leaves((params, data))
        if len(after) != len(leaves) or any(a is not b for a, b in zip(after, leaves, strict=True)):
            raise ValueError("the loss changes the parameters or the data that it is given: let it work on a copy")
        return result

    def traced(self) -> Any:
        """The program, of which the result is known to be a real scalar."""
        try:
            closed, shape = jax.make_jaxpr(self._loss, return_shape=True)(self.tensors, self.inputs)
        except (TypeError, ValueError, jax.errors.JAXTypeError, jax.errors.JAXIndexError, AttributeError) as error:
            message = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"the loss cannot be traced: {message}") from error
        if not isinstance(shape, jax.ShapeDtypeStruct):
            raise TypeError(f"the loss returns {type(shape).__name__}, not a real scalar: return the loss alone")
        if shape.shape != () or not jnp.issubdtype(shape.dtype, jnp.floating):
            raise TypeError(
                f"the loss returns an array of shape {shape.shape} and dtype {shape.dtype}, not a real scalar: "
                "return its mean or its sum"
            )
        return closed

    # --- runs on numbers ---

    def given(self) -> list[np.ndarray]:
        """The tensors as they were given."""
        return [np.asarray(x, dtype=np.float64) for x in self.tensors]

    def at(self, tensors: Sequence[np.ndarray], *, slopes: bool = True) -> tuple[float, list[np.ndarray]]:
        """The loss and its gradient, in float64 where the program can be run so, as given otherwise."""
        if self._run is not None:
            return self._run(tensors)
        try:
            try:
                return self._compiled(np.float64, tensors)
            except (TypeError, ValueError):
                return self._compiled(None, tensors)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ValueError(f"the loss has no derivative: {first_line(error)}") from error

    def _compiled(self, dtype: Any, tensors: Sequence[np.ndarray]) -> tuple[float, list[np.ndarray]]:
        def arrays(tensors: Sequence[np.ndarray]) -> tuple[list[Any], list[Any]]:
            given = [jnp.asarray(t, dtype=dtype or x.dtype) for t, x in zip(tensors, self.tensors, strict=True)]
            return given, [_widened(x, dtype) for x in self.inputs]

        with jax.enable_x64(dtype is not None):
            traced = jax.jit(jax.value_and_grad(self._loss), compiler_options=known_options()).trace(*arrays(tensors))
            program = traced.lower().compile()
            self.precision = coarsest(traced.jaxpr.jaxpr)

        def run(tensors: Sequence[np.ndarray]) -> tuple[float, list[np.ndarray]]:
            with jax.enable_x64(dtype is not None):
                value, slopes = program(*arrays(tensors))
                return float(value), [np.asarray(s, dtype=np.float64) for s in slopes]

        self._run = run
        return run(tensors)


def _widened(x: Any, dtype: Any) -> Any:
    real = dtype is not None and jnp.issubdtype(x.dtype, jnp.floating)
    return jnp.asarray(x, dtype=dtype) if real else x


def _array(leaf: Any, of_params: bool) -> Any:
    """The leaf as an array, or ``None`` for what is none: a function, a name, a setting."""
    if hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
        return leaf
    return np.asarray(leaf, dtype=np.float32) if isinstance(leaf, float) else None


def _opened(loss: Callable[..., Any], params: Any) -> tuple[Any, Any, Callable[..., Any]]:
    """The tensors of a model as a tree, its other variables, and the loss as a function of these two and the data."""
    modules = {base.__module__.partition(".")[0] for base in type(params).__mro__}
    if "keras" in modules:
        return _of_keras(loss, params)
    if "flax" in modules and hasattr(params, "iter_modules"):
        return _of_nnx(loss, params)
    return params, (), lambda tensors, rest, *data: loss(tensors, *data)


def _of_nnx(loss: Callable[..., Any], model: Any) -> tuple[Any, Any, Callable[..., Any]]:
    nnx = importlib.import_module("flax.nnx")
    graph, tensors, rest = nnx.split(model, nnx.Param, ...)
    return tensors, rest, lambda new, others, *data: loss(nnx.merge(graph, new, others, copy=True), *data)


def _of_keras(loss: Callable[..., Any], model: Any) -> tuple[Any, Any, Callable[..., Any]]:
    import keras

    if keras.backend.backend() != "jax":
        raise ValueError(f"Keras runs on {keras.backend.backend()}: set KERAS_BACKEND=jax, or give a torch module")
    variables = {v.path: v for v in model.trainable_variables}

    def stateless(new: Mapping[str, Any], rest: Any, *data: Any) -> Any:
        with keras.StatelessScope(state_mapping=[(v, new[path]) for path, v in variables.items()]):
            return loss(model, *data)

    return {path: v.value for path, v in variables.items()}, (), stateless
