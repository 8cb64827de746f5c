"""Which group each parameter is in: by patterns of names, or by labels."""

from __future__ import annotations

import fnmatch
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax

PyTree = Any
Pattern = str | re.Pattern[str]

#: How many names an error shows.
SHOWN = 8


def names_of(params: PyTree) -> list[str]:
    """The path to each parameter, its parts joined by dots; a variable of flax NNX has the name of what it is in."""
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path in paths]
    return [name.removesuffix(".value").replace("/", ".") or "params" for name in names]


def shown(names: Sequence[str]) -> str:
    """Names for an error."""
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}" if names else "none"


def names_a_field(label: Any) -> bool:
    """Whether a label can name the field of a group in hyperparameters and state."""
    return isinstance(label, str) and label.isidentifier() and not keyword.iskeyword(label) and label[0] != "_"


@dataclass(frozen=True)
class Patterns:
    """Groups by patterns of names: ``patterns`` by label, and the label of what no pattern matches."""

    patterns: tuple[tuple[str, tuple[Pattern, ...]], ...]
    default: str | None

    def __call__(self, params: PyTree) -> list[str]:
        """The label of each parameter.

        Raises
        ------
        ValueError
            For a pattern that matches nothing, and a parameter that none matches or those of two groups do.
        """
        names, unused = names_of(params), [(label, p) for label, patterns in self.patterns for p in patterns]
        labels = []
        for name in names:
            found = {}
            for label, patterns in self.patterns:
                hit = [pattern for pattern in patterns if _matches(pattern, name)]
                found |= {label: hit[0]} if hit else {}
                unused = [(of, pattern) for of, pattern in unused if of != label or pattern not in hit]
            if len(found) > 1:
                said = " and ".join(f"{_text(pattern)} of {label!r}" for label, pattern in found.items())
                raise ValueError(f"groups: parameter {name} matches {said}; it can be in one group only")
            if not found and self.default is None:
                raise ValueError(
                    f"groups: no pattern matches parameter {name}; give one, or default= a label for the rest"
                )
            labels.append(next(iter(found), self.default))
        if unused:
            label, pattern = unused[0]
            raise ValueError(
                f"groups: pattern {_text(pattern)} of {label!r} matches none of the parameters {shown(names)}"
            )
        return labels


def _matches(pattern: Pattern, name: str) -> bool:
    """Whether a pattern is that of a parameter, or of the part of the tree that it is in."""
    if isinstance(pattern, re.Pattern):
        return pattern.search(name) is not None
    pattern = pattern.replace("/", ".")
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*")


def _text(pattern: Pattern) -> str:
    return repr(pattern if isinstance(pattern, str) else pattern.pattern)


@dataclass(frozen=True, eq=False)
class Labels:
    """Groups by labels: a tree of them like the parameters or the upper part of it, or a function of the parameters."""

    labels: PyTree | Callable[[PyTree], PyTree]

    def __call__(self, params: PyTree) -> list[str]:
        """The label of each parameter.

        Raises
        ------
        ValueError
            For labels that do not fit the parameters.
        """
        labels = self.labels(params) if callable(self.labels) else self.labels
        try:
            spread = jax.tree.map(lambda label, part: jax.tree.map(lambda _: label, part), labels, params)
        except ValueError as error:
            said = str(error).partition("\n")[0]
            raise ValueError(
                f"groups: the labels do not fit the parameters {shown(names_of(params))}: {said}"
            ) from error
        return jax.tree.leaves(spread)


def checked_patterns(patterns: Mapping[str, Any], default: str | None) -> Patterns:
    """Patterns, each label with one or several."""
    if not isinstance(patterns, Mapping):
        raise TypeError(f"groups: patterns must be a mapping from labels to patterns, not {type(patterns).__name__}")
    made = []
    for label, given in patterns.items():
        several = (given,) if isinstance(given, (str, re.Pattern)) else tuple(given)
        for pattern in several:
            if not isinstance(pattern, (str, re.Pattern)):
                raise TypeError(
                    f"groups: pattern {pattern!r} of {label!r} must be text or a compiled regular expression"
                )
        if not several:
            raise ValueError(f"groups: {label!r} has no pattern")
        if label == default:
            raise ValueError(f"groups: {label!r} has patterns, and is the default too")
        made.append((label, several))
    return Patterns(tuple(made), default)
