"""Update rules: one file a rule, all through the same :class:`Rule` type."""

from .adabelief import AdaBeliefHyper, AdaBeliefState, adabelief
from .adadelta import AdadeltaHyper, AdadeltaState, adadelta
from .adagrad import AdagradHyper, AdagradState, adagrad
from .adam import AdamHyper, AdamState, adam, adamw
from .adamax import AdamaxHyper, AdamaxState, adamax
from .adan import AdanHyper, AdanState, adan
from .asgd import ASGDHyper, ASGDState, asgd
from .lamb import LAMBHyper, LAMBState, lamb
from .lars import LARSHyper, LARSState, lars
from .lion import LionHyper, LionState, lion
from .nadam import NAdamHyper, NAdamState, nadam
from .radam import RAdamHyper, RAdamState, radam
from .registry import get, names, register
from .rmsprop import RMSpropHyper, RMSpropState, rmsprop
from .rprop import RpropHyper, RpropState, rprop
from .rule import ArrayRule, Rule
from .sgd import SGDHyper, SGDState, sgd
from .signum import SignumHyper, SignumState, signsgd, signum

__all__ = [
    "ASGDHyper",
    "ASGDState",
    "AdaBeliefHyper",
    "AdaBeliefState",
    "AdadeltaHyper",
    "AdadeltaState",
    "AdagradHyper",
    "AdagradState",
    "AdamHyper",
    "AdamState",
    "AdamaxHyper",
    "AdamaxState",
    "AdanHyper",
    "AdanState",
    "ArrayRule",
    "LAMBHyper",
    "LAMBState",
    "LARSHyper",
    "LARSState",
    "LionHyper",
    "LionState",
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
    "SignumHyper",
    "SignumState",
    "adabelief",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "adan",
    "asgd",
    "get",
    "lamb",
    "lars",
    "lion",
    "nadam",
    "names",
    "radam",
    "register",
    "rmsprop",
    "rprop",
    "sgd",
    "signsgd",
    "signum",
]
