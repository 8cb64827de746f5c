"""Where Keras follows other definitions than torch.

Reason and source come from what diagnosis found.
"""

from __future__ import annotations

from .cases import Case, LrSchedule
from .differences import found
from .known import KnownDifference

_MOVING = LrSchedule("moving")


def _of(rule: str):
    return lambda case: case.rule == rule


KERAS: tuple[KnownDifference, ...] = (
    KnownDifference(
        id="keras-adam-eps-before-correction",
        backend="keras",
        applies=_of("adam"),
        reason=found()["keras-adam"].sentence,
        source=found()["keras-adam"].source,
        example=Case("adam", {}, {"lr": 0.1, "eps": 1e-3}),
        at_least=1e-2,
    ),
    KnownDifference(
        id="keras-rmsprop-eps-in-root",
        backend="keras",
        applies=_of("rmsprop"),
        reason=found()["keras-rmsprop-momentum"].sentence,
        source=found()["keras-rmsprop-momentum"].source,
        example=Case("rmsprop", {}, {"lr": 0.01}),
        at_least=1e-2,
    ),
    KnownDifference(
        id="keras-adagrad-eps-in-root",
        backend="keras",
        applies=_of("adagrad"),
        reason=found()["keras-adagrad"].sentence,
        source=found()["keras-adagrad"].source,
        example=Case("adagrad", {}, {"lr": 0.1, "eps": 1e-3}),
        at_least=1e-2,
    ),
    KnownDifference(
        id="keras-adamax-eps-after-maximum",
        backend="keras",
        applies=_of("adamax"),
        reason=found()["keras-adamax"].sentence,
        source=found()["keras-adamax"].source,
        example=Case("adamax", {}, {"lr": 0.1, "eps": 1e-2}),
        at_least=1e-3,
    ),
    KnownDifference(
        id="keras-sgd-lr-in-buffer",
        backend="keras",
        applies=lambda case: (
            case.rule == "sgd" and case.numbers.get("momentum", 0) != 0 and case.schedule.name != "constant"
        ),
        reason=found()["keras-sgd-momentum"].sentence,
        source=found()["keras-sgd-momentum"].source,
        example=Case("sgd", {}, {"lr": 0.1, "momentum": 0.9}, schedule=_MOVING),
        at_least=1e-1,
    ),
    KnownDifference(
        id="keras-nadam-momentum-schedule",
        backend="keras",
        applies=lambda case: case.rule == "nadam" and case.numbers.get("momentum_decay", 4e-3) != 1,
        reason=found()["keras-nadam"].sentence,
        source=found()["keras-nadam"].source,
        example=Case("nadam", {}, {"lr": 0.1}),
        at_least=1e-3,
    ),
    KnownDifference(
        id="keras-adafactor-float32-mean",
        backend="keras",
        applies=_of("adafactor"),
        reason=found()["keras-adafactor"].sentence,
        source=found()["keras-adafactor"].source,
        example=Case("adafactor", {"machine_eps": False}, {"lr": 0.01, "eps1": 1e-30}),
        at_least=1e-9,
    ),
    KnownDifference(
        id="keras-schedule-free-even-weights",
        backend="keras",
        applies=lambda case: (
            case.rule == "schedule_free_adamw"
            and case.schedule.name != "constant"
            and case.numbers.get("weight_lr_power", 2) != 0
        ),
        reason=found()["keras-schedule-free-adamw"].sentence,
        source=found()["keras-schedule-free-adamw"].source,
        example=Case("schedule_free_adamw", {}, {"lr": 0.1}, schedule=_MOVING),
        at_least=1e-2,
    ),
)
