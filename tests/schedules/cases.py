"""The schedules as data: numbers, the torch scheduler they describe, and how far that may drift."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp

from lrtheory import schedules

from . import roundings
from .roundings import Bound, Numbers

STEPS = 500


class _Schedulers:
    """torch's schedulers, imported when one is made: our side is tested without torch."""

    def __getattr__(self, name: str) -> Any:
        from torch.optim import lr_scheduler, swa_utils

        return getattr(swa_utils if name == "SWALR" else lr_scheduler, name)


torch_schedulers = _Schedulers()


@dataclass(frozen=True)
class Case:
    """One schedule with its numbers.

    ``reference`` builds the torch scheduler from an optimizer of lr ``lr`` and the numbers; ``bound`` says how far it
    may be from the closed form; ``momentum`` tells that it moves momentum as well.
    """

    id: str
    name: str
    numbers: Numbers
    reference: Callable[[Any, Numbers], Any]
    bound: Bound
    options: Mapping[str, Any] = field(default_factory=dict)
    make: Callable[..., Any] | None = None
    momentum: bool = False
    steps: int = STEPS

    def schedule(self, numbers: Numbers | None = None) -> Any:
        make = self.make or schedules.get(self.name)
        return make(**(self.numbers if numbers is None else numbers), **self.options)

    @property
    def lr(self) -> float:
        return self.numbers.get("lr", self.numbers.get("base_lr", 0.1))

    def torch_scheduler(self, optimizer: Any) -> Any:
        return self.reference(optimizer, {**self.numbers, **self.options})


def scheduler_of(name: str) -> Callable[[Any, Numbers], Any]:
    """A torch scheduler whose arguments have the names of ours, but for lr, which is the optimizer's."""
    return lambda optimizer, numbers: getattr(torch_schedulers, name)(
        optimizer, **{k: v for k, v in numbers.items() if k != "lr"}
    )


def formula(factor: Callable[[Numbers, int], float]) -> Callable[[Any, Numbers], Any]:
    """Torch's LambdaLR over a formula in plain Python numbers, as the transformers library makes its schedules."""
    return lambda optimizer, numbers: torch_schedulers.LambdaLR(optimizer, lambda t: factor(numbers, t))


def rise(numbers: Numbers, t: int) -> float | None:
    warmup = numbers["warmup_steps"]
    return t / warmup if t < warmup else None


def progress(numbers: Numbers, t: int) -> float:
    return (t - numbers["warmup_steps"]) / max(1, numbers["total_steps"] - numbers["warmup_steps"])


def linear_with_warmup(n: Numbers, t: int) -> float:
    up = rise(n, t)
    return up if up is not None else max(0.0, 1 - progress(n, t))


def constant_with_warmup(n: Numbers, t: int) -> float:
    up = rise(n, t)
    return 1.0 if up is None else up


def cosine_with_warmup(n: Numbers, t: int) -> float:
    up = rise(n, t)
    if up is not None:
        return up
    share = (1 + math.cos(2 * math.pi * n.get("num_cycles", 0.5) * progress(n, t))) / 2
    return n.get("min_ratio", 0.0) + (1 - n.get("min_ratio", 0.0)) * share


def cosine_with_restarts(n: Numbers, t: int) -> float:
    up = rise(n, t)
    if up is not None:
        return up
    if t >= n["total_steps"]:
        return 0.0
    length = n["total_steps"] - n["warmup_steps"]
    return (1 + math.cos(math.pi * ((t - n["warmup_steps"]) * n["num_cycles"] % length) / length)) / 2


def polynomial_with_warmup(n: Numbers, t: int) -> float:
    up = rise(n, t)
    if up is not None:
        return up
    share = 0.0 if t > n["total_steps"] else (1 - progress(n, t)) ** n["power"]
    return ((n["lr"] - n["lr_end"]) * share + n["lr_end"]) / n["lr"]


def inverse_sqrt(n: Numbers, t: int) -> float:
    up = rise(n, t)
    timescale = n.get("timescale", n["warmup_steps"])
    return up if up is not None else 1 / math.sqrt((t + timescale - n["warmup_steps"]) / timescale)


def warmup_stable_decay(n: Numbers, t: int) -> float:
    curves = {
        "linear": lambda x: 1 - x,
        "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
        "1-sqrt": lambda x: 1 - math.sqrt(x),
    }
    decay_start = n["warmup_steps"] + n["stable_steps"]
    if t < n["warmup_steps"]:
        share = curves[n.get("warmup_shape", "linear")](1 - t / n["warmup_steps"])
    elif t < decay_start:
        share = 1.0
    elif t < decay_start + n["decay_steps"]:
        share = curves[n.get("decay_shape", "cosine")]((t - decay_start) / n["decay_steps"])
    else:
        share = 0.0
    return n["min_ratio"] + (1 - n["min_ratio"]) * share


def bent_factor(k: int) -> float:
    return 0.9 if k % 10 == 0 else 1.002


def damped_wave(t: Any, rate: Any) -> Any:
    """Works on Python integers, for torch, and on arrays."""
    return rate**t * (1.5 + (t % 7) / 7)


def sequential_warmup_cosine(lr: Any, start_factor: Any, total_iters: Any, T_max: Any, eta_min: Any) -> Any:
    """The most common composition: a linear warm-up, then cosine annealing."""
    return schedules.sequential(
        schedules=[
            schedules.linear(lr=lr, start_factor=start_factor, total_iters=total_iters),
            schedules.cosine_annealing(lr=lr, T_max=T_max, eta_min=eta_min),
        ],
        milestones=[total_iters],
    )


def torch_warmup_cosine(optimizer: Any, n: Numbers) -> Any:
    first = torch_schedulers.LinearLR(optimizer, start_factor=n["start_factor"], total_iters=n["total_iters"])
    second = torch_schedulers.CosineAnnealingLR(optimizer, T_max=n["T_max"], eta_min=n["eta_min"])
    return torch_schedulers.SequentialLR(optimizer, [first, second], milestones=[n["total_iters"]])


def sequential_three(lr: Any, gamma: Any, step_size: Any, T_0: Any, first: Any, second: Any) -> Any:
    return schedules.sequential(
        schedules=[
            schedules.exponential(lr=lr, gamma=gamma),
            schedules.step(lr=lr, step_size=step_size, gamma=gamma),
            schedules.cosine_annealing_warm_restarts(lr=lr, T_0=T_0, T_mult=2),
        ],
        milestones=[first, second],
    )


def torch_three(optimizer: Any, n: Numbers) -> Any:
    parts = [
        torch_schedulers.ExponentialLR(optimizer, gamma=n["gamma"]),
        torch_schedulers.StepLR(optimizer, step_size=n["step_size"], gamma=n["gamma"]),
        torch_schedulers.CosineAnnealingWarmRestarts(optimizer, T_0=n["T_0"], T_mult=2),
    ]
    return torch_schedulers.SequentialLR(optimizer, parts, milestones=[n["first"], n["second"]])


def chained_constant_exponential(lr: Any, factor: Any, total_iters: Any, gamma: Any) -> Any:
    return schedules.chained(
        schedules=[
            schedules.constant(lr=lr, factor=factor, total_iters=total_iters),
            schedules.exponential(lr=lr, gamma=gamma),
        ]
    )


def torch_constant_exponential(optimizer: Any, n: Numbers) -> Any:
    first = torch_schedulers.ConstantLR(optimizer, factor=n["factor"], total_iters=n["total_iters"])
    return torch_schedulers.ChainedScheduler([first, torch_schedulers.ExponentialLR(optimizer, gamma=n["gamma"])])


def chained_linear_cosine(lr: Any, start_factor: Any, total_iters: Any, T_max: Any) -> Any:
    return schedules.chained(
        schedules=[
            schedules.linear(lr=lr, start_factor=start_factor, total_iters=total_iters),
            schedules.cosine_annealing(lr=lr, T_max=T_max),
        ]
    )


def torch_linear_cosine(optimizer: Any, n: Numbers) -> Any:
    first = torch_schedulers.LinearLR(optimizer, start_factor=n["start_factor"], total_iters=n["total_iters"])
    return torch_schedulers.ChainedScheduler([first, torch_schedulers.CosineAnnealingLR(optimizer, T_max=n["T_max"])])


def linear_cosine_bound(n: Numbers, want: Any) -> Any:
    """The relative errors of both recursions add; annealing shrinks the lr as the lone cosine does."""
    ramp = [n["start_factor"] + (1 - n["start_factor"]) * min(t, n["total_iters"]) / n["total_iters"]
            for t in range(want.size)]  # fmt: skip
    alone = want / ramp
    share = roundings.cosine({**n, "eta_min": 0.0}, alone)
    return share * ramp + roundings.linear({**n, "end_factor": 1.0}, want)


def swa_recipe(lr: Any, gamma: Any, swa_lr: Any, anneal_epochs: Any, start: Any) -> Any:
    return schedules.swalr(
        lr=schedules.exponential(lr=lr, gamma=gamma), swa_lr=swa_lr, anneal_epochs=anneal_epochs, start=start
    )


class TorchSWARecipe:
    """One scheduler until averaging begins, SWALR from there."""

    def __init__(self, optimizer: Any, n: Numbers) -> None:
        self.before = torch_schedulers.ExponentialLR(optimizer, gamma=n["gamma"])
        self.averaging = torch_schedulers.SWALR(optimizer, swa_lr=n["swa_lr"], anneal_epochs=n["anneal_epochs"])
        self.t, self.start = 0, n["start"]

    def step(self) -> None:
        (self.before if self.t < self.start else self.averaging).step()
        self.t += 1


def swa_recipe_bound(n: Numbers, want: Any) -> Any:
    start = n["start"]
    before = roundings.relative(lambda _, t: t)(n, want[:start])
    in_force = {**n, "lr": want[start]}
    after = roundings.swalr(in_force, want[start:]) + before[-1] + roundings.U * want[start]
    return [*before, *after]


LINEAR = {"lr": 0.3, "start_factor": 0.25, "end_factor": 1.0, "total_iters": 37}
COSINE = {"lr": 0.3, "T_max": 90, "eta_min": 1e-3}
CYCLE = {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 23, "step_size_down": 41, "gamma": 0.997,
         "base_momentum": 0.8, "max_momentum": 0.95}  # fmt: skip
ONE_CYCLE = {"max_lr": 0.3, "total_steps": 501, "pct_start": 0.3, "base_momentum": 0.85, "max_momentum": 0.95,
             "div_factor": 20.0, "final_div_factor": 1e3}  # fmt: skip
WARMUP = {"lr": 0.3, "warmup_steps": 30, "total_steps": 400}

CASES = [
    Case("constant", "constant", {"lr": 0.3, "factor": 0.2, "total_iters": 20},
         scheduler_of("ConstantLR"), roundings.relative(lambda n, t: 3)),
    Case("step", "step", {"lr": 0.3, "step_size": 7, "gamma": 0.9},
         scheduler_of("StepLR"), roundings.relative(lambda n, t: t // n["step_size"])),
    Case("multi-step", "multi_step", {"lr": 0.3, "milestones": [10, 50, 50, 300], "gamma": 0.7},
         scheduler_of("MultiStepLR"), roundings.relative(lambda n, t: 8)),
    Case("exponential", "exponential", {"lr": 0.3, "gamma": 0.97},
         scheduler_of("ExponentialLR"), roundings.relative(lambda n, t: t)),
    Case("linear-up", "linear", LINEAR, scheduler_of("LinearLR"), roundings.linear),
    Case("linear-down", "linear", {"lr": 0.3, "start_factor": 1.0, "end_factor": 0.0, "total_iters": 400},
         scheduler_of("LinearLR"), roundings.linear),
    Case("polynomial", "polynomial", {"lr": 0.3, "total_iters": 400, "power": 2.5},
         scheduler_of("PolynomialLR"), roundings.polynomial),
    Case("cosine", "cosine_annealing", COSINE, scheduler_of("CosineAnnealingLR"), roundings.cosine),
    Case("cosine-to-0", "cosine_annealing", {"lr": 0.3, "T_max": 130, "eta_min": 0.0},
         scheduler_of("CosineAnnealingLR"), roundings.cosine),
    *(Case(f"warm-restarts-x{m}", "cosine_annealing_warm_restarts", {"lr": 0.3, "T_0": 7, "T_mult": m, "eta_min": 1e-3},
           scheduler_of("CosineAnnealingWarmRestarts"), roundings.of_largest(lambda n, t: 16)) for m in (1, 2, 3, 5)),
    *(Case(f"cyclic-{mode}", "cyclic", CYCLE, scheduler_of("CyclicLR"), roundings.cyclic, {"mode": mode}, momentum=True)
      for mode in ("triangular", "triangular2", "exp_range")),
    *(Case(f"one-cycle-{strategy}-{'three' if three else 'two'}-phase", "one_cycle", ONE_CYCLE,
           scheduler_of("OneCycleLR"), roundings.of_largest(lambda n, t: 32),
           {"anneal_strategy": strategy, "three_phase": three}, momentum=True)
      for strategy in ("cos", "linear") for three in (False, True)),
    *(Case(f"swalr-{strategy}", "swalr", {"lr": 0.3, "swa_lr": 0.05, "anneal_epochs": 60}, scheduler_of("SWALR"),
           roundings.swalr, {"anneal_strategy": strategy}) for strategy in ("cos", "linear")),
    Case("swalr-after-exponential", "swalr",
         {"lr": 0.3, "gamma": 0.99, "swa_lr": 0.05, "anneal_epochs": 40, "start": 100},
         TorchSWARecipe, swa_recipe_bound, make=swa_recipe),
    Case("lambda", "lambda_lr", {"lr": 0.3, "numbers": (0.98,)},
         lambda optimizer, n: torch_schedulers.LambdaLR(optimizer, lambda t: damped_wave(t, n["numbers"][0])),
         roundings.relative(lambda n, t: 8), make=lambda **n: schedules.lambda_lr(function=damped_wave, **n)),
    Case("multiplicative", "multiplicative", {"lr": 0.3},
         lambda optimizer, n: torch_schedulers.MultiplicativeLR(optimizer, bent_factor),
         roundings.relative(lambda n, t: 2 * t),
         make=lambda **n: schedules.multiplicative(function=bent_factor, total_steps=STEPS, **n)),
    Case("warm-up-then-cosine", "sequential",
         {"lr": 0.3, "start_factor": 0.1, "total_iters": 40, "T_max": 300, "eta_min": 1e-3}, torch_warmup_cosine,
         roundings.one_after_the_other(
             [(roundings.linear, {"start_factor": 0.1, "end_factor": 1.0, "total_iters": 40}),
              (roundings.cosine, {"lr": 0.3, "T_max": 300, "eta_min": 1e-3})], [40]),
         make=sequential_warmup_cosine),
    Case("three-in-a-row", "sequential",
         {"lr": 0.3, "gamma": 0.95, "step_size": 9, "T_0": 25, "first": 60, "second": 200}, torch_three,
         roundings.one_after_the_other(
             [(roundings.relative(lambda n, t: t), {}), (roundings.relative(lambda n, t: t), {}),
              (roundings.of_largest(lambda n, t: 16), {})], [60, 200]),
         make=sequential_three),
    Case("constant-times-exponential", "chained", {"lr": 0.3, "factor": 0.2, "total_iters": 20, "gamma": 0.98},
         torch_constant_exponential, roundings.relative(lambda n, t: t + 4), make=chained_constant_exponential),
    Case("linear-times-cosine", "chained", {"lr": 0.3, "start_factor": 0.1, "total_iters": 40, "T_max": 501},
         torch_linear_cosine, linear_cosine_bound, make=chained_linear_cosine),
    Case("constant-with-warmup", "constant_with_warmup", {"lr": 0.3, "warmup_steps": 30},
         formula(constant_with_warmup), roundings.relative(lambda n, t: 4)),
    Case("linear-with-warmup", "linear_with_warmup", WARMUP, formula(linear_with_warmup),
         roundings.of_largest(lambda n, t: 8)),
    Case("cosine-with-warmup", "cosine_with_warmup", {**WARMUP, "num_cycles": 0.5, "min_ratio": 0.1},
         formula(cosine_with_warmup), roundings.of_largest(lambda n, t: 32)),
    Case("cosine-waves-with-warmup", "cosine_with_warmup", {**WARMUP, "num_cycles": 3.0, "min_ratio": 0.0},
         formula(cosine_with_warmup), roundings.of_largest(lambda n, t: 128)),
    Case("cosine-with-restarts-and-warmup", "cosine_with_restarts_and_warmup", {**WARMUP, "num_cycles": 3},
         formula(cosine_with_restarts), roundings.of_largest(lambda n, t: 16)),
    Case("polynomial-with-warmup", "polynomial_with_warmup", {**WARMUP, "lr_end": 1e-4, "power": 1.7},
         formula(polynomial_with_warmup), roundings.of_largest(lambda n, t: 16)),
    Case("inverse-sqrt", "inverse_sqrt", {"lr": 0.3, "warmup_steps": 30, "timescale": 50},
         formula(inverse_sqrt), roundings.relative(lambda n, t: 8)),
    *(Case(f"warmup-stable-decay-{shape}", "warmup_stable_decay",
           {"lr": 0.3, "warmup_steps": 30, "stable_steps": 250, "decay_steps": 150, "min_ratio": 0.02},
           formula(warmup_stable_decay), roundings.of_largest(lambda n, t: 16),
           {"warmup_shape": shape, "decay_shape": shape}) for shape in ("linear", "cosine", "1-sqrt")),
]  # fmt: skip

BY_ID = {case.id: case for case in CASES}
assert len(BY_ID) == len(CASES)


def as_arrays(numbers: Numbers) -> dict[str, Any]:
    """Every number as an array, whole ones as integers: what a compiled program is given."""
    return {name: tuple(map(jnp.asarray, value)) if isinstance(value, tuple) else jnp.asarray(value)
            for name, value in numbers.items()}  # fmt: skip
