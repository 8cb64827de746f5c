"""Optimizers that are none of our rules: their units are inferred from their own code, and no more is known of them."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..dims.dimensions import Dimensions
from ..dims.target import TargetError, infer_target
from ..spec import written
from ..spec.text import Spec, SpecError, parse, resolve


@dataclass(frozen=True)
class Unruled:
    """A SPEC of which units alone are known."""

    text: str
    framework: str
    reason: str
    found: Dimensions
    numbers: Mapping[str, float]
    write: Callable[[Mapping[str, float]], str]

    @property
    def _verdict(self) -> str:
        """With files named from their package on."""
        return re.sub(r"\S*site-packages/", "", self.found.verdict)

    def rescaled(self, loss: float, params: float, batch: float) -> tuple[dict[str, float], str, list[str]]:
        """Numbers after a change of loss and parameters, how exact that is, and what is not known."""
        from ..theory.scaling import check_scale

        check_scale("loss", loss)
        check_scale("params", params)
        check_scale("batch", batch)
        notes = [
            f"{self.reason}; its units were read from its own code, and its formula, effective lr, bounds and batch rules are not known",
            f"verdict of lrtheory dims: {self._verdict}",
            *self.found.notes,
        ]
        if batch != 1:
            raise ValueError(
                f"{self.text}: no rule for another batch size is known for what is none of our rules ({self.reason}). "
                "Nearest: the rule it comes closest to, by name (lrtheory explain adam(...)), and tune lr from there"
            )
        if loss == params == 1:
            return dict(self.numbers), "bitwise", notes
        lawful = self.found.status in ("proven", "guarded") or (
            self.found.status == "broken" and self.found.surviving_direction == (1, 1) and loss == params
        )
        if not lawful:
            raise ValueError(
                f"{self.text} has no law of scale: {self._verdict}. Nearest: 'lrtheory dims' shows the line; rescale "
                "what it names by hand, or use a rule that has a law"
            )
        new = {
            name: self.found.hyper[name].rescaled(value, loss, params) if name in self.found.hyper else value
            for name, value in self.numbers.items()
        }
        powers_of_two = all(math.frexp(scale)[0] == 0.5 for scale in (loss, params))
        return new, "bitwise" if powers_of_two else "exact", notes


def read_unruled(text: str, reason: str) -> Unruled:
    """Infer the units of what a SPEC names.

    Raises
    ------
    SpecError
        If it cannot be looked at.
    """
    spec = parse(text, nested=True)
    if spec.name == "optax.chain":
        from .unruled_chain import read_chain

        return read_chain(spec, reason)
    try:
        spec = parse(text)
        found = infer_target(text)
    except (SpecError, TargetError) as error:
        raise SpecError(f"{reason}, and its units cannot be inferred: {error}") from error
    target = resolve(spec)
    parameters = list(inspect.signature(target).parameters.values())
    if spec.name.startswith("torch."):
        parameters = parameters[1:]
    given = {**dict(zip([p.name for p in parameters], spec.args, strict=False)), **spec.kwargs}
    values = {p.name: given.get(p.name, p.default) for p in parameters}
    numbers = {}
    for name in found.hyper:
        value = values.get(name)
        if value is inspect.Parameter.empty or value is None:
            value = 1e-3 if name in ("learning_rate", "lr") else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers[name] = float(value)
    return Unruled(
        text.strip(), spec.module or spec.name.partition(".")[0], reason, found, numbers, _written(spec, given, numbers)
    )


def _written(spec: Spec, given: Mapping[str, Any], old: Mapping[str, float]) -> Callable[[Mapping[str, float]], str]:
    def write(new: Mapping[str, float]) -> str:
        changed = {name: value for name, value in new.items() if value != old[name]}
        name = f"{spec.module}:{spec.name}" if spec.module else spec.name
        return written.call(name, {**given, **changed}, "params" if spec.name.startswith("torch.") else None)

    return write
