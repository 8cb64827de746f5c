"""A rule of ours as a transformation of optax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from ..adopting.optax_row import Ours
from ..groups import lrs, with_lrs
from ..numbers import check_rule
from ..rules import Rule, following
from ._change import change

PyTree = Any


class TransformationState(NamedTuple):
    """State of a transformation made of a rule; ``optax.tree.get`` finds all of it by name."""

    count: Array
    """Steps taken: what schedules are asked for."""
    learning_rate: Any
    """The lr of the last step; before the first, that of the first. Of groups a dict by label."""
    hyper: Any
    """All hyperparameters of that step by our names, lr among them."""
    rule_state: Any
    """That of the rule."""
    last_lr: Any
    """The lr as it was left: whichever of ``learning_rate`` and ``hyper.lr`` differs from it has been written since."""
    given: tuple[Array, ...]
    """All hyperparameters as the transformation was given them: one that it is given otherwise by now, as
    ``optax.inject_hyperparams`` does, comes before what is kept here."""


@dataclass(frozen=True, eq=False)
class Transformation(Ours):
    """A rule with its hyperparameters as they were given, schedules among them; ``init`` and ``update`` are optax's functions."""

    rule: Any
    numbers: Mapping[str, Any]

    @property
    def first(self) -> Any:
        """The hyperparameters of the first step, as they were given."""
        now, _ = _at(self.numbers, jnp.int32(0))
        return self.rule.hyper(**now)

    def given(self, count: Any) -> tuple[Any, tuple[Array, ...], list[bool]]:
        """The hyperparameters that were given, at a step: their structure, values, and which are schedules."""
        now, moving = _at(self.numbers, count)
        leaves, structure = jax.tree.flatten(self.rule.hyper(**now))
        values = tuple(jnp.asarray(value, jnp.result_type(float)) for value in leaves)
        return structure, values, [id(leaf) in moving for leaf in leaves]

    def upcoming(self, state: TransformationState) -> Any:
        """The hyperparameters of the next step: what a schedule or another call gives, what was written, what is kept."""
        newest = lambda new, last, kept: jnp.where(new != last, new, kept)  # noqa: E731
        lr = jax.tree.map(newest, state.learning_rate, state.last_lr, lrs(state.hyper))
        structure, values, moving = self.given(state.count)
        kept = jax.tree.leaves(with_lrs(state.hyper, lr))
        columns = zip(values, state.given, kept, moving, strict=True)
        found = [new if moves else newest(new, old, own) for new, old, own, moves in columns]
        return structure.unflatten([value.astype(new.dtype) for value, new in zip(found, values, strict=True)])

    def init(self, params: PyTree) -> TransformationState:
        """State before the first step."""
        structure, values, _ = self.given(jnp.int32(0))
        hyper = structure.unflatten(values)
        return TransformationState(jnp.int32(0), lrs(hyper), hyper, self.rule.init(params), lrs(hyper), values)

    def update(
        self, updates: PyTree, state: TransformationState, params: PyTree = None, **extra: Any
    ) -> tuple[PyTree, TransformationState]:
        """The change of the parameters, and the new state."""
        if params is None:
            raise ValueError(f"{self.rule!r} needs the parameters: tx.update(grads, state, params)")
        if not isinstance(state, TransformationState):
            raise TypeError(f"{self.rule!r} takes a TransformationState from tx.init, not {type(state).__name__}")
        hyper = self.upcoming(state)
        changes, rule_state = change(self.rule, hyper, params, state.rule_state, updates)
        moved = True if isinstance(self.rule, Rule) else self.rule.moved(rule_state)
        count = jnp.where(moved, following(state.count), state.count)
        values = self.given(state.count)[1]
        return changes, TransformationState(count, lrs(hyper), hyper, rule_state, lrs(hyper), values)


def transformation(rule: Any, lr: Any = None, **numbers: Any) -> optax.GradientTransformationExtraArgs:
    """A rule, or a wrapped one, as a transformation: any loop that takes optax's runs it.

    After ``optax.apply_updates`` the parameters are those of ``rule.step``: bit for bit in float32 and float64 where the rule
    ends in a subtraction from the parameter, operation by operation (XLA's optimiser may contract a product and a sum in
    one program and not in another, which is one unit in the last place). The updates have all bits of the step, also those
    below the last place of the parameter. Some rules multiply the parameter by 1 − lr·weight_decay before they subtract, as
    torch does: adafactor, adan, asgd, muon, and decoupled nadam and radam. Added at once, their step is rounded once less, and
    a parameter comes out within one unit in the last place of the larger of old and new; ``adan(proximal=True)``, which
    divides last, within two. docs/optax.md has what was measured.

    Parameters
    ----------
    rule : Rule, Wrapper or Groups
    lr : scalar, or a function of the count
        A schedule of ours or of optax. The default of the rule unless given.
    **numbers
        The other hyperparameters by our names, each a scalar or a function of the count; of groups as
        :meth:`lrtheory.groups.Groups.hyper` takes them.

    Returns
    -------
    optax.GradientTransformationExtraArgs
        Its state is a :class:`TransformationState`. ``optax.tree.get(state, "learning_rate")`` is the lr in force, and each other
        hyperparameter is found by its name. One that is no schedule may be written there, as with ``optax.inject_hyperparams``.
        An update has the dtype of its gradient, or of its parameter where that is wider, as optax's own have: of half precision, it
        is rounded so that the parameter comes out as that of ``rule.step``, where half precision has such an update. Gradients in float32 make that
        certain. A parameter whose gradient is ``None`` has an update of zeros.

    Raises
    ------
    TypeError
        For what is no rule, an unknown hyperparameter, or a function that is no schedule.
    ValueError
        For a hyperparameter outside its range or with more than one value, and at an update without ``params``.

    Examples
    --------
    >>> from lrtheory import rules, schedules
    >>> tx = transformation(rules.adam(), lr=schedules.cosine_annealing(lr=0.5, T_max=10), beta2=0.95)
    >>> params = {"w": jnp.ones(2)}
    >>> state = tx.init(params)
    >>> updates, state = tx.update({"w": jnp.array([3.0, -0.1])}, state, params)
    >>> optax.apply_updates(params, updates)["w"].round(5).tolist(), float(optax.tree.get(state, "learning_rate"))
    ([0.5, 1.5], 0.5)
    """
    check_rule("transformation", rule)
    given = dict(numbers) if lr is None else {"lr": lr, **numbers}
    made = Transformation(rule, _checked(repr(rule), given))
    made.first  # noqa: B018  (refuses what is unknown or out of range, now)
    return optax.GradientTransformationExtraArgs(made.init, made.update)  # type: ignore[arg-type]


def _at(numbers: Mapping[str, Any], count: Any) -> tuple[dict[str, Any], set[int]]:
    """The hyperparameters with the values that schedules have at a step, and which those are."""
    now, moving = dict[str, Any](), set[int]()
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            now[name], inside = _at(value, count)
            moving |= inside
        elif callable(value):
            now[name] = jnp.asarray(value(count))
            moving.add(id(now[name]))
        else:
            now[name] = value
    return now, moving


def _checked(owner: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters, each one number or a function that gives one when the count is traced."""
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            _checked(f"{owner}: {name}", value)
            continue
        if not callable(value):
            if np.ndim(value):
                raise ValueError(
                    f"{owner}: {name} has shape {np.shape(value)}; give one number, or a function of the count"
                )
            continue
        try:
            found = jax.eval_shape(value, jax.ShapeDtypeStruct((), jnp.int32))
            fits = found.shape == () and jnp.issubdtype(found.dtype, jnp.number)
        except Exception as error:
            said = str(error).partition("\n")[0]
            raise TypeError(
                f"{owner}: {name}={value!r} is no schedule: of a traced count it makes {type(error).__name__}: {said}"
            ) from error
        if not fits:
            raise TypeError(
                f"{owner}: {name}={value!r} gives {found.dtype} of shape {found.shape}; a schedule gives one real number"
            )
    return dict(numbers)
