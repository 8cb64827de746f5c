"""Many small tensors in one buffer, which one loop steps through."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ..numbers import check_rule
from ..rules import Rule, SparseGradient, as_array, compute_dtype, flatten_like
from ._wrapper import PyTree, Wrapper, bare

#: Entries of the largest tensor that is joined: for larger ones a loop of their own costs less than a copy.
LARGEST = 32_768
ALONE = "alone"


@jax.tree_util.register_static
@dataclass(frozen=True)
class Layout:
    """Which tensors lie one after the other, in a buffer for each dtype, and which stay as they are.

    Attributes
    ----------
    structure : PyTreeDef
        Of the parameters.
    shapes, dtypes : tuple
        Of the parameters, in the order of their leaves.
    joined : tuple of (dtype, tuple of int)
        Positions of the tensors in each buffer.
    """

    structure: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    joined: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, structure: Any, params: Sequence[Any], largest: int) -> Layout:
        """A small tensor that is the only one of its dtype stays as it is."""
        buffers = defaultdict(list)
        for i, p in enumerate(params):
            if p.size <= largest:
                buffers[p.dtype.name].append(i)
        joined = tuple((dtype, tuple(found)) for dtype, found in buffers.items() if len(found) > 1)
        return cls(structure, tuple(p.shape for p in params), tuple(p.dtype for p in params), joined)

    @property
    def alone(self) -> list[int]:
        """Positions of the tensors that are in no buffer."""
        together = {i for _, found in self.joined for i in found}
        return [i for i in range(len(self.shapes)) if i not in together]

    def pack(self, leaves: Sequence[Any]) -> dict[str, Any]:
        """Buffers by their dtype, and the other tensors."""
        joined = {dtype: jnp.concatenate([leaves[i].ravel() for i in found]) for dtype, found in self.joined}
        return {**joined, ALONE: [leaves[i] for i in self.alone]}

    def unpack(self, packed: Mapping[str, Any]) -> PyTree:
        """The tensors in the structure of the parameters."""
        leaves = dict(zip(self.alone, packed[ALONE], strict=True))
        for dtype, found in self.joined:
            buffer = packed[dtype]
            if not buffer.ndim:  # a count, of each of them
                leaves |= {i: jnp.array(buffer) for i in found}
                continue
            parts = jax.lax.split(buffer, [math.prod(self.shapes[i]) for i in found])
            leaves |= {i: part.reshape(self.shapes[i]) for i, part in zip(found, parts, strict=True)}
        return self.structure.unflatten([leaves[i] for i in range(len(self.shapes))])


class FlattenedState(NamedTuple):
    """State of a flattened rule: the rule's own, of the buffers, and how they are laid out."""

    rule: Any
    layout: Layout

    def unpacked(self) -> Any:
        """The state that the rule itself has, tensor by tensor."""
        columns = (None if column is None else self.layout.unpack(column) for column in self.rule)
        return type(self.rule)(*columns)


@dataclass(frozen=True, eq=False, repr=False)
class Flattened(Wrapper):
    """A rule whose small tensors step together, as one; the trajectory is the rule's own."""

    largest: int

    def init(self, params: PyTree) -> FlattenedState:
        """State before the first step."""
        leaves, structure = jax.tree_util.tree_flatten_with_path(params)
        arrays = [as_array(repr(self), "params", jax.tree_util.keystr(path), leaf) for path, leaf in leaves]
        layout = Layout.of(structure, arrays, self.largest)
        return FlattenedState(self.rule.init(layout.pack(arrays)), layout)

    def step(self, hyper: Any, params: PyTree, state: FlattenedState, grads: PyTree) -> tuple[PyTree, FlattenedState]:
        """One step; every parameter needs its gradient."""
        layout = self.own(state).layout
        moved, inside = self.rule.step(self.inner(hyper), *self._packed(layout, params, state.rule, grads))
        return layout.unpack(moved), FlattenedState(inside, layout)

    def effective_lr(self, hyper: Any, state: FlattenedState) -> PyTree:
        """E of the step that led to ``state``, per coordinate, like the parameters."""
        return self.own(state).layout.unpack(super().effective_lr(hyper, state))

    def direction(self, hyper: Any, params: PyTree, state: FlattenedState, grads: PyTree) -> PyTree:
        """Direction of the same step: takes the state *after* it and the parameters *before* it."""
        return self._over_leaves(self.rule.direction, hyper, params, state, grads)

    def decay(self, hyper: Any, params: PyTree, state: FlattenedState, grads: PyTree) -> PyTree:
        """What decoupled weight decay alone removes in that step."""
        return self._over_leaves(self.rule.decay, hyper, params, state, grads)

    def penalty(self, hyper: Any, params: PyTree, state: FlattenedState) -> PyTree:
        """What coupled weight decay adds to the gradient."""
        layout = self.own(state).layout
        packed = layout.pack(self._arrays(layout, "params", params))
        return layout.unpack(self.rule.penalty(self.inner(hyper), packed, state.rule))

    def scale(self, hyper: Any, state: FlattenedState) -> PyTree | None:
        """The estimate of the gradient's size of the rule inside."""
        found = super().scale(hyper, state)
        return None if found is None else state.layout.unpack(found)

    def _over_leaves(
        self, function: Callable[..., Any], hyper: Any, params: PyTree, state: FlattenedState, grads: PyTree
    ) -> PyTree:
        layout = self.own(state).layout
        return layout.unpack(function(self.inner(hyper), *self._packed(layout, params, state.rule, grads)))

    def _packed(self, layout: Layout, params: PyTree, inside: Any, grads: PyTree) -> tuple[Any, Any, Any]:
        """The arguments of the rule inside; gradients in the dtype it computes in."""
        given = self._arrays(layout, "params", params)
        found = self._arrays(layout, "grads", grads)
        wide = [g.astype(compute_dtype(p)) for p, g in zip(given, found, strict=True)]
        return layout.pack(given), inside, layout.pack(wide)

    def _arrays(self, layout: Layout, what: str, tree: PyTree) -> list[Any]:
        """The leaves, refused by their path where they are not those that the state was made for."""
        structure = layout.structure
        leaves = flatten_like(repr(self), structure, structure.unflatten(layout.shapes), tree, what)
        paths = jax.tree_util.tree_flatten_with_path(structure.unflatten(range(len(leaves))))[0]
        return [self._checked(layout, what, jax.tree_util.keystr(path), i, leaves[i]) for path, i in paths]

    def _checked(self, layout: Layout, what: str, path: str, i: int, leaf: Any) -> Any:
        if leaf is None:
            raise ValueError(
                f"{self!r}: {what}{path} is None; tensors that step together each need a gradient: give zeros, or use the "
                "rule inside"
            )
        if isinstance(leaf, SparseGradient):
            raise TypeError(f"{self!r} takes dense gradients: give .todense() of {what}{path}")
        array = as_array(repr(self), what, path, leaf)
        if array.shape != layout.shapes[i]:
            raise ValueError(
                f"{self!r}: {what}{path} has shape {array.shape}; this state was made for {layout.shapes[i]}"
            )
        if what == "params" and array.dtype != (dtype := layout.dtypes[i]):
            raise ValueError(f"{self!r}: {what}{path} is {array.dtype}; this state was made for {dtype}")
        return array


def flatten(rule: Rule, *, largest: int = LARGEST) -> Flattened:
    r"""The rule with its small tensors joined into one buffer for each dtype, so that one loop steps through all of them.

    A model has hundreds of scales and shifts. Stepped one by one, each costs a loop and a count of its own, and takes
    longer than its arithmetic. Here they share both: the state holds the buffers. Parameters and gradients are those of
    the rule, and so are the new parameters, up to a rounding where the compiler joins a product and a sum.

    Parameters
    ----------
    rule : Rule
        One whose step is elementwise; wrappers go around: ``accumulate(flatten(rule), every=4)``.
    largest : option
        Entries of the largest tensor that is joined.

    Raises
    ------
    ValueError
        For a rule that needs norms or shapes of whole tensors; when called, for a gradient that is ``None``: there is
        one count for all tensors that step together.

    Notes
    -----
    Joining copies parameters and gradients once, which small tensors are worth. Parameters that are laid out over many
    devices would be sent to each other: use the rule itself. ``state.unpacked()`` is the state that the rule itself has, for
    ``evaluation_params`` or to go on without joining.

    References
    ----------
    ``optax.flatten`` (optax 0.2.8) joins all tensors, whatever their size.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from lrtheory import rules
    >>> rule = flatten(rules.adam())
    >>> params = {"w": jnp.array([1.0, 2.0]), "b": jnp.array(0.5)}
    >>> state = rule.init(params)
    >>> params, state = rule.step(rule.hyper(lr=0.5), params, state, {"w": jnp.array([3.0, -0.1]), "b": jnp.array(1.0)})
    >>> params["w"].round(5).tolist(), state.rule.m["float32"].shape
    ([0.5, 2.5], (3,))
    """
    if isinstance(rule, Wrapper):
        raise TypeError(
            f"flatten takes a Rule, and {rule!r} is a wrapper of one: put it around flatten({bare(rule)!r})"
        )
    check_rule("flatten", rule)
    if not isinstance(rule, Rule):
        raise TypeError(
            f"flatten takes a rule such as lrtheory.rules.adam(), not {rule!r}: of groups, flatten the rule of each"
        )
    if isinstance(largest, bool) or not isinstance(largest, int) or largest < 0:
        raise ValueError(f"flatten: largest={largest!r} must be a whole number of entries, 0 or more")
    if not rule.is_elementwise:
        raise ValueError(
            f"flatten: {rule!r} needs norms or shapes of whole tensors, or takes sparse gradients: use the rule itself"
        )
    return _flatten(rule, largest)


@functools.cache
def _flatten(rule: Rule, largest: int) -> Flattened:
    return Flattened(rule, "flatten", {}, FlattenedState, {"largest": largest}, largest)
