"""Diagnosis: the setting in which two implementations of a rule differ."""

from .diagnose import diagnose
from .family import Family
from .implementation import Implementation, implementation
from .probe import Probe
from .search import Fit, fit
from .told import Change, Diagnosis, size_in_words
from .vocabulary import FAMILIES, WORDS

__all__ = [
    "FAMILIES",
    "WORDS",
    "Change",
    "Diagnosis",
    "Family",
    "Fit",
    "Implementation",
    "Probe",
    "diagnose",
    "fit",
    "implementation",
    "size_in_words",
]
