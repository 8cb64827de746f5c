"""Units of hyperparameters and state in the base units [loss] and [param], inferred from an update's own program."""

from ..units import GRADIENT, LOSS, PARAM, PURE, Units
from ._kernel.equations import Location
from .dimensions import Break, Dimensions, GuardFound
from .infer import infer

__all__ = ["GRADIENT", "LOSS", "PARAM", "PURE", "Break", "Dimensions", "GuardFound", "Location", "Units", "infer"]
