"""Failures of published optimizers that are known, each with its reason: it goes stale loudly when a release mends it.

Found by the suite itself with torch 2.13, optax 0.2.8, schedulefree 1.4.1 and lion-pytorch 0.2.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NO_SCHEDULE = "learning_rate must be a number: a schedule raises TypeError"
_NUMBER_ONLY = "learning_rate must be a number, and it says so: optimistic_adam_v2 takes schedules"

# Ours have torch's semantics in these too.
_LATE = "the step is taken with eta, which the step before computed from its own lr: a change is one step late"
_FIRST_STEP_SIZE = "lr is the first step size alone, held above 1e-6: a later change does nothing"
_LR_CHECKS = ("lr-zero", "schedule", "injected-lr")
_DISTANCE: Mapping[str, str] = dict.fromkeys(
    ("zero-gradient", "lr-zero", "at-rest"), "the estimate of the distance is 0/0 while all gradients have been 0"
)
_STARTS_ABOVE_ZERO = "both averages start at 1e-6, the mean of gradients too"
_ONE_ARRAY_AT_LEAST = "its state is that of one array at least: a tree without arrays raises ValueError"
_SCHEDULE_FREE = {
    **dict.fromkeys(
        ("at-rest", "lr-zero"), "parameters are formed anew from their average at every step, and move by a rounding"
    ),
    "company": "the weights of its average are kept in the lowest dtype of all parameters",
    "schedule": "the weight of a step in the average takes the lr of the next step: step_count starts at 1, the base optimizer's count at 0",
    "injected-lr": "a number that is injected has no next step to look at",
}
_SEARCHES = "the line search chooses the length of the step, whatever the lr"
_HESSIAN = "its update is the diagonal of the Hessian, whatever the gradient"
_SIGNS = "its random signs have the lowest dtype of all parameters, which jax.jvp refuses beside others"
_LR_AND_EPS = "adds eps to lr, as the implementation of its authors does: it moves at an lr of 0"
_LR_IS_A_CAP = "lr is a cap of the step that the value of the loss gives, and does nothing where that is shorter"
_ZERO_NORM = "divides by the norm of the gradient, which is 0/0 at 0"

EXPECTED: Mapping[str, Mapping[str, str]] = {
    "asgd": {"schedule": _LATE},
    "rprop": {"lr-zero": _FIRST_STEP_SIZE, "schedule": _FIRST_STEP_SIZE},
    "torch.optim.ASGD": {"schedule": _LATE},
    "torch.optim.Adafactor": {
        "tree": "divides by the number of entries: a tensor without entries raises ZeroDivisionError",
    },
    "torch.optim.LBFGS": {
        "missing-gradient": "flattens all parameters into one vector, where a missing gradient is zeros",
    },
    "torch.optim.NAdam": {
        "resume": "mu_product is made in the default dtype (float32), and load_state_dict turns it into that of the "
        "parameters: with float64 parameters a resumed run is another one",
        "state-dict": "the same: mu_product changes its dtype when it is loaded",
    },
    "torch.optim.Rprop": {"lr-zero": _FIRST_STEP_SIZE, "schedule": _FIRST_STEP_SIZE},
    "optax.lbfgs": {
        "tree": "its line search looks at the first of all arrays: a tree without arrays raises IndexError",
        "inputs": "changes its memory with .at, which a state of NumPy arrays does not have",
        "schedule": _SEARCHES,
    },
    "optax.noisy_sgd": {
        "zero-gradient": "adds noise to every gradient, which is its purpose",
        "at-rest": "adds noise to every gradient, which is its purpose",
        "company": "draws the noise of all tensors from one key, which is split by their number",
    },
    "optax.optimistic_adam": {"schedule": _NUMBER_ONLY, "lr-zero": _NUMBER_ONLY, "injected-lr": _NUMBER_ONLY},
    "optax.rprop": dict.fromkeys(_LR_CHECKS, _NO_SCHEDULE),
    "optax.sm3": dict.fromkeys(_LR_CHECKS, _NO_SCHEDULE)
    | {
        "non-finite": "the smaller of the row's and the column's maximum is nan where either is, while a finite change "
        "of one is hidden by the other",
    },
    "optax.yogi": {"zero-gradient": _STARTS_ABOVE_ZERO, "at-rest": _STARTS_ABOVE_ZERO},
    "optax.contrib.dadapt_adamw": _DISTANCE,
    "optax.contrib.galore": {"tree": _ONE_ARRAY_AT_LEAST},
    "optax.contrib.hutchinson_estimator_diag_hessian": {
        **dict.fromkeys(("zero-gradient", "at-rest", "frozen"), _HESSIAN),
        "company": _SIGNS,
    },
    "optax.contrib.madgrad": {"lr-zero": _LR_AND_EPS},
    "optax.contrib.momo": {"schedule": _LR_IS_A_CAP},
    "optax.contrib.momo_adam": {"schedule": _LR_IS_A_CAP},
    "optax.contrib.normalize": {"zero-gradient": _ZERO_NORM, "at-rest": _ZERO_NORM},
    "optax.contrib.prodigy": _DISTANCE,
    "optax.contrib.scale_by_galore": {"tree": _ONE_ARRAY_AT_LEAST},
    "optax.contrib.scale_by_madgrad": {"lr-zero": _LR_AND_EPS},
    "optax.contrib.scale_by_muon": {
        "first-step": "its weight_dimension_numbers, None by default, must have the structure of the parameters: "
        "optax.contrib.muon fills them in",
    },
    "optax.contrib.schedule_free_adamw": _SCHEDULE_FREE,
    "optax.contrib.schedule_free_sgd": _SCHEDULE_FREE,
    "optax.contrib.sophia": {
        "tree": "its state is that of one array at least: a tree without arrays raises TypeError",
        "company": _SIGNS,
    },
    "schedulefree.AdamWScheduleFree": {
        "inputs": "divides the gradients by the root of their average squares in place",
    },
}


def expected_for(target: Any) -> Mapping[str, str]:
    """What is known of a published class or factory, whatever its arguments."""
    return EXPECTED.get(published_name(target), {})


def published_name(target: Any) -> str:
    """``torch.optim.Adam``, ``optax.adam`` or ``optax.contrib.prodigy``: without the modules that it stands in."""
    rule = getattr(target, "rule", None)
    if rule is not None:
        return rule.name
    made = getattr(target, "make", None)
    parts = str(getattr(made, "__module__", "")).split(".")
    public = {"torch": ["torch", "optim"], "optax": ["optax", *[p for p in parts if p == "contrib"]]}
    return ".".join([*public.get(parts[0], parts[:1]), getattr(made, "__name__", "")])
