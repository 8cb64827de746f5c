"""New hyperparameters and state for a new loss scale, parameter scale, batch size or length of schedule."""

from .batch import METHODS, BatchRuleWarning
from .change import Change
from .rescale import rescale
from .result import EXACTNESS, Rescaled
from .schedule import rescale_schedule

__all__ = ["EXACTNESS", "METHODS", "BatchRuleWarning", "Change", "Rescaled", "rescale", "rescale_schedule"]
