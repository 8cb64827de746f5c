"""What rules that average their parameters are known to differ in, from reading the sources."""

from __future__ import annotations

Known = dict[str, tuple[float | str, float | str]]

LARGEST = "the largest lr so far"
NEXT: Known = {"weight in the average": ("the largest lr so far and the next", LARGEST)}
EVEN: Known = {
    "weight in the average": ("1 for all", LARGEST),
    "evaluation": ("at the parameters", "at the average"),
}

KNOWN_AVERAGED: dict[str, Known] = {
    "our-asgd": {},
    "optax-sgd-asgd": {"lr of": ("this step", "the step before")},
    "our-schedule-free-sgd": {},
    "our-schedule-free-adamw": {},
    "optax-schedule-free-sgd": NEXT,
    "optax-schedule-free-adamw": NEXT,
    "keras-schedule-free-adamw": EVEN,
    "keras-schedule-free-adamw-decay": EVEN
    | {"weight decay": ("of the parameters before the step, times lr", "with the gradient")},
}
