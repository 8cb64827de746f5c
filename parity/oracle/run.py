"""A case in high precision: the free run, and single steps from the state of an implementation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from lrtheory import rules

from ..cases import Case
from ..dtypes import finfo
from ..trajectory import Trajectory
from .arithmetic import HighPrecision
from .definition import Definition, definition

#: State fields by tensor, in the arithmetic's own numbers.
State = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Truth:
    """A run in high precision.

    Attributes
    ----------
    params : dict
        By tensor name, object arrays of shape (steps + 1, *shape); index 0 is before the first step.
    states : list
        ``steps + 1`` states by tensor name, under the names of :mod:`lrtheory.rules`.
    lrs : array of shape (steps,)
    dtype : str
        Of the case.
    """

    params: dict[str, np.ndarray]
    states: list[State]
    lrs: np.ndarray
    dtype: str

    def rounded(self, dtype: str | None = None) -> Trajectory:
        """The nearest run in a floating dtype (the case's own): every entry rounded once."""
        to = dtype or self.dtype
        states = [
            {
                tensor: {"t": np.asarray(t, np.int32)}
                | {
                    name: rounded(value, to)
                    for name, value in fields.items()
                    if isinstance(value, np.ndarray | Decimal)
                }
                for tensor, fields in state.items()
            }
            for t, state in enumerate(self.states)
        ]
        return Trajectory("oracle", {k: rounded(v, to) for k, v in self.params.items()}, states, self.lrs)


def rounded(values: Any, dtype: str) -> np.ndarray:
    """High-precision numbers in a floating dtype."""
    return np.asarray(np.asarray(values, object).astype(np.float64), dtype)


class Stepper:
    """Steps of one case in one arithmetic.

    Parameters
    ----------
    case : Case
    arithmetic : HighPrecision or one with its operations
    lrs : array of shape (steps,), optional
        The lr of every step, where it is not that of the case.
    held_in : dtype, optional
        Numbers are first rounded to it, as an implementation does that keeps them so; exact floats otherwise.
    step : callable, optional
        In place of the rule's definition.
    """

    def __init__(
        self,
        case: Case,
        arithmetic: Any,
        *,
        lrs: np.ndarray | None = None,
        held_in: str | None = None,
        definition_: Definition | None = None,
    ) -> None:
        rule = rules.get(case.rule)(**case.options)
        self.case, self.arithmetic = case, arithmetic
        self.options = dict(rule.options)
        self.definition = definition_ or definition(rule.name)
        self.gradients = case.gradients()
        hyper = rule.hyper(**case.numbers)
        with jax.enable_x64(True):
            moving = case.schedule.moving(hyper, case.steps)
        self.moving = {name: np.asarray(values, np.float64) for name, values in moving.items()}
        if lrs is not None:
            self.moving["lr"] = np.asarray(lrs)
        numbers = {k: v for k, v in hyper._asdict().items() if v is not None}
        if "eps1" in rule.Hyper._fields and "eps1" not in numbers:
            numbers["eps1"] = float(finfo(case.dtype).eps)
        self._held = lambda x: float(np.asarray(x, held_in)) if held_in else float(x)
        self._numbers = {name: arithmetic.number(self._held(value)) for name, value in numbers.items()}

    def first(self) -> tuple[dict[str, Any], State]:
        """Parameters and state before the first step."""
        params = {name: self.arithmetic.array(value) for name, value in self.case.first_params().items()}
        return params, {name: self.definition.initial(self.arithmetic, p) for name, p in params.items()}

    def step(self, t: int, params: Mapping[str, Any], states: State) -> tuple[dict[str, Any], State]:
        """Step t, counted from 1."""
        a = self.arithmetic
        now = {name: a.number(self._held(values[t - 1])) for name, values in self.moving.items()}
        hyper = SimpleNamespace(**(self._numbers | now))
        after: dict[str, Any] = {}
        kept: State = {}
        for name, p in params.items():
            g = a.array(self.gradients[name][t - 1])
            moved, kept[name] = self.definition.step(a, self.options, hyper, states[name], t, g, p)
            after[name] = _as_array(moved, p)
        return after, kept

    def state_of(self, own: State, kept: Mapping[str, Mapping[str, Any]]) -> State:
        """``own`` with every field that an implementation keeps set to its value."""
        a = self.arithmetic
        state: State = {}
        for tensor, fields in own.items():
            given = kept.get(tensor, {})
            state[tensor] = dict(fields)
            for name, value in fields.items():
                if name in given:
                    exact = a.array(given[name])
                    state[tensor][name] = (
                        exact if isinstance(value, np.ndarray) or hasattr(value, "shape") else exact[()]
                    )
            for name, follows in self.definition.elsewhere.items():
                value = follows({k: a.array(v) for k, v in given.items() if k != "t"})
                if value is not None:
                    state[tensor][name] = value
        return state


def replay(case: Case, *, held_in: str | None = None, definition_: Definition | None = None) -> Truth:
    """The case's free run in sixty digits.

    Parameters
    ----------
    case : Case
        Gradients and first parameters are those of its dtype, taken exactly; so are the numbers.
    held_in : dtype, optional
        Round the numbers to it first.
    definition_ : Definition, optional
        In place of the rule's own.

    Raises
    ------
    KeyError
        For a rule without a definition.
    """
    a = HighPrecision()
    stepper = Stepper(case, a, held_in=held_in, definition_=definition_)
    with a.precision():
        params, state = stepper.first()
        path, states = [params], [state]
        for t in range(1, case.steps + 1):
            params, state = stepper.step(t, params, state)
            path.append(params)
            states.append(state)
    return Truth(
        {name: np.stack([step[name] for step in path]) for name in params}, states, stepper.moving["lr"], case.dtype
    )


def _as_array(value: Any, like: Any) -> Any:
    if isinstance(like, np.ndarray) and not isinstance(value, np.ndarray):
        boxed = np.empty(like.shape, object)
        boxed[...] = value
        return boxed
    return value
