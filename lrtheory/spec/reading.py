"""From a SPEC to one of our rules with its numbers, and back to code in the SPEC's own framework."""

from __future__ import annotations

from ._keras import read_keras
from ._optax import read_optax
from ._own import read_own
from ._reading import NoRuleError, Reading
from ._torch import read_torch
from .parts import is_schedule
from .text import parse, short


def read(text: str) -> Reading:
    """Understand a SPEC.

    Raises
    ------
    NoRuleError
        For an optimizer that is none of our rules, with what keeps it from being one.
    SpecError
        For what is no SPEC, or a SPEC with arguments that its optimizer does not take.
    """
    spec = parse(text)
    if spec.is_rule and is_schedule(spec):
        raise NoRuleError(f"{short(spec.text)} is a schedule, whose optimizer is not given")
    if spec.is_rule:
        return read_own(spec)
    if spec.module is None and spec.name.startswith("torch."):
        return read_torch(spec)
    if spec.module is None and spec.name.startswith("optax."):
        return read_optax(spec)
    if spec.module is None and spec.name.startswith("keras."):
        return read_keras(spec)
    raise NoRuleError(f"{short(spec.text)} is none of the rules of this package, torch.optim, optax or Keras")
