"""The line of the user's program that a traced equation or a Python call comes from."""

from __future__ import annotations

import linecache
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jax

from .._kernel.equations import Location, Origin

_STANDARD_LIBRARY = str(Path(sysconfig.get_paths()["stdlib"]))
_HERE = str(Path(__file__).parents[1])
_JAX = str(Path(jax.__file__).parent)
_CALLERS_SHOWN = 4


@cache
def is_program(file: str) -> bool:
    """Whether a file is the program looked at, and not jax, the standard library or this package's own machinery."""
    if file.startswith(("<frozen", _JAX, _HERE)) or "jaxlib" in Path(file).parts:
        return False
    return "site-packages" in file or not file.startswith(_STANDARD_LIBRARY)


def locate(frames: Iterable[tuple[str, int, str]], keep: Callable[[str], bool] = is_program) -> Location | None:
    """The innermost frame of the program, with those that called it; frames are (file, line, function)."""
    kept = [frame for frame in frames if keep(frame[0])][: _CALLERS_SHOWN + 1]
    if not kept:
        return None
    lines = [Location(file, line, function, linecache.getline(file, line).strip()) for file, line, function in kept]
    return lines[0]._replace(callers=tuple(lines[1:]))


@dataclass(frozen=True)
class EquationOrigin:
    """One equation of a jaxpr. ``call`` is the equation whose body it stands in, when that body is jax's own."""

    eqn: Any
    call: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EquationOrigin) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[int, int]:
        return id(self.eqn), id(self.call.eqn) if self.call else 0

    def location(self) -> Location | None:
        """The line, read from the traceback that jax keeps with every equation."""
        if self.call is not None:
            return self.call.location()
        traceback = self.eqn.source_info.traceback
        if traceback is None:
            return None
        return locate((f.file_name, f.line_num, f.function_name) for f in traceback.frames)


def origin_inside(outer: Origin | None, call: Origin, jaxpr: Any) -> Origin | None:
    """What the equations of an inner program count as: jax's own functions are cached, so their frames may be those
    of another caller, and the calling equation stands for them.
    """
    if outer is not None:
        return outer
    file = getattr(getattr(jaxpr, "debug_info", None), "func_filename", None)
    return call if file is None or not is_program(file) else None
