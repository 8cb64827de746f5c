"""A change as it is asked for: each part of it, and what the parts come to together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..theory.batch import mean_of_means
from ..theory.scaling import check_scale

REDUCTIONS = ("mean", "sum")
HELD = ("decay",)


@dataclass(frozen=True)
class Change:
    """What is changed, as the arguments of :func:`~lrtheory.rescale` have it.

    Attributes
    ----------
    loss, params : float
    batch, accumulation, world_size : float
        What the batch of one process, its number of micro-batches and the number of processes are multiplied by.
    reduction, accumulation_reduction, world_reduction : {"mean", "sum"} or None
        How each of the three is brought together. The last two are as ``reduction`` unless given, and that is a mean.
    method : str or None
    tokens : sequence of int
        Tokens of each micro-batch or process, where the loss goes over from the mean of their means to the mean over all.
    length : float
        What the number of examples of the whole run is multiplied by.
    hold : "decay" or None
    """

    loss: float = 1.0
    params: float = 1.0
    batch: float = 1.0
    reduction: str | None = None
    method: str | None = None
    accumulation: float = 1.0
    accumulation_reduction: str | None = None
    world_size: float = 1.0
    world_reduction: str | None = None
    tokens: Sequence[int] = ()
    length: float = 1.0
    hold: str | None = None

    def __post_init__(self) -> None:
        if hasattr(self.tokens, "tolist"):  # an array
            object.__setattr__(self, "tokens", self.tokens.tolist())  # type: ignore[attr-defined]
        if isinstance(self.tokens, list):
            object.__setattr__(self, "tokens", tuple(self.tokens))

    @property
    def is_none(self) -> bool:
        """Whether nothing is changed."""
        return not self.tokens and all(scale == 1 for scale in self.scales.values())

    @property
    def scales(self) -> Mapping[str, float]:
        """The factors by name."""
        names = ("loss", "params", "batch", "accumulation", "world_size", "length")
        return {name: getattr(self, name) for name in names}

    @property
    def examples(self) -> float:
        """κ: what the number of examples of one step is multiplied by."""
        return _whole(self.batch * self.accumulation * self.world_size)

    @property
    def of_loss(self) -> float:
        """What the gradient's loss is multiplied by, sums over more parts included."""
        sums = [size for size, reduced, _, _ in self._parts if reduced == "sum" and size != 1]
        return _whole(self.loss * math.prod(sums)) if sums else self.loss

    @property
    def steps(self) -> float:
        """What the number of steps of the run is multiplied by."""
        return _whole(self.length / self.examples)

    @property
    def fewer_steps(self) -> float:
        """What counts of steps are divided by."""
        return _whole(self.examples / self.length)

    @property
    def _parts(self) -> tuple[tuple[float, str, str, str], ...]:
        default = self.reduction or "mean"
        return (
            (self.batch, default, "reduction", "the batch"),
            (self.accumulation, self.accumulation_reduction or default, "accumulation_reduction", "micro-batches"),
            (self.world_size, self.world_reduction or default, "world_reduction", "processes"),
        )

    def check(self) -> None:
        """Refuse what is no scale, unknown, or would do nothing.

        Raises
        ------
        ValueError
        """
        for name, scale in self.scales.items():
            check_scale(name, scale)
        for size, _, name, of in self._parts:
            given = getattr(self, name)
            if given is not None and given not in REDUCTIONS:
                raise ValueError(f"{name}={given!r} must be 'mean' or 'sum'")
            if given is not None and size == 1 and name != "reduction":
                raise ValueError(
                    f"{name}={given!r}: the number of {of} stays, so that it changes nothing; leave it out"
                )
        heard = (name == "reduction" or getattr(self, name) is None for size, _, name, _ in self._parts if size != 1)
        if self.reduction == "sum" and not any(heard):  # a mean is what is assumed
            raise ValueError(
                "reduction='sum' is about another batch, and the batch stays: change it, or leave reduction out"
            )
        if self.method is not None and self.examples == 1:
            raise ValueError(
                f"method={self.method!r} is about another batch, and a step has as many examples as before"
            )
        if self.hold is not None and self.hold not in HELD:
            raise ValueError(f"hold={self.hold!r} must be 'decay', or None to keep weight_decay as it is")
        if self.hold is not None and self.examples == self.length == 1:
            raise ValueError(
                f"hold={self.hold!r} is about a run with another batch or length, and both stay: give length=, or leave it out"
            )
        if self.tokens:
            mean_of_means(self.tokens)

    def notes(self) -> list[str]:
        """How the parts were taken, and what they come to."""
        found = []
        changed = [part for part in self._parts if part[0] != 1]
        if len(changed) > 1:
            product = " · ".join(f"{size:g}" for size, *_ in changed)
            found.append(
                f"examples of a step: {product} = {self.examples:g} times as many, {' and '.join(p[3] for p in changed)} taken together"
            )
        for size, reduced, name, of in changed:
            given = getattr(self, name) or self.reduction
            if given is None and name == "reduction":
                found.append(
                    "reduction: the loss is assumed to be a mean over the batch; give reduction='sum' if it is a sum"
                )
            elif given is None:
                found.append(f"{name}: {_ASSUMED[name]}")
            if reduced == "sum":
                found.append(
                    f"{name}: a sum over {of} is {size:g} times the mean, so the loss is rescaled by that as well"
                )
        if self.length != 1:
            found.append(
                f"length: {self.length:g} times the examples, so {self.steps:g} times the steps; step counts of a schedule are "
                "multiplied by that, and averages (betas, momentum) keep their memory "
                + ("in steps" if self.examples == 1 else "as the rule for the batch has it")
            )
        elif self.examples != 1:
            found.append(
                f"{'κ times fewer steps' if self.examples > 1 else '1/κ times as many steps'} make one epoch: see "
                "lrtheory.rescale_schedule for step counts and gammas"
            )
        return [*found, *self._of_tokens()]

    def _of_tokens(self) -> list[str]:
        if not self.tokens:
            return []
        factors, noise = mean_of_means(self.tokens)
        shown = ", ".join(f"{n}: {factor:.4g}" for n, factor in zip(self.tokens, factors, strict=True))
        return [
            "tokens: in a mean of means a token counts n̄/n times as much as in the mean over all tokens, n of its own "
            f"micro-batch: {shown}. Multiply each mean by n/n̄ to have the mean over all, exactly",
            "tokens: hyperparameters stay. The gradient is the same on average where a token's loss does not depend on n, and the "
            f"mean of means has {noise:.4g} times the variance, as if its batch had {1 / noise:.3g} of the tokens",
        ]


_ASSUMED = {
    "accumulation_reduction": "micro-batches are assumed to be averaged, each loss divided by their number; backward() alone adds "
    "them up: then give accumulation_reduction='sum'",
    "world_reduction": "processes are assumed to be averaged, as DistributedDataParallel and FSDP do; give world_reduction='sum' "
    "where they are added up",
}


def _whole(scale: float) -> float:
    """A product of factors that cancel is 1."""
    return 1.0 if math.isclose(scale, 1.0, rel_tol=1e-14) else scale
