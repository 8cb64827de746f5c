"""What a sweep varies: a grid or a list of points, as named columns with one entry a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..groups import Groups
from ..numbers import Range
from ..rules import Rule
from ..wrappers import Wrapper

AnyRule = Rule | Wrapper | Groups

NOT_NUMBERS = ("rule", "loss_scale", "batch_size", "seed")
"""Axes that are no number of a rule."""


@dataclass(frozen=True, eq=False)
class Axes:
    """The runs of a sweep.

    Attributes
    ----------
    coordinates : axis -> its values, in the order of the axes
        A list of points has the one axis ``run`` with the values 0, 1, …
    columns : name -> its value in every run, runs in C order of the axes
        In the column ``rule`` stand labels.
    rules : label -> Rule
    """

    coordinates: Mapping[str, np.ndarray]
    columns: Mapping[str, np.ndarray]
    rules: Mapping[str, AnyRule]
    whole: Axes | None = None
    """What it is a part of: its runs are packed as those of the whole are, and so end at the same bits."""

    def part(self, runs: np.ndarray) -> Axes:
        """Some of the runs, by their places, along the one axis ``run``.

        What :func:`run` gives for them are the results of the whole sweep, to the last bit.
        """
        columns = {name: column[runs] for name, column in self.columns.items()}
        return Axes({"run": np.asarray(runs)}, columns, self.rules, self.whole or self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(len(values) for values in self.coordinates.values())

    @property
    def size(self) -> int:
        """Number of runs."""
        return math.prod(self.shape)


def grid(*, rule: Any, **axes: Any) -> Axes:
    """Every combination of the values.

    Parameters
    ----------
    rule : Rule, sequence of Rules, or mapping of labels to Rules
        Static structure: each has a program of its own.
    **axes
        Any number of the rules, such as ``lr`` or ``beta2``, which every one of them must have (of groups also ``**{"label.lr": ...}``); ``loss_scale`` (what the
        loss is multiplied by), ``batch_size`` (each a program of its own, because a loss need not be a mean),
        ``seed``. A sequence makes an axis; a single value holds for all runs and makes none.

    Raises
    ------
    TypeError
        For values that are no rules or no numbers.
    ValueError
        For an axis without values.

    Examples
    --------
    >>> from lrtheory import rules
    >>> grid(rule=rules.adam(), lr=[1e-3, 1e-2], loss_scale=[1, 10, 100]).shape
    (2, 3)
    """
    rules, labels = _rules(rule)
    columns = {"rule": labels} | {name: _column(name, values) for name, values in axes.items()}
    long = {name: column for name, column in columns.items() if column.ndim}
    shape = tuple(len(column) for column in long.values())
    places = dict(zip(long, np.indices(shape, dtype=np.int64).reshape(len(shape), -1), strict=True))
    size = math.prod(shape)
    values = {n: c[places[n]] if n in long else np.broadcast_to(c, (size,)) for n, c in columns.items()}
    return Axes(long, values, rules)


def points(*, rule: Any, **columns: Any) -> Axes:
    """Runs listed one by one: the i-th run has the i-th value of every column; a single value holds for all runs.

    Parameters
    ----------
    rule, **columns
        As in :func:`grid`.

    Raises
    ------
    ValueError
        For columns of unequal length, or none that is a sequence.
    """
    rules, labels = _rules(rule)
    made = {"rule": labels} | {name: _column(name, values) for name, values in columns.items()}
    lengths = {name: len(column) for name, column in made.items() if column.ndim}
    if len(set(lengths.values())) != 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items()) or "no column is a sequence"
        raise ValueError(f"points needs columns of one length, one entry a run: {said}")
    size = next(iter(lengths.values()))
    return Axes({"run": np.arange(size)}, {n: np.broadcast_to(c, (size,)) for n, c in made.items()}, rules)


def check(axes: Axes, rows: int | None, *, seeded_init: bool) -> None:
    """Refuse axes that mean nothing for these rules and data, before anything is compiled."""
    if axes.size == 0:
        raise ValueError("the sweep has no run: an axis is empty")
    for name in axes.columns:
        if name in NOT_NUMBERS:
            continue
        for label, rule in axes.rules.items():
            if name not in names_of(rule):
                raise TypeError(
                    f"axis {name!r} is no hyperparameter of {label}: it has {', '.join(names_of(rule))}. "
                    f"Beside these a sweep may have the axes {', '.join(NOT_NUMBERS)}"
                )
    for rule in axes.rules.values():
        rule.hyper(**numbers(axes, rule))
    scale = axes.columns.get("loss_scale")
    if scale is not None and not Range(0.0, open_low=True, high=np.finfo(np.float64).max).contains(scale):
        raise ValueError(f"loss_scale={scale[~((scale > 0) & np.isfinite(scale))][0]} must be above 0 and finite")
    for name, low in (("batch_size", 1), ("seed", 0)):
        column = axes.columns.get(name)
        if column is not None and not (np.issubdtype(column.dtype, np.integer) and np.all(column >= low)):
            raise ValueError(f"{name} must hold integers of {low} or more, not {sorted(set(column.tolist()))}")
    if "batch_size" in axes.columns:
        if rows is None:
            raise ValueError("a sweep with a batch_size needs data whose arrays have one example a row")
        if (largest := int(axes.columns["batch_size"].max())) > rows:
            raise ValueError(f"batch_size={largest} is more than the {rows} rows of the data")
    elif "seed" in axes.columns and not seeded_init:
        raise ValueError("seed changes nothing here: give a batch_size, or params as a function of the seed")


def numbers(axes: Axes, rule: AnyRule) -> dict[str, np.ndarray]:
    """The columns that are numbers of the rule."""
    return {name: axes.columns[name] for name in names_of(rule) if name in axes.columns}


def names_of(rule: AnyRule) -> tuple[str, ...]:
    """The hyperparameters of a rule; of groups those of all that have one, and ``label.name`` for one group."""
    if isinstance(rule, Wrapper):
        return (*names_of(rule.rule), *rule.numbers)
    return rule.numbers if isinstance(rule, Groups) else rule.Hyper._fields


def _column(name: str, values: Any) -> np.ndarray:
    """A 1-D array of an axis' values, or a 0-d one of a value that is fixed."""
    column = np.asarray(values)
    if column.ndim > 1 or column.dtype.kind not in "iuf":
        raise TypeError(f"axis {name!r} must be a number or a sequence of numbers, not {values!r}")
    if column.ndim and len(column) == 0:
        raise ValueError(f"axis {name!r} has no values")
    return column


def _rules(rule: Any) -> tuple[Mapping[str, Any], np.ndarray]:
    """Rules by label, and the column of labels: those of a mapping, or what a rule prints as."""
    if isinstance(rule, AnyRule):
        return {repr(rule): rule}, np.array(repr(rule))
    if isinstance(rule, Mapping):
        labels, rules = list(rule), dict(rule)
    elif isinstance(rule, Sequence) and not isinstance(rule, str):
        labels, rules = [repr(entry) for entry in rule], {repr(entry): entry for entry in rule}
    else:
        labels, rules = [], {"": rule}
    for label, entry in rules.items():
        if not isinstance(entry, AnyRule):
            raise TypeError(
                f"rule {label} is {type(entry).__name__}: make one with lrtheory.rules, such as rules.adam()"
            )
    if not labels:
        raise ValueError("axis 'rule' has no values")
    return rules, np.array(labels)
