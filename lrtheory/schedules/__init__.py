"""Learning-rate schedules as closed forms of the step count: one family a file."""

from .compose import chained, sequential
from .constant import constant
from .cosine import cosine_annealing
from .cyclic import cyclic
from .exponential import exponential
from .functions import lambda_lr, multiplicative
from .linear import linear
from .one_cycle import one_cycle
from .plateau import PlateauHyper, PlateauState, plateau
from .polynomial import polynomial
from .schedule import Schedule, get, names, register
from .step import multi_step, step
from .swalr import swalr
from .warm_restarts import cosine_annealing_warm_restarts
from .warmup import constant_with_warmup, inverse_sqrt, linear_with_warmup, polynomial_with_warmup
from .warmup_cosine import cosine_with_restarts_and_warmup, cosine_with_warmup
from .warmup_stable_decay import warmup_stable_decay

__all__ = [
    "PlateauHyper",
    "PlateauState",
    "Schedule",
    "chained",
    "constant",
    "constant_with_warmup",
    "cosine_annealing",
    "cosine_annealing_warm_restarts",
    "cosine_with_restarts_and_warmup",
    "cosine_with_warmup",
    "cyclic",
    "exponential",
    "get",
    "inverse_sqrt",
    "lambda_lr",
    "linear",
    "linear_with_warmup",
    "multi_step",
    "multiplicative",
    "names",
    "one_cycle",
    "plateau",
    "polynomial",
    "polynomial_with_warmup",
    "register",
    "sequential",
    "step",
    "swalr",
    "warmup_stable_decay",
]
