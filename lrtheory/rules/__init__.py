"""Update rules: one file a rule, all through the same :class:`Rule` type."""

from .adabelief import AdaBeliefHyper, AdaBeliefState, adabelief
from .adadelta import AdadeltaHyper, AdadeltaState, adadelta
from .adafactor import AdafactorHyper, AdafactorState, adafactor
from .adagrad import AdagradHyper, AdagradState, adagrad
from .adam import AdamHyper, AdamState, adam, adamw
from .adamax import AdamaxHyper, AdamaxState, adamax
from .adan import AdanHyper, AdanState, adan
from .asgd import ASGDHyper, ASGDState, asgd
from .lamb import LAMBHyper, LAMBState, lamb
from .lars import LARSHyper, LARSState, lars
from .lion import LionHyper, LionState, lion
from .muon import MuonHyper, MuonState, muon
from .nadam import NAdamHyper, NAdamState, nadam
from .radam import RAdamHyper, RAdamState, radam
from .registry import ABSENT, get, names, register
from .rmsprop import RMSpropHyper, RMSpropState, rmsprop
from .rprop import RpropHyper, RpropState, rprop
from .rule import ArrayRule, Rule
from .schedule_free import evaluation_params
from .schedule_free_adamw import ScheduleFreeAdamWHyper, ScheduleFreeAdamWState, schedule_free_adamw
from .schedule_free_sgd import ScheduleFreeSGDHyper, ScheduleFreeSGDState, schedule_free_sgd
from .sgd import SGDHyper, SGDState, sgd
from .signum import SignumHyper, SignumState, signsgd, signum
from .sparse import SparseGradient
from .sparse_adam import SparseAdamHyper, SparseAdamState, sparse_adam

__all__ = [
    "ASGDHyper",
    "ASGDState",
    "AdaBeliefHyper",
    "AdaBeliefState",
    "AdadeltaHyper",
    "AdadeltaState",
    "AdafactorHyper",
    "AdafactorState",
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
    "MuonHyper",
    "MuonState",
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
    "ScheduleFreeAdamWHyper",
    "ScheduleFreeAdamWState",
    "ScheduleFreeSGDHyper",
    "ScheduleFreeSGDState",
    "SignumHyper",
    "SignumState",
    "SparseAdamHyper",
    "SparseAdamState",
    "SparseGradient",
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "adan",
    "asgd",
    "evaluation_params",
    "get",
    "lamb",
    "lars",
    "lion",
    "muon",
    "nadam",
    "names",
    "radam",
    "register",
    "rmsprop",
    "rprop",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "sgd",
    "signsgd",
    "signum",
    "sparse_adam",
]


def __getattr__(name: str) -> object:
    if name.lower() in ABSENT:
        raise AttributeError(ABSENT[name.lower()])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
