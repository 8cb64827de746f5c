"""The learning rates in hyperparameters, of one rule or of groups."""

from __future__ import annotations

from typing import Any


def lrs(hyper: Any) -> Any:
    """The lr of a rule's hyperparameters; of those of groups a dict by label, without what is frozen."""
    if "lr" in hyper._fields:
        return hyper.lr
    return {name: lrs(part) for name, part in hyper._asdict().items() if hasattr(part, "_fields")}


def with_lrs(hyper: Any, values: Any) -> Any:
    """The hyperparameters with other learning rates, in the form of :func:`lrs`."""
    if "lr" in hyper._fields:
        return hyper._replace(lr=values)
    return hyper._replace(**{name: with_lrs(getattr(hyper, name), value) for name, value in values.items()})
