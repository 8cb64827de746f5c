"""The one reader of SPECs: text in, a tree of calls with every argument accounted for, and a rule where it is one of ours."""

from ._optax import as_alias, optax_rule
from ._reading import NoRuleError, Reading
from ._torch import torch_fields, torch_rule
from .curves import Curve, Figure, curve
from .parts import Part, is_schedule, is_torch, part, resolve
from .reading import read
from .text import Spec, SpecError, Unread, call, parse, short, written

__all__ = [
    "Curve",
    "Figure",
    "NoRuleError",
    "Part",
    "Reading",
    "Spec",
    "SpecError",
    "Unread",
    "as_alias",
    "call",
    "curve",
    "is_schedule",
    "is_torch",
    "optax_rule",
    "parse",
    "part",
    "read",
    "resolve",
    "short",
    "torch_fields",
    "torch_rule",
    "written",
]
