"""What comes of adopting an optimizer: its groups in our terms, and what is around them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import rules, wrappers
from ..rules import Rule, SparseGradient
from ..spec import Unread, call
from ._slots import fresh


@functools.cache
def compiled(rule: Any) -> Any:
    """The step of a rule or wrapper, compiled once for each structure of parameters."""
    return jax.jit(rule.step)


def own_spec(rule: Rule | wrappers.Wrapper, hyper: Any) -> str:
    """A rule with its hyperparameters as a SPEC of ours, options at their defaults left out, and wrappers around it."""
    around, rule, hyper = wrappers.unwrapped(rule, hyper)
    plain = rules.factory_of(rule)().options
    options = {name: value for name, value in rule.options.items() if value != plain[name]}
    text = call(rule.name, {**options, **{n: v for n, v in hyper._asdict().items() if v is not None}})
    for wrapper, own in reversed(around):
        options = {name: value for name, value in wrapper.options.items() if value is not False}
        text = call(wrapper.name, {**options, **own}, Unread(text))
    return text


@dataclass(frozen=True)
class Around:
    """What a gradient meets before the rules of the groups: a wrapper of ours.

    Attributes
    ----------
    name : str
        Of :mod:`lrtheory.wrappers`.
    options, numbers : mappings
    over : tuple of str
        The parameters it acts on, together.
    state : mapping
        Of ``accumulate``: ``count`` of micro-batches so far, and their ``mean`` by parameter.
    """

    name: str
    options: Mapping[str, Any]
    numbers: Mapping[str, float]
    over: tuple[str, ...]
    state: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """As code."""
        return call(self.name, {**self.options, **self.numbers}, Unread("..."))

    def given(self, grads: Mapping[str, Any]) -> dict[str, Any] | None:
        """What it hands on, or ``None`` while it gathers: by the wrapper's own step, around one of −1 times what it is given."""
        rule = getattr(wrappers, self.name)(rules.sgd(), **self.options)
        hyper = rule.hyper(lr=1.0, **self.numbers)
        zeros = {name: jnp.zeros_like(jnp.asarray(grads[name])) for name in self.over}
        state = rule.init(zeros)
        if self.state:
            count, mean = self.state["count"], {n: jnp.asarray(self.state["mean"][n]) for n in self.over}
            state = state._replace(count=jnp.int32(count), mean=mean, examples=jnp.asarray(float(count)))
        moved, state = compiled(rule)(hyper, zeros, state, {name: grads[name] for name in self.over})
        return {**grads, **{name: -value for name, value in moved.items()}} if rule.moved(state) else None


#: How the reason of a frozen group ends.
FROZEN = "these parameters do not move"


@dataclass(frozen=True)
class Group:
    """A group of parameters.

    Attributes
    ----------
    names : tuple of str
        Of its parameters: qualified where a model or a tree gives them, else their positions in the optimizer.
    rule : Rule or None
        ``None`` for an opaque group, which is none of our rules.
    hyper : the rule's numbers now in force, or None
    reason : str
        Why it is opaque; empty with a rule.
    lr : float or None
        The nominal lr, of an opaque group too.
    params : dict of name to array
    state : the rule's state over ``params``, or None
    unknown : mapping of slot to reason
        Slots of the state that the framework does not keep: nan, or a count of 1. No step depends on them.
    notes : tuple of str
        What was seen and plays no part.
    label : str
        That the framework gives the group.
    spec : str
        The group as a SPEC, what is around it included, for :func:`lrtheory.explain`.
    """

    names: tuple[str, ...]
    rule: Rule | None
    hyper: Any = None
    reason: str = ""
    lr: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    state: Any = None
    unknown: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    label: str = ""
    spec: str = ""

    @property
    def is_frozen(self) -> bool:
        """Whether its optimizer leaves its parameters as they are."""
        return self.rule is None and self.reason.endswith(FROZEN)


@dataclass(frozen=True)
class Adopted:
    """An optimizer in our terms.

    Attributes
    ----------
    framework : str
        ``"torch"``, ``"optax"`` or ``"keras"``.
    kind : str
        The class or transformation by name.
    groups : tuple of Group
    notes : tuple of str
        What was seen of the optimizer as a whole.
    around : tuple of Around
        What the gradients meet before the groups, in that order.
    """

    framework: str
    kind: str
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    around: tuple[Around, ...] = ()

    def next_params(self, grads: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters after one more step with these gradients by name, for the groups that are not opaque.

        The arithmetic is that of the parameters' dtype, whatever JAX's default.
        """
        moved: dict[str, Any] = {}
        with jax.enable_x64(True):
            given: Any = {
                n: g if isinstance(g, SparseGradient) or g is None else jnp.asarray(g) for n, g in grads.items()
            }
            for around in self.around:
                given = None if given is None else around.given(given)
            for group in self.groups:
                if group.rule is None or given is None:
                    moved |= group.params if group.rule is not None else {}
                    continue
                own = {name: given[name] for name in group.names}
                moved |= compiled(group.rule)(group.hyper, dict(group.params), group.state, own)[0]
        return {name: np.asarray(value) for name, value in moved.items()}


def of_rule(rule: Any, groups: tuple[Group, ...], around: tuple[Around, ...] = ()) -> Adopted:
    """A rule of ours, whose groups are known."""
    return Adopted("lrtheory", rule.name, groups, (), around)


def joined(rule: Rule, states: Mapping[str, Any]) -> Any:
    """States of single arrays by name as one over a dict of them, as the rule has it."""
    if not states:
        state = fresh(rule, np.zeros(rule.facts.shape))
        return type(state)(*(None if value is None else {} for value in state))
    columns = []
    for column in zip(*states.values(), strict=True):
        columns.append(None if all(v is None for v in column) else dict(zip(states, column, strict=True)))
    return rule.State(*columns)
