"""State for a transformation of optax: the tree that it makes itself, with the values of the source in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..adopting import adopt
from ..adopting.optax_row import named, traced
from ..names.optax import ARGUMENTS, state_of
from .errors import PortError
from .targets import back, counted, exactly, known, same_around, same_numbers, same_rule, same_state
from .tensors import Source, Tensor, counts_steps

#: Fields of states that are kept once for all parameters.
_COUNTS = ("count", "step_count")


class OptaxTarget:
    """A transformation, and a tree of parameters where one is given."""

    framework = "optax"

    def __init__(self, tx: Any, params: Any = None) -> None:
        self.optimizer, self.tree = tx, params

    @property
    def shapes(self) -> dict[str, tuple[int, ...]] | None:
        """Of its parameters, by the path to each."""
        return None if self.tree is None else {name: tuple(np.shape(p)) for name, p in named(self.tree).items()}

    def written(self, tensors: Mapping[str, Tensor], source: Source) -> tuple[Any, tuple[str, ...]]:
        """The state, and notes; it was read back, and is the source's bit for bit but for what has the lr inside."""
        if self.tree is None:
            firsts = {name: tensor.stand_in(name) for name, tensor in tensors.items()}
            self.tree = nested({n: jnp.asarray(exactly(v, jnp.asarray(v).dtype, n)) for n, v in firsts.items()})
        blank = self.optimizer.init(self.tree)
        for group in adopt(self.optimizer, blank, self.tree, arrays=False, check=False).groups:
            for name in group.names:
                same_rule(name, tensors[name], group.rule, group.reason)
        seen = traced(self.optimizer, blank, self.tree)
        new = {id(state): _filled(state, over, tensors) for over, state in seen.states if hasattr(state, "_fields")}
        state = jax.tree.map(lambda x: new.get(id(x), x), blank, is_leaf=lambda x: id(x) in new)
        state = jax.tree_util.tree_map_with_path(
            lambda path, leaf: self._once(path, leaf, source, tensors, seen.numbers), state
        )
        found = adopt(self.optimizer, state, self.tree, check=False)
        for group in found.groups:
            for name in group.names:
                same_rule(name, tensors[name], group.rule, group.reason)  # which numbers of the source may have changed
                same_numbers(name, tensors[name], group.hyper)
                derived = state_of(tensors[name].rule)[1]
                made = tuple(slot for slot, other in derived.items() if other.back is None and slot != "t")
                same_state(name, tensors[name], group, made)
        return state, same_around(source, found.around, "optax", tensors)

    def _once(self, path: Any, leaf: Any, source: Source, tensors: Mapping[str, Tensor], injected: Any) -> Any:
        """What is kept once for all parameters: counts of steps and injected numbers."""
        if counts_steps(path, leaf):
            return jnp.asarray(counted(source, "the state of optax"), leaf.dtype)
        names = [getattr(key, "name", getattr(key, "key", None)) for key in path[-2:]]
        averaged = _averaged(path, tensors)
        if averaged is not None:
            return jnp.asarray(averaged, leaf.dtype)
        if names[0] == "hyperparams":
            ours = next((n for n, theirs in ARGUMENTS.items() if theirs == names[1]), str(names[1]))
            over = next((over for over, numbers in injected if any(v is leaf for v in numbers.values())), tensors)
            values = {getattr(tensors[n].hyper, ours) for n in over if ours in tensors[n].hyper._fields}
            if len(values) > 1:
                raise PortError(f"{ours} differs between parameters, and is injected into optax as one number")
            return jnp.asarray(values.pop(), leaf.dtype) if values else leaf
        return leaf

    def weights(self, values: Mapping[str, np.ndarray]) -> Any:
        """As the tree."""
        leaves, structure = jax.tree.flatten(self.tree)
        pairs = zip(named(self.tree), leaves, strict=True)
        return structure.unflatten([jnp.asarray(exactly(values[n], np.asarray(leaf).dtype, n)) for n, leaf in pairs])

    def load(self, state: Any, values: Any) -> None:
        """There is nothing to load it into."""
        raise TypeError("an optax state is not loaded into anything: give .state and .params to the next tx.update")


def _averaged(path: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What optax.contrib.schedule_free keeps in a leaf, or None for a leaf that is not its own."""
    first = next(iter(tensors.values()))
    if "z" not in first.rule.State._fields:
        return None
    own = [i for i, key in enumerate(path) if getattr(key, "name", None) in ("step_count", "max_lr", "weight_sum", "z")]
    if not own:
        return None
    s, field = first.state, path[own[0]].name
    if field == "z":
        return tensors[jax.tree_util.keystr(path[own[0] + 1 :], simple=True, separator="/") or "params"].state.z
    if field == "step_count":
        return int(s.t) + 1
    return s.max_lr if field == "max_lr" else s.weight_sum * s.max_lr**first.hyper.weight_lr_power


def nested(by_name: Mapping[str, Any]) -> dict[str, Any]:
    """A tree of dicts, from paths joined by slashes."""
    tree: dict[str, Any] = {}
    for name, value in by_name.items():
        *path, last = name.split("/")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise PortError(f"{name!r} would stand inside another parameter of the tree")
        place[last] = value
    return tree


def _filled(state: Any, over: frozenset[str], tensors: Mapping[str, Tensor]) -> Any:
    """A part's state with the source's values for the parameters it acts on; ``own`` is one of a rule of ours."""
    own = any(isinstance(state, tensors[name].rule.State) for name in over if name in tensors)
    return type(state)(
        *(
            value if field in _COUNTS else _column(field, value, over, tensors, own)
            for field, value in zip(state._fields, state, strict=True)
        )
    )


def _column(field: str, tree: Any, over: frozenset[str], tensors: Mapping[str, Tensor], own: bool) -> Any:
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    new = []
    for name, (_, leaf) in zip(named(tree), leaves, strict=True):
        if name not in over or name not in tensors:
            new.append(leaf)
            continue
        value = _value(field, name, tensors[name], own)
        new.append(leaf if value is None else jnp.asarray(exactly(value, leaf.dtype, f"{name}: {field}")))
    return jax.tree.unflatten(structure, new)


def _value(field: str, name: str, tensor: Tensor, own: bool) -> Any:
    """What a field of optax has of one parameter, or None for what is not of its rule."""
    if own:
        known(name, tensor, field)
        return getattr(tensor.state, field)
    names, derived = state_of(tensor.rule)
    for slot, key in names.items():
        if key == field and getattr(tensor.state, slot) is not None:
            if slot == "buffer" and slot in tensor.unknown and not getattr(tensor.hyper, "momentum", 1):
                return None
            known(name, tensor, slot)
            return getattr(tensor.state, slot)
    for slot, other in derived.items():
        if other.key == field and other.back is not None and getattr(tensor.state, slot) is not None:
            return back(name, tensor, slot, other)
    return None
