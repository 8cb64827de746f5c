"""The contract of a rule, handed on to the rule inside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import namedtuple
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax

from ..numbers import Number, check_hyper, check_rule
from ..rules import Rule, SparseGradient, check_state, flatten_like
from ..units import Units

PyTree = Any


@dataclass(frozen=True, eq=False, repr=False)
class Wrapper(ABC):
    """A rule around a rule, used like one: ``hyper``, ``init``, ``step``, ``effective_lr``, ``direction``, ``decay``.

    Its numbers are those of the rule inside and its own, in one NamedTuple, so that a schedule moves them alike. Its
    state has the state of the rule inside as the field ``rule``. Made once per rule and options, as rules are.
    What a wrapper does not change is that of the rule inside.
    """

    rule: Rule | Wrapper
    name: str
    numbers: Mapping[str, Number]
    State: type
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        check_rule(self.name, self.rule)
        taken = [number for number in self.numbers if number in self.rule.Hyper._fields]
        if taken:
            raise ValueError(
                f"{self.name}: {self.rule!r} has a hyperparameter {taken[0]!r} already; one wrapper of a kind is enough"
            )
        fields = (*self.rule.Hyper._fields, *self.numbers)
        object.__setattr__(self, "_hyper_type", namedtuple(f"{self.name.title().replace('_', '')}Hyper", fields))

    @property
    def Hyper(self) -> Any:
        """The NamedTuple type of all numbers."""
        return self._hyper_type  # type: ignore[attr-defined]

    @property
    def units(self) -> Mapping[str, Units]:
        """Declared units of each number, and of the state of the rule inside."""
        own = {name: Units.parse(number.units) for name, number in self.numbers.items()}
        return MappingProxyType({**self.rule.units, **own})

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items() if value is not False)
        return f"{self.name}({self.rule!r}{options})"

    def hyper(self, **numbers: Any) -> Any:
        """The numbers of the rule inside, checked by it, and the wrapper's own.

        Raises
        ------
        TypeError
            For an unknown name, a number that must be given, or a value that is not a real number.
        ValueError
            For a value outside its range.
        """
        own = {name: numbers.pop(name, number.default) for name, number in self.numbers.items()}
        inner = self.rule.hyper(**numbers)
        for name, value in own.items():
            if value is None:
                raise TypeError(f"{self!r} needs a value for {name}")
            own[name] = self.numbers[name].checked(repr(self), name, value)
        return self.Hyper(*inner, **own)

    def inner(self, hyper: Any) -> Any:
        """The numbers of the rule inside."""
        check_hyper(self, hyper)
        return self.rule.Hyper(*hyper[: len(self.rule.Hyper._fields)])

    def own(self, state: Any) -> Any:
        """The wrapper's state, refused when it is another's."""
        check_state(repr(self), state, self.State)
        return state

    @abstractmethod
    def init(self, params: PyTree) -> Any:
        """State before the first step."""

    @abstractmethod
    def step(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> tuple[PyTree, Any]:
        """One step: the new parameters and the new state."""

    def effective_lr(self, hyper: Any, state: Any) -> PyTree:
        """E of the step that led to ``state``, per coordinate."""
        return self.rule.effective_lr(self.inner(hyper), self.own(state).rule)

    def direction(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> PyTree:
        """Direction of the same step: takes the state *after* it and the parameters *before* it."""
        return self.rule.direction(self.inner(hyper), params, self.own(state).rule, grads)

    def decay(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> PyTree:
        """What decoupled weight decay alone removes in that step."""
        return self.rule.decay(self.inner(hyper), params, self.own(state).rule, grads)

    def penalty(self, hyper: Any, params: PyTree, state: Any) -> PyTree:
        """What coupled weight decay adds to the gradient the rule inside is given, in the units of the direction."""
        return self.rule.penalty(self.inner(hyper), params, self.own(state).rule)

    def scale(self, hyper: Any, state: Any) -> PyTree | None:
        """The estimate of the gradient's size of the rule inside."""
        return self.rule.scale(self.inner(hyper), self.own(state).rule)

    def clip_factor(self, hyper: Any, params: PyTree, state: Any, grads: PyTree) -> PyTree | None:
        """What this step's gradient was multiplied by in clipping, one entry a tensor or one each; ``None`` without."""
        if isinstance(self.rule, Rule):
            return None
        return self.rule.clip_factor(self.inner(hyper), params, self.own(state).rule, grads)

    def moved(self, state: Any) -> Any:
        """Whether the step that led to ``state`` was one: ``True`` for rules, and false where a wrapper only gathered."""
        return True if isinstance(self.rule, Rule) else self.rule.moved(self.own(state).rule)

    def leaves(self, params: PyTree, grads: PyTree) -> tuple[Any, list[Any]]:
        """The structure of params and the gradients in its order, ``None`` among them.

        Raises
        ------
        TypeError
            For a sparse gradient.
        """
        structure = jax.tree.structure(params)
        found = flatten_like(repr(self), structure, params, grads, "grads")
        if any(isinstance(g, SparseGradient) for g in found):
            raise TypeError(f"{self!r} takes dense gradients: give .todense() of a sparse one")
        return structure, found


def unwrapped(rule: Rule | Wrapper, hyper: Any) -> tuple[list[tuple[Any, dict[str, Any]]], Rule, Any]:
    """The wrappers with their own numbers, the outermost first; the rule inside, and its numbers."""
    around = []
    while isinstance(rule, Wrapper):
        around.append((rule, {name: getattr(hyper, name) for name in rule.numbers}))
        hyper, rule = rule.inner(hyper), rule.rule
    return around, rule, hyper


def bare(rule: Any) -> Any:
    """The rule inside all wrappers."""
    return bare(rule.rule) if isinstance(rule, Wrapper) else rule


def innermost(rule: Rule | Wrapper, hyper: Any) -> tuple[Rule, Any]:
    """The rule inside all wrappers, with its numbers."""
    return unwrapped(rule, hyper)[1:]
