"""Learning-rate schedules as closed forms of the step count: one family a file."""

from ._schedule import Schedule, declared, get, names, register
from .annealing import cosine_annealing, cosine_annealing_warm_restarts, swalr
from .compose import chained, sequential
from .cycles import cyclic, one_cycle
from .factors import constant, exponential, linear, multi_step, polynomial, step
from .functions import lambda_lr, multiplicative
from .plateau import PlateauHyper, PlateauState, plateau
from .warmup import (
    constant_with_warmup,
    cosine_with_restarts_and_warmup,
    cosine_with_warmup,
    inverse_sqrt,
    linear_with_warmup,
    polynomial_with_warmup,
    warmup_stable_decay,
)

__all__ = [
    "PlateauHyper", "PlateauState", "Schedule", "chained", "constant", "constant_with_warmup", "cosine_annealing",
    "cosine_annealing_warm_restarts", "cosine_with_restarts_and_warmup", "cosine_with_warmup", "cyclic", "declared",
    "exponential", "get", "inverse_sqrt", "lambda_lr", "linear", "linear_with_warmup", "multi_step", "multiplicative",
    "names", "one_cycle", "plateau", "polynomial", "polynomial_with_warmup", "register", "sequential", "step", "swalr",
    "warmup_stable_decay",
]  # fmt: skip
