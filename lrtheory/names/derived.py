"""A field of our state that another framework keeps in another form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Derived(NamedTuple):
    """Where it stands there, and the way between both.

    Attributes
    ----------
    key : str
        Its name there.
    make : callable
        Ours, of theirs; what else it is given is said by the table that it stands in.
    back : (ours, hyper) -> theirs, or None
        ``None`` where the key has it from another field already.
    """

    key: str
    make: Callable[..., Any]
    back: Callable[[Any, Any], Any] | None = None
