"""From a SPEC to one of our rules with its numbers, and back to code in the SPEC's own framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..rules import Rule
from ..wrappers import Wrapper
from .text import Spec, SpecError, parse


@dataclass(frozen=True)
class Reading:
    """A SPEC understood.

    Attributes
    ----------
    text : str
        The SPEC as it was given.
    framework : str
        ``"lrtheory"``, ``"torch"`` or ``"optax"``.
    rule, hyper : the rule, wrapped as the SPEC has it, and its numbers
    write : (hyper, batch) -> str
        The SPEC with those numbers, for a batch that many times as large (schedules in it are shortened).
    notes : tuple of str
        What was assumed in reading it.
    """

    text: str
    framework: str
    rule: Rule | Wrapper
    hyper: Any
    write: Callable[[Any, float], str]
    notes: tuple[str, ...] = ()


class NoRuleError(SpecError):
    """A SPEC that is none of our rules; its units can be inferred all the same."""


def read(text: str) -> Reading:
    """Understand a SPEC.

    Raises
    ------
    NoRuleError
        For an optimizer that is none of our rules, with what keeps it from being one.
    SpecError
        For what is no SPEC, or a SPEC with arguments that its optimizer does not take.
    """
    spec = parse(text, nested=True)
    if spec.module is None and spec.name.startswith("torch."):
        from .read_torch import read_torch

        return read_torch(spec)
    if spec.module is None and spec.name.startswith("optax."):
        from .read_optax import read_optax

        return read_optax(spec)
    if spec.is_rule or spec.name.startswith("lrtheory."):
        from .read_own import read_own

        return read_own(spec)
    raise NoRuleError(f"{spec.text} is none of the rules of this package, torch.optim or optax")


def made(spec: Spec, rule: Rule | Wrapper, numbers: dict[str, Any]) -> Any:
    """Numbers of a rule, refused in the words of the SPEC."""
    for name, given in numbers.items():
        if isinstance(given, Spec):
            raise SpecError(f"{spec.text}: {name}={given.text} is not a number; give one, names are not evaluated")
    try:
        return rule.hyper(**numbers)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{spec.text}: {error}") from error
