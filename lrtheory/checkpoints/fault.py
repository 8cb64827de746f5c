"""What is wrong with a checkpoint, and what was and was not judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..words import listed

#: How many tensors a sentence names.
MOST = 3


@dataclass(frozen=True)
class Fault:
    """Something wrong.

    Attributes
    ----------
    id : str
        Stays the same from version to version.
    level : {"proven", "likely"}
        Whether no sound run leaves such a state, or hardly any.
    text : str
        One sentence.
    fix : str
        What to do.
    where : tuple of str
        Tensors by name; empty where all are meant.
    evidence : mapping
        Figures by name.
    optimizer : str
        Where it is in the checkpoint.
    """

    id: str
    level: Literal["proven", "likely"]
    text: str
    fix: str
    where: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = ""

    def __str__(self) -> str:
        return f"{self.text}\n    {self.fix}"


@dataclass(frozen=True)
class Judgement:
    """What reading a checkpoint shows.

    Attributes
    ----------
    path, kind : str
    optimizers : tuple of mapping
        Of each: ``path``, ``kind``, ``tensors``, ``steps``.
    faults : tuple of Fault
    looked_at : tuple of str
    not_judged : tuple of str
        What would be wrong unseen, and why.
    """

    path: str
    kind: str
    optimizers: tuple[Mapping[str, Any], ...]
    faults: tuple[Fault, ...]
    looked_at: tuple[str, ...]
    not_judged: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing wrong was found in what could be judged."""
        return not self.faults

    def as_json(self) -> dict[str, Any]:
        """In plain types."""
        return asdict(self) | {"sound": self.sound}


@dataclass
class Notes:
    """What the checks gather beside faults."""

    looked_at: list[str] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)


def paired(found: list[tuple[str, str]]) -> str:
    """Slots, and the tensors that they are of."""
    return f"{some([slot for _, slot in found])} of {some([name for name, _ in found])}"


def some(names: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    """A few names, and how many more there are."""
    names = list(dict.fromkeys(names))
    return listed(names) if len(names) <= MOST else f"{', '.join(names[:MOST])} and {len(names) - MOST} more"
