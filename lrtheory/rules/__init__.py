"""Update rules: one file a rule, all through the same :class:`Rule` type."""

from .adadelta import AdadeltaHyper, AdadeltaState, adadelta
from .adagrad import AdagradHyper, AdagradState, adagrad
from .adam import AdamHyper, AdamState, adam, adamw
from .adamax import AdamaxHyper, AdamaxState, adamax
from .asgd import ASGDHyper, ASGDState, asgd
from .nadam import NAdamHyper, NAdamState, nadam
from .radam import RAdamHyper, RAdamState, radam
from .registry import get, names, register
from .rmsprop import RMSpropHyper, RMSpropState, rmsprop
from .rprop import RpropHyper, RpropState, rprop
from .rule import ArrayRule, Rule
from .sgd import SGDHyper, SGDState, sgd

__all__ = [
    "ASGDHyper",
    "ASGDState",
    "AdadeltaHyper",
    "AdadeltaState",
    "AdagradHyper",
    "AdagradState",
    "AdamHyper",
    "AdamState",
    "AdamaxHyper",
    "AdamaxState",
    "ArrayRule",
    "NAdamHyper",
    "NAdamState",
    "RAdamHyper",
    "RAdamState",
    "RMSpropHyper",
    "RMSpropState",
    "RpropHyper",
    "RpropState",
    "Rule",
    "SGDHyper",
    "SGDState",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "asgd",
    "get",
    "nadam",
    "names",
    "radam",
    "register",
    "rmsprop",
    "rprop",
    "sgd",
]
