"""Optimizers made old, so that what happens after a thousand steps is seen without taking them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, MutableMapping
from types import CodeType
from typing import Any

import torch

Place = tuple[MutableMapping[Any, Any], Any, Any]

#: Steps that are gone to: past warmups and switches, and round ones, when what happens now and then does.
AGES = (1_000, 100_000)
# Of whole numbers in the optimizer's code, which may be steps of its own: so many, and from so large on.
_OWN, _LARGE = 3, 100


def ages(optimizer: Any) -> list[int]:
    """Those, and the steps that its own code names, with those after."""
    left: list[Any] = [
        getattr(inspect.unwrap(method), "__code__", None)
        for base in type(optimizer).__mro__
        if not base.__module__.startswith(("torch.", "builtins"))
        for method in vars(base).values()
        if inspect.isfunction(method)
    ]
    own: set[int] = set()
    while left:
        constants = getattr(left.pop(), "co_consts", ())
        left += [x for x in constants if isinstance(x, CodeType)]
        own |= {x for x in constants if type(x) is int and _LARGE <= x <= AGES[-1]}
    return sorted({*AGES, *(x + after for x in sorted(own)[:_OWN] for after in (0, 1))})


class Counters:
    """The whole numbers of an optimizer that grow by as much in every step: its own, its groups' and its states'.

    ``counts`` says by name and value what may be one: a sum of lr is none, though it looks like one where lr is 1.
    """

    def __init__(self, optimizer: Any, counts: Callable[[Any, Any], bool]) -> None:
        self._optimizer, self._counts = optimizer, counts
        self.names: set[Any] = set()  # of those that were put forward
        self._seen: list[dict[tuple[int, Any], int]] = []

    def look(self) -> None:
        """Note what they are after a step."""
        now = {(id(holder), key): int(value) for holder, key, value in _whole(self._optimizer)}
        self._seen = [*self._seen[-2:], now]

    def _found(self) -> Iterator[tuple[Place, int]]:
        first, second, last = self._seen
        for place in _whole(self._optimizer):
            at = id(place[0]), place[1]
            if at not in last or not self._counts(*place[1:]):  # the former comes with a late step
                continue
            grows = last[at] - second.get(at, last[at])
            if grows > 0 and at in first and second[at] - first[at] == grows:
                yield place, grows

    def put_forward(self, age: int) -> list[torch.Tensor] | None:
        """Let the next step be the one of that number. The tensors that were written; ``None`` where nothing counts."""
        found = list(self._found())
        for (holder, key, value), grows in found:
            self.names.add(key)
            before = (age - 1) * grows
            if isinstance(value, torch.Tensor):
                with torch.no_grad():
                    value.fill_(before)
            else:
                holder[key] = before
        return [value for (_, _, value), _ in found if isinstance(value, torch.Tensor)] if found else None


def _whole(optimizer: Any) -> Iterator[Place]:
    """Whole numbers, also in tensors of one entry, with where they are kept."""
    left: list[MutableMapping[Any, Any]] = [vars(optimizer), *optimizer.param_groups, optimizer.state]
    visited: set[int] = set()
    while left:
        holder = left.pop()
        if id(holder) in visited:
            continue
        visited.add(id(holder))
        for key, value in list(holder.items()):
            if isinstance(value, MutableMapping):
                left.append(value)
            elif isinstance(value, torch.optim.Optimizer):
                left += [vars(value), *value.param_groups, value.state]
            elif type(value) is int or (isinstance(value, torch.Tensor) and value.ndim == 0 and _is_whole(value)):
                yield holder, key, value


def _is_whole(tensor: torch.Tensor) -> bool:
    return not tensor.is_complex() and bool(torch.isfinite(tensor)) and float(tensor) == int(tensor)
