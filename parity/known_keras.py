"""Where Keras follows other definitions than torch; with eps small beside every √v, those of eps are gone."""

from __future__ import annotations

from .cases import Case, LrSchedule
from .known import KnownDifference

_MOVING = LrSchedule("moving")


def _of(rule: str):
    return lambda case: case.rule == rule


KERAS: tuple[KnownDifference, ...] = (
    KnownDifference(
        id="keras-adam-eps-before-correction",
        backend="keras",
        applies=_of("adam"),
        reason="Keras adds eps to √v before the bias correction, torch to √v̂ after it: the eps that acts in Keras is "
        "eps/√(1 − beta2^t), 32 times eps at the first step",
        source="keras 3.15.1 src/optimizers/adam.py update_step; keras-team/keras issue 17391",
        example=Case("adam", {}, {"lr": 0.1, "eps": 1e-3}),
        at_least=1e-2,
    ),
    KnownDifference(
        id="keras-rmsprop-eps-in-root",
        backend="keras",
        applies=_of("rmsprop"),
        reason="Keras adds eps inside the root, torch outside; with momentum it also multiplies by the lr before the buffer",
        source="keras 3.15.1 src/optimizers/rmsprop.py update_step",
        example=Case("rmsprop", {}, {"lr": 0.01}),
        at_least=1e-2,
    ),
    KnownDifference(
        id="keras-adagrad-eps-in-root",
        backend="keras",
        applies=_of("adagrad"),
        reason="Keras adds eps inside the root, torch outside",
        source="keras 3.15.1 src/optimizers/adagrad.py update_step",
        example=Case("adagrad", {}, {"lr": 0.1, "eps": 1e-3}),
        at_least=1e-2,
    ),
    KnownDifference(
        id="keras-adamax-eps-after-maximum",
        backend="keras",
        applies=_of("adamax"),
        reason="Keras adds eps to the running maximum, torch to each gradient's size before it takes the maximum",
        source="keras 3.15.1 src/optimizers/adamax.py update_step; torch 2.13 torch/optim/adamax.py",
        example=Case("adamax", {}, {"lr": 0.1, "eps": 1e-2}),
        at_least=1e-3,
    ),
    KnownDifference(
        id="keras-sgd-lr-in-buffer",
        backend="keras",
        applies=lambda case: (
            case.rule == "sgd" and case.numbers.get("momentum", 0) != 0 and case.schedule.name != "constant"
        ),
        reason="Keras multiplies by the lr before the momentum buffer, torch after it: a moving lr tells them apart",
        source="keras 3.15.1 src/optimizers/sgd.py update_step",
        example=Case("sgd", {}, {"lr": 0.1, "momentum": 0.9}, schedule=_MOVING),
        at_least=1e-1,
    ),
    KnownDifference(
        id="keras-nadam-momentum-schedule",
        backend="keras",
        applies=lambda case: case.rule == "nadam" and case.numbers.get("momentum_decay", 4e-3) != 1,
        reason="Keras's momentum schedule is torch's with momentum_decay=1; torch's default is 4e-3",
        source="keras 3.15.1 src/optimizers/nadam.py update_step; torch 2.13 torch/optim/nadam.py",
        example=Case("nadam", {}, {"lr": 0.1}),
        at_least=1e-3,
    ),
    KnownDifference(
        id="keras-adafactor-float32-mean",
        backend="keras",
        applies=_of("adafactor"),
        reason="Keras's mean on JAX works in float32 whatever the dtype of its operand, so that a float64 run has float32's "
        "digits; it also adds eps1 to the squares",
        source="keras 3.15.1 src/backend/jax/numpy.py mean; src/optimizers/adafactor.py update_step",
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
        reason="Keras gives every iterate the same weight, the paper's code the square of the largest lr so far: a moving lr "
        "tells them apart",
        source="keras 3.15.1 src/optimizers/schedule_free_adamw.py update_step",
        example=Case("schedule_free_adamw", {}, {"lr": 0.1}, schedule=_MOVING),
        at_least=1e-2,
    ),
)
