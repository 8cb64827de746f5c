"""One row a rule: the options and numbers it is replayed with, and what it is called elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from lrtheory import rules
from lrtheory.names import keras, optax, torch
from lrtheory.names.torch import TorchName
from lrtheory.rules import Rule

Options = Mapping[str, Any]
Numbers = Mapping[str, float]
Variants = tuple[tuple[Options, Numbers], ...]

#: For rules in which the shape of a tensor counts.
EVERY_RANK: Mapping[str, tuple[int, ...]] = {"weight": (5, 4), "bias": (7,), "scalar": (), "kernel": (2, 3, 2)}
MATRICES = {"square": (4, 4), "tall": (7, 3), "wide": (2, 9), "row": (1, 5)}


class Inexpressible(Exception):
    """A backend has no such rule or option; the message says which."""


class Refused(Exception):
    """A backend has the rule and the option and does not run the case; the message is its own."""


@dataclass(frozen=True)
class ReplayRow:
    """How one rule is replayed; a rule without a row is replayed with these defaults.

    Attributes
    ----------
    variants : tuple
        Pairs of options and numbers; without any, every combination of the rule's boolean options is run with its default
        numbers.
    torch : TorchName, optional
        What torch.optim calls it.
    optax, keras : mapping, optional
        Our state field → the name it has there; ``None`` where the rule is not there.
    tensors : mapping, optional
        The shapes of a rule for which they count.
    sparse : bool
        Whether its gradients are sparse: the entries of the stream that are not 0.
    gate : float, optional
        The float64 bound of a rule whose reference works in fewer digits.
    of_lr : float
        What is allowed besides, in the largest lr: torch forms RAdam's ρ as a difference that cancels.
    """

    variants: Variants = ()
    torch: TorchName | None = None
    optax: Mapping[str, str] | None = None
    keras: Mapping[str, str] | None = None
    tensors: Mapping[str, tuple[int, ...]] | None = None
    sparse: bool = False
    gate: float | None = None
    of_lr: float = 0.0

    @property
    def reference(self) -> str | None:
        """The backend that forced replay follows, or ``None`` where no other framework has the rule."""
        return next((name for name in ("torch", "optax", "keras") if getattr(self, name) is not None), None)


def _every(options: Sequence[Options], numbers: Sequence[Numbers]) -> Variants:
    """Every set of options with every set of numbers."""
    return tuple(product(options, numbers))


UP = {"maximize": True}
DECOUPLED = {"decoupled": True}
NESTEROV = {"nesterov": True}
_UP_OR_DOWN = ({}, UP)

# Coupled decay feeds the parameters back through the normalisation, and that loop amplifies rounding: at lr 0.01 and
# beta1 0 torch and optax drift apart by up to 4e-13 of travel, while forced replay holds both to 1e-14. Beside coupled
# decay the lr is therefore small.
_ADAM_NUMBERS = (
    {"lr": 0.1},
    {"lr": 0.001, "weight_decay": 0.02},
    {"lr": 0.1, "beta1": 0.0, "beta2": 0.95, "eps": 1e-2},
    {"lr": 0.001, "beta1": 0.5, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1},
)

_VARIANTS: Mapping[str, Variants] = {
    "sgd": (
        ({}, {"lr": 0.1}),
        ({}, {"lr": 0.1, "weight_decay": 0.02}),
        ({}, {"lr": 0.1, "momentum": 0.9}),
        ({}, {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}),
        ({}, {"lr": 0.1, "momentum": 0.8, "dampening": 0.4, "weight_decay": 0.02}),
        (NESTEROV, {"lr": 0.1, "momentum": 0.9}),
        (NESTEROV, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.02}),
        (UP, {"lr": 0.1}),
        (UP, {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.02}),
        (UP | NESTEROV, {"lr": 0.1, "momentum": 0.9}),
    ),
    "adam": _every(
        [
            up | decoupled | amsgrad
            for up in _UP_OR_DOWN
            for decoupled in ({}, DECOUPLED)
            for amsgrad in ({}, {"amsgrad": True})
        ],
        _ADAM_NUMBERS,
    ),
    "rmsprop": (
        *_every(
            ({}, {"centered": True}, UP, UP | {"centered": True}),
            (
                {"lr": 0.01},
                {"lr": 0.01, "weight_decay": 0.02},
                {"lr": 0.01, "momentum": 0.9},
                {"lr": 0.01, "alpha": 0.9, "eps": 1e-2, "momentum": 0.5, "weight_decay": 0.02},
            ),
        ),
        ({"momentum_buffer": False}, {"lr": 0.01}),
        ({"momentum_buffer": False, "centered": True}, {"lr": 0.01, "weight_decay": 0.02}),
    ),
    "adamax": _every(
        _UP_OR_DOWN,
        (
            {"lr": 0.1},
            {"lr": 0.001, "weight_decay": 0.02},
            {"lr": 0.1, "beta1": 0.0, "beta2": 0.9, "eps": 1e-2},
            {"lr": 0.001, "beta1": 0.5, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1},
        ),
    ),
    "nadam": _every(
        ({}, UP, DECOUPLED, UP | DECOUPLED),
        (
            {"lr": 0.1},
            {"lr": 0.001, "weight_decay": 0.02},
            {"lr": 0.1, "beta1": 0.0, "beta2": 0.95, "eps": 1e-2, "momentum_decay": 0.0},
            {"lr": 0.001, "beta1": 0.5, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1, "momentum_decay": 0.3},
        ),
    ),
    "radam": _every(
        ({}, UP, DECOUPLED, UP | DECOUPLED),
        (
            {"lr": 0.1},
            # torch forms ρ as a difference of numbers near 2/(1 − beta2) and loses as many digits: at 0.999 coupled
            # decay carries that to 1.1e-13 of travel, so the variants with decay have a smaller beta2.
            {"lr": 0.001, "beta2": 0.99, "weight_decay": 0.02},
            {"lr": 0.1, "beta1": 0.0, "beta2": 0.95, "eps": 1e-2},
            {"lr": 0.001, "beta1": 0.5, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1},
            {"lr": 0.01, "beta2": 0.6},
        ),
    ),
    "adagrad": _every(
        _UP_OR_DOWN,
        (
            {"lr": 0.1},
            {"lr": 0.01, "weight_decay": 0.02},
            {"lr": 0.1, "lr_decay": 0.05, "eps": 1e-2},
            {"lr": 0.01, "lr_decay": 0.5, "initial_accumulator_value": 0.1, "weight_decay": 0.1},
        ),
    ),
    "adadelta": _every(
        _UP_OR_DOWN,
        (
            {"lr": 1.0},
            {"lr": 0.1, "weight_decay": 0.02},
            {"lr": 1.0, "rho": 0.95, "eps": 1e-2},
            {"lr": 0.1, "rho": 0.0, "weight_decay": 0.1},
            {"lr": 0.1, "rho": 1.0},
        ),
    ),
    "rprop": _every(
        _UP_OR_DOWN,
        (
            {"lr": 0.01},
            {"lr": 0.1, "eta_minus": 0.3, "eta_plus": 1.5},
            {"lr": 0.1, "step_size_min": 0.05, "step_size_max": 0.2},
        ),
    ),
    "asgd": _every(
        _UP_OR_DOWN,
        (
            {"lr": 0.1},
            {"lr": 0.1, "weight_decay": 0.02},
            {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 20.0},
            {"lr": 0.1, "lambd": 0.0, "t0": 0.0, "weight_decay": 0.1},
        ),
    ),
    "adafactor": (
        *_every(
            _UP_OR_DOWN,
            (
                {"lr": 0.01},
                {"lr": 0.01, "weight_decay": 0.1},
                {"lr": 0.2, "beta2_decay": -0.5, "eps2": 0.1, "d": 2.0, "weight_decay": 0.02},
            ),
        ),
        *_every(({"machine_eps": False}, {"machine_eps": False} | UP), ({"eps1": 1e-3}, {"eps1": 1e-30, "d": 1.5})),
    ),
    "muon": _every(
        ({}, {"nesterov": False}, {"adjust_lr_fn": "match_rms_adamw"}, {"ns_steps": 2, "adjust_lr_fn": "original"}),
        (
            {"lr": 0.02},
            {"lr": 0.02, "momentum": 0.8, "weight_decay": 0.0, "eps": 1e-2},
            {"lr": 0.02, "ns_a": 3.4, "ns_b": -4.7, "ns_c": 2.0},
        ),
    ),
    "sparse_adam": _every(
        _UP_OR_DOWN, ({"lr": 0.1}, {"lr": 0.1, "beta1": 0.5, "beta2": 0.95, "eps": 1e-2}, {"lr": 0.01, "beta1": 0.0})
    ),
    "lion": _every(
        _UP_OR_DOWN,
        (
            {"lr": 0.01},
            {"lr": 0.01, "weight_decay": 0.1},
            {"lr": 0.01, "beta1": 0.5, "beta2": 0.95, "weight_decay": 0.1},
            {"lr": 0.01, "beta1": 0.0, "beta2": 0.0},
        ),
    ),
    "signum": (
        *_every(_UP_OR_DOWN, ({"lr": 0.01}, {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.1})),
        *_every(({"averaged": False}, {"averaged": False} | UP), ({"lr": 0.01}, {"weight_decay": 0.1})),
    ),
    "lars": _every(
        ({}, UP, NESTEROV, UP | NESTEROV),
        (
            {"lr": 1.0},
            {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.02},
            {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.02, "trust_coefficient": 0.01, "eps": 1e-2},
        ),
    ),
    "lamb": _every(
        _UP_OR_DOWN,
        (
            {"lr": 0.01},
            {"lr": 0.01, "weight_decay": 0.1},
            {"lr": 0.01, "beta1": 0.0, "beta2": 0.95, "eps": 1e-2, "eps_root": 1e-3, "weight_decay": 0.1},
        ),
    ),
    "adabelief": _every(
        ({}, UP, NESTEROV, UP | NESTEROV),
        ({"lr": 0.01}, {"lr": 0.1, "beta1": 0.5, "beta2": 0.95, "eps": 1e-2, "eps_root": 1e-3}),
    ),
    "adan": _every(
        ({}, UP, {"proximal": False}, UP | {"proximal": False}),
        (
            {"lr": 0.01},
            {"lr": 0.01, "weight_decay": 0.1},
            {"lr": 0.01, "beta1": 0.9, "beta2": 0.5, "beta3": 0.95, "eps": 1e-3, "weight_decay": 0.1},
            {"lr": 0.01, "beta2": 0.5, "eps_root": 1e-3},
        ),
    ),
    "schedule_free_sgd": _every(
        _UP_OR_DOWN,
        (
            {"lr": 0.1},
            {"lr": 0.1, "weight_decay": 0.02},
            {"lr": 0.1, "beta1": 0.5, "weight_decay": 0.02, "weight_lr_power": 0.0},
            {"lr": 0.1, "beta1": 0.98, "weight_lr_power": 1.5},
        ),
    ),
    "schedule_free_adamw": _every(
        _UP_OR_DOWN,
        (
            {"lr": 0.01},
            {"lr": 0.01, "weight_decay": 0.1},
            {"lr": 0.01, "beta1": 0.5, "beta2": 0.95, "eps": 1e-2, "weight_decay": 0.1, "weight_lr_power": 0.0},
        ),
    ),
}

#: What some rules need beside their variants.
_NEEDS: Mapping[str, Mapping[str, Any]] = {
    "adafactor": {"tensors": EVERY_RANK},
    "lars": {"tensors": EVERY_RANK},
    "lamb": {"tensors": EVERY_RANK},
    # Newton-Schulz runs in bfloat16. On most steps the bits are torch's; where a float32 sum that is rounded ends in
    # another last bit, one entry flips by 2^-9 and each iteration left multiplies that by up to ns_a = 3.4.
    # Empirical: up to 5e-4 of reach on the CPUs tried. An lr 1 % off is 1e-2 and is caught; an eps left out is not.
    "muon": {"tensors": MATRICES, "gate": 2e-3},
    "radam": {"of_lr": 2e-12},
    "sparse_adam": {"tensors": {"embedding": (6, 3), "vector": (5,)}, "sparse": True},
}

ROWS: Mapping[str, ReplayRow] = {
    rule: ReplayRow(
        given,
        torch.NAMES.get(rule),
        optax.STATE.get(rule),
        keras.NAMES[rule].state if rule in keras.NAMES else None,
        **_NEEDS.get(rule, {}),
    )
    for rule, given in _VARIANTS.items()
}


def row(rule: str | Rule) -> ReplayRow:
    """The row of a rule or of its name; an empty one for a rule that has none, so that a new rule can be run at once."""
    return ROWS.get(rule if isinstance(rule, str) else rule.name, ReplayRow())


def known_rules() -> list[str]:
    """Rules that are replayed: all in the registry but for aliases, which give the same Rule."""
    return [name for name in rules.names() if rules.get(name)().name == name]


def variants(rule: str) -> Variants:
    """Options and numbers the rule is replayed with."""
    given = row(rule).variants
    if given:
        return given
    switches = [name for name, value in rules.get(rule)().options.items() if isinstance(value, bool)]
    choices = [dict(zip(switches, values, strict=True)) for values in product((False, True), repeat=len(switches))]
    return tuple((options, {}) for options in choices)
