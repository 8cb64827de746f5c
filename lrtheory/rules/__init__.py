"""Update rules: one file a rule, all through the same :class:`Rule` type."""

from .adam import AdamHyper, AdamState, adam, adamw
from .registry import get, names, register
from .rmsprop import RMSpropHyper, RMSpropState, rmsprop
from .rule import ArrayRule, Rule
from .sgd import SGDHyper, SGDState, sgd

__all__ = [
    "AdamHyper",
    "AdamState",
    "ArrayRule",
    "RMSpropHyper",
    "RMSpropState",
    "Rule",
    "SGDHyper",
    "SGDState",
    "adam",
    "adamw",
    "get",
    "names",
    "register",
    "rmsprop",
    "sgd",
]
