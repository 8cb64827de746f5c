"""One way to run anybody's optimizer: one adapter a framework, imported when it is asked for."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from typing import Any

from lrtheory import rules
from lrtheory.names.optax import ONCE

from .. import table
from ..cases import Case
from ..trajectory import Trajectory

#: Backend name → module and its arguments.
BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lrtheory": ("ours", {}),
    "lrtheory-eager": ("ours", {"eager": True}),
    "torch": ("in_torch", {"implementation": "loop"}),
    "torch-foreach": ("in_torch", {"implementation": "foreach"}),
    "torch-fused": ("in_torch", {"implementation": "fused"}),
    "torch-capturable": ("in_torch", {"implementation": "capturable"}),
    "optax": ("in_optax", {}),
    "keras": ("in_keras", {}),
}


def replay(case: Case, backend: str, mode: str = "free", *, reference: Trajectory | None = None) -> Trajectory:
    """Run a case on a backend.

    Parameters
    ----------
    case : Case
    backend : one of :data:`BACKENDS`
    mode : "free" or "forced"
        Free: the implementation evolves alone. Forced: it is set to the reference's parameters and state before every
        step, which tells a wrong rule from accumulated rounding.
    reference : Trajectory, optional
        For forced replay; torch's plain loop, run freely, unless given, and optax or Keras for a rule that torch lacks.

    Raises
    ------
    KeyError, ValueError
        For an unknown backend or mode.
    Inexpressible
        When the backend cannot express the case, or no other framework has the rule to follow.
    Refused
        When it can, and does not run it.
    """
    if backend not in BACKENDS:
        raise KeyError(f"no backend {backend!r}: there are {', '.join(BACKENDS)}")
    rules.get(case.rule)  # an unknown rule is named as such, not as one that the backend lacks
    if mode not in ("free", "forced"):
        raise ValueError(f"mode={mode!r} must be 'free' or 'forced'")
    if mode == "free" and reference is not None:
        raise ValueError("a free run takes no reference: ask for mode='forced'")
    if mode == "forced" and reference is None:
        followed = table.row(case.rule).reference
        if followed is None:
            raise table.Inexpressible(f"{case.rule} has no counterpart to follow: give a reference")
        reference = replay(case, followed)
    module, arguments = BACKENDS[backend]
    try:
        adapter = importlib.import_module(f".{module}", __package__)
        return adapter.replay(case, reference=reference, **arguments)
    except ModuleNotFoundError as error:
        extra = (error.name or "").split(".")[0]
        if extra not in ("torch", "optax", "keras"):
            raise
        raise ModuleNotFoundError(
            f"backend {backend!r} needs {extra}: pip install 'lrtheory[{extra}]'", name=error.name
        ) from error


@contextlib.contextmanager
def held(read: Callable[[], Any], write: Callable[[Any], Any], value: Any) -> Iterator[None]:
    """A setting of a framework while a run is made; what it was is put back."""
    before = read()
    write(value)
    try:
        yield
    finally:
        write(before)


def forced_fields(rule: str, implementation: str) -> tuple[str, ...]:
    """State fields that forced replay sets before every step, by the name of a trajectory's implementation."""
    row = table.row(rule)
    in_torch, in_optax = (tuple(row.torch.state) if row.torch else ()), tuple(row.optax or ())
    if implementation == "keras":
        return ()
    if implementation == "optax":
        return tuple(field for field in in_optax if field not in ONCE)
    return in_torch or (in_optax if implementation.startswith("lrtheory") else ())
