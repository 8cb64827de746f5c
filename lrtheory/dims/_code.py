"""What the code of a function names and takes, without running it."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any


def texts(code: CodeType) -> Iterator[str]:
    """Names of its attributes and globals, and its texts."""
    constants = [*code.co_consts]
    for constant in constants:
        constants += constant if isinstance(constant, (tuple, frozenset)) else ()
    yield from (*code.co_names, *(x for x in constants if isinstance(x, str)))


def takes(function: Callable[..., Any], argument: str) -> bool:
    """Whether any line of a function, or of those inside it, takes an argument of it."""
    left = [getattr(inspect.unwrap(function), "__code__", None)]
    while left:
        if (code := left.pop()) is None:
            return True  # it has no code to look at
        for taken in (i.argval for i in dis.get_instructions(code) if i.opname.startswith("LOAD")):
            if {argument, "locals"}.intersection(taken if isinstance(taken, tuple) else (taken,)):
                return True
        left += [x for x in code.co_consts if inspect.iscode(x)]
    return False
