"""Learning-rate schedules as closed forms of the step count: one family a file."""

from .constant import constant
from .cosine import cosine_annealing
from .exponential import exponential
from .linear import linear
from .one_cycle import one_cycle
from .schedule import Schedule, get, names, register
from .step import multi_step, step

__all__ = [
    "Schedule",
    "constant",
    "cosine_annealing",
    "exponential",
    "get",
    "linear",
    "multi_step",
    "names",
    "one_cycle",
    "register",
    "step",
]
