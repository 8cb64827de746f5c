"""Update rules: one file a rule, all through the same :class:`Rule` type."""

from ._lift import as_array, check_state, compute_dtype, flatten_like
from ._registry import ABSENT, factory_of, get, names, register
from ._rule import ArrayRule, Rule
from ._sparse import SparseGradient
from ._state import COUNT, Slot, state
from ._terms import euclidean_norm, following, lerp, one_minus_power
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
from .rmsprop import RMSpropHyper, RMSpropState, rmsprop
from .rprop import RpropHyper, RpropState, rprop
from .schedule_free import (
    ScheduleFreeAdamWHyper,
    ScheduleFreeAdamWState,
    ScheduleFreeSGDHyper,
    ScheduleFreeSGDState,
    evaluation_params,
    schedule_free_adamw,
    schedule_free_sgd,
)
from .sgd import SGDHyper, SGDState, sgd
from .signum import SignumHyper, SignumState, signsgd, signum
from .sparse_adam import SparseAdamHyper, SparseAdamState, sparse_adam

__all__ = [
    "ABSENT", "COUNT", "ASGDHyper", "ASGDState", "AdaBeliefHyper", "AdaBeliefState", "AdadeltaHyper", "AdadeltaState",
    "AdafactorHyper", "AdafactorState", "AdagradHyper", "AdagradState", "AdamHyper", "AdamState", "AdamaxHyper",
    "AdamaxState", "AdanHyper", "AdanState", "ArrayRule", "LAMBHyper", "LAMBState", "LARSHyper", "LARSState",
    "LionHyper", "LionState", "MuonHyper", "MuonState", "NAdamHyper", "NAdamState", "RAdamHyper", "RAdamState",
    "RMSpropHyper", "RMSpropState", "RpropHyper", "RpropState", "Rule", "SGDHyper", "SGDState",
    "ScheduleFreeAdamWHyper", "ScheduleFreeAdamWState", "ScheduleFreeSGDHyper", "ScheduleFreeSGDState", "SignumHyper",
    "SignumState", "Slot", "SparseAdamHyper", "SparseAdamState", "SparseGradient", "adabelief", "adadelta", "adafactor",
    "adagrad", "adam", "adamax", "adamw", "adan", "as_array", "asgd", "check_state", "compute_dtype", "euclidean_norm",
    "evaluation_params", "factory_of", "flatten_like", "following", "get", "lamb", "lars", "lerp", "lion", "muon", "nadam", "names",
    "one_minus_power", "radam", "register", "rmsprop", "rprop", "schedule_free_adamw", "schedule_free_sgd", "sgd",
    "signsgd", "signum", "sparse_adam", "state",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name.lower() in ABSENT:
        raise AttributeError(ABSENT[name.lower()])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
