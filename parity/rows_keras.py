"""What each rule is called in Keras 3, and what it can express there.

Keras's weight decay is decoupled and multiplied by the lr in every optimizer, it has no maximize (gradients are negated
instead) and no dampening.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .table import Inexpressible

Options = Mapping[str, Any]
Numbers = Mapping[str, float]


@dataclass(frozen=True)
class KerasRow:
    """A rule in Keras.

    Attributes
    ----------
    build : callable
        ``(keras.optimizers, options, numbers) -> optimizer``; raises :class:`~parity.Inexpressible` with the reason.
    state : mapping
        Our state field → the name Keras gives its variable, after the tensor's.
    starts_at_params : mapping
        Those of them that start as a copy of the parameters.
    """

    build: Callable[[Any, Options, Numbers], Any]
    state: Mapping[str, str] = field(default_factory=dict)
    starts_at_params: Mapping[str, str] = field(default_factory=dict)


def _decoupled(options: Options, numbers: Numbers) -> dict[str, Any]:
    """Keras's argument for weight decay; coupled decay has none."""
    if not numbers["weight_decay"]:
        return {}
    if not options.get("decoupled", False):
        raise Inexpressible("keras's weight decay is decoupled in every optimizer")
    return {"weight_decay": float(numbers["weight_decay"])}


def _betas(numbers: Numbers) -> dict[str, float]:
    return {"beta_1": numbers["beta1"], "beta_2": numbers["beta2"], "epsilon": numbers["eps"]}


def _sgd(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    if numbers["dampening"] and numbers["momentum"]:
        raise Inexpressible("keras's SGD has no dampening")
    decay = _decoupled(options, numbers)
    return optimizers.SGD(numbers["lr"], momentum=float(numbers["momentum"]), nesterov=options["nesterov"], **decay)


def _adam(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    kind = optimizers.AdamW if options["decoupled"] else optimizers.Adam
    decay = {"weight_decay": numbers["weight_decay"]} if options["decoupled"] else _decoupled(options, numbers)
    return kind(numbers["lr"], amsgrad=options["amsgrad"], **_betas(numbers), **decay)


def _rmsprop(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    return optimizers.RMSprop(
        numbers["lr"],
        rho=numbers["alpha"],
        momentum=float(numbers.get("momentum") or 0.0),
        epsilon=numbers["eps"],
        centered=options["centered"],
        **_decoupled(options, numbers),
    )


def _adagrad(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    if numbers["lr_decay"]:
        raise Inexpressible("keras's Adagrad has no lr_decay")
    return optimizers.Adagrad(
        numbers["lr"],
        initial_accumulator_value=numbers["initial_accumulator_value"],
        epsilon=numbers["eps"],
        **_decoupled(options, numbers),
    )


def _adadelta(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    return optimizers.Adadelta(
        numbers["lr"], rho=numbers["rho"], epsilon=numbers["eps"], **_decoupled(options, numbers)
    )


def _adamax(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    return optimizers.Adamax(numbers["lr"], **_betas(numbers), **_decoupled(options, numbers))


def _nadam(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    return optimizers.Nadam(numbers["lr"], **_betas(numbers), **_decoupled(options, numbers))


def _lion(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    if numbers["beta1"] <= 0:
        raise Inexpressible("keras's Lion refuses beta_1=0")
    betas = {"beta_1": numbers["beta1"], "beta_2": numbers["beta2"]}
    return optimizers.Lion(numbers["lr"], **betas, **_decoupled({"decoupled": True}, numbers))


def _lamb(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    if numbers["eps_root"]:
        raise Inexpressible("keras's Lamb has no eps inside the root")
    if numbers["weight_decay"]:
        raise Inexpressible("keras's Lamb decays outside the ratio of norms")
    return optimizers.Lamb(numbers["lr"], **_betas(numbers))


def _adafactor(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    if options.get("machine_eps"):
        raise Inexpressible("keras's Adafactor has no machine epsilon")
    return optimizers.Adafactor(
        numbers["lr"],
        beta_2_decay=numbers["beta2_decay"],
        epsilon_1=numbers["eps1"],
        epsilon_2=numbers["eps2"],
        clip_threshold=numbers["d"],
        relative_step=False,
        **_decoupled({"decoupled": True}, numbers),
    )


def _schedule_free_adamw(optimizers: Any, options: Options, numbers: Numbers) -> Any:
    if numbers["weight_decay"]:
        raise Inexpressible("keras's schedule-free AdamW decays the average outside its step")
    return optimizers.ScheduleFreeAdamW(numbers["lr"], warmup_steps=0, **_betas(numbers))


_MOMENTS = {"t": "iteration", "m": "momentum", "v": "velocity"}

ROWS: Mapping[str, KerasRow] = {
    "sgd": KerasRow(_sgd),
    "adam": KerasRow(_adam, state=_MOMENTS),
    "rmsprop": KerasRow(_rmsprop, state={"v": "velocity"}),
    "adagrad": KerasRow(_adagrad, state={"sum": "accumulator"}),
    "adadelta": KerasRow(_adadelta, state={"square_avg": "accumulated_grad", "acc_delta": "accumulated_delta_var"}),
    "adamax": KerasRow(_adamax, state={"m": "momentum"}),
    "nadam": KerasRow(_nadam, state=_MOMENTS),
    "lion": KerasRow(_lion, state={"m": "momentum"}),
    "lamb": KerasRow(_lamb, state=_MOMENTS),
    "adafactor": KerasRow(_adafactor),
    "schedule_free_adamw": KerasRow(
        _schedule_free_adamw, state={"v": "velocity", "z": "momentum"}, starts_at_params={"z": "momentum"}
    ),
}
