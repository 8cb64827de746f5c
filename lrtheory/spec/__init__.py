"""The one reader of SPECs: text in, a tree of calls with every argument accounted for, and a rule where it is one of ours."""

from ._formula import Formula
from ._keras_backend import load_keras
from ._optax import as_alias, optax_rule
from ._reading import NoRuleError, Reading
from ._torch import torch_fields, torch_rule
from .curves import Curve, Figure, counts, curve
from .parts import CHOSEN, Part, groups, is_schedule, is_scheduler, is_torch, part, resolve
from .reading import read
from .text import Spec, SpecError, Unread, call, parse, short, written

__all__ = [
    "CHOSEN",
    "Curve",
    "Figure",
    "Formula",
    "NoRuleError",
    "Part",
    "Reading",
    "Spec",
    "SpecError",
    "Unread",
    "as_alias",
    "call",
    "counts",
    "curve",
    "groups",
    "is_schedule",
    "is_scheduler",
    "is_torch",
    "load_keras",
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
