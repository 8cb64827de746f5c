"""What the code of a function names and takes, without running it."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

# What takes all arguments at once.
_ALL = ("locals", "vars", "_getframe", "currentframe", "eval", "exec")


def texts(code: CodeType) -> Iterator[str]:
    """Names of its attributes and globals, and its texts."""
    constants = [*code.co_consts]
    for constant in constants:
        constants += constant if isinstance(constant, (tuple, frozenset)) else ()
    yield from (*code.co_names, *(x for x in constants if isinstance(x, str)))


def codes(code: CodeType) -> Iterator[CodeType]:
    """It and those of the functions inside it."""
    yield code
    for constant in code.co_consts:
        yield from codes(constant) if inspect.iscode(constant) else ()


def takes(function: Callable[..., Any], argument: str) -> bool:
    """Whether any line of a function, or of those inside it, takes an argument of it."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__wrapped__"):
        return True  # it has no code to look at, or passes its arguments on and may look at them
    taken = (i.argval for c in codes(code) for i in dis.get_instructions(c) if "LOAD" in i.opname)
    return any({argument, *_ALL}.intersection(x if isinstance(x, tuple) else (x,)) for x in taken)
