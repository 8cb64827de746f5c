"""The Rule type: an update rule written for one array, lifted to pytrees of parameters."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ..numbers import check_hyper
from ..units import Units
from ._lift import Leaves, check_state, check_state_shapes, compute_dtype, narrowed, widened
from ._state import zeros
from ._terms import LAST_COUNT, coupled_decay, decoupled_decay
from .elementwise import is_elementwise
from .facts import Facts

PyTree = Any
Hyper = Any  # a NamedTuple of scalars, one type per rule
State = Any  # a NamedTuple whose fields are pytrees like params, or None where an option switches a slot off


@dataclass(frozen=True, kw_only=True)
class ArrayRule:
    """One update rule for one array, in the symbols of its formula.

    ``h`` is the hyperparameters as 0-d arrays of the dtype the rule computes in, ``s`` the state of
    this array, ``g`` its gradient, ``p`` the array before the step. ``t`` in the state counts steps.

    Attributes
    ----------
    Hyper, State : types
        Made by ``@hyperparameters`` and ``@state`` from declarations; ``t`` is the state's first slot.
    step : h, p, s, g -> (p, state)
    effective_lr : h, s -> E
        E of the step that led to ``s``, with the shape of ``p``.
    direction : h, p, s, g -> d
        d of that step: ``s`` after it, ``p`` before it.
    init : p -> state
        Zeros unless given.
    absent : tuple of str
        Slots that these options switch off: ``None`` in place of an array.
    coupled : bool
        Whether ``weight_decay·p`` is added to the gradient before the rule sees it.
    decoupled : bool
        Whether ``lr·weight_decay·p`` is what weight decay removes, the step itself taking it.
    decay : h, p, s, g -> array
        What decoupled weight decay removes, where it is another; zero for a rule without.
    penalty : h, p -> array
        What coupled weight decay adds to the gradient, for a rule that adds it itself.
    scale : h, s -> array
        The estimate of the gradient's size that eps is added to; ``None`` where the rule has no eps.
    defaults : mapping
        Defaults that differ from those of ``Hyper`` under these options; ``None`` switches one off.
    check : Hyper -> None
        Raises for combinations that no single range can express; sees concrete values only where they are.
    sparse : bool
        Whether ``g`` is a :class:`~lrtheory.rules.SparseGradient`; dense gradients are refused then.
    maximizes : bool
        Whether the rule may be given the option ``maximize``, which negates the gradient before the rule sees it.
    facts : Facts
        What else is known of the rule.
    name : str
        That of the factory, unless given.
    """

    Hyper: Any
    State: Any
    step: Callable[[Hyper, Array, State, Array], tuple[Array, State]]
    effective_lr: Callable[[Hyper, State], Array]
    direction: Callable[[Hyper, Array, State, Array], Array]
    init: Callable[[Array], State] = None  # type: ignore[assignment]
    absent: tuple[str, ...] = ()
    coupled: bool = False
    decoupled: bool = False
    decay: Callable[[Hyper, Array, State, Array], Array] = lambda h, p, s, g: jnp.zeros_like(p)
    penalty: Callable[[Hyper, Array], Array] | None = None
    scale: Callable[[Hyper, State], Array] | None = None
    defaults: Mapping[str, float | None] = field(default_factory=dict)
    check: Callable[[Hyper], None] = lambda hyper: None
    sparse: bool = False
    maximizes: bool = True
    facts: Facts = field(default_factory=Facts)
    name: str = ""

    def __post_init__(self) -> None:
        if self.init is None:
            object.__setattr__(self, "init", functools.partial(zeros, self.State, **dict.fromkeys(self.absent)))

    @property
    def units(self) -> dict[str, str]:
        """Units of every hyperparameter and slot, such as ``"[loss]/[param]"``."""
        numbers = {name: number.units_when(self.decoupled) for name, number in self.Hyper._numbers.items()}
        return numbers | {name: slot.units for name, slot in self.State._slots.items()}

    def completed(self, name: str, maximize: bool) -> ArrayRule:
        """The rule with what is written once for all: its name, the sign of the gradient, and its weight decay."""
        changes: dict[str, Any] = {"name": self.name or name}
        if maximize or self.coupled:

            def given(h: Hyper, p: Array, g: Any) -> Any:
                g = -g if maximize else g
                return g + coupled_decay(h, p) if self.coupled else g

            def taking(function: Callable[..., Any]) -> Callable[..., Any]:
                return lambda h, p, s, g: function(h, p, s, given(h, p, g))

            changes |= {each: taking(getattr(self, each)) for each in ("step", "direction", "decay")}
        if self.coupled:
            changes |= {"penalty": coupled_decay, "coupled": False}
        if self.decoupled:
            changes["decay"] = lambda h, p, s, g: decoupled_decay(h, p)
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Rule:
    """An update rule on pytrees: pure functions of hyperparameters, state, gradients and parameters.

    Made by the factories in :mod:`lrtheory.rules`, once per set of options, so that a Rule compares and hashes
    by identity and can be a static argument of ``jax.jit``.

    Structure is static and numbers are traced: options belong to the factory, hyperparameters are leaves of the
    NamedTuple that :meth:`hyper` returns. One compiled step serves every value, and ``jax.vmap`` runs over any field.

    Half-precision parameters are computed in float32 and rounded once when parameters and state are stored, as
    torch's fused kernels do: a step below half their spacing is lost. Step counts stay at 2³¹ − 1.
    """

    array_rule: ArrayRule
    options: Mapping[str, Any]
    #: Options that are on by default.
    on: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The factory's name."""
        return self.array_rule.name

    @property
    def Hyper(self) -> type:
        """The NamedTuple type of the hyperparameters."""
        return self.array_rule.Hyper

    @property
    def State(self) -> type:
        """The NamedTuple type of the state."""
        return self.array_rule.State

    @property
    def facts(self) -> Facts:
        """What is known of the rule beyond its formula."""
        return self.array_rule.facts

    @property
    def units(self) -> Mapping[str, Units]:
        """Declared units of each hyperparameter and state field."""
        return MappingProxyType({name: Units.parse(text) for name, text in self.array_rule.units.items()})

    @functools.cached_property
    def is_elementwise(self) -> bool:
        """Whether each coordinate moves as it would alone, so that neither shape nor order of a tensor matters to a step.

        Read from the programs of a step of a matrix and of a vector, which then differ in nothing but the shape; false for a
        rule of sparse gradients, which has rows.
        """
        if self.array_rule.sparse:
            return False
        off, scalar = self.array_rule.defaults, jax.ShapeDtypeStruct((), jnp.float32)
        hyper = self.Hyper(*(None if off.get(name, 0) is None else scalar for name in self.Hyper._fields))
        matrix, vector = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((3, 2), (7,)))

        def program(p: Any) -> str:
            """Without blanks, which are where lines are broken."""
            return "".join(str(jax.make_jaxpr(self.step)(hyper, p, jax.eval_shape(self.init, p), p)).split())

        return is_elementwise(self.step, hyper, matrix, jax.eval_shape(self.init, matrix), matrix) and (
            program(matrix).replace("[3,2]", "[7]").replace("(3,2)", "(7,)") == program(vector)
        )

    def __repr__(self) -> str:
        shown = {name: value for name, value in self.options.items() if value is not False or name in self.on}
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def hyper(self, **numbers: Any) -> Hyper:
        """The rule's hyperparameters as a NamedTuple of scalars: PyTorch's names and defaults.

        Raises
        ------
        TypeError
            For a name the rule does not have, or a value that is not a real number.
        ValueError
            For a value outside its range. Traced values cannot be looked at and are not checked.
        """
        rule = self.array_rule
        for name in numbers:
            if name not in rule.Hyper._fields:
                raise TypeError(self._unknown_hyperparameter(name))
        values = {**rule.Hyper._field_defaults, **rule.defaults, **numbers}
        missing = [name for name in rule.Hyper._fields if name not in values]
        if missing:
            raise TypeError(f"{self!r} needs a value for {', '.join(missing)}")
        for name, value in values.items():
            if rule.defaults.get(name, 0) is None:  # one that an option switched off
                if value is not None:
                    raise TypeError(f"{self!r} has no {name}, because its options switched it off")
                continue
            values[name] = rule.Hyper._numbers[name].checked(repr(self), name, value)
        hyper = rule.Hyper(**values)
        rule.check(hyper)
        return hyper

    def init(self, params: PyTree) -> State:
        """State before the first step: a NamedTuple of pytrees like ``params``.

        Raises
        ------
        TypeError
            For parameters that are not real floating-point arrays.
        """
        leaves = Leaves.of(repr(self), params)
        return leaves.join_state(self.State, [self.array_rule.init(p) for p in leaves.params])

    def step(self, hyper: Hyper, params: PyTree, state: State, grads: PyTree) -> tuple[PyTree, State]:
        """One step: the new parameters and the new state.

        Parameters
        ----------
        hyper : NamedTuple from :meth:`hyper`
        state : NamedTuple from :meth:`init` or an earlier step
        grads : like ``params``; ``None`` in place of an array leaves that parameter and its state as they are,
            as torch does for a parameter without a gradient
        params : pytree of real floating-point arrays
        """
        leaves = Leaves.of(repr(self), params, grads, state, self.State, self.array_rule.sparse)
        new_params, new_states, scalars = [], [], self._scalars_by_dtype(hyper)
        for p, g, s in leaves:
            check_state_shapes(repr(self), self.array_rule.init, p, s)
            if g is None:
                new_params.append(p)
                new_states.append(s)
                continue
            dtype = compute_dtype(p)
            h = scalars(dtype)
            counted = widened(s, dtype)._replace(t=jnp.minimum(s.t, LAST_COUNT - 1))
            new_p, new_s = self.array_rule.step(h, p.astype(dtype), counted, g.astype(dtype))
            new_params.append(new_p.astype(p.dtype))
            new_states.append(narrowed(new_s, s))
        return leaves.join(new_params), leaves.join_state(self.State, new_states)

    def effective_lr(self, hyper: Hyper, state: State) -> PyTree:
        """E_t of the step that led to ``state``, per coordinate, like params; nan before the first step.

        The parameters moved by ``−E_t ⊙ d_t − decay``, up to one rounding of each in its own dtype; units are those of
        [param] over those of the direction. E is a secant, the step for a unit of the mean of all gradients so far, and not
        the slope of the step in the next gradient: that is 0 for rules that follow signs, and below 0 for Adamax
        (momentum.adamax-response).
        """
        return self._over_state(self.array_rule.effective_lr, hyper, state)

    def direction(self, hyper: Hyper, params: PyTree, state: State, grads: PyTree) -> PyTree:
        """d_t of the same step, in units of a gradient: takes the state *after* it and the parameters *before* it."""
        return self._over_leaves(self.array_rule.direction, hyper, params, state, grads)

    def decay(self, hyper: Hyper, params: PyTree, state: State, grads: PyTree) -> PyTree:
        """What decoupled weight decay alone removes from ``params`` in that step; zero for coupled decay, which is
        part of the direction.
        """
        return self._over_leaves(self.array_rule.decay, hyper, params, state, grads)

    def penalty(self, hyper: Hyper, params: PyTree, state: State) -> PyTree:
        """What coupled weight decay adds to the gradient, in the units of the direction; zero where there is none."""
        check_state(repr(self), state, self.State)
        penalty = self.array_rule.penalty or (lambda h, p: jnp.zeros_like(p))
        leaves, scalars = Leaves.of(repr(self), params), self._scalars_by_dtype(hyper)
        return leaves.join(
            [penalty(scalars(compute_dtype(p)), p.astype(compute_dtype(p))).astype(p.dtype) for p in leaves.params]
        )

    def scale(self, hyper: Hyper, state: State) -> PyTree | None:
        """The estimate of each gradient coordinate's size that eps is added to (√v̂), or ``None`` without one."""
        return None if self.array_rule.scale is None else self._over_state(self.array_rule.scale, hyper, state)

    def _over_state(self, function: Callable[[Hyper, State], Array], hyper: Hyper, state: State) -> PyTree:
        check_state(repr(self), state, self.State)
        leaves = Leaves.of_state(state)
        results, scalars = [], self._scalars_by_dtype(hyper)
        for s in leaves.states:
            dtype = compute_dtype(*jax.tree.leaves(s))
            results.append(function(scalars(dtype), widened(s, dtype)))
        return leaves.join(results)

    def _over_leaves(
        self,
        function: Callable[[Hyper, State, Array, Array], Array],
        hyper: Hyper,
        params: PyTree,
        state: State,
        grads: PyTree,
    ) -> PyTree:
        leaves = Leaves.of(repr(self), params, grads, state, self.State, self.array_rule.sparse)
        results, scalars = [], self._scalars_by_dtype(hyper)
        for p, g, s in leaves:
            dtype = compute_dtype(p)
            if g is None:
                results.append(jnp.zeros(p.shape, dtype))
            else:
                h = scalars(dtype)
                results.append(function(h, p.astype(dtype), widened(s, dtype), g.astype(dtype)))
        return leaves.join(results)

    def _scalars_by_dtype(self, hyper: Hyper) -> Callable[[Any], Hyper]:
        """The numbers in the dtype that is asked for, made once for all parameters that have it."""
        return functools.cache(lambda dtype: self._scalars(hyper, dtype))

    def _scalars(self, hyper: Hyper, dtype: Any) -> Hyper:
        """The numbers as 0-d arrays of the dtype the rule computes in."""
        check_hyper(self, hyper)
        scalars = []
        for name, value in zip(hyper._fields, hyper, strict=True):
            if (value is None) != (self.array_rule.defaults.get(name, 0) is None):
                raise TypeError(
                    f"{self!r}: {name}={value} does not fit its options; make the hyperparameters with .hyper(...)"
                )
            if value is None:
                scalars.append(None)
                continue
            if jnp.shape(value) != ():
                raise ValueError(
                    f"{self!r}: {name} has shape {jnp.shape(value)}; a step takes a single value. "
                    f"To run many values at once, jax.vmap over the field"
                )
            # A number that is no array yet becomes a constant that Python can see: a term of weight 0 can be left out.
            known = jax.ensure_compile_time_eval() if isinstance(value, float) else contextlib.nullcontext()
            with known:
                scalars.append(jnp.asarray(value, dtype))
        return self.Hyper(*scalars)

    def _unknown_hyperparameter(self, name: str) -> str:
        message = f"{self!r} has no hyperparameter {name!r}: it has {', '.join(self.Hyper._fields)}"
        if name in self.options:
            message += f". {name} is an option: {self.name}({name}=...)"
        if name == "betas":
            message += ". Give beta1= and beta2="
        return message
