"""Optimizers that are none of our rules: their units are inferred from their own code, and no more is known of them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..dims.dimensions import Dimensions
from ..dims.target import TargetError, infer_target
from ..spec import Spec, SpecError, parse, resolve
from . import written


@dataclass(frozen=True)
class Unruled:
    """A SPEC of which units alone are known."""

    text: str
    spec: Spec
    reason: str
    found: Dimensions
    numbers: Mapping[str, float]
    given: Mapping[str, Any]

    @property
    def framework(self) -> str:
        """Where it comes from."""
        return self.spec.module or self.spec.name.partition(".")[0]

    def rescaled(self, loss: float, params: float, batch: float) -> tuple[dict[str, float], str, list[str]]:
        """Numbers after a change of loss and parameters, how exact that is, and what is not known."""
        from ..laws.scaling.transform import check_scale

        check_scale("loss", loss)
        check_scale("params", params)
        check_scale("batch", batch)
        notes = [
            f"{self.reason}; its units were read from its own code, and its formula, effective lr, bounds and batch rules are not known",
            f"verdict of lrtheory dims: {self.found.verdict}",
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
                f"{self.text} has no law of scale: {self.found.verdict}. Nearest: 'lrtheory dims' shows the line; rescale "
                "what it names by hand, or use a rule that has a law"
            )
        new = {
            name: value * self.found.hyper[name].factor(loss, params) if name in self.found.hyper else value
            for name, value in self.numbers.items()
        }
        powers_of_two = all(math.frexp(scale)[0] == 0.5 for scale in (loss, params))
        return new, "bitwise" if powers_of_two else "exact", notes

    def write(self, new: Mapping[str, float]) -> str:
        """The SPEC with those numbers."""
        shown = {
            **self.given,
            **{
                name: _entry(self.given, name, value)
                for name, value in new.items()
                if value != self.numbers[name] or name in self.given
            },
        }
        name = f"{self.spec.module}:{self.spec.name}" if self.spec.module else self.spec.name
        return written.call(name, shown, "params" if self.framework == "torch" else None)


def _entry(given: Mapping[str, Any], name: str, value: float) -> Any:
    return value if name not in given or isinstance(given[name], (int, float)) else given[name]


def read_unruled(text: str, reason: str) -> Unruled:
    """Infer the units of what a SPEC names.

    Raises
    ------
    SpecError
        If it cannot be looked at.
    """
    try:
        spec = parse(text)
    except SpecError as error:
        raise SpecError(f"{reason}, and units are inferred for single calls alone") from error
    try:
        found = infer_target(text)
    except TargetError as error:
        raise SpecError(f"{reason}, and its units cannot be inferred: {error}") from error
    target = resolve(spec)
    parameters = list(inspect.signature(target).parameters.values())
    if found.target.startswith("torch.") or spec.name.startswith("torch."):
        parameters = parameters[1:]
    given = {**dict(zip([p.name for p in parameters], spec.args, strict=False)), **spec.kwargs}
    values = {p.name: given.get(p.name, p.default) for p in parameters}
    numbers = {}
    for name in found.hyper:
        base, _, position = name.partition("[")
        value = values.get(base)
        if isinstance(value, tuple) and position:
            value = value[int(position.rstrip("]"))]
        if value is inspect.Parameter.empty or value is None:
            value = 1e-3 if name in ("learning_rate", "lr") else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers[name] = float(value)
    return Unruled(text.strip(), spec, reason, found, numbers, given)
