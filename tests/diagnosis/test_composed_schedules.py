"""Torch's schedulers of schedulers, of functions and of metrics are diagnosed as the others are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lrtheory.spec import Formula, SpecError
from parity import diagnose
from parity.diagnosis import FAMILIES, implementation

TORCH = "torch.optim.lr_scheduler."
WARM = (
    f"{TORCH}SequentialLR(schedulers=[{TORCH}LinearLR(start_factor=0.1, total_iters=5), {TORCH}CosineAnnealingLR(T_max=50)], "
    "milestones=[5], lr=0.1)"
)
BOTH = (
    f"{TORCH}ChainedScheduler([{TORCH}ConstantLR(factor=0.1, total_iters=20), {TORCH}ExponentialLR(gamma=0.9)], lr=0.1)"
)
FALLS = f"{TORCH}LambdaLR(lr_lambda=lambda t: 0.95 ** t, lr=0.1)"
COSINE = "transformers.optimization:get_cosine_schedule_with_warmup(num_warmup_steps=5, num_training_steps=55, lr=0.1)"
STANDS = f"{TORCH}ReduceLROnPlateau(factor=0.5, patience=3, lr=0.1)"
IN_OPTAX = "optax.contrib.reduce_on_plateau(factor=0.5, patience=3)"


def changes(a: str, b: str) -> dict[str, Any]:
    now = diagnose(a, b)
    assert now.outcome == "settings", now.sentence
    assert now.residual <= 1e-9
    return {change.setting: change.b for change in now.changes}


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (WARM, WARM.replace("T_max=50", "T_max=40"), {"T_max": 40}),
        (BOTH, BOTH.replace("factor=0.1", "factor=0.2"), {"factor": 0.2}),
        # a fall after a warm-up, whoever writes it
        ("optax.warmup_cosine_decay_schedule(0.01, 0.1, 5, 45)", WARM, {"T": 50, "after the horizon": "rises again"}),
        (WARM, "optax.warmup_cosine_decay_schedule(0.02, 0.1, 5, 55)", {"start": 0.02, "after the horizon": "stays"}),
        # functions are computed, and told by the families that come closest
        (FALLS, f"{TORCH}ExponentialLR(gamma=0.9)", {"gamma": 0.9}),
        (FALLS, FALLS.replace("0.95", "0.9"), {"lr_lambda": "lambda t: 0.9 ** t"}),
        (COSINE, "optax.warmup_cosine_decay_schedule(0.0, 0.1, 5, 45)", {"T": 40, "after the horizon": "stays"}),
        # metrics
        (STANDS, IN_OPTAX, {"patience": 2}),
        (IN_OPTAX, STANDS, {"patience": 3}),
        (STANDS, STANDS.replace("lr=", "min_lr=0.01, lr="), {"min_lr": 0.01}),
        (STANDS, STANDS.replace("lr=", "eps=1e-3, lr="), {"eps": 1e-3}),
        (STANDS.replace("lr=", "threshold=0.01, lr="), STANDS, {"rtol": 1e-4}),
        (STANDS, STANDS.replace("lr=", "cooldown=2, lr="), {"cooldown": 2}),
        (STANDS.replace("lr=", "mode='max', lr="), STANDS, {"mode": "min"}),
    ],
)
def test_the_change_is_told(a: str, b: str, told: dict[str, Any]) -> None:
    assert changes(a, b) == told


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (FALLS, f"{TORCH}ExponentialLR(gamma=0.95)"),
        (FALLS, FALLS.replace("t: 0.95 ** t", "n: 0.95 ** n")),
        (f"{TORCH}MultiplicativeLR(lr_lambda=lambda t: 0.95, lr=0.1)", f"{TORCH}ExponentialLR(gamma=0.95)"),
        (f"{TORCH}LambdaLR(lr_lambda=lambda t: min(1, t / 10))", "optax.linear_schedule(0.0, 1e-3, 10)"),
        (COSINE, "cosine_with_warmup(lr=0.1, warmup_steps=5, total_steps=55)"),
        (f"{TORCH}ChainedScheduler([{TORCH}ExponentialLR(gamma=0.5)], lr=0.1)", "exponential(lr=0.1, gamma=0.5)"),
        (STANDS, "plateau(lr=0.1, factor=0.5, patience=3)"),
    ],
)
def test_what_runs_alike_is_the_same(a: str, b: str) -> None:
    now = diagnose(a, b)
    assert (now.outcome, now.unseen) == ("same", ()), now.sentence


def test_a_part_that_never_acts_is_not_called_equal() -> None:
    now = diagnose(BOTH.replace("factor=0.1", "factor=1.0"), f"{TORCH}ExponentialLR(gamma=0.9)")
    assert (now.outcome, now.unseen) == ("unseen", ("total_iters=20",))
    silent = diagnose(STANDS, STANDS.replace("lr=", "min_lr=1e-12, lr="))  # eps ends the fall before
    assert (silent.outcome, silent.unseen) == ("unseen", ("min_lr=0",))


@pytest.mark.parametrize(
    ("switch", "value"), [("in the cooldown", "all are counted"), ("a metric improves on", "the one before")]
)
def test_a_planted_state_machine_is_recovered(switch: str, value: str) -> None:
    """A plateau whose cooldown counts, or that compares with the metric before, and not with the best."""
    sound = implementation(STANDS.replace("lr=", "cooldown=4, lr="))
    family = FAMILIES["plateau"]
    broken = replace(
        sound,
        text="the broken one",
        follow=lambda given, probe: family.run(sound.numbers(), {**family.base, switch: value}, probe),
    )
    now = diagnose(sound, broken)
    assert {change.setting: change.b for change in now.changes} == {switch: value}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lambda t: open('x')", "open('x') is not evaluated: a function of the step may have"),
        ("lambda t: t.real", "t.real is not evaluated"),
        ("lambda t: (lambda: 1)()", "is not evaluated"),
        ("lambda t, s: t", "takes one argument"),
        ("lambda t: 1 / (t - 1)", "division by zero"),
        ("lambda t: (-8.0) ** 0.5", "no number"),
        ("f", "f is not evaluated"),
    ],
)
def test_a_function_that_is_no_plain_arithmetic_is_refused(text: str, words: str) -> None:
    with pytest.raises(SpecError) as error:
        diagnose(f"{TORCH}LambdaLR(lr_lambda={text}, lr=0.1)", f"{TORCH}ExponentialLR(gamma=0.9)")
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{TORCH}ExponentialLR(torch.optim.SGD(params, lr=0.5), gamma=0.9)", "write optimizer in the place of"),
        (
            f"{TORCH}ChainedScheduler([{TORCH}ExponentialLR(gamma=0.9)], optimizer=torch.optim.SGD(params, lr=0.5))",
            "and lr=",
        ),
        (STANDS.replace("Plateau(", "Plateau(torch.optim.Adam(params, lr=0.5), "), "one at a time"),
        ("plateau('max', lr=0.1)", "by name"),
    ],
)
def test_what_would_be_forgotten_is_refused(text: str, words: str) -> None:
    """Of an optimizer around which a scheduler is made, and of what is given by position."""
    with pytest.raises(SpecError) as error:
        diagnose(text, f"{TORCH}ExponentialLR(gamma=0.9, lr=0.1)")
    assert words in str(error.value)


def test_a_function_that_differs_late_is_run_until_then() -> None:
    late = f"{TORCH}LambdaLR(lr_lambda=lambda t: 1.0 if t < 900 else 0.5, lr=0.1)"
    assert diagnose(late, f"{TORCH}LambdaLR(lr_lambda=lambda t: 1.0, lr=0.1)").outcome == "settings"


def test_a_function_of_the_step_has_the_values_that_python_gives_it() -> None:
    for text in (
        "lambda t: min(1.0, (t + 1) / 10) * (0.1 if t // 30 >= 2 and not t % 2 == 1 else math.cos(math.pi * t / 100))",
        "lambda e: 0.5 * (1 + np.cos(np.pi * max(e - 3, 0) / 50)) if 1 < e <= 70 or e > 90 else -(2 ** -e)",
    ):
        theirs = eval(text, {"np": np, "math": __import__("math")})
        for t in range(100):
            assert Formula(text)(t) == pytest.approx(theirs(t), rel=1e-15), (text, t)
