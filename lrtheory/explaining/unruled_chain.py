"""Chains of optax that are none of our rules: units of all their numbers, inferred from the whole chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..dims.optax_reader.infer import default_numbers, infer_optax
from ..spec import written
from ..spec.read_optax import by_name, parts_of
from ..spec.text import Spec, SpecError, resolve
from .unruled import Unruled


@dataclass(frozen=True)
class _Part:
    """One transformation: its factory, its numbers by their name in the chain, and its other arguments."""

    name: str
    factory: Any
    given: Mapping[str, Any]
    numbers: Mapping[str, float]
    names: Mapping[str, str]
    others: Mapping[str, Any]

    def built(self, numbers: Mapping[str, Any]) -> Any:
        return self.factory(**{name: numbers[self.names[name]] for name in self.numbers}, **self.others)

    def written(self, new: Mapping[str, float]) -> str:
        changed = {n: new[self.names[n]] for n, v in self.numbers.items() if n in self.given or new[self.names[n]] != v}
        return written.call(self.name, {**self.given, **changed})


def read_chain(spec: Spec, reason: str) -> Unruled:
    """Infer the units of a chain; what it returns must move parameters.

    Raises
    ------
    SpecError
        For parts that cannot be built.
    """
    import optax

    parts = [_part(part, str(position)) for position, part in enumerate(parts_of(spec), start=1)]
    names = [name for part in parts for name in part.numbers]
    if len(set(names)) == len(names):  # no two parts have a number of one name: the names alone will do
        parts = [_part(part, "") for part in parts_of(spec)]
    numbers = {part.names[name]: value for part in parts for name, value in part.numbers.items()}

    def factory(**numbers: Any) -> Any:
        return optax.chain(*(part.built(numbers) for part in parts))

    try:
        found = infer_optax(factory, hyper=numbers, target=spec.text)
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpecError(f"{reason}, and its units cannot be inferred: {first}") from error
    return Unruled(
        spec.text, "optax", reason, found, numbers,
        lambda new: f"optax.chain({', '.join(part.written(new) for part in parts)})",
    )  # fmt: skip


def _part(part: Spec, position: str) -> _Part:
    if not part.name.startswith("optax."):
        raise SpecError(f"{part.text}: a chain is made of optax's transformations here")
    given = by_name(part)
    for name, value in given.items():
        if isinstance(value, Spec):
            raise SpecError(
                f"{part.text}: {name}={value.text} is not a number, and units are inferred for numbers alone"
            )
    factory = resolve(part)
    numbers, others, _ = default_numbers(factory, given)
    prefix = f"{position}." if position else ""
    return _Part(part.name, factory, given, numbers, {name: prefix + name for name in numbers}, others)
