"""Update rules and learning-rate schedules as pure functions, and the learning rate they really train with."""

from . import dims, effective, rules, schedules

__all__ = ["dims", "effective", "rules", "schedules"]
__version__ = "0.1.0"
