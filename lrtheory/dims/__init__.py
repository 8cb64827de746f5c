"""Units of hyperparameters and state in the base units [loss] and [param]."""

from .units import GRADIENT, LOSS, PARAM, PURE, Units

__all__ = ["GRADIENT", "LOSS", "PARAM", "PURE", "Units"]
