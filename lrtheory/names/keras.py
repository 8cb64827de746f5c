"""Which classes of Keras 3 are one of our rules, and what they call its numbers and state: data that needs no Keras.

Its weight decay is decoupled and multiplied by the lr in every optimizer; it has no maximize and no dampening.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import Derived

#: Our number → Keras's argument, where the names differ.
ARGUMENTS = {
    "lr": "learning_rate",
    "beta1": "beta_1",
    "beta2": "beta_2",
    "eps": "epsilon",
    "alpha": "rho",
    "beta2_decay": "beta_2_decay",
    "eps1": "epsilon_1",
    "eps2": "epsilon_2",
    "d": "clip_threshold",
}


@dataclass(frozen=True)
class KerasName:
    """A class of ``keras.optimizers``.

    Attributes
    ----------
    optimizer : str
    numbers : tuple
        Our numbers that it has, weight decay left out.
    switches : tuple
        Our options that it has, under the same name.
    zero : mapping
        Our numbers and options that it lacks, which must be 0 or off for it to be our rule → why.
    instead : mapping
        The numbers that stand in for an option that is off.
    fixed : mapping
        Its own arguments that make it our rule.
    decoupled : bool
        Whether our rule's weight decay is decoupled whatever its options, so that Keras can express it.
    state : mapping
        Our state field → the name Keras gives its variable, after the tensor's.
    starts_at_params : mapping
        Those of them that start as a copy of the parameters.
    lists : mapping
        Attributes of the optimizer that have one variable for each tensor → the variables' name.
    derived : mapping
        Our state field → a variable's name, and what it is made of that, our numbers, the parameter and the step count.
    held : mapping
        Our numbers that it has at a value of its own.
    inside_root : bool
        Whether eps is added to squares, so that only without one it is our rule.
    before_correction : bool
        Whether eps is added before the bias correction, so that at step t it counts as eps/√(1 − β₂ᵗ).
    apart : str
        What else it does with eps, so that only without one it is our rule.
    starts_late : bool
        Whether the first step is as any other, so that a parameter may start when others have taken steps.
    float32_mean : bool
        Whether it divides a mean by a size in float32, whatever its dtype.
    """

    optimizer: str
    numbers: tuple[str, ...]
    switches: tuple[str, ...] = ()
    zero: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, float] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    decoupled: bool = False
    state: Mapping[str, str] = field(default_factory=dict)
    starts_at_params: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    derived: Mapping[str, Derived] = field(default_factory=dict)
    held: Mapping[str, float] = field(default_factory=dict)
    inside_root: bool = False
    before_correction: bool = False
    apart: str = ""
    starts_late: bool = False
    float32_mean: bool = False


ADAM = ("lr", "beta1", "beta2", "eps")
MOMENTS = {"t": "iteration", "m": "momentum", "v": "velocity"}
LISTS = {"_momentums": "momentum", "_velocities": "velocity"}

NAMES: Mapping[str, KerasName] = {
    "sgd": KerasName(
        "SGD",
        ("lr", "momentum"),
        ("nesterov",),
        lists={"momentums": "momentum"},
        # With the lr inside.
        derived={"buffer": Derived("momentum", lambda m, h, p, t: -m / h.lr, lambda b, h: -b * h.lr)},
        starts_late=True,
    ),
    "adam": KerasName(
        "Adam",
        ADAM,
        ("amsgrad",),
        state=MOMENTS,
        lists={**LISTS, "_velocity_hats": "velocity_hat"},
        derived={"v_max": Derived("velocity_hat", lambda v, h, p, t: v, lambda v, h: v)},
        before_correction=True,
    ),
    "rmsprop": KerasName(
        "RMSprop",
        ("lr", "alpha", "momentum", "eps"),
        ("centered",),
        state={"v": "velocity"},
        lists={**LISTS, "_average_gradients": "average_gradient"},
        derived={
            "g_avg": Derived("average_gradient", lambda g, h, p, t: g, lambda g, h: g),
            "buffer": Derived("momentum", lambda m, h, p, t: m / h.lr, lambda b, h: b * h.lr),
        },
        inside_root=True,
    ),
    "adagrad": KerasName(
        "Adagrad",
        ("lr", "initial_accumulator_value", "eps"),
        zero={"lr_decay": "keras's Adagrad has no lr_decay"},
        state={"sum": "accumulator"},
        lists={"_accumulators": "accumulator"},
        inside_root=True,
    ),
    "adadelta": KerasName(
        "Adadelta",
        ("lr", "rho", "eps"),
        state={"square_avg": "accumulated_grad", "acc_delta": "accumulated_delta_var"},
        lists={"_accumulated_grads": "accumulated_grad", "_accumulated_delta_vars": "accumulated_delta_var"},
    ),
    "adamax": KerasName(
        "Adamax",
        ADAM,
        state={"m": "momentum"},
        lists={"_m": "momentum", "_u": "norm"},
        derived={"u": Derived("norm", lambda u, h, p, t: u, lambda u, h: u)},
        apart="adds epsilon outside the largest gradient so far",
    ),
    "nadam": KerasName(
        "Nadam",
        ADAM,
        state=MOMENTS,
        lists={**LISTS, "_u_product": "u_product"},
        derived={"mu_gap": Derived("u_product", lambda product, h, p, t: 1 - product, lambda gap, h: 1 - gap)},
        held={"momentum_decay": 1.0},
    ),
    "lion": KerasName(
        "Lion", ("lr", "beta1", "beta2"), decoupled=True, state={"m": "momentum"}, lists={"_momentums": "momentum"}
    ),
    "lamb": KerasName(
        "Lamb",
        ADAM,
        zero={
            "eps_root": "keras's Lamb has no eps inside the root",
            "weight_decay": "keras's Lamb decays outside the ratio of norms",
        },
        state=MOMENTS,
        lists=LISTS,
    ),
    "adafactor": KerasName(
        "Adafactor",
        ("lr", "beta2_decay", "eps1", "eps2", "d"),
        zero={"machine_eps": "keras's Adafactor has no machine epsilon"},
        instead={"eps1": 0.0},
        fixed={"relative_step": False},
        decoupled=True,
        inside_root=True,
        float32_mean=True,
    ),
    "schedule_free_adamw": KerasName(
        "ScheduleFreeAdamW",
        ADAM,
        zero={"weight_decay": "keras's schedule-free AdamW decays the average outside its step"},
        fixed={"warmup_steps": 0},
        state={"v": "velocity", "z": "momentum"},
        starts_at_params={"z": "momentum"},
        lists=LISTS,
        derived={
            "pull": Derived("momentum", lambda z, h, p, t: (p - z) / h.beta1 / (1 - 1 / t) if t > 1 else 0 * z),
            "decay_pull": Derived("momentum", lambda z, h, p, t: 0 * z),
            "max_lr": Derived("iteration", lambda _, h, p, t: h.lr),
        },
        held={"weight_lr_power": 0.0},
    ),
}

#: Class of keras.optimizers → our rule.
CLASSES: Mapping[str, str] = {**{name.optimizer: rule for rule, name in NAMES.items()}, "AdamW": "adam"}
