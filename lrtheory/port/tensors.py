"""An optimizer in mid-run, parameter by parameter in our terms, whichever framework it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..adopting import Adopted, AdoptError, Around, Group, adopt
from ..adopting.adopted import of_rule
from ..adopting.optax_row import named
from ..adopting.state_dict import adopt_state_dict, array_of, is_state_dict
from ..names import entry, find, keras, optax, torch
from ..rules import Rule
from ..spec import is_torch
from ..words import some
from ..wrappers import Wrapper, unwrapped
from .errors import PortError


@dataclass(frozen=True)
class Tensor:
    """What is known of one parameter.

    Attributes
    ----------
    rule, hyper : the rule and its numbers in force, as floats
    state : the rule's state of it, of NumPy arrays
    value : array or None
        The parameter itself.
    unknown : mapping of slot to reason
        Slots that the source does not keep.
    """

    rule: Rule
    hyper: Any
    state: Any
    value: np.ndarray | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int | None:
        """Steps taken, where that is known."""
        return None if "t" in self.unknown else int(self.state.t)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of the parameter, or of what is kept of it."""
        if self.value is not None:
            return self.value.shape
        slots = self.rule.State._slots
        shapes = [np.shape(v) for n, v in self.state._asdict().items() if v is not None and slots[n].kind == "array"]
        return max(shapes, key=len, default=None) if self.is_elementwise else None

    def stand_in(self, name: str) -> np.ndarray:
        """The parameter, or zeros like it; refused where nothing says what shape it has."""
        if self.value is not None:
            return self.value
        if self.shape is None:
            raise PortError(f"nothing says what shape {name} has: give the parameters, as in params=")
        dtype = next(v.dtype for v in self.state if v is not None and np.shape(v) == self.shape)
        return np.zeros(self.shape, dtype)

    @property
    def is_elementwise(self) -> bool:
        """Whether the order of its coordinates makes no difference to a step."""
        return self.rule.is_elementwise

    def turned(self, axes: tuple[int, ...]) -> Tensor:
        """With all that is shaped like the parameter in another order of axes."""
        shape = self.shape

        def of(value: Any) -> Any:
            return np.transpose(value, axes) if value is not None and np.shape(value) == shape else value

        return replace(self, state=type(self.state)(*map(of, self.state)), value=of(self.value))


@dataclass(frozen=True)
class Source:
    """An optimizer in mid-run.

    Attributes
    ----------
    framework : "torch", "optax", "keras" or "lrtheory"
    tensors : mapping of name to Tensor
    around : what gradients meet before the rules
    count : int or None
        Steps taken, where that is known and the same of all parameters.
    notes : tuple of str
    """

    framework: str
    tensors: Mapping[str, Tensor]
    around: tuple[Around, ...] = ()
    count: int | None = None
    notes: tuple[str, ...] = ()


def taken(
    source: Any, params: Any = None, *, model: Any = None, kind: str | None = None, steps: int | None = None
) -> Source:
    """Read a source; it is not changed.

    Raises
    ------
    PortError
        For what is opaque, and for a state with nan or infinity in it.
    TypeError
        For what is no optimizer.
    """
    try:
        found = _adopted(source, params, model, kind, steps)
    except AdoptError as error:
        raise PortError(str(error)) from error
    if is_keras(source):
        from ..adopting.in_keras import inner

        if (own := inner(source)) is not source:
            source = own
            found = replace(
                found, notes=(*found.notes, "its loss scale stays where it is: what is moved is the optimizer inside")
            )
    for around in found.around:
        if around.state.get("count"):
            raise PortError(
                f"{around.name} is in the middle of a step, at {around.state['count']} of {around.options['every']} gradients: move it "
                "after a step"
            )
    tensors, notes = {}, list(found.notes)
    for group in found.groups:
        if group.is_frozen:
            notes.append(
                f"{some(group.names, 4)}: frozen, and left out: freeze them in the target, outside its optimizer"
            )
            continue
        if group.rule is None:
            raise PortError(
                f"{some(group.names, 4)}: no rule of ours, so that nothing says what its state is: {group.reason}"
            )
        notes += group.notes if found.framework != "keras" else ()
        if found.framework == "keras":
            group = replace(group, hyper=stated(source, group))
        for name in group.names:
            tensors[name] = _tensor(name, group, found.framework, steps)
    if not tensors:
        raise PortError(
            "the source has no parameters to move: of a new Keras optimizer call optimizer.build(model.trainable_variables) first"
        )
    counts = {tensor.count for tensor in tensors.values()}
    count = counts.pop() if len(counts) == 1 else None
    if steps is not None and count not in (None, 0, steps):
        raise PortError(f"steps={steps}, and the source has counted {count}")
    count = steps if count in (None, 0) and steps is not None else count
    count = _calls(source, count)
    return Source(found.framework, tensors, found.around, count, tuple(dict.fromkeys(notes)))


def is_keras(found: Any) -> bool:
    """Whether it is an optimizer of Keras; Keras is not imported for what cannot be one."""
    return any(base.__module__.startswith("keras.src.optimizers.") for base in type(found).__mro__)


def stated(optimizer: Any, group: Group) -> Any:
    """The numbers of a Keras optimizer as it states them: its epsilon, which counts as another at each step."""
    if group.rule is None or not entry(keras.NAMES, group.rule).before_correction:
        return group.hyper
    epsilon = getattr(optimizer, "epsilon", None)  # of what was adopted already there is none
    return group.hyper if epsilon is None else group.hyper._replace(eps=float(epsilon))


def _calls(source: Any, count: int | None) -> int | None:
    """Steps that an optax state or a Keras optimizer counts for itself, where no moments do."""
    if count:
        return count
    if hasattr(source, "iterations"):
        return int(source.iterations)
    if isinstance(source, tuple) and hasattr(source[0], "update"):
        leaves = jax.tree_util.tree_flatten_with_path(source[1])[0]
        found = [int(leaf) for path, leaf in leaves if counts_steps(path, leaf)]
        return max(found, default=count)
    return count


def counts_steps(path: Any, leaf: Any) -> bool:
    """Whether a leaf of an optax state counts the steps so far."""
    last = getattr(path[-1], "name", None) if path else None
    return (
        last in ("count", "gradient_step") and np.ndim(leaf) == 0 and np.issubdtype(np.asarray(leaf).dtype, np.integer)
    )


def _adopted(source: Any, params: Any, model: Any, kind: str | None, steps: int | None) -> Adopted:
    if isinstance(source, Adopted):
        return source
    if is_state_dict(source):
        return adopt_state_dict(source, by_name(source, params), kind=kind, steps=steps)
    if isinstance(source, tuple) and source and isinstance(source[0], (Rule, Wrapper)):
        rule, hyper, state, *weights = source
        return _ours(rule, hyper, state, weights[0] if weights else params)
    if isinstance(source, tuple) and source and hasattr(source[0], "update"):
        narrow = _narrow(source)
        given = source if len(source) > 2 or params is None else (*source, params)
        try:
            found = adopt(given, check=not narrow)
        except (TypeError, ValueError):  # they are the target's
            if given is source:
                raise
            found = adopt(source)
        told = f"moments are kept in {narrow}: steps differ by the rounding of it"
        return replace(found, notes=(*found.notes, told)) if narrow else found
    if is_torch(type(source)):
        return adopt(source, model=model, steps=steps)
    return adopt(source)


def _narrow(source: tuple[Any, ...]) -> str:
    """The dtype in which a state of optax keeps moments of wider parameters."""
    if len(source) < 3:
        return ""
    dtypes = [
        {
            np.dtype(x.dtype)
            for path, x in jax.tree_util.tree_leaves_with_path(tree)
            if jnp.issubdtype(x.dtype, jnp.floating) and x.ndim and "acc_grads" not in jax.tree_util.keystr(path)
        }
        for tree in source[1:]
    ]
    bits = [min((jnp.finfo(dtype).bits for dtype in found), default=64) for found in dtypes]
    return str(min(dtypes[0], key=lambda dtype: jnp.finfo(dtype).bits)) if bits[0] < bits[1] else ""


def by_name(saved: Any, params: Any) -> Mapping[str, Any] | None:
    """Parameters of a state dict, given by name or in order; those that are called otherwise are the target's."""
    from ..adopting.state_dict import names_of

    if params is None:
        return None
    names = [name for group in saved["param_groups"] for name in names_of(group)]
    if isinstance(params, Mapping):
        return params if set(names) <= set(params) else None
    arrays = list(params)
    if len(arrays) != len(names):
        raise PortError(f"params= has {len(arrays)} arrays, and the state dict {len(names)} parameters")
    if arrays and isinstance(arrays[0], tuple):  # model.named_parameters()
        return dict(arrays)
    return dict(zip(names, arrays, strict=True))


def _ours(rule: Any, hyper: Any, state: Any, params: Any = None) -> Adopted:
    """A rule with its numbers and state."""
    around = []
    wrapped, rule, hyper = unwrapped(rule, hyper)
    for outer, numbers in wrapped:
        if outer.name == "flatten":  # the rule's own steps
            state = state.unpacked()
            continue
        own = {name: float(value) for name, value in numbers.items()}
        if outer.name == "accumulate":
            every = outer.options["every"]
            if int(state.count) % every:
                raise PortError(
                    f"{outer!r} is in the middle of gathering, at {int(state.count)} of {every}: port it after a step"
                )
            own = {}
        elif not hasattr(outer, "clip"):
            raise PortError(f"{outer!r}: {outer.name} has no counterpart in an optimizer's state; port the rule inside")
        around.append(Around(outer.name, outer.options, own, ()))
        state = state.rule
    columns = {slot: None if column is None else named(column) for slot, column in state._asdict().items()}
    names = tuple(columns["t"] or ())
    by_name = None if params is None else named(params)
    if by_name is not None and not set(names) <= set(by_name):
        by_name = None  # the target's
    columns = {
        slot: None if column is None else {name: np.array(column[name]) for name in column}
        for slot, column in columns.items()
    }
    hyper = type(hyper)(*(None if value is None else float(value) for value in hyper))
    values = {} if by_name is None else {name: np.array(by_name[name]) for name in names}
    lr = float(hyper.lr) if "lr" in hyper._fields else None
    group = Group(names, rule, hyper, "", lr, values, type(state)(**columns))
    over = tuple(Around(a.name, a.options, a.numbers, names) for a in around)
    return of_rule(rule, (group,), over)


def _kept_somewhere(rule: Rule) -> set[str]:
    """Slots that some framework keeps; on no other does a later step depend."""
    names = [name for name in (find(torch.NAMES, rule), find(keras.NAMES, rule)) if name is not None]
    return set().union(*optax.state_of(rule), *((*name.state, *name.derived) for name in names))


def _tensor(name: str, group: Group, framework: str, steps: int | None) -> Tensor:
    rule: Any = group.rule
    state = type(group.state)(*(None if c is None or c.get(name) is None else np.asarray(c[name]) for c in group.state))
    unknown = dict(group.unknown)
    if "t" in unknown and steps is not None:
        state, _ = state._replace(t=np.int32(steps)), unknown.pop("t")
    for slot, value in state._asdict().items():
        if (
            value is not None
            and framework == "lrtheory"
            and slot not in _kept_somewhere(rule)
            and np.isnan(value).all()
        ):
            unknown[slot] = "the state has nan there"
        if value is not None and slot not in unknown and not np.all(np.isfinite(value.astype(np.float64))):
            bad = "nan" if np.isnan(value.astype(np.float64)).any() else "infinity"
            raise PortError(
                f"{name}: {slot} has {bad} in it, which every later step would keep: mend the run before it is moved"
            )
    value = group.params.get(name) if group.params else None
    return Tensor(rule, group.hyper, state, None if value is None else array_of(value), unknown)
