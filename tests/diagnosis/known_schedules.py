"""What schedules are known to differ in, from reading the sources: setting → (first, second)."""

from __future__ import annotations

CYCLE: dict[str, tuple[float | str, float | str]] = {
    "phases end": ("at whole steps", "one step early"),
    "after the horizon": ("stays", "goes one step past, then an error"),
    "momentum": ("left alone", "cycled"),
}
RISE: dict[str, tuple[float | str, float | str]] = {"after the horizon": ("stays", "rises again")}

KNOWN_SCHEDULES: dict[str, dict[str, tuple[float | str, float | str]]] = {
    "optax-cosine": RISE,
    "optax-one-cycle": CYCLE,
    "optax-one-cycle-linear": CYCLE | {"phases": ("three, to pct_final", "three, the second as long as the first")},
    "optax-exponential": {},
    "optax-step": {"fall": ("continuous", "in steps")},
    "optax-multistep": {},
    "optax-linear": {},
    "optax-polynomial": {},
    "optax-warm-restarts": {"cycles": (3.0, float("inf"))},
    "optax-warm-up-cosine": {"T": (40.0, 50.0), "cosine": ("in double", "in float32")},
    **{
        f"torch-{name}-closed-form": {}
        for name in ("step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine")
    },
    "torch-exponential-tensor-lr": {"lr held": ("in double", "in float32 from step to step")},
    "torch-cosine-tensor-lr": {"lr held": ("in double", "in float32 from step to step")},
    "our-cosine": {},
    "our-one-cycle": {},
    "our-warm-restarts": {},
    "keras-cosine": RISE | {"cosine": ("in float32", "in double")},
    "keras-warm-restarts": {"cosine": ("in float32", "in double")},
    "keras-milestones": {"lr of": ("the step before", "this step")},
    "keras-polynomial": {"end": (1e-4, 0.0)},
}
