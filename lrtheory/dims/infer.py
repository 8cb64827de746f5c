"""Inference for a target of any kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from ..units import Units
from .dimensions import Dimensions
from .program import SHAPES, Program, example_params, infer_program


def infer(
    target: Any,
    *,
    hyper: Mapping[str, float] | None = None,
    expected: Mapping[str, Units | str] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    **options: Any,
) -> Dimensions:
    """Units of every hyperparameter and every piece of state of an update, read from its own program.

    Parameters
    ----------
    target : Rule, wrapped Rule, a callable that returns an optax transformation, or a torch.optim.Optimizer class
    hyper : mapping of str to float
        For a callable or a class: the numbers to trace, passed to it by name. All its other numbers are constants
        of the program. Not needed for a Rule, whose numbers are known.
    expected : mapping of str to Units or str
        Units that hyperparameters are meant to have: a line that needs others is a break.
    shapes : mapping of str to tuple of int
        Shapes of the parameters; a matrix large enough to be factored and a vector unless given. A law can hold for
        some and not for others.
    options
        Further arguments of the callable or class, passed as they are.

    Returns
    -------
    Dimensions

    Raises
    ------
    TypeError
        For a target that is none of these.
    """
    wanted = {
        name: units if isinstance(units, Units) else Units.parse(units) for name, units in (expected or {}).items()
    }
    from ..rules import Rule  # rules read units, so units cannot read rules when they are imported
    from ..wrappers.wrapper import Wrapper

    if isinstance(target, (Rule, Wrapper)):
        if options or hyper:
            given = ", ".join([*options, *(hyper or {})])
            raise TypeError(f"{target!r} is a complete rule: give its options to its factory ({given})")
        try:
            return infer_program(rule_program(target, wanted, shapes or SHAPES))
        except (TypeError, ValueError):  # some rules only take matrices, some only sparse gradients
            accepted = shapes or _accepted_shapes(target)
            sparse = _takes_sparse_gradients(target, example_params(accepted))
            return infer_program(rule_program(target, wanted, accepted, sparse=sparse))
    if isinstance(target, type) and any(base.__module__ == "torch.optim.optimizer" for base in target.__mro__):
        from .torch_reader.infer import infer_torch

        return infer_torch(target, hyper=hyper or {}, expected=wanted, shapes=shapes, **options)
    if callable(target):
        from .optax_reader.infer import infer_optax

        return infer_optax(target, hyper=hyper or {}, expected=wanted, shapes=shapes, **options)
    raise TypeError(
        f"cannot infer units of {target!r}: give a Rule, a callable that returns an optax transformation, "
        "or a torch.optim.Optimizer class"
    )


def _accepted_shapes(rule: Any) -> Mapping[str, tuple[int, ...]]:
    """Matrices and vectors, or matrices alone where a rule refuses the rest."""
    try:
        jax.eval_shape(rule.init, example_params(SHAPES))
    except ValueError:
        return {"matrix": SHAPES["matrix"]}
    return SHAPES


def rule_program(
    rule: Any, expected: Mapping[str, Units], shapes: Mapping[str, tuple[int, ...]], *, sparse: bool = False
) -> Program:
    """A Rule's own functions, with its numbers traced."""
    from ..rules import SparseGradient

    values = _defaults(rule)
    defaults = rule.Hyper(**{name: values.get(name, 1.0) for name in rule.Hyper._fields})
    hyper = {name: value for name, value in zip(defaults._fields, defaults, strict=True) if value is not None}

    def step(numbers: Any, state: Any, grads: Any, params: Any, extra: Any) -> Any:
        if sparse:
            grads = jax.tree.map(SparseGradient.from_dense, grads)
        return rule.step(defaults._replace(**numbers), params, state, grads)

    return Program(
        target=repr(rule),
        init=lambda numbers, params: rule.init(params),
        step=step,
        hyper=hyper,
        params=example_params(shapes),
        expected=expected,
        notes=("sparse gradients",) if sparse else (),
    )


def _defaults(rule: Any) -> dict[str, Any]:
    """Defaults of a rule's numbers, or of a wrapper's and the rule's inside."""
    if hasattr(rule, "array_rule"):
        return {**rule.Hyper._field_defaults, **rule.array_rule.defaults}
    own = {name: number.default for name, number in rule.numbers.items() if number.default is not None}
    return {**_defaults(rule.rule), **own}


def _takes_sparse_gradients(rule: Any, params: Any) -> bool:
    """Whether the rule refuses a dense gradient for a sparse one."""
    try:
        jax.eval_shape(lambda p: rule.step(rule.hyper(), p, rule.init(p), p), params)
    except TypeError as error:
        return "sparse gradients" in str(error)
    except ValueError:
        return False
    return False
