"""Which factories of optax are one of our rules, and under which arguments: data that needs no optax.

A factory that is not named, or has another value of a required argument, is another rule: eps inside the root
(``optax.rmsprop``, ``optax.adagrad``), a maximum of corrected squares (``optax.amsgrad``), and so on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LR = {"learning_rate": "lr"}
ADAM = {**LR, "b1": "beta1", "b2": "beta2", "eps": "eps"}


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


NAMES: Mapping[str, OptaxName] = {
    "sgd": OptaxName("sgd", {**LR, "momentum": "momentum"}, switches={"nesterov": "nesterov"}, coupled=True),
    "adam": OptaxName("adam", ADAM, required={"eps_root": 0.0, "nesterov": False}, coupled=True),
    "adamw": OptaxName(
        "adam",
        {**ADAM, "weight_decay": "weight_decay"},
        {"decoupled": True},
        required={"eps_root": 0.0, "nesterov": False, "mask": None},
    ),
    "adamax": OptaxName("adamax", ADAM, coupled=True),
    "rmsprop": OptaxName(
        "rmsprop",
        {**LR, "decay": "alpha", "eps": "eps", "momentum": "momentum"},
        switches={"centered": "centered"},
        required={"eps_in_sqrt": False, "initial_scale": 0.0, "nesterov": False, "bias_correction": False},
        coupled=True,
    ),
    "adadelta": OptaxName("adadelta", {**LR, "rho": "rho", "eps": "eps"}, required={"weight_decay": 0.0}, coupled=True),
    "adabelief": OptaxName("adabelief", {**ADAM, "eps_root": "eps_root"}, switches={"nesterov": "nesterov"}),
    "lion": OptaxName(
        "lion", {**LR, "b1": "beta1", "b2": "beta2", "weight_decay": "weight_decay"}, required={"mask": None}
    ),
    "sign_sgd": OptaxName("signum", LR, {"averaged": False}),
    "lamb": OptaxName(
        "lamb", {**ADAM, "eps_root": "eps_root", "weight_decay": "weight_decay"}, required={"mask": None}
    ),
    "lars": OptaxName(
        "lars",
        {
            **LR,
            "weight_decay": "weight_decay",
            "trust_coefficient": "trust_coefficient",
            "eps": "eps",
            "momentum": "momentum",
        },
        switches={"nesterov": "nesterov"},
        required={"weight_decay_mask": True, "trust_ratio_mask": True},
    ),
}

#: Arguments that say how to compute, not what.
EXECUTION = ("accumulator_dtype", "mu_dtype")

#: Arguments of ``optax.*_schedule`` that are learning rates, and those that count steps.
SCHEDULE_LEVELS = ("init_value", "peak_value", "end_value", "value")
SCHEDULE_COUNTS = ("transition_steps", "transition_begin", "decay_steps", "warmup_steps", "total_steps")
