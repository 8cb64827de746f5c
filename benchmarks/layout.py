"""The parameters of a large transformer, and a rule's state, as shapes with their places on a mesh."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from lrtheory import effective, in_place, rules, sharding

PyTree = Any


@dataclass(frozen=True)
class Model:
    """A transformer with gated MLPs, grouped keys and values, normed queries and keys, and one embedding for both ends."""

    layers: int
    width: int
    hidden: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int

    def parameters(self) -> dict[str, Any]:
        """The shape and layout of each parameter, layer by layer: norms and matrices are of one layer each."""
        rows, columns = PartitionSpec("fsdp", "tensor"), PartitionSpec("tensor", "fsdp")
        keys = self.key_heads * self.head
        layer = {
            "norm": ((self.width,), PartitionSpec(("fsdp", "tensor"))),
            "query": ((self.width, self.heads * self.head), rows),
            "key": ((self.width, keys), rows),
            "value": ((self.width, keys), rows),
            "query_norm": ((self.heads, self.head), columns),
            "key_norm": ((self.key_heads, self.head), columns),
            "out": ((self.heads * self.head, self.width), columns),
            "gate": ((self.width, self.hidden), rows),
            "up": ((self.width, self.hidden), rows),
            "down": ((self.hidden, self.width), columns),
        }
        embedding = ((self.vocabulary, self.width), columns)
        return {"embedding": embedding, "norm": layer["norm"], "layers": [dict(layer) for _ in range(self.layers)]}

    def matrices(self) -> dict[str, Any]:
        """Those that Muon is for."""
        return {"layers": [{name: layer[name] for name in MATRICES} for layer in self.parameters()["layers"]]}

    def stacked_matrices(self) -> dict[str, Any]:
        """The same matrices of all layers in one array each, divided by layers and columns."""
        place = PartitionSpec("fsdp", None, "tensor")
        return {name: ((self.layers, *shape), place) for name, (shape, _) in self.matrices()["layers"][0].items()}


MATRICES = ("query", "key", "value", "out", "gate", "up", "down")

#: config.json of Command R+ (Cohere, April 2024): 104 billion parameters; all its sizes divide by 256.
COMMAND_R_PLUS = Model(layers=64, width=12288, hidden=33792, heads=96, key_heads=8, head=128, vocabulary=256000)


@dataclass(frozen=True)
class Stacked:
    """A rule for arrays with an axis of layers in front: norms and matrices are those of one layer."""

    of: Any

    @property
    def State(self) -> type:
        """The type of the rule's state."""
        return self.of.State

    def hyper(self) -> Any:
        """The rule's default numbers."""
        return self.of.hyper()

    def init(self, params: PyTree) -> Any:
        """State before the first step."""
        return jax.vmap(self.of.init)(params)

    def step(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> tuple[PyTree, Any]:
        """One step of every layer."""
        return jax.vmap(self.of.step, in_axes=(None, 0, 0, 0))(hyper, params, state, grads)

    def effective_lr(self, hyper: Any, state: Any) -> PyTree:
        """E of every layer."""
        return jax.vmap(self.of.effective_lr, in_axes=(None, 0))(hyper, state)


RULES: dict[str, Any] = {
    "sgd, momentum": rules.sgd(),
    "lion": rules.lion(),
    "adamw": rules.adamw(),
    "adafactor": rules.adafactor(),
    "lamb": rules.lamb(),
    "muon": rules.muon(),
    "muon, stacked": Stacked(rules.muon()),
}


def mesh_of(shape: tuple[int, int]) -> Mesh:
    """Parameters are divided over both axes; where axes are explicit, JAX asks Muon's products for layouts."""
    devices = np.array(jax.devices()[: math.prod(shape)]).reshape(shape)
    return Mesh(devices, ("fsdp", "tensor"), axis_types=(AxisType.Auto, AxisType.Auto))


def _is_parameter(x: Any) -> bool:
    return isinstance(x, tuple) and len(x) == 2 and isinstance(x[1], PartitionSpec)


@dataclass(frozen=True)
class Laid:
    """Parameters and state of a rule, as shapes with their places."""

    rule: Any
    params: PyTree
    state: PyTree

    @classmethod
    def out(cls, rule: Any, parameters: PyTree, mesh: Mesh, dtype: Any = jnp.float32) -> Laid:
        """Lay out over the mesh."""
        shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p[0], dtype), parameters, is_leaf=_is_parameter)
        specs = jax.tree.map(lambda p: p[1], parameters, is_leaf=_is_parameter)
        state = jax.eval_shape(rule.init, shapes)
        return cls(
            rule,
            cls._placed(shapes, specs, mesh),
            cls._placed(state, sharding.state_specs(rule, shapes, specs), mesh),
        )

    @staticmethod
    def _placed(shapes: PyTree, specs: PyTree, mesh: Mesh) -> PyTree:
        return jax.tree.map(
            lambda x, spec: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=NamedSharding(mesh, spec)), shapes, specs
        )

    @property
    def hyper(self) -> Any:
        """Default numbers."""
        return jax.tree.map(jnp.float32, self.rule.hyper())

    def step(self) -> Any:
        """The step in place."""
        return in_place.step(self.rule).lower(self.hyper, self.params, self.state, self.params).compile()

    def effective_lr(self) -> Any:
        """E of every coordinate."""
        return jax.jit(self.rule.effective_lr).lower(self.hyper, self.state).compile()

    def measured(self, exact: bool) -> Any:
        """``effective.measure`` of one step, lowered."""

        def look(hyper: Any, state: Any, grads: PyTree, before: PyTree, after: PyTree) -> PyTree:
            return effective.measure(self.rule, hyper, state, grads, before, after, exact=exact)

        made = (self.hyper, self.state, self.params, self.params, self.params)
        return jax.jit(look).lower(*made)

    def scanned(self) -> Any:
        """``effective.scan`` over four steps in place, two of them measured on a sample; the gradient is the parameter."""

        def steps(params: PyTree, state: Any, hyper: Any) -> Any:
            def one(carry: Any, _: Any) -> Any:
                before, state = carry
                after, state = self.rule.step(hyper, before, state, before)
                made = (self.rule, hyper, state, before, before, after)
                return (after, state), None, lambda: effective.measure(*made, exact=False)

            return effective.scan(one, (params, state), jnp.arange(4), interval=2)

        return jax.jit(steps, donate_argnums=(0, 1)).lower(self.params, self.state, self.hyper).compile()


def total_bytes(tree: PyTree) -> int:
    """Bytes of all arrays."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def device_bytes(tree: PyTree) -> int:
    """Bytes of one device's part of all arrays."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree))
