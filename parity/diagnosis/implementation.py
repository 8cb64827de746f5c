"""An implementation as a black box: gradients and an lr in, parameters out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lrtheory import spec
from lrtheory.spec import SpecError

from .probe import AVERAGE, Path, Probe
from .vocabulary import MEMBERS, WORDS, completed
from .words import Words

#: The lr of an implementation whose SPEC gives none and that has no default.
LR = 1e-3

INJECT = "optax.inject_hyperparams"
#: What stands behind the name of an optimizer whose groups have settings of their own.
GROUPED = "+groups"


@dataclass(frozen=True)
class Implementation:
    """One implementation with its arguments."""

    text: str  # what it is called in a sentence
    name: str  # its entry in the vocabulary; one name is one factory
    arguments: Mapping[str, Any]  # all of them, defaults included
    follow: Callable[[Mapping[str, Any], Probe], Path]  # its path with these arguments, in float64
    family: str = ""  # the family that it is read as a member of; its own where it is empty
    defaults: Mapping[str, Any] = field(default_factory=dict)  # those of the arguments that have one
    library: str = "lrtheory"  # torch, schedulefree, optax, keras or lrtheory
    is_schedule: bool = False
    # parts of a composition → the SPEC that is left without them
    without: Mapping[str, str] = field(default_factory=dict)
    tensors: tuple[str, ...] = ()  # that its masks, labels or groups speak of
    own_words: Words | None = None  # of a composition that is a member of a family
    horizon: float = 0.0  # of a schedule whose family is not known

    @property
    def is_known(self) -> bool:
        """Whether its family is known."""
        return bool(self.family) or self.own_words is not None or inner_name(self.name) in WORDS

    @property
    def short(self) -> str:
        """Its name in a sentence."""
        return self.name.partition("+")[0]

    @property
    def words(self) -> Words:
        """Its own names for numbers and switches."""
        name = inner_name(self.name)
        words = MEMBERS.get((name, self.family), Words(self.family)) if self.family else self.own_words or WORDS[name]
        return completed(words, self.library, self.arguments)

    @property
    def spoken(self) -> set[str]:
        """Arguments that its words speak of."""
        words, read = self.words, _Watched(self.arguments)
        for function in words.read.values():
            with contextlib.suppress(Exception):
                function(read)
        named = {a if isinstance(a, str) else a[0] for a in words.numbers.values()} | set(words.write)
        given = {key for option in words.options.values() if isinstance(option, Mapping) for key in option}
        return named | given | read.asked

    def numbers(self) -> dict[str, float]:
        """The family's numbers as the arguments have them.

        Raises SpecError for arguments that are no numbers, or that another is divided by and are 0.
        """
        try:
            return self._numbers()
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError(
                f"{self.text} cannot be diagnosed with these arguments ({type(error).__name__}: {error}): give single "
                "numbers, and no 0 where the next value is taken as a multiple of it"
            ) from error

    def _numbers(self) -> dict[str, float]:
        found = {}
        for name, argument in self.words.numbers.items():
            value = self.arguments[argument] if isinstance(argument, str) else self.arguments[argument[0]][argument[1]]
            if name not in self.words.read:
                found[name] = 0.0 if value is None else float(value)
        return found | {name: read(self.arguments) for name, read in self.words.read.items()}

    def path(self, probe: Probe) -> Path:
        """Its parameters along a probe. Raises SpecError with the cause, where it does not run."""
        try:
            path = self.follow(self.arguments, probe)
        except SpecError:
            raise
        except Exception as error:
            raise SpecError(
                f"{self.text} does not run: {type(error).__name__}: {str(error).splitlines()[0]}"
            ) from error
        # What keeps no average is evaluated at its parameters.
        kept = {AVERAGE.format(key): path[key] for key in probe.start} if probe.averaged else {}
        return {**kept, **path}


class _Watched(dict[str, Any]):
    """Arguments that remember which of them were asked for."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__(arguments)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)


def inner_name(name: str) -> str:
    """The optimizer whose hyperparameters are injected."""
    return name.removeprefix(f"{INJECT}(").removesuffix(")")


def with_arguments(base: Implementation, changes: Mapping[str, Any]) -> Implementation:
    """The same implementation with some arguments changed."""
    return replace(base, arguments={**base.arguments, **changes})


def with_lr_of(base: Implementation, other: Implementation) -> Implementation:
    """A scheduler of torch has no lr but that of its optimizer: where none is given, it is that of the other schedule."""
    if not base.is_schedule or base.arguments.get("lr", 0) is not None:
        return base
    given = other.arguments.get("lr", LR if other.library == "torch" else 0)
    if given == 0 and not (base.is_known and other.is_known):  # no family says what of the other's is the lr
        given = spec.curve(spec.parse(other.text)).peak.lr
    lr = LR if given is None else given if not (base.is_known and other.is_known) else other.numbers()["lr"]
    return with_arguments(base, {"lr": lr})


def of_family(base: Implementation, family: str) -> Implementation:
    """The same implementation as a member of a wider family, where it is one: what it has beside must be 0."""
    if (inner_name(base.name), family) not in MEMBERS:
        return base
    wider = replace(base, family=family)
    return base if any(value for name, value in base.numbers().items() if name not in wider.words.numbers) else wider
