"""What runs in a narrow dtype, or without some gradients, are known to differ in, from reading the sources."""

from __future__ import annotations

ARRAYS, DOUBLE = "rounded to the dtype, and 1 − β after them", "in double until they are used"
SKIPPED: dict[str, tuple[float | str, float | str]] = {"missing gradient": ("counts as zeros", "is skipped")}

KNOWN_NARROW: dict[str, dict[str, tuple[float | str, float | str]]] = {
    "optax-sgd-float32": {},
    "optax-adam-float32": {"1 − βᵗ": ("formed in float32", "formed in double")},
    "our-adam-float32": {},
    "optax-inject-float32": {
        "hyperparameters": (ARRAYS, DOUBLE),
        "1 − βᵗ": ("formed in double", "formed in float32"),
    },
    "optax-inject-bfloat16": {"hyperparameters": (ARRAYS, DOUBLE)},
    "optax-inject-float64": {},
    "optax-lr-dtype-bfloat16": {"dtype of the lr": ("that of the gradient", "float32")},
    "optax-lr-dtype-float32": {},
    "optax-lr-dtype-jax-float32": {},
    "optax-sgd-bfloat16": {},
    "our-sgd-bfloat16": {"dtype of the lr": ("float32", "that of the gradient")},
    "torch-sgd-foreach": {},
    "torch-adam-foreach": {},
    "torch-adam-fused": {},
    "torch-nadam-foreach": {},
    "torch-radam-foreach": {},
    "our-asgd-float32": {},
    "torch-asgd-foreach": {
        "decay by lambd": ("with the gradient", "of the parameters before the step"),
        "eta": ("formed in float32", "formed in double"),
        "moving the average": ("by the difference at every step", "copied while its weight is 1"),
    },
    "missing-sgd-dampening": SKIPPED,
    "missing-sgd": {},
    "missing-adam": SKIPPED,
    "missing-adamw": SKIPPED,
}
