"""Diagnosis: the setting in which two implementations of a rule differ."""

from .diagnose import diagnose
from .family import Family
from .implementation import Implementation
from .reading import implementation
from .search import fit
from .told import Change, Diagnosis, size_in_words
from .vocabulary import FAMILIES, WORDS

__all__ = [
    "FAMILIES",
    "WORDS",
    "Change",
    "Diagnosis",
    "Family",
    "Implementation",
    "diagnose",
    "fit",
    "implementation",
    "size_in_words",
]
