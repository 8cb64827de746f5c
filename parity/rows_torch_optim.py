"""Rows of the table for the rest of torch.optim."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from .rows import MAXIMIZE
from .rows import _signed as signed
from .table import EVERY_RANK, OptaxRow, Row, add, torch_row

DECOUPLED = {"decoupled": True}


def variants(options: tuple[Any, ...], numbers: tuple[Any, ...]) -> tuple[Any, ...]:
    """Every set of options with every set of numbers."""
    return tuple(product(options, numbers))


def _optax_adamax(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    return signed(
        options,
        optax.add_decayed_weights(numbers["weight_decay"]),
        optax.adamax(lr, b1=numbers["beta1"], b2=numbers["beta2"], eps=numbers["eps"]),
    )


def _optax_adadelta(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    return signed(
        options,
        optax.add_decayed_weights(numbers["weight_decay"]),
        optax.adadelta(lr, rho=numbers["rho"], eps=numbers["eps"]),
    )


add(
    "adamax",
    Row(
        variants=variants(
            ({}, MAXIMIZE),
            (
                {"lr": 0.1},
                {"lr": 0.001, "weight_decay": 0.02},
                {"lr": 0.1, "beta1": 0.0, "beta2": 0.9, "eps": 1e-2},
                {"lr": 0.001, "beta1": 0.5, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1},
            ),
        ),
        torch=torch_row("adamax", state={"t": "step", "m": "exp_avg", "u": "exp_inf"}),
        optax=OptaxRow(_optax_adamax, state={"t": "count", "m": "mu", "u": "nu"}),
    ),
)
add(
    "nadam",
    Row(
        variants=variants(
            ({}, MAXIMIZE, DECOUPLED, MAXIMIZE | DECOUPLED),
            (
                {"lr": 0.1},
                {"lr": 0.001, "weight_decay": 0.02},
                {"lr": 0.1, "beta1": 0.0, "beta2": 0.95, "eps": 1e-2, "momentum_decay": 0.0},
                {"lr": 0.001, "beta1": 0.5, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1, "momentum_decay": 0.3},
            ),
        ),
        torch=torch_row(
            "nadam",
            state={"t": "step", "m": "exp_avg", "v": "exp_avg_sq"},
        ),
    ),
)
add(
    "radam",
    Row(
        variants=variants(
            ({}, MAXIMIZE, DECOUPLED, MAXIMIZE | DECOUPLED),
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
        torch=torch_row(
            "radam",
            state={"t": "step", "m": "exp_avg", "v": "exp_avg_sq"},
        ),
    ),
)
add(
    "adagrad",
    Row(
        variants=variants(
            ({}, MAXIMIZE),
            (
                {"lr": 0.1},
                {"lr": 0.01, "weight_decay": 0.02},
                {"lr": 0.1, "lr_decay": 0.05, "eps": 1e-2},
                {"lr": 0.01, "lr_decay": 0.5, "initial_accumulator_value": 0.1, "weight_decay": 0.1},
            ),
        ),
        torch=torch_row("adagrad", state={"t": "step", "sum": "sum"}, implementations=("foreach", "fused")),
    ),
)
add(
    "adadelta",
    Row(
        variants=variants(
            ({}, MAXIMIZE),
            (
                {"lr": 1.0},
                {"lr": 0.1, "weight_decay": 0.02},
                {"lr": 1.0, "rho": 0.95, "eps": 1e-2},
                {"lr": 0.1, "rho": 0.0, "weight_decay": 0.1},
                {"lr": 0.1, "rho": 1.0},
            ),
        ),
        torch=torch_row("adadelta", state={"t": "step", "square_avg": "square_avg", "acc_delta": "acc_delta"}),
        optax=OptaxRow(_optax_adadelta, state={"square_avg": "e_g", "acc_delta": "e_x"}),
    ),
)
add(
    "rprop",
    Row(
        variants=variants(
            ({}, MAXIMIZE),
            (
                {"lr": 0.01},
                {"lr": 0.1, "eta_minus": 0.3, "eta_plus": 1.5},
                {"lr": 0.1, "step_size_min": 0.05, "step_size_max": 0.2},
            ),
        ),
        torch=torch_row(
            "rprop",
            state={"t": "step", "prev": "prev", "step_size": "step_size"},
        ),
    ),
)
add(
    "asgd",
    Row(
        variants=variants(
            ({}, MAXIMIZE),
            (
                {"lr": 0.1},
                {"lr": 0.1, "weight_decay": 0.02},
                {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 20.0},
                {"lr": 0.1, "lambd": 0.0, "t0": 0.0, "weight_decay": 0.1},
            ),
        ),
        torch=torch_row("asgd", state={"t": "step", "eta": "eta", "mu": "mu", "ax": "ax"}),
    ),
)

MATRICES = {"square": (4, 4), "tall": (7, 3), "wide": (2, 9), "row": (1, 5)}
add(
    "adafactor",
    Row(
        tensors=EVERY_RANK,
        variants=variants(
            ({}, MAXIMIZE),
            (
                {"lr": 0.01},
                {"lr": 0.01, "weight_decay": 0.1},
                {"lr": 0.2, "beta2_decay": -0.5, "eps2": 0.1, "d": 2.0, "weight_decay": 0.02},
            ),
        )
        + variants(
            ({"machine_eps": False}, {"machine_eps": False} | MAXIMIZE), ({"eps1": 1e-3}, {"eps1": 1e-30, "d": 1.5})
        ),
        torch=torch_row(
            "adafactor",
            state={"t": "step", "row_var": "row_var", "col_var": "col_var", "variance": "variance"},
        ),
    ),
)
add(
    "muon",
    Row(
        variants=variants(
            ({}, {"nesterov": False}, {"adjust_lr_fn": "match_rms_adamw"}, {"ns_steps": 2, "adjust_lr_fn": "original"}),
            (
                {"lr": 0.02},
                {"lr": 0.02, "momentum": 0.8, "weight_decay": 0.0, "eps": 1e-2},
                {"lr": 0.02, "ns_a": 3.4, "ns_b": -4.7, "ns_c": 2.0},
            ),
        ),
        torch=torch_row(
            "muon",
            state={"buffer": "momentum_buffer"},
            implementations=(),
        ),
        tensors=MATRICES,
        # Newton-Schulz runs in bfloat16. On most steps the bits are torch's; where a float32 sum that is rounded ends in
        # another last bit, one entry flips by 2^-9 and each iteration left multiplies that by up to ns_a = 3.4.
        # Empirical: up to 5e-4 of reach on the CPUs tried. An lr 1 % off is 1e-2 and is caught; an eps left out is not.
        gate=2e-3,
    ),
)
add(
    "sparse_adam",
    Row(
        variants=variants(
            ({}, MAXIMIZE),
            ({"lr": 0.1}, {"lr": 0.1, "beta1": 0.5, "beta2": 0.95, "eps": 1e-2}, {"lr": 0.01, "beta1": 0.0}),
        ),
        torch=torch_row("sparse_adam", state={"t": "step", "m": "exp_avg", "v": "exp_avg_sq"}, implementations=()),
        tensors={"embedding": (6, 3), "vector": (5,)},
        sparse=True,
    ),
)
