"""A live optimizer of torch, optax or Keras read into our terms: rule, numbers in force, state and names, group by group.

Without torch, from plain numbers and NumPy arrays: :func:`group_rule` (class name and options of a group → rule and numbers,
or a reason) and :func:`kept_state` (what torch keeps of one parameter, whole or at some coordinates → the rule's state of it).
"""

from __future__ import annotations

from typing import Any

from ..spec import is_torch
from ._slots import AdoptError, Kept
from .adopted import Adopted, Around, Group
from .torch_group import GroupRule, group_rule, kept_state

__all__ = ["AdoptError", "Adopted", "Around", "Group", "GroupRule", "Kept", "adopt", "group_rule", "kept_state"]


def adopt(
    optimizer: Any,
    state: Any = None,
    params: Any = None,
    *,
    model: Any = None,
    arrays: bool = True,
    steps: int | None = None,
    check: bool = True,
) -> Adopted:
    """Read a live optimizer into our terms; nothing of it is changed.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer, optax transformation, or Keras optimizer
        Of optax also ``(transformation, state)`` or ``(transformation, state, params)``.
    state, params
        Those of an optax transformation; without ``params`` the groups have none, and nothing is checked.
    model : torch module, optional
        Gives the qualified names of parameters.
    arrays : bool
        ``False`` reads rules and numbers alone, and copies no array.
    steps : int, optional
        Steps taken so far, for an optimizer that does not count them: torch's SGD and Muon.
    check : bool
        Of optax: whether one step of ours is run beside one of theirs.

    Returns
    -------
    Adopted
        Its groups have a rule, or a reason why they are opaque.

    Raises
    ------
    TypeError
        For what is no optimizer of the three.
    AdoptError
        For an optax state alone that does not say what its parameters are like.
    """
    if isinstance(optimizer, tuple) and not hasattr(optimizer, "update") and 2 <= len(optimizer) <= 3:
        optimizer, state, params = (*optimizer, params)[:3]
    if is_torch(type(optimizer)):
        from .in_torch import adopt_torch

        return adopt_torch(optimizer, model, arrays=arrays, steps=steps)
    if hasattr(optimizer, "init") and hasattr(optimizer, "update"):
        if state is None:
            raise TypeError("adopt takes an optax transformation with its state: adopt(tx, state, params)")
        from .in_optax import adopt_optax

        return adopt_optax(optimizer, state, params, arrays=arrays, check=check)
    if any(base.__module__.startswith("keras.src.optimizers.") for base in type(optimizer).__mro__):
        from .in_keras import adopt_keras

        return adopt_keras(optimizer, arrays=arrays)
    raise TypeError(
        f"adopt takes a torch.optim.Optimizer, an optax transformation with its state, or a Keras optimizer, not "
        f"{type(optimizer).__name__}"
    )
