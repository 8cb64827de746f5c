"""Rows of the table for rules that torch.optim does not have: optax is the other implementation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .rows import MAXIMIZE
from .rows import _signed as signed
from .rows_torch_optim import variants
from .table import EVERY_RANK, Inexpressible, OptaxRow, Row, add

NESTEROV = {"nesterov": True}


def _decoupled(rule: Any, numbers: Mapping[str, float], lr: Any) -> tuple[Any, ...]:
    """A unit-lr update followed by AdamW's decay and the lr, for optax rules without a decay of their own."""
    import optax

    return rule, optax.add_decayed_weights(numbers["weight_decay"]), optax.scale_by_learning_rate(lr)


def _optax_lion(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    decay = numbers["weight_decay"]
    return signed(options, optax.lion(lr, b1=numbers["beta1"], b2=numbers["beta2"], weight_decay=decay))


def _optax_signum(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    average = [optax.ema(numbers["momentum"], debias=False)] if options["averaged"] else []
    return signed(options, *average, *_decoupled(optax.scale_by_sign(), numbers, lr))


def _optax_lars(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    return signed(
        options,
        optax.lars(
            lr,
            weight_decay=numbers["weight_decay"],
            trust_coefficient=numbers["trust_coefficient"],
            eps=numbers["eps"],
            momentum=numbers["momentum"],
            nesterov=options["nesterov"],
        ),
    )


def _optax_lamb(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    return signed(
        options,
        optax.lamb(
            lr,
            b1=numbers["beta1"],
            b2=numbers["beta2"],
            eps=numbers["eps"],
            eps_root=numbers["eps_root"],
            weight_decay=numbers["weight_decay"],
        ),
    )


def _optax_adabelief(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    return signed(
        options,
        optax.adabelief(
            lr,
            b1=numbers["beta1"],
            b2=numbers["beta2"],
            eps=numbers["eps"],
            eps_root=numbers["eps_root"],
            nesterov=options["nesterov"],
        ),
    )


def _optax_adan(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    if options["proximal"]:
        raise Inexpressible("optax's Adan has no proximal decay")
    if numbers["beta2"] != 0.5:
        raise Inexpressible("optax weighs Adan's differences by 1 − beta2 where the paper has beta2")
    return signed(
        options,
        optax.adan(
            lr,
            b1=numbers["beta1"],
            b2=numbers["beta2"],
            b3=numbers["beta3"],
            eps=numbers["eps"],
            eps_root=numbers["eps_root"],
            weight_decay=numbers["weight_decay"],
        ),
    )


add(
    "lion",
    Row(
        variants=variants(
            ({}, MAXIMIZE),
            (
                {"lr": 0.01},
                {"lr": 0.01, "weight_decay": 0.1},
                {"lr": 0.01, "beta1": 0.5, "beta2": 0.95, "weight_decay": 0.1},
                {"lr": 0.01, "beta1": 0.0, "beta2": 0.0},
            ),
        ),
        optax=OptaxRow(_optax_lion, state={"t": "count", "m": "mu"}),
    ),
)
add(
    "signum",
    Row(
        variants=(
            *variants(({}, MAXIMIZE), ({"lr": 0.01}, {"lr": 0.01, "momentum": 0.5, "weight_decay": 0.1})),
            *variants(({"averaged": False}, {"averaged": False} | MAXIMIZE), ({"lr": 0.01}, {"weight_decay": 0.1})),
        ),
        optax=OptaxRow(_optax_signum, state={"m": "ema"}),
    ),
)
add(
    "lars",
    Row(
        tensors=EVERY_RANK,
        variants=variants(
            ({}, MAXIMIZE, NESTEROV, MAXIMIZE | NESTEROV),
            (
                {"lr": 1.0},
                {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.02},
                {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.02, "trust_coefficient": 0.01, "eps": 1e-2},
            ),
        ),
        optax=OptaxRow(_optax_lars, state={}),  # its trace is minus the buffer
    ),
)
add(
    "lamb",
    Row(
        tensors=EVERY_RANK,
        variants=variants(
            ({}, MAXIMIZE),
            (
                {"lr": 0.01},
                {"lr": 0.01, "weight_decay": 0.1},
                {"lr": 0.01, "beta1": 0.0, "beta2": 0.95, "eps": 1e-2, "eps_root": 1e-3, "weight_decay": 0.1},
            ),
        ),
        optax=OptaxRow(_optax_lamb, state={"t": "count", "m": "mu", "v": "nu"}),
    ),
)
add(
    "adabelief",
    Row(
        variants=variants(
            ({}, MAXIMIZE, NESTEROV, MAXIMIZE | NESTEROV),
            ({"lr": 0.01}, {"lr": 0.1, "beta1": 0.5, "beta2": 0.95, "eps": 1e-2, "eps_root": 1e-3}),
        ),
        optax=OptaxRow(_optax_adabelief, state={"t": "count", "m": "mu", "v": "nu"}),
    ),
)
add(
    "adan",
    Row(
        variants=variants(
            ({}, MAXIMIZE, {"proximal": False}, MAXIMIZE | {"proximal": False}),
            (
                {"lr": 0.01},
                {"lr": 0.01, "weight_decay": 0.1},
                {"lr": 0.01, "beta1": 0.9, "beta2": 0.5, "beta3": 0.95, "eps": 1e-3, "weight_decay": 0.1},
                {"lr": 0.01, "beta2": 0.5, "eps_root": 1e-3},
            ),
        ),
        optax=OptaxRow(_optax_adan, state={"t": "t", "m": "m", "v": "v", "n": "n", "g_last": "g"}),
    ),
)


def _optax_schedule_free_sgd(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    return _schedule_free(
        options, numbers, lr, optax.add_decayed_weights(numbers["weight_decay"]), optax.scale_by_learning_rate(lr)
    )


def _optax_schedule_free_adamw(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    return _schedule_free(
        options,
        numbers,
        lr,
        optax.scale_by_rms(decay=numbers["beta2"], eps=numbers["eps"], eps_in_sqrt=False, bias_correction=True),
        optax.add_decayed_weights(numbers["weight_decay"]),
        optax.scale_by_learning_rate(lr),
    )


def _schedule_free(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any, *base: Any) -> Any:
    """What optax.contrib's two shortcuts build; its averaging counts from 1 where its lr counts from 0."""
    import optax
    import optax.contrib

    return signed(
        options,
        optax.contrib.schedule_free(
            optax.chain(*base),
            learning_rate=lambda count: lr(count - 1),
            b1=numbers["beta1"],
            weight_lr_power=numbers["weight_lr_power"],
        ),
    )


add(
    "schedule_free_sgd",
    Row(
        variants=variants(
            ({}, MAXIMIZE),
            (
                {"lr": 0.1},
                {"lr": 0.1, "weight_decay": 0.02},
                {"lr": 0.1, "beta1": 0.5, "weight_decay": 0.02, "weight_lr_power": 0.0},
                {"lr": 0.1, "beta1": 0.98, "weight_lr_power": 1.5},
            ),
        ),
        optax=OptaxRow(_optax_schedule_free_sgd, state={"z": "z", "max_lr": "max_lr"}),
    ),
)
add(
    "schedule_free_adamw",
    Row(
        variants=variants(
            ({}, MAXIMIZE),
            (
                {"lr": 0.01},
                {"lr": 0.01, "weight_decay": 0.1},
                {"lr": 0.01, "beta1": 0.5, "beta2": 0.95, "eps": 1e-2, "weight_decay": 0.1, "weight_lr_power": 0.0},
            ),
        ),
        optax=OptaxRow(_optax_schedule_free_adamw, state={"z": "z", "v": "nu", "max_lr": "max_lr"}),
    ),
)
