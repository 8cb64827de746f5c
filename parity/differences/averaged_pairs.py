"""The questions about rules that average their parameters."""

from __future__ import annotations

from .pair import Pair

NEXT_LR = (
    "optax/contrib/_schedule_free.py schedule_free: step_count, which the weight's lr is taken at, starts at 1, that of the "
    "base optimizer at 0"
)
KERAS_FREE = (
    "keras/src/optimizers/schedule_free_adamw.py update_step: the weight is 1/step, and the average x is formed within a step "
    "and kept nowhere"
)

AVERAGED_PAIRS: tuple[Pair, ...] = (
    Pair("our-asgd", "asgd(lr=0.1, lambd=0.01, t0=5)", "torch.optim.ASGD(lr=0.1, lambd=0.01, t0=5)"),
    Pair(
        "optax-sgd-asgd",
        "optax.sgd(0.1)",
        "torch.optim.ASGD(lr=0.1, lambd=0)",
        "torch/optim/asgd.py: eta of the next step is formed at the end of a step, from the lr of that one",
    ),
    Pair(
        "our-schedule-free-sgd",
        "schedule_free_sgd(lr=0.1, weight_decay=0.1)",
        "schedulefree.SGDScheduleFree(lr=0.1, weight_decay=0.1)",
    ),
    Pair(
        "our-schedule-free-adamw",
        "schedule_free_adamw(lr=0.1, weight_decay=0.1)",
        "schedulefree.AdamWScheduleFree(lr=0.1, weight_decay=0.1)",
    ),
    Pair(
        "optax-schedule-free-sgd",
        "optax.contrib.schedule_free_sgd(0.1, weight_decay=0.1)",
        "schedulefree.SGDScheduleFree(lr=0.1, weight_decay=0.1)",
        NEXT_LR,
    ),
    Pair(
        "optax-schedule-free-adamw",
        "optax.contrib.schedule_free_adamw(0.1, weight_decay=0.1)",
        "schedulefree.AdamWScheduleFree(lr=0.1, weight_decay=0.1)",
        NEXT_LR,
    ),
    Pair(
        "keras-schedule-free-adamw",
        "keras.optimizers.ScheduleFreeAdamW(0.1)",
        "schedulefree.AdamWScheduleFree(lr=0.1)",
        KERAS_FREE,
    ),
    Pair(
        "keras-schedule-free-adamw-decay",
        "keras.optimizers.ScheduleFreeAdamW(0.1, weight_decay=0.1)",
        "schedulefree.AdamWScheduleFree(lr=0.1, weight_decay=0.1)",
        f"{KERAS_FREE}; keras/src/optimizers/base_optimizer.py _apply_weight_decay: of the parameters, before the step, and "
        "so of the average alone",
    ),
)
