"""Optimizers with one thing broken: what every checker must catch before it may be trusted."""

from .controls import CONTROLS, SOUND, Control
from .rules import MUTANTS, Mutant

__all__ = ["CONTROLS", "MUTANTS", "SOUND", "Control", "Mutant"]
