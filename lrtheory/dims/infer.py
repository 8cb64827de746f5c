"""Inference for a target of any kind."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..rules import Rule
from ..units import Units
from ..wrappers import Wrapper
from ._rule_reader import infer_rule
from .dimensions import Dimensions


def infer(
    target: Any,
    *,
    hyper: Mapping[str, float] | None = None,
    expected: Mapping[str, Units | str] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    judge: bool = True,
    **options: Any,
) -> Dimensions:
    """Units of every hyperparameter and every piece of state of an update, read from its own program.

    Parameters
    ----------
    target : Rule, wrapped Rule, a callable that returns an optax transformation, a torch.optim.Optimizer class, or a
        callable whose first argument is ``params`` and that returns one
    hyper : mapping of str to float
        For a callable or a class: the numbers to trace, passed to it by name. All its other numbers are constants
        of the program. Not needed for a Rule, whose numbers are known.
    expected : mapping of str to Units or str
        Units that hyperparameters are meant to have: a line that needs others is a break.
    shapes : mapping of str to tuple of int
        Shapes of the parameters; a matrix large enough to be factored and a vector unless given. A law can hold for
        some and not for others.
    judge : bool
        Whether a law that comes out is tried in numbers: the program is run on a problem and on the same problem with
        the loss and the parameters times and over 256, and where the runs disagree the verdict is ``unknown``.
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
    if isinstance(target, (Rule, Wrapper)):
        if options or hyper:
            given = ", ".join([*options, *(hyper or {})])
            raise TypeError(f"{target!r} is a complete rule: give its options to its factory ({given})")
        return infer_rule(target, wanted, shapes, judge=judge)
    if makes_torch_optimizer(target):
        from .torch_reader.infer import infer_torch

        return infer_torch(target, hyper=hyper or {}, expected=wanted, shapes=shapes, judge=judge, **options)
    if callable(target):
        from .optax_reader.infer import infer_optax

        return infer_optax(target, hyper=hyper or {}, expected=wanted, shapes=shapes, judge=judge, **options)
    if isinstance(target, str):
        raise TypeError(f"infer takes an object, not text: lrtheory.dims.target.infer_target({target!r}) reads it")
    raise TypeError(
        f"cannot infer units of {target!r}: give a Rule, a callable that returns an optax transformation, "
        "or a torch.optim.Optimizer class"
    )


def makes_torch_optimizer(target: Any) -> bool:
    """Whether a target is a torch optimizer's class, or a callable that takes ``params`` as one does."""
    if isinstance(target, type):
        return any(base.__module__ == "torch.optim.optimizer" for base in target.__mro__)
    try:
        return next(iter(inspect.signature(target).parameters), None) == "params"
    except (TypeError, ValueError):
        return False
