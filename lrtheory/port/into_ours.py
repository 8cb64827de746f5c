"""State of one of our rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..adopting.adopted import joined
from .errors import PortError
from .targets import same_rule
from .tensors import Source, Tensor


class OurTarget:
    """A rule, or whichever the source has."""

    framework = "lrtheory"
    shapes = None
    hyper: Any = None

    def __init__(self, rule: Any) -> None:
        self.optimizer = rule

    def written(self, tensors: Mapping[str, Tensor], source: Source) -> tuple[Any, tuple[str, ...]]:
        """The state, and notes."""
        first = next(iter(tensors.values()), None)
        if first is None:
            raise PortError("the source has no parameters")
        for name, tensor in tensors.items():
            if self.optimizer is not None:
                same_rule(name, tensor, self.optimizer)
            elif tensor.rule is not first.rule or tensor.hyper != first.hyper:
                raise PortError(
                    f"{name} has {tensor.rule!r} with {tensor.hyper}, and {next(iter(tensors))} {first.rule!r} with {first.hyper}: "
                    "a rule has one set of numbers; port group by group"
                )
        self.optimizer, self.hyper = first.rule, first.hyper
        unknown = {slot: why for tensor in tensors.values() for slot, why in tensor.unknown.items()}
        states = {name: tensor.state for name, tensor in tensors.items()}
        return joined(first.rule, states), tuple(f"{slot} is not known: {why}" for slot, why in unknown.items())

    def weights(self, values: Mapping[str, Any]) -> Any:
        """By name."""
        return dict(values)

    def load(self, state: Any, values: Any) -> None:
        """There is nothing to load it into."""
        raise TypeError("a state of a rule is not loaded into anything: give .state and .params to the next rule.step")
