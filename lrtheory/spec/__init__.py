"""The one reader of SPECs: text in, a tree of calls with every argument accounted for, and a rule where it is one of ours."""

from ._formula import Formula
from ._keras import read_keras
from ._keras_backend import load_keras
from ._names import is_schedule, is_scheduler, is_torch, resolve
from ._optax import as_alias, optax_rule, read_optax
from ._own import read_own
from ._reading import NoRuleError, Reading
from ._torch import read_torch, torch_fields, torch_rule
from .curves import Curve, Figure, counts, curve
from .parts import CHOSEN, Part, groups, part
from .text import Spec, SpecError, Unread, call, parse, short, written

__all__ = [
    "CHOSEN", "Curve", "Figure", "Formula", "NoRuleError", "Part", "Reading", "Spec", "SpecError", "Unread",
    "as_alias", "call", "counts", "curve", "groups", "is_schedule", "is_scheduler", "is_torch", "load_keras",
    "optax_rule", "parse", "part", "read", "resolve", "short", "torch_fields", "torch_rule", "written",
]  # fmt: skip


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
    readers = {"torch": read_torch, "optax": read_optax, "keras": read_keras}
    reader = read_own if spec.is_rule else readers.get(spec.name.partition(".")[0])
    if spec.module is not None and is_schedule(spec):
        return read_torch(spec)
    if reader is None or spec.module is not None:
        raise NoRuleError(f"{short(spec.text)} is none of the rules of this package, torch.optim, optax or Keras")
    if reader is not read_torch and is_schedule(spec):
        raise NoRuleError(f"{short(spec.text)} is a schedule, whose optimizer is not given")
    return reader(spec)
