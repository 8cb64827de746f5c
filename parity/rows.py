"""The rows of the table: what each rule is called in torch and in optax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .table import Inexpressible, OptaxRow, Row, add, torch_row

MAXIMIZE = {"maximize": True}


def _optax_sgd(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    if numbers["dampening"] != 0:
        raise Inexpressible("optax's trace has no dampening")
    return _signed(
        options,
        optax.add_decayed_weights(numbers["weight_decay"]),
        optax.sgd(lr, momentum=numbers["momentum"] or None, nesterov=options["nesterov"]),
    )


def _optax_adam(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    shared: dict[str, Any] = {"b1": numbers["beta1"], "b2": numbers["beta2"], "eps": numbers["eps"]}
    decay = numbers["weight_decay"]
    if options["decoupled"]:
        if options["amsgrad"]:
            raise Inexpressible("optax has no AMSGrad with decoupled decay")
        return _signed(options, optax.adamw(lr, weight_decay=decay, **shared))
    base = optax.amsgrad if options["amsgrad"] else optax.adam
    return _signed(options, optax.add_decayed_weights(decay), base(lr, **shared))


def _optax_rmsprop(options: Mapping[str, Any], numbers: Mapping[str, float], lr: Any) -> Any:
    import optax

    return _signed(
        options,
        optax.add_decayed_weights(numbers["weight_decay"]),
        optax.rmsprop(
            lr,
            decay=numbers["alpha"],
            eps=numbers["eps"],
            eps_in_sqrt=False,
            centered=options["centered"],
            momentum=numbers["momentum"] or None,
        ),
    )


def _signed(options: Mapping[str, Any], *parts: Any) -> Any:
    import optax

    return optax.chain(*([optax.scale(-1.0)] if options["maximize"] else []), *parts)


add(
    "sgd",
    Row(
        variants=(
            ({}, {"lr": 0.1}),
            ({}, {"lr": 0.1, "weight_decay": 0.02}),
            ({}, {"lr": 0.1, "momentum": 0.9}),
            ({}, {"lr": 0.1, "momentum": 0.9, "dampening": 0.4}),
            ({}, {"lr": 0.1, "momentum": 0.8, "dampening": 0.4, "weight_decay": 0.02}),
            ({"nesterov": True}, {"lr": 0.1, "momentum": 0.9}),
            ({"nesterov": True}, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.02}),
            (MAXIMIZE, {"lr": 0.1}),
            (MAXIMIZE, {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.02}),
            (MAXIMIZE | {"nesterov": True}, {"lr": 0.1, "momentum": 0.9}),
        ),
        torch=torch_row("sgd", state={"buffer": "momentum_buffer"}, implementations=("foreach", "fused")),
        optax=OptaxRow(_optax_sgd, state={"buffer": "trace"}),
    ),
)

# Coupled decay feeds the parameters back through the normalisation, and that loop amplifies rounding: at lr 0.01 and
# beta1 0 torch and optax drift apart by up to 4e-13 of travel, while forced replay holds both to 1e-14. Beside coupled
# decay the lr is therefore small.
_ADAM_NUMBERS = (
    {"lr": 0.1},
    {"lr": 0.001, "weight_decay": 0.02},
    {"lr": 0.1, "beta1": 0.0, "beta2": 0.95, "eps": 1e-2},
    {"lr": 0.001, "beta1": 0.5, "beta2": 0.99, "eps": 1e-6, "weight_decay": 0.1},
)
add(
    "adam",
    Row(
        variants=tuple(
            (options, numbers)
            for options in (
                {},
                {"amsgrad": True},
                {"decoupled": True},
                {"decoupled": True, "amsgrad": True},
                MAXIMIZE,
                MAXIMIZE | {"amsgrad": True},
                MAXIMIZE | {"decoupled": True},
                MAXIMIZE | {"decoupled": True, "amsgrad": True},
            )
            for numbers in _ADAM_NUMBERS
        ),
        torch=torch_row(
            "adam",
            state={"t": "step", "m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"},
            implementations=("foreach", "fused"),
        ),
        optax=OptaxRow(_optax_adam, state={"t": "count", "m": "mu", "v": "nu"}),
    ),
)

_RMSPROP_NUMBERS = (
    {"lr": 0.01},
    {"lr": 0.01, "weight_decay": 0.02},
    {"lr": 0.01, "momentum": 0.9},
    {"lr": 0.01, "alpha": 0.9, "eps": 1e-2, "momentum": 0.5, "weight_decay": 0.02},
)
add(
    "rmsprop",
    Row(
        variants=(
            *(
                (options, numbers)
                for options in ({}, {"centered": True}, MAXIMIZE, MAXIMIZE | {"centered": True})
                for numbers in _RMSPROP_NUMBERS
            ),
            ({"momentum_buffer": False}, {"lr": 0.01}),
            ({"momentum_buffer": False, "centered": True}, {"lr": 0.01, "weight_decay": 0.02}),
        ),
        torch=torch_row(
            "rmsprop",
            state={"t": "step", "v": "square_avg", "g_avg": "grad_avg", "buffer": "momentum_buffer"},
        ),
        optax=OptaxRow(_optax_rmsprop, state={"v": "nu"}),
    ),
)
