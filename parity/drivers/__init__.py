"""One adapter a framework, imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from lrtheory import rules

from .. import table
from ..cases import Case
from ..trajectory import Trajectory

#: Backend name → module and its arguments.
BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lrtheory": ("lrtheory_backend", {}),
    "lrtheory-eager": ("eager_backend", {}),
    "torch": ("torch_backend", {"implementation": "loop"}),
    "torch-foreach": ("torch_backend", {"implementation": "foreach"}),
    "torch-fused": ("torch_backend", {"implementation": "fused"}),
    "torch-capturable": ("torch_backend", {"implementation": "capturable"}),
    "optax": ("optax_backend", {}),
    "keras": ("keras_backend", {}),
}

#: State fields that optax keeps once for all tensors, and that are not forced there: its schedules go by the same count.
ONCE = ("t", "max_lr")


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
        For forced replay; torch's plain loop, run freely, unless given, and optax for a rule that torch lacks.

    Raises
    ------
    KeyError, ValueError
        For an unknown backend or mode.
    Inexpressible
        When the backend cannot express the case.
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
        reference = replay(case, "optax" if table.row(case.rule).torch is None else "torch")
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


def forced_fields(rule: str, implementation: str) -> tuple[str, ...]:
    """State fields that forced replay sets before every step, by the name of a trajectory's implementation."""
    row = table.row(rule)
    if implementation == "optax":
        return tuple(field for field in (row.optax.state if row.optax else ()) if field not in ONCE)
    if implementation == "keras":
        return ()
    elsewhere = (row.torch or row.optax) if implementation.startswith("lrtheory") else row.torch
    return tuple(elsewhere.state) if elsewhere else ()
