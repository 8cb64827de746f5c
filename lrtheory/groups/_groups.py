"""Groups of parameters with the contract of a rule."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from ..numbers import NONNEGATIVE, Number, check_hyper
from ..rules import Rule, check_state, compute_dtype, flatten_like
from ..units import PURE, Units
from ..wrappers import Wrapper
from ._labels import names_a_field, shown

PyTree = Any
Member = Rule | Wrapper | None

#: What every group has beside the hyperparameters of its rule: the lr in force is the product.
LR_SCALE = Number(1.0, NONNEGATIVE, "1")


@functools.partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=["shape", "dtype"])
@dataclass(frozen=True)
class Still:
    """The state of a frozen parameter: what it is like, and no array."""

    shape: tuple[int, ...]
    dtype: Any


@functools.cache
def _tuple_type(name: str, fields: tuple[str, ...]) -> Any:
    """A NamedTuple type, the same for the same fields, so that the states of equal groups fit each other; it can be pickled."""
    made: Any = namedtuple(name, fields, module=__name__)
    made.__reduce__ = lambda self: (_unpickled, (name, fields, tuple(self)))
    return made


def _unpickled(name: str, fields: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return _tuple_type(name, fields)(*values)


@dataclass(frozen=True, eq=False, repr=False)
class Groups:
    """Parameters in groups, each with a rule and hyperparameters of its own; ``None`` in place of a rule freezes a group.

    Used like a rule: ``hyper``, ``init``, ``step``, ``effective_lr``, ``direction``, ``decay``. Hyperparameters and state are
    NamedTuples with one field a group. Each group has one more hyperparameter, ``lr_scale``: what its lr is multiplied by.
    Wrappers may be around all groups (clipping by one norm) or around the rule of one.

    Attributes
    ----------
    members : mapping of label to Rule, Wrapper or None
    label : params -> list of labels, one a leaf
    """

    members: Mapping[str, Member]
    label: Callable[[PyTree], list[str]]

    def __post_init__(self) -> None:
        taken = {name for _, member in self.moving() for name in member.Hyper._fields} | {"lr_scale"}
        for label in self.members:
            if not names_a_field(label):
                raise ValueError(
                    f"groups: label {label!r} must be a name in Python, such as 'no_decay': it names a field"
                )
            if label in taken:
                raise ValueError(f"groups: label {label!r} is the name of a hyperparameter; take another")
        if not self.members:
            raise ValueError("groups: give at least one group")
        types = {
            label: None
            if m is None
            else _tuple_type(f"{label.title().replace('_', '')}Hyper", (*m.Hyper._fields, "lr_scale"))
            for label, m in self.members.items()
        }
        object.__setattr__(self, "_hyper_types", types)
        object.__setattr__(self, "Hyper", _tuple_type("GroupsHyper", tuple(self.members)))
        object.__setattr__(self, "State", _tuple_type("GroupsState", tuple(self.members)))

    #: The NamedTuple types of hyperparameters and state.
    Hyper: Any = None  # type: ignore[assignment]
    State: Any = None  # type: ignore[assignment]

    @property
    def name(self) -> str:
        """What it is."""
        return "groups"

    @property
    def units(self) -> Mapping[str, Units]:
        """Declared units of each hyperparameter and of state, by ``label.name``."""
        found = {}
        for label, member in self.moving():
            found |= {f"{label}.{name}": units for name, units in member.units.items()} | {f"{label}.lr_scale": PURE}
        return MappingProxyType(found)

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names that :meth:`hyper` takes: ``name`` for all groups that have it, ``label.name`` for one."""
        own = {label: self._hyper_types[label]._fields for label, _ in self.moving()}  # type: ignore[attr-defined]
        shared = dict.fromkeys(name for fields in own.values() for name in fields)
        return (*shared, *(f"{label}.{name}" for label, fields in own.items() for name in fields))

    def __repr__(self) -> str:
        return f"groups({', '.join(f'{label}={member!r}' for label, member in self.members.items())})"

    def moving(self) -> Iterator[tuple[str, Any]]:
        """The groups that are not frozen: label and rule."""
        return ((label, member) for label, member in self.members.items() if member is not None)

    def hyper(self, **numbers: Any) -> Any:
        """Hyperparameters of all groups.

        Parameters
        ----------
        **numbers
            ``name=value`` for all groups that have the hyperparameter, ``label={name: value}`` (or ``**{"label.name": value}``)
            for one group, which comes before.

        Raises
        ------
        TypeError
            For an unknown name, a number that must be given, or a value that is not a real number.
        ValueError
            For a value outside its range.
        """
        shared, own = dict[str, Any](), {label: dict[str, Any]() for label in self.members}
        for name, value in numbers.items():
            label, dot, number = name.partition(".")
            if label in own and (dot or isinstance(value, Mapping)):
                given = {number: value} if dot else dict(value)
                twice = sorted(set(given) & set(own[label]))
                if twice:
                    raise TypeError(f"{self!r}: {label}.{twice[0]} is given twice")
                own[label] |= given
            elif label in own:
                raise TypeError(f"{self!r}: {name}={value!r} must be a mapping of hyperparameters of that group")
            elif dot:
                raise TypeError(f"{self!r} has no group {label!r}: its groups are {', '.join(self.members)}")
            elif not any(_takes(member, name) for _, member in self.moving()):
                raise TypeError(
                    f"{self!r} has no group or hyperparameter {name!r}: groups are {', '.join(self.members)}; hyperparameters are "
                    f"{', '.join(n for n in self.numbers if '.' not in n)}"
                )
            else:
                shared[name] = value
        return self.Hyper(*(self._hyper_of(label, shared, own[label]) for label in self.members))

    def _hyper_of(self, label: str, shared: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
        member, kind = self.members[label], self._hyper_types[label]  # type: ignore[attr-defined]
        if member is None:
            if own:
                raise TypeError(f"{self!r}: {label} is frozen and has no {next(iter(own))}")
            return None
        given = {name: value for name, value in shared.items() if _takes(member, name)} | dict(own)
        scale = LR_SCALE.checked(f"{self!r}: {label}", "lr_scale", given.pop("lr_scale", LR_SCALE.default))
        try:
            return kind(*member.hyper(**given), lr_scale=scale)
        except (TypeError, ValueError) as error:
            raise type(error)(f"group {label!r}: {error}") from error

    def inner(self, label: str, hyper: Any, *, scaled: bool = True) -> Any:
        """The hyperparameters of one group as its rule takes them, its lr scaled."""
        check_hyper(self, hyper)
        own, member = getattr(hyper, label), self.members[label]
        found = member.Hyper(*own[:-1])  # type: ignore[union-attr]
        return found._replace(lr=own.lr * own.lr_scale) if scaled else found

    def labels_of(self, params: PyTree) -> list[str]:
        """The label of each leaf, in their order.

        Raises
        ------
        ValueError
            For an unknown label, a group without a parameter, and what the patterns or labels refuse.
        """
        labels = self.label(params)
        for label in labels:
            if label not in self.members:
                raise ValueError(f"groups: there is no group {label!r} among {', '.join(self.members)}")
        empty = [label for label in self.members if label not in labels]
        if empty:
            raise ValueError(f"groups: group {empty[0]!r} has no parameter; used are {shown(sorted(set(labels)))}")
        return labels

    def _split(self, params: PyTree, *others: PyTree) -> _Split:
        return _Split(self, params, others)

    def init(self, params: PyTree) -> Any:
        """State before the first step, group by group; a parameter of another group is ``None`` in its trees."""
        split = self._split(params)
        return self.State(
            *(
                jax.tree.map(lambda p: Still(jnp.shape(p), jnp.result_type(p)), split.of(label))
                if member is None
                else member.init(split.of(label))
                for label, member in self.members.items()
            )
        )

    def step(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> tuple[PyTree, Any]:
        """One step: the new parameters and the new state; frozen parameters are left as they are, whatever their gradient."""
        split, state = self._split(params, grads), self._own(state)
        moved, states = dict[str, Any](), []
        for label, member in self.members.items():
            p, g, s = split.of(label), split.of(label, 0), getattr(state, label)
            moved[label], new = (p, s) if member is None else member.step(self.inner(label, hyper), p, s, g)
            states.append(new)
        return split.joined(moved), self.State(*states)

    def effective_lr(self, hyper: Any, state: Any) -> PyTree:
        """E of the step that led to ``state``, per coordinate; 0 for frozen parameters."""
        state, found = self._own(state), []
        for label, member in self.members.items():
            own = getattr(state, label)
            still = jax.tree.map(_at_rest, own, is_leaf=_is_still) if member is None else None
            found.append(still if member is None else member.effective_lr(self.inner(label, hyper), own))
        return jax.tree.map(_there, *found, is_leaf=lambda x: x is None)

    def direction(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> PyTree:
        """Direction of the same step: takes the state *after* it and the parameters *before* it; 0 for frozen parameters."""
        return self._each("direction", hyper, params, state, grads)

    def decay(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> PyTree:
        """What decoupled weight decay alone removes in that step."""
        return self._each("decay", hyper, params, state, grads)

    def penalty(self, hyper: Any, params: PyTree, state: Any) -> PyTree:
        """What coupled weight decay adds to the gradient, in the units of the direction."""
        return self._each("penalty", hyper, params, state)

    def scale(self, hyper: Any, state: Any) -> PyTree | None:
        """The estimate of the gradient's size, with ``None`` for parameters whose rule has none."""
        state = self._own(state)
        found = [
            member.scale(self.inner(label, hyper), getattr(state, label)) for label, member in self.moving()
        ]  # fmt: skip
        found = [tree for tree in found if tree is not None]
        return jax.tree.map(_there, *found, is_leaf=lambda x: x is None) if found else None

    def clip_factor(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> PyTree | None:
        """What this step's gradient was multiplied by in clipping inside groups; ``None`` where none clips."""
        split, state, found = self._split(params, grads), self._own(state), dict[str, Any]()
        for label, member in self.members.items():
            given = (split.of(label), getattr(state, label), split.of(label, 0))
            clips = member.clip_factor(self.inner(label, hyper), *given) if isinstance(member, Wrapper) else None
            found[label] = clips
        if all(tree is None for tree in found.values()):
            return None
        ones = {n: jax.tree.map(lambda p: jnp.ones(()), split.of(n)) if t is None else t for n, t in found.items()}
        return split.joined(ones)

    def moved(self, state: Any) -> Any:
        """Whether any group took a step; false where all only gathered."""
        state = self._own(state)
        found = [m.moved(getattr(state, label)) if isinstance(m, Wrapper) else True for label, m in self.moving()]
        return True if any(step is True for step in found) else functools.reduce(jnp.logical_or, found, False)

    def _own(self, state: Any) -> Any:
        check_state(repr(self), state, self.State)
        return state

    def _each(self, what: str, hyper: Any, params: PyTree, state: Any, *grads: PyTree) -> PyTree:
        """A quantity like params of all groups, 0 of those that are frozen."""
        split, state, found = self._split(params, *grads), self._own(state), dict[str, Any]()
        for label, member in self.members.items():
            p, g = split.of(label), [split.of(label, i) for i in range(len(grads))]
            if member is None:
                found[label] = jax.tree.map(lambda p: jnp.zeros(jnp.shape(p), compute_dtype(jnp.asarray(p))), p)
            else:
                found[label] = getattr(member, what)(self.inner(label, hyper), p, getattr(state, label), *g)
        return split.joined(found)


def _is_still(x: Any) -> bool:
    return isinstance(x, Still)


def _there(*values: Any) -> Any:
    """That of the group which a parameter is in."""
    return next((value for value in values if value is not None), None)


def _at_rest(still: Still) -> Any:
    return jnp.zeros(still.shape, compute_dtype(jnp.zeros((), still.dtype)))


class _Split:
    """Trees like the parameters, taken apart by group: ``None`` stands for what is in another."""

    def __init__(self, groups: Groups, params: PyTree, others: Sequence[PyTree]) -> None:
        leaves, self.structure = jax.tree.flatten(params)
        self.labels = groups.labels_of(params)
        self.columns = [leaves, *(flatten_like(repr(groups), self.structure, params, tree, "grads") for tree in others)]

    def of(self, label: str, column: int = -1) -> PyTree:
        """The parameters of a group, or another tree's part of it."""
        pairs = zip(self.labels, self.columns[column + 1], strict=True)
        return self.structure.unflatten([leaf if of == label else None for of, leaf in pairs])

    def joined(self, trees: Mapping[str, PyTree]) -> PyTree:
        """What groups made of their parts, put together again."""
        parts = {label: iter(jax.tree.structure(self.of(label)).flatten_up_to(tree)) for label, tree in trees.items()}
        return self.structure.unflatten([next(parts[label]) for label in self.labels])


def _takes(member: Any, name: str) -> bool:
    """Whether a rule has a hyperparameter that no option switched off."""
    if name == "lr_scale":
        return True
    while isinstance(member, Wrapper):
        if name in member.numbers:
            return True
        member = member.rule
    return name in member.Hyper._fields and member.array_rule.defaults.get(name, 0) is not None
