"""Parameters laid out over many devices: where the state goes, and what a compiled program communicates.

A step is written for each coordinate, so that a state that is laid out like its parameters is updated without a word
between devices. Rules that need a norm or a whole matrix communicate; :func:`collectives` reads from the compiled program
how often and how much.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import PartitionSpec

from .numbers import check_rule
from .wrappers import FlattenedState

PyTree = Any

OPERATIONS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
_COMMENT = re.compile(r"/\*.*?\*/")  # XLA counts the elements of long tuples in these
_CALL = re.compile(rf"= (\([^=]*?\)|\S+) ({'|'.join(OPERATIONS)})(-start)?\(")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")


class Collective(NamedTuple):
    """One kind of communication of a compiled program."""

    operation: str
    count: int
    """Operations in the text of the program; one in a loop counts once."""
    bytes: int
    """Of their results on each device, over all of them."""


def collectives(compiled: Any) -> list[Collective]:
    """The collectives of a compiled program, read from its text.

    Parameters
    ----------
    compiled : ``jax.jit(f).lower(...).compile()``, or its text
    """
    text = compiled if isinstance(compiled, str) else compiled.as_text()
    found: dict[str, list[int]] = {}
    for shape, operation, start in _CALL.findall(_COMMENT.sub("", text)):
        result = _started(shape) if start and operation != "all-reduce" else shape
        found.setdefault(operation, []).append(sum(_bytes(*array) for array in _ARRAY.findall(result)))
    return [Collective(operation, len(sizes), sum(sizes)) for operation, sizes in sorted(found.items())]


def state_specs(rule: Any, params: PyTree, specs: PyTree) -> Any:
    """Where the state goes, when each parameter is laid out by its PartitionSpec.

    Parameters
    ----------
    rule : Rule or wrapped rule
    params : pytree of arrays or of their shapes
    specs : like params, a PartitionSpec in place of each array

    Returns
    -------
    pytree like ``rule.init(params)``
        A PartitionSpec for every array: its parameter's for one of the same number of dimensions, without the axes along
        which it has length 1, such as Adafactor's factors; replicated for one of fewer, such as a count.

    Raises
    ------
    ValueError
        For a rule that joins tensors (``wrappers.flatten``).
    """
    check_rule("sharding.state_specs", rule)
    kinds = tuple(_state_types(rule))
    if FlattenedState in kinds:
        raise ValueError(
            f"{rule!r} joins tensors that lie on one device: to lay them out over several, use the rule inside"
        )
    structure = jax.tree.structure(params)
    shapes = [p.shape for p in jax.tree.leaves(params)]
    laid_out = structure.flatten_up_to(specs)
    single = jax.tree_util.treedef_is_leaf(structure)

    def of(column: PyTree) -> PyTree:
        if column is None:
            return None
        if isinstance(column, kinds):  # of a rule inside a wrapper
            return type(column)(*map(of, column))
        if isinstance(column, jax.ShapeDtypeStruct) and not single:  # one count for all parameters
            return PartitionSpec()
        leaves = structure.flatten_up_to(column)
        return structure.unflatten(
            [
                jax.tree.map(lambda s, n=n, p=p: _spec(s.shape, n, p), leaf)
                for leaf, n, p in zip(leaves, shapes, laid_out, strict=True)
            ]
        )

    return of(jax.eval_shape(rule.init, params))


def _state_types(rule: Any) -> Iterator[type]:
    """Type of the rule's state, then of that of the rule it is wrapped around, and so on."""
    while rule is not None:
        yield rule.State
        rule = getattr(rule, "rule", None)


def _spec(shape: tuple[int, ...], of_shape: tuple[int, ...], spec: PartitionSpec) -> PartitionSpec:
    """The part of a parameter's layout that an array of its state takes over."""
    whole = (*spec, *[None] * (len(of_shape) - len(spec)))
    if len(shape) == len(of_shape):
        return PartitionSpec(*(axis if n == m else None for n, m, axis in zip(shape, of_shape, whole, strict=True)))
    return PartitionSpec()


def _started(shape: str) -> str:
    """The result in the tuple ``(operands, result, context…)`` that an operation leaves until it is awaited.

    An ``all-reduce-start`` alone has the shape of its result: it may overwrite its operands.
    """
    depth, ends = 0, []
    for place, character in enumerate(shape):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 1:
            ends.append(place)
    return shape[ends[0] : [*ends, len(shape)][1]]


def _bytes(dtype: str, shape: str) -> int:
    bits = 8 if dtype == "pred" else int(re.sub(r"\D", "", dtype.split("e")[0]) or 32)
    return math.ceil(np.prod([int(n) for n in shape.split(",") if n], dtype=float) * bits / 8)
