"""What each implementation calls the numbers and switches of its family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .elementwise import BESIDE, DECAY, DOZAT, EPS_INSIDE, EPS_OUTSIDE, NESTEROV

#: An argument, or an entry of one that is a tuple.
Argument = str | tuple[str, int]


@dataclass(frozen=True)
class Words:
    """One implementation's own words.

    Attributes
    ----------
    family : str
    numbers : mapping
        Number → argument.
    options : mapping
        ``(switch, value)`` → the arguments that set it, or a function that makes them from all numbers.
    read : mapping
        Number → function of the arguments, where it is no plain argument.
    write : mapping
        Argument → the numbers that it depends on and a function of all numbers and the arguments, where it is no plain
        number.
    """

    family: str
    numbers: Mapping[str, Argument]
    options: Mapping[tuple[str, str], Mapping[str, Any] | Callable[[Mapping[str, float]], Mapping[str, Any]]] = field(
        default_factory=dict
    )
    read: Mapping[str, Callable[[Mapping[str, Any]], float]] = field(default_factory=dict)
    write: Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, float], Mapping[str, Any]], Any]]] = field(
        default_factory=dict
    )


def switch(name: str, off: str, on: str, argument: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Options of a switch that an argument turns on."""
    return {(name, off): {argument: False}, (name, on): {argument: True}}


TORCH_BETAS = {"beta1": ("betas", 0), "beta2": ("betas", 1)}
OPTAX_BETAS = {"beta1": "b1", "beta2": "b2"}
TORCH_ADAM = {"lr": "lr", **TORCH_BETAS, "eps": "eps", "weight_decay": "weight_decay"}
OPTAX_ADAM = {"lr": "learning_rate", **OPTAX_BETAS, "eps": "eps", "eps_root": "eps_root"}
OUR_ADAM = {name: name for name in ("lr", "beta1", "beta2", "eps", "weight_decay")}
LARGEST = switch("largest second moment", "none", "taken before the bias correction", "amsgrad")
DECOUPLED = "decoupled_weight_decay"
UP = switch("sign", "down", "up", "maximize")

KERAS_ADAM = {
    "lr": "learning_rate",
    "beta1": "beta_1",
    "beta2": "beta_2",
    "eps": "epsilon",
    "weight_decay": "weight_decay",
}

WORDS: dict[str, Words] = {
    "torch.optim.SGD": Words(
        "sgd",
        {"lr": "lr", "momentum": "momentum", "dampening": "dampening", "weight_decay": "weight_decay"},
        switch("look-ahead", "none", "Nesterov's", "nesterov") | UP,
    ),
    "torch.optim.Adam": Words("adam", TORCH_ADAM, LARGEST | UP | switch("weight decay", *DECAY[:2], DECOUPLED)),
    "torch.optim.AdamW": Words("adam", TORCH_ADAM, LARGEST | UP),
    "torch.optim.NAdam": Words(
        "adam", TORCH_ADAM | {"momentum_decay": "momentum_decay"}, switch("weight decay", *DECAY[:2], DECOUPLED)
    ),
    "torch.optim.RAdam": Words("adam", TORCH_ADAM, switch("weight decay", *DECAY[:2], DECOUPLED)),
    "torch.optim.Adamax": Words("adamax", TORCH_ADAM),
    "torch.optim.RMSprop": Words(
        "rmsprop",
        {"lr": "lr", "alpha": "alpha", "eps": "eps", "momentum": "momentum", "weight_decay": "weight_decay"},
        switch("centred", "no", "yes", "centered") | UP,
    ),
    "torch.optim.Adagrad": Words(
        "adagrad",
        {
            "lr": "lr",
            "eps": "eps",
            "lr_decay": "lr_decay",
            "weight_decay": "weight_decay",
            "initial": "initial_accumulator_value",
        },
    ),
    "torch.optim.Adadelta": Words("adadelta", {"lr": "lr", "rho": "rho", "eps": "eps", "weight_decay": "weight_decay"}),
    "torch.optim.Rprop": Words(
        "rprop",
        {
            "lr": "lr",
            "eta_minus": ("etas", 0),
            "eta_plus": ("etas", 1),
            "step_size_min": ("step_sizes", 0),
            "step_size_max": ("step_sizes", 1),
        },
    ),
    "torch.optim.Adafactor": Words(
        "adafactor",
        {"lr": "lr", "eps1": ("eps", 0), "eps2": ("eps", 1), "clip": "d", "weight_decay": "weight_decay"},
        read={
            "exponent": lambda given: -given["beta2_decay"],
            "eps1": lambda given: 2.0**-52 if given["eps"][0] is None else given["eps"][0],
        },
        write={
            "beta2_decay": (("exponent",), lambda n, given: -n["exponent"]),
            "eps": (("eps1",), lambda n, given: (n["eps1"], given["eps"][1])),
        },
    ),
    "torch.optim.Muon": Words(
        "muon",
        {
            "lr": "lr",
            "momentum": "momentum",
            "weight_decay": "weight_decay",
            "eps": "eps",
            "steps": "ns_steps",
            "a": ("ns_coefficients", 0),
            "b": ("ns_coefficients", 1),
            "c": ("ns_coefficients", 2),
        },
        {
            ("look-ahead", "none"): {"nesterov": False},
            ("look-ahead", "Nesterov's"): {"nesterov": True},
            ("scale of a matrix", "√max(1, rows/columns)"): {"adjust_lr_fn": "original"},
            ("scale of a matrix", "0.2·√max(rows, columns)"): {"adjust_lr_fn": "match_rms_adamw"},
        },
    ),
    "optax.sgd": Words(
        "sgd",
        {"lr": "learning_rate", "momentum": "momentum"},
        switch("look-ahead", "none", "Nesterov's", "nesterov"),
    ),
    "optax.adam": Words("adam", OPTAX_ADAM, switch("look-ahead", "none", NESTEROV, "nesterov")),
    "optax.adamw": Words(
        "adam", OPTAX_ADAM | {"weight_decay": "weight_decay"}, switch("look-ahead", "none", NESTEROV, "nesterov")
    ),
    "optax.amsgrad": Words("adam", OPTAX_ADAM),
    "optax.nadam": Words("adam", OPTAX_ADAM, switch("look-ahead", "none", NESTEROV, "nesterov")),
    "optax.nadamw": Words(
        "adam", OPTAX_ADAM | {"weight_decay": "weight_decay"}, switch("look-ahead", "none", NESTEROV, "nesterov")
    ),
    "optax.radam": Words(
        "adam", OPTAX_ADAM | {"threshold": "threshold"}, switch("look-ahead", "none", NESTEROV, "nesterov")
    ),
    "optax.adabelief": Words("adam", OPTAX_ADAM, switch("look-ahead", "none", NESTEROV, "nesterov")),
    "optax.adamax": Words("adamax", {"lr": "learning_rate", **OPTAX_BETAS, "eps": "eps"}),
    "optax.adamaxw": Words(
        "adamax", {"lr": "learning_rate", **OPTAX_BETAS, "eps": "eps", "weight_decay": "weight_decay"}
    ),
    "optax.rmsprop": Words(
        "rmsprop",
        {"lr": "learning_rate", "alpha": "decay", "eps": "eps", "momentum": "momentum", "initial": "initial_scale"},
        switch("eps", EPS_OUTSIDE, EPS_INSIDE, "eps_in_sqrt")
        | switch("centred", "no", "yes", "centered")
        | switch("look-ahead", "none", "Nesterov's", "nesterov")
        | switch("bias correction", "no", "yes", "bias_correction"),
    ),
    "optax.adagrad": Words("adagrad", {"lr": "learning_rate", "eps": "eps", "initial": "initial_accumulator_value"}),
    "optax.adadelta": Words(
        "adadelta", {"lr": "learning_rate", "rho": "rho", "eps": "eps", "weight_decay": "weight_decay"}
    ),
    "optax.rprop": Words(
        "rprop",
        {
            "lr": "learning_rate",
            "eta_minus": "eta_minus",
            "eta_plus": "eta_plus",
            "step_size_min": "min_step_size",
            "step_size_max": "max_step_size",
        },
    ),
    "optax.adan": Words(
        "adan",
        {
            "lr": "learning_rate",
            **OPTAX_BETAS,
            "beta3": "b3",
            "eps": "eps",
            "eps_root": "eps_root",
            "weight_decay": "weight_decay",
        },
    ),
    "optax.adafactor": Words(
        "adafactor",
        {
            "lr": "learning_rate",
            "exponent": "decay_rate",
            "eps1": "eps",
            "clip": "clipping_threshold",
            "weight_decay": "weight_decay_rate",
            "factored_from": "min_dim_size_to_factor",
        },
        switch("parameter scale", "no", "yes", "multiply_by_parameter_scale"),
    ),
    "optax.contrib.muon": Words(
        "muon",
        {
            "lr": "learning_rate",
            "momentum": "beta",
            "weight_decay": "weight_decay",
            "eps": "eps",
            "steps": "ns_steps",
            "a": ("ns_coeffs", 0),
            "b": ("ns_coeffs", 1),
            "c": ("ns_coeffs", 2),
        },
        {
            ("look-ahead", "Nesterov's, bias-corrected"): {"nesterov": True},
            ("scale of a matrix", "0.2·√max(rows, columns)"): {"consistent_rms": 0.2},
        },
    ),
    "keras.optimizers.SGD": Words(
        "sgd",
        {"lr": "learning_rate", "momentum": "momentum", "weight_decay": "weight_decay"},
        switch("look-ahead", "none", "Nesterov's", "nesterov"),
    ),
    "keras.optimizers.RMSprop": Words(
        "rmsprop",
        {
            "lr": "learning_rate",
            "alpha": "rho",
            "eps": "epsilon",
            "momentum": "momentum",
            "weight_decay": "weight_decay",
        },
        switch("centred", "no", "yes", "centered"),
    ),
    "keras.optimizers.Adam": Words("adam", KERAS_ADAM, LARGEST),
    "keras.optimizers.AdamW": Words("adam", KERAS_ADAM, LARGEST),
    "keras.optimizers.Nadam": Words("adam", KERAS_ADAM),
    "keras.optimizers.Adamax": Words("adamax", KERAS_ADAM),
    "keras.optimizers.Adagrad": Words(
        "adagrad",
        {
            "lr": "learning_rate",
            "eps": "epsilon",
            "initial": "initial_accumulator_value",
            "weight_decay": "weight_decay",
        },
    ),
    "keras.optimizers.Adadelta": Words(
        "adadelta", {"lr": "learning_rate", "rho": "rho", "eps": "epsilon", "weight_decay": "weight_decay"}
    ),
    "keras.optimizers.Adafactor": Words(
        "adafactor",
        {"lr": "learning_rate", "eps1": "epsilon_1", "eps2": "epsilon_2", "clip": "clip_threshold"}
        | {"weight_decay": "weight_decay"},
        switch("lr", "as it is", "at most 1/√t", "relative_step"),
        read={"exponent": lambda given: -given["beta_2_decay"]},
        write={"beta_2_decay": (("exponent",), lambda n, given: -n["exponent"])},
    ),
    "sgd": Words(
        "sgd",
        {name: name for name in ("lr", "momentum", "dampening", "weight_decay")},
        switch("look-ahead", "none", "Nesterov's", "nesterov") | UP,
    ),
    "adam": Words("adam", OUR_ADAM, LARGEST | UP | switch("weight decay", *DECAY[:2], "decoupled")),
    "nadam": Words(
        "adam", OUR_ADAM | {"momentum_decay": "momentum_decay"}, UP | switch("weight decay", *DECAY[:2], "decoupled")
    ),
    "radam": Words("adam", OUR_ADAM, UP | switch("weight decay", *DECAY[:2], "decoupled")),
    "adabelief": Words(
        "adam",
        {name: name for name in ("lr", "beta1", "beta2", "eps", "eps_root")},
        UP | switch("look-ahead", "none", NESTEROV, "nesterov"),
    ),
    "adamax": Words("adamax", OUR_ADAM),
    "rmsprop": Words(
        "rmsprop",
        {name: name for name in ("lr", "alpha", "eps", "momentum", "weight_decay")},
        switch("centred", "no", "yes", "centered") | UP,
    ),
    "adagrad": Words(
        "adagrad",
        {name: name for name in ("lr", "eps", "lr_decay", "weight_decay")} | {"initial": "initial_accumulator_value"},
    ),
    "adadelta": Words("adadelta", {name: name for name in ("lr", "rho", "eps", "weight_decay")}),
    "rprop": Words("rprop", {name: name for name in ("lr", "eta_minus", "eta_plus", "step_size_min", "step_size_max")}),
    "adan": Words(
        "adan",
        {name: name for name in ("lr", "beta1", "beta2", "beta3", "eps", "eps_root", "weight_decay")},
        {("weight decay", "proximal"): {"proximal": True}, ("weight decay", DECAY[1]): {"proximal": False}},
    ),
    "adafactor": Words(
        "adafactor",
        {"lr": "lr", "eps1": "eps1", "eps2": "eps2", "clip": "d", "weight_decay": "weight_decay"},
        read={
            "exponent": lambda given: -given["beta2_decay"],
            "eps1": lambda given: 2.0**-52 if given["eps1"] is None else given["eps1"],
        },
        write={
            "beta2_decay": (("exponent",), lambda n, given: -n["exponent"]),
            "eps1": (("eps1",), lambda n, given: n["eps1"]),
        },
    ),
    "muon": Words(
        "muon",
        {"lr": "lr", "momentum": "momentum", "weight_decay": "weight_decay", "eps": "eps"}
        | {"steps": "ns_steps", "a": "ns_a", "b": "ns_b", "c": "ns_c"},
        {
            ("look-ahead", "none"): {"nesterov": False},
            ("look-ahead", "Nesterov's"): {"nesterov": True},
            ("scale of a matrix", "√max(1, rows/columns)"): {"adjust_lr_fn": "original"},
            ("scale of a matrix", "0.2·√max(rows, columns)"): {"adjust_lr_fn": "match_rms_adamw"},
        },
    ),
}

#: Words of an implementation for a wider family than its own: ``(name, family)``.
MEMBERS: dict[tuple[str, str], Words] = {}

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
    ("means", "in float32"): "means in float32",
    ("means", "in double"): "means in double",
}


def phrase(switch: str, value: str) -> str:
    """A switch's value as part of a sentence."""
    return PHRASES.get((switch, value), f"{switch} {value}")
