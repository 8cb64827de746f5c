"""What other frameworks call rules, their hyperparameters and their state: data that needs none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from ..rules import Rule

Entry = TypeVar("Entry")


def find(table: Mapping[str, Entry], rule: Rule) -> Entry | None:
    """What a table by our rules' names says of a rule; ``None`` where the framework has none that is the same."""
    return table.get(rule.name)


def entry(table: Mapping[str, Entry], rule: Rule) -> Entry:
    """The same, of a rule that is known to stand there."""
    found = find(table, rule)
    assert found is not None, f"no {rule!r} in this table"
    return found


class Derived(NamedTuple):
    """A field of our state that another framework keeps in another form: where it stands there, and the way between both.

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

    def lr_inside(self, hyper: Any) -> tuple[str, ...]:
        """What a reader should know where the lr now in force is part of what stands there."""
        if (
            self.back is None
            or not getattr(hyper, "momentum", 1)
            or self.back(1.0, hyper._replace(lr=1.0)) == self.back(1.0, hyper._replace(lr=2.0))
        ):
            return ()
        return (
            f"its {self.key} has the lr inside, and is read at the lr now in force: where a schedule moves the lr, adopt again",
        )
