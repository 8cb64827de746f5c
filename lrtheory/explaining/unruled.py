"""Optimizers that are none of our rules: their units are inferred from their own code, and no more is known of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..dims.dimensions import Dimensions
from ..dims.target import Numbered, quiet, target
from ..rescaling import Change
from ..rescaling.result import of_scales
from ..spec import SpecError, parse, short
from ..words import first_line


@dataclass(frozen=True)
class Unruled:
    """A SPEC of which units alone are known."""

    target: Numbered
    reason: str
    found: Dimensions

    @property
    def _verdict(self) -> str:
        """With files named from their package on."""
        return re.sub(r"\S*site-packages/", "", self.found.verdict)

    def rescaled(self, change: Change) -> tuple[dict[str, float], str, list[str]]:
        """Numbers after a change of loss and parameters, how exact that is, and what is not known."""
        change.check()
        loss, params = change.of_loss, change.params
        text, numbers = self.target.text, self.target.numbers
        notes = [
            f"{self.reason}; its units were read from its own code, and its formula, effective lr, bounds and batch rules are not known",
            f"verdict of lrtheory dims: {self._verdict}",
            *dict.fromkeys((*self.target.notes, *self.found.notes)),
            *change.notes(),
        ]
        if change.examples != 1 or change.length != 1:
            what = "batch size" if change.examples != 1 else "length"
            raise ValueError(
                f"{short(text)}: no rule for another {what} is known for what is none of our rules ({self.reason}). "
                "Nearest: the rule it comes closest to, by name (lrtheory explain adam(...)), and tune lr from there"
            )
        if loss == params == 1:
            return dict(numbers), "bitwise", notes
        lawful = self.found.status in ("proven", "guarded") or (
            self.found.status == "broken" and self.found.surviving_direction == (1, 1) and loss == params
        )
        if not lawful:
            raise ValueError(
                f"{short(text)} has no law of scale: {self._verdict}. Nearest: 'lrtheory dims' shows the line; rescale "
                "what it names by hand, or use a rule that has a law"
            )
        new = {
            name: self.found.hyper[name].rescaled(value, loss, params) if name in self.found.hyper else value
            for name, value in numbers.items()
        }
        return new, of_scales(loss, params), notes


def read_unruled(text: str, reason: str) -> Unruled:
    """Infer the units of what a SPEC names.

    Raises
    ------
    SpecError
        If it cannot be looked at.
    """
    spec = parse(text)
    if spec.module is None and spec.name.startswith("keras."):
        raise SpecError(f"{reason}; units alone are read of torch, optax and the rules of this package")
    try:
        with quiet(spec):
            read = target(spec)
            return Unruled(read, reason, read.infer())
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name in ("torch", "optax"):
            raise
        first = first_line(error)
        raise SpecError(
            first if isinstance(error, SpecError) else f"{reason}, and its units cannot be inferred: {first}"
        ) from error
