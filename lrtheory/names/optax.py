"""Which factories of optax are one of our rules, and under which arguments: data that needs no optax.

A factory that is not named, or has another value of a required argument, is another rule: eps inside the root
(``optax.rmsprop``, ``optax.adagrad``), a maximum of corrected squares (``optax.amsgrad``), and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..rules import Rule
from . import Derived, find

#: Our number → optax's argument, where the names differ.
ARGUMENTS = {
    "lr": "learning_rate",
    "beta1": "b1",
    "beta2": "b2",
    "beta3": "b3",
    "alpha": "decay",
    "step_size_min": "min_step_size",
    "step_size_max": "max_step_size",
}


def numbers(*ours: str) -> dict[str, str]:
    """Optax's arguments → these numbers of ours."""
    return {ARGUMENTS.get(number, number): number for number in ours}


@dataclass(frozen=True)
class OptaxName:
    """A factory of optax.

    Attributes
    ----------
    rule : str
    numbers : mapping
        optax's argument → our number. ``None`` stands for 0, as of ``momentum``.
    options : mapping
        Options of our rule, always.
    switches : mapping
        optax's argument → our option.
    required : mapping
        Arguments that must have this value for the factory to be our rule.
    coupled : bool
        Whether decay added before it is coupled decay of our rule.
    """

    rule: str
    numbers: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    switches: Mapping[str, str] = field(default_factory=dict)
    required: Mapping[str, Any] = field(default_factory=dict)
    coupled: bool = False


ADAM = numbers("lr", "beta1", "beta2", "eps")
PLAIN_ADAM = {"eps_root": 0.0, "nesterov": False}
NESTEROV = {"nesterov": "nesterov"}
DECAY = numbers("weight_decay")

NAMES: Mapping[str, OptaxName] = {
    "sgd": OptaxName("sgd", numbers("lr", "momentum"), switches=NESTEROV, coupled=True),
    "adam": OptaxName("adam", ADAM, required=PLAIN_ADAM, coupled=True),
    "adamw": OptaxName("adam", ADAM | DECAY, {"decoupled": True}, required=PLAIN_ADAM | {"mask": None}),
    "adamax": OptaxName("adamax", ADAM, coupled=True),
    "rmsprop": OptaxName(
        "rmsprop",
        numbers("lr", "alpha", "eps", "momentum"),
        switches={"centered": "centered"},
        required={"eps_in_sqrt": False, "initial_scale": 0.0, "nesterov": False, "bias_correction": False},
        coupled=True,
    ),
    "adadelta": OptaxName(
        "adadelta", numbers("lr", "rho", "eps") | DECAY, required={"weight_decay_mask": None}, coupled=True
    ),
    "adabelief": OptaxName("adabelief", ADAM | numbers("eps_root"), switches=NESTEROV),
    "lion": OptaxName("lion", numbers("lr", "beta1", "beta2") | DECAY, required={"mask": None}),
    "sign_sgd": OptaxName("signum", numbers("lr"), {"averaged": False}),
    "lamb": OptaxName("lamb", ADAM | numbers("eps_root") | DECAY, required={"mask": None}),
    "lars": OptaxName(
        "lars",
        numbers("lr", "weight_decay", "trust_coefficient", "eps", "momentum"),
        switches=NESTEROV,
        required={"weight_decay_mask": True, "trust_ratio_mask": True},
    ),
}

#: Factories that are another rule than ours of the same name, though their numbers mean the same.
RELATED: Mapping[str, OptaxName] = {
    # Its maximum is of corrected squares.
    "amsgrad": OptaxName("adam", ADAM, {"amsgrad": True}, required={"eps_root": 0.0}, coupled=True),
    # Its differences weigh 1 − beta2.
    "adan": OptaxName(
        "adan", numbers("lr", "beta1", "beta2", "beta3", "eps", "eps_root", "weight_decay"), {"proximal": False}
    ),
}

#: Rules that no factory of that name has with these arguments, but a chain of parts.
CHAINS: Mapping[str, OptaxName] = {
    "signum": OptaxName("signum", numbers("lr", "momentum") | DECAY, required={"debias": False}),
    "signsgd": OptaxName("signum", numbers("lr") | DECAY, {"averaged": False}),
}

#: Our rule → our state field → the name of the field in optax's state.
STATE: Mapping[str, Mapping[str, str]] = {
    "sgd": {"buffer": "trace"},
    "adam": {"t": "count", "m": "mu", "v": "nu"},
    "rmsprop": {"v": "nu"},
    "adamax": {"t": "count", "m": "mu", "u": "nu"},
    "adadelta": {"square_avg": "e_g", "acc_delta": "e_x"},
    "lion": {"t": "count", "m": "mu"},
    "signum": {"m": "ema"},
    "lars": {},  # its trace is minus the buffer
    "lamb": {"t": "count", "m": "mu", "v": "nu"},
    "adabelief": {"t": "count", "m": "mu", "v": "nu"},
    "adan": {"t": "t", "m": "m", "v": "v", "n": "n", "g_last": "g"},
    "schedule_free_sgd": {"z": "z", "max_lr": "max_lr"},
    "schedule_free_adamw": {"z": "z", "v": "nu", "max_lr": "max_lr"},
}

#: Of both schedule-free rules, made of x, z and the weights by who reads them.
_AVERAGED = {slot: Derived(slot, lambda value, h: value) for slot in ("t", "weight_sum", "pull", "decay_pull")}
#: Our rule → our state field → the field in optax's state, and what it is made of that and of our numbers.
DERIVED: Mapping[str, Mapping[str, Derived]] = {
    "rmsprop": {
        "g_avg": Derived("mu", lambda mu, h: mu, lambda g_avg, h: g_avg),
        # With the lr inside.
        "buffer": Derived("trace", lambda trace, h: -trace / h.lr, lambda buffer, h: -buffer * h.lr),
    },
    "lars": {"buffer": Derived("trace", lambda trace, h: -trace, lambda buffer, h: -buffer)},
    "schedule_free_sgd": _AVERAGED,
    "schedule_free_adamw": _AVERAGED,
}


#: Our rule → the factories that it may be, those of another rule of its name among them.
FACTORIES: Mapping[str, Mapping[str, OptaxName]] = {
    rule: {factory: name for factory, name in {**NAMES, **RELATED}.items() if name.rule == rule} for rule in STATE
}


def state_of(rule: Rule) -> tuple[Mapping[str, str], Mapping[str, Derived]]:
    """The entries of a rule in :data:`STATE` and :data:`DERIVED`; empty ones for a rule that optax lacks."""
    return find(STATE, rule) or {}, find(DERIVED, rule) or {}


#: State that optax keeps once for all tensors: its schedules go by the same count.
ONCE = ("t", "max_lr")

#: Arguments that say how to compute, not what.
EXECUTION = ("accumulator_dtype", "mu_dtype")
