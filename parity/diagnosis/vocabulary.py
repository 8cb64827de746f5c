"""What each implementation calls the numbers and switches of its family: derived from the names of its framework.

Here stands what is no plain renaming.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lrtheory.names import keras, optax, torch

from .. import table
from . import averaged, followed, narrow
from .averaged import ALIKE, AVERAGED, WEIGHT
from .elementwise import BESIDE, DECAY, DOZAT, ELEMENTWISE, EPS_INSIDE, EPS_OUTSIDE, NESTEROV
from .family import Family
from .matrices import MATRICES
from .narrow import KEPT, LR, TAKEN
from .ratios import RATIOS
from .schedules import words as schedules
from .schedules.formulas import FORMULAS
from .schedules.plateau import plateau
from .words import Words, switch

FAMILIES: Mapping[str, Family] = {
    one.name: one for one in (*ELEMENTWISE, *AVERAGED, *RATIOS, *MATRICES, *FORMULAS, plateau)
}

#: Number of a family → our hyperparameter, where models have a shorter word.
OURS = {
    "initial": "initial_accumulator_value",
    "clip": "d",
    "steps": "ns_steps",
    "a": "ns_a",
    "b": "ns_b",
    "c": "ns_c",
}
#: Our rule → its family, where several rules are one.
FAMILY = {"nadam": "adam", "radam": "adam", "adabelief": "adam", "signum": "lion"}

#: Our number → the argument, or the entry of one, in each library.
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "torch": {**torch.BETAS, **{n: a for name in torch.NAMES.values() for n, a in name.numbers.items()}},
    "schedulefree": torch.BETAS,
    "optax": optax.ARGUMENTS,
    "keras": keras.ARGUMENTS,
}
#: Our option → the argument.
OPTIONS: Mapping[str, Mapping[str, str]] = {"torch": torch.DECOUPLED}

#: Family → switches that an option of ours turns: name, off, on, option.
SWITCHES: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "adam": (
        ("largest second moment", "none", "taken before the bias correction", "amsgrad"),
        ("weight decay", DECAY[0], DECAY[1], "decoupled"),
        ("look-ahead", "none", NESTEROV, "nesterov"),
    ),
    "sgd": (("look-ahead", "none", "Nesterov's", "nesterov"),),
    "rmsprop": (
        ("eps", EPS_OUTSIDE, EPS_INSIDE, "eps_in_sqrt"),
        ("centred", "no", "yes", "centered"),
        ("look-ahead", "none", "Nesterov's", "nesterov"),
        ("bias correction", "no", "yes", "bias_correction"),
    ),
    "lars": (("look-ahead", "none", "Nesterov's", "nesterov"),),
    "adan": (("weight decay", DECAY[1], "proximal", "proximal"),),
    "adafactor": (
        ("parameter scale", "no", "yes", "multiply_by_parameter_scale"),
        ("lr", "as it is", "at most 1/√t", "relative_step"),
    ),
}
UP = ("sign", "down", "up", "maximize")


def completed(words: Words, library: str, arguments: Mapping[str, Any]) -> Words:
    """Words with those that follow from the names of the library, for an implementation that takes these arguments."""
    family = FAMILIES[words.family]
    found: dict[str, Any] = {}
    for number in family.numbers:
        ours = OURS.get(number, number)
        argument = ARGUMENTS.get(library, {}).get(ours, ours)
        given = arguments.get(argument[0]) if isinstance(argument, tuple) else argument in arguments
        if number not in words.read and (isinstance(given, (tuple, list)) if isinstance(argument, tuple) else given):
            found[number] = argument
    options: dict[Any, Any] = {}
    for name, off, on, option in (*SWITCHES.get(words.family, ()), *([UP] if "sign" in family.switches else [])):
        argument = OPTIONS.get(library, {}).get(option, option)
        if argument in arguments:
            options |= switch(name, off, on, argument)
    return replace(words, numbers={**found, **words.numbers}, options={**options, **words.options})


def _both(name: str) -> dict[str, Any]:
    """One momentum for both averages."""
    return {beta: lambda given: given[name] or 0.0 for beta in ("beta1", "beta2")}


def _adafactor(decay: str, eps: Any = None, write: Any = None) -> dict[str, Any]:
    """The decay's exponent is negative there; ``eps`` reads eps1 where it may be None, ``write`` sets it."""
    return {
        "read": {"exponent": lambda given: -given[decay], **({"eps1": eps} if eps else {})},
        "write": {decay: (("exponent",), lambda n, given: -n["exponent"]), **(write or {})},
    }


def _machine(value: Any) -> float:
    return 2.0**-52 if value is None else value


_MUON = {
    ("look-ahead", "none"): {"nesterov": False},
    ("look-ahead", "Nesterov's"): {"nesterov": True},
    ("scale of a matrix", "√max(1, rows/columns)"): {"adjust_lr_fn": "original"},
    ("scale of a matrix", "0.2·√max(rows, columns)"): {"adjust_lr_fn": "match_rms_adamw"},
}
_EVEN = {(WEIGHT, ALIKE): {"weight_lr_power": 0.0}}
_DTYPE = {
    (LR, KEPT): lambda numbers: {"learning_rate": np.float32(numbers["lr"])},
    (LR, TAKEN): lambda numbers: {"learning_rate": float(numbers["lr"])},
}

#: What is no plain renaming.
_PECULIAR: Mapping[str, Words] = {
    "torch.optim.Adafactor": Words(
        "adafactor",
        **_adafactor(
            "beta2_decay",
            lambda given: _machine(given["eps"][0]),
            {"eps": (("eps1",), lambda n, given: (n["eps1"], given["eps"][1]))},
        ),
    ),
    "adafactor": Words(
        "adafactor",
        **_adafactor(
            "beta2_decay",
            lambda given: _machine(given["eps1"]),
            {"eps1": (("eps1",), lambda n, given: n["eps1"])},
        ),
    ),
    "keras.optimizers.Adafactor": Words("adafactor", **_adafactor("beta_2_decay")),
    "optax.adafactor": Words(
        "adafactor",
        {
            "exponent": "decay_rate",
            "eps1": "eps",
            "clip": "clipping_threshold",
            "weight_decay": "weight_decay_rate",
            "factored_from": "min_dim_size_to_factor",
        },
    ),
    "torch.optim.Muon": Words("muon", options=_MUON),
    "muon": Words("muon", options=_MUON),
    "optax.contrib.muon": Words(
        "muon",
        {"momentum": "beta", **{name: ("ns_coeffs", i) for i, name in enumerate("abc")}},
        {
            ("look-ahead", "Nesterov's, bias-corrected"): {"nesterov": True},
            ("scale of a matrix", "0.2·√max(rows, columns)"): {"consistent_rms": 0.2},
        },
    ),
    "optax.rmsprop": Words("rmsprop", {"initial": "initial_scale"}),
    "optax.sign_sgd": Words("lion", read={beta: lambda given: 0.0 for beta in ("beta1", "beta2")}),
    "signum": Words(
        "lion", read=_both("momentum"), write={"momentum": (("beta1", "beta2"), lambda n, given: n["beta1"])}
    ),
    "schedulefree.SGDScheduleFree": Words("schedule_free_sgd", {"beta1": "momentum"}, _EVEN),
    **{
        name: Words(name.rpartition(".")[2], options=_EVEN)
        for name in (
            "optax.contrib.schedule_free_sgd",
            "optax.contrib.schedule_free_adamw",
            "schedule_free_sgd",
            "schedule_free_adamw",
        )
    },
    "schedulefree.AdamWScheduleFree": Words("schedule_free_adamw", options=_EVEN),
    "keras.optimizers.AdamW": Words("adam"),
    # Further factories of optax, of which none is a rule of ours.
    **{f"optax.{name}": Words("adam") for name in ("nadam", "nadamw", "radam")},
    "optax.adamaxw": Words("adamax"),
    **{f"optax.{name}": Words(name) for name in ("adagrad", "rprop")},
}


def _plain() -> dict[str, Words]:
    """Every class and factory that the names know, and every rule of ours."""
    of = {f"torch.optim.{name}": rule for name, (rule, _) in torch.CLASSES.items()}
    of |= {f"optax.{name}": one.rule for name, one in {**optax.NAMES, **optax.RELATED}.items()}
    of |= {f"keras.optimizers.{one.optimizer}": rule for rule, one in keras.NAMES.items()}
    of |= {rule: rule for rule in table.known_rules()}
    families = {name: FAMILY.get(rule, rule) for name, rule in of.items()}
    return {name: Words(family) for name, family in families.items() if family in FAMILIES}


def _with_dtypes(name: str, words: Words) -> Words:
    """An lr of optax may have a dtype of its own."""
    has = name.startswith("optax.") and words.family in narrow.NARROW
    return replace(words, options={**words.options, **_DTYPE}) if has else words


WORDS: dict[str, Words] = {
    **{name: _with_dtypes(name, words) for name, words in {**_plain(), **_PECULIAR}.items()},
    **schedules.SCHEDULES,
}

#: Words of an implementation for a wider family than its own: plain SGD is ASGD without its decay, before it averages.
MEMBERS: Mapping[tuple[str, str], Words] = {
    (name, "asgd"): Words("asgd", read={"lambd": lambda given: 0.0}) for name in ("torch.optim.SGD", "sgd", "optax.sgd")
}

#: What a switch's value is called in a sentence, where name and value alone do not read.
PHRASES: dict[tuple[str, str], str] = {
    ("eps", BESIDE): "eps beside the uncorrected root",
    ("look-ahead", DOZAT): "Dozat's look-ahead with his momentum schedule",
    ("look-ahead", NESTEROV): "Nesterov's look-ahead, bias-corrected",
    ("look-ahead", "Nesterov's"): "Nesterov's look-ahead",
    ("look-ahead", "none"): "no look-ahead",
    ("largest second moment", "none"): "no largest second moment",
    ("rectifier", "none"): "no rectifier",
    ("rectifier", "Liu's"): "Liu's rectifier",
    ("sign", "up"): "the gradient's sign turned",
    ("sign", "down"): "the gradient's sign as it is",
    ("centred", "yes"): "a centred second moment",
    ("centred", "no"): "a second moment that is not centred",
    ("bias correction", "yes"): "a bias correction",
    ("bias correction", "no"): "no bias correction",
    ("parameter scale", "no"): "no scaling by the parameters",
    ("parameter scale", "yes"): "scaling by the parameters",
    ("weight decay", "proximal"): "a proximal weight decay",
    ("betas", "swapped"): "the betas swapped",
    **averaged.PHRASES,
    **followed.PHRASES,
    **narrow.PHRASES,
    **schedules.PHRASES,
}


def phrase(switch: str, value: str) -> str:
    """A switch's value as part of a sentence."""
    return PHRASES.get((switch, value), f"{switch} {value}")
