"""What is answered: the numbers, how exact they are, and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..rules import Rule
from ..wrappers import Wrapper

Exactness = Literal["bitwise", "exact", "asymptotic", "statistical", "heuristic"]

#: How exact an answer is, from the best to the worst, and what that means.
EXACTNESS: Mapping[Exactness, str] = {
    "bitwise": "the same run bit for bit, scales being powers of two, where nothing over- or underflows",
    "exact": "the same run in real arithmetic, to rounding in floating point",
    "asymptotic": "the same path in the limit of small steps; how far off is stated in the notes",
    "statistical": "the same distribution of runs in the limit of small steps and noise-dominated gradients",
    "heuristic": "an argument without a theorem for this rule: start from it and tune",
}


@dataclass(frozen=True)
class Rescaled:
    """Numbers and state after a change.

    Attributes
    ----------
    rule : Rule or Wrapper
    hyper : NamedTuple, or mapping of tensor to NamedTuple
        The new numbers, by tensor where factors were given so; multiply a schedule of lr by the factor of lr, and see :func:`~lrtheory.rescale_schedule`.
    exactness : one of :data:`EXACTNESS`
        Of the weakest step of the change.
    method : str or None
        What the batch size was changed by, ``"linear"``, ``"sqrt"``, ``"sde"`` or ``"half-life"``; ``None`` without such a change.
    notes : tuple of str
        What was assumed, under which conditions it holds, and what else to change.
    """

    rule: Rule | Wrapper
    hyper: Any
    exactness: Exactness
    method: str | None
    notes: tuple[str, ...]
    _state: Callable[[Any], Any] = field(repr=False)

    def state(self, state: Any) -> Any:
        """State of a run that is changed in mid-run; multiply its parameters by the parameter scale yourself."""
        return self._state(state)


def of_scales(loss: float, params: float) -> Exactness:
    """Bitwise where every factor is a power of two."""
    return "bitwise" if all(math.frexp(scale)[0] == 0.5 for scale in (loss, params)) else "exact"


def weakest(*found: Exactness) -> Exactness:
    """The worst of several."""
    order = list(EXACTNESS)
    return max(found, key=order.index)
