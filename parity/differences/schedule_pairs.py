"""The questions about schedules."""

from __future__ import annotations

from .pair import Pair

TORCH = "torch.optim.lr_scheduler."
KERAS = "keras.optimizers.schedules."
_CYCLES = ", ".join(
    f"{{'init_value': 0.1, 'peak_value': 0.1, 'warmup_steps': 0, 'decay_steps': {steps}}}" for steps in (20, 40, 80)
)
#: Schedulers of torch that have a closed form beside the one that steps.
CLOSED = {
    "step": "StepLR(step_size=10",
    "multistep": "MultiStepLR(milestones=[30, 80]",
    "constant": "ConstantLR(total_iters=20",
    "linear": "LinearLR(total_iters=50",
    "exponential": "ExponentialLR(gamma=0.99",
    "polynomial": "PolynomialLR(total_iters=50, power=2.0",
    "cosine": "CosineAnnealingLR(T_max=50",
}
OPTAX_SCHEDULES = "optax/schedules/_schedule.py"
LR_SCHEDULER = "torch/optim/lr_scheduler.py"

SCHEDULE_PAIRS: tuple[Pair, ...] = (
    Pair(
        "optax-cosine",
        "optax.cosine_decay_schedule(0.1, decay_steps=50)",
        f"{TORCH}CosineAnnealingLR(T_max=50)",
        f"{OPTAX_SCHEDULES} cosine_decay_schedule: the count is held at decay_steps; {LR_SCHEDULER} CosineAnnealingLR; "
        "pytorch/pytorch#40362",
    ),
    Pair(
        "optax-one-cycle",
        "optax.cosine_onecycle_schedule(50, 0.1)",
        f"{TORCH}OneCycleLR(max_lr=0.1, total_steps=50)",
        f"{OPTAX_SCHEDULES} cosine_onecycle_schedule: boundaries ⌊pct_start·n⌋ and n; {LR_SCHEDULER} OneCycleLR: phases end at "
        "pct_start·n − 1 and n − 1, momentum moves against the lr, and step n + 1 raises",
    ),
    Pair(
        "optax-one-cycle-linear",
        "optax.linear_onecycle_schedule(50, 0.1)",
        f"{TORCH}OneCycleLR(max_lr=0.1, total_steps=50, anneal_strategy='linear', three_phase=True)",
        f"{OPTAX_SCHEDULES} linear_onecycle_schedule: the second phase ends at ⌊pct_final·n⌋; {LR_SCHEDULER} OneCycleLR: at "
        "2·pct_start·n − 2",
    ),
    Pair("optax-exponential", "optax.exponential_decay(0.1, 1, 0.9)", f"{TORCH}ExponentialLR(gamma=0.9)"),
    Pair(
        "optax-step",
        "optax.exponential_decay(0.1, 10, 0.5)",
        f"{TORCH}StepLR(step_size=10, gamma=0.5)",
        f"{OPTAX_SCHEDULES} exponential_decay: staircase is False by default",
    ),
    Pair(
        "optax-multistep",
        "optax.piecewise_constant_schedule(0.1, {30: 0.1, 80: 0.1})",
        f"{TORCH}MultiStepLR(milestones=[30, 80])",
    ),
    Pair(
        "optax-linear",
        "optax.linear_schedule(0.1, 0.01, 50)",
        f"{TORCH}LinearLR(start_factor=1.0, end_factor=0.1, total_iters=50)",
    ),
    Pair(
        "optax-polynomial",
        "optax.polynomial_schedule(0.1, 0.0, 2.0, 50)",
        f"{TORCH}PolynomialLR(total_iters=50, power=2.0)",
    ),
    Pair(
        "optax-warm-restarts",
        f"optax.sgdr_schedule([{_CYCLES}])",
        f"{TORCH}CosineAnnealingWarmRestarts(T_0=20, T_mult=2)",
        f"{OPTAX_SCHEDULES} sgdr_schedule: the last of the cycles that it is given stays at its end",
    ),
    Pair(
        "optax-warm-up-cosine",
        "optax.warmup_cosine_decay_schedule(0.0, 0.1, 10, 50)",
        f"{KERAS}CosineDecay(0.0, 50, warmup_target=0.1, warmup_steps=10)",
        f"{OPTAX_SCHEDULES} warmup_cosine_decay_schedule: decay_steps includes the warm-up; "
        "keras/src/optimizers/schedules/learning_rate_schedule.py CosineDecay: it does not; keras/src/backend/jax/numpy.py cos",
    ),
    *(
        Pair(
            f"torch-{name}-closed-form",
            f"{TORCH}{scheduler}, lr=0.1)",
            f"{TORCH}{scheduler}, lr=0.1, closed_form=True)",
        )
        for name, scheduler in CLOSED.items()
    ),
    *(
        Pair(
            f"torch-{name}-tensor-lr",
            f"{TORCH}{CLOSED[name]}, lr=0.1)",
            f"{TORCH}{CLOSED[name]}, lr=numpy.float32(0.1))",
            f"{LR_SCHEDULER}: the lr in force is multiplied at each step, in the dtype of a Tensor lr",
        )
        for name in ("exponential", "cosine")
    ),
    Pair("our-cosine", "cosine_annealing(lr=0.1, T_max=50)", f"{TORCH}CosineAnnealingLR(T_max=50)"),
    Pair(
        "our-one-cycle",
        "one_cycle(max_lr=0.1, total_steps=50)",
        f"{TORCH}OneCycleLR(max_lr=0.1, total_steps=50)",
    ),
    Pair(
        "our-warm-restarts",
        "cosine_annealing_warm_restarts(lr=0.1, T_0=20, T_mult=2)",
        f"{TORCH}CosineAnnealingWarmRestarts(T_0=20, T_mult=2)",
    ),
    Pair(
        "keras-cosine",
        f"{KERAS}CosineDecay(0.1, 50)",
        f"{TORCH}CosineAnnealingLR(T_max=50)",
        "keras/src/optimizers/schedules/learning_rate_schedule.py CosineDecay; keras/src/backend/jax/numpy.py cos: the result "
        "type of float64 and Python's float is float32",
    ),
    Pair(
        "keras-warm-restarts",
        f"{KERAS}CosineDecayRestarts(0.1, 20)",
        f"{TORCH}CosineAnnealingWarmRestarts(T_0=20, T_mult=2)",
        "keras/src/backend/jax/numpy.py cos: the result type of float64 and Python's float is float32",
    ),
    Pair(
        "keras-milestones",
        f"{KERAS}PiecewiseConstantDecay([30, 80], [0.1, 0.01, 0.001])",
        f"{TORCH}MultiStepLR(milestones=[30, 80])",
        "keras/src/optimizers/schedules/learning_rate_schedule.py PiecewiseConstantDecay: a boundary has the value before it",
    ),
    Pair(
        "keras-polynomial",
        f"{KERAS}PolynomialDecay(0.1, 50)",
        f"{TORCH}PolynomialLR(total_iters=50)",
        "keras/src/optimizers/schedules/learning_rate_schedule.py PolynomialDecay: end_learning_rate is 1e-4 by default",
    ),
)
