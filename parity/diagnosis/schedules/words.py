"""What each implementation calls the numbers and switches of a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lrtheory.spec.text import SpecError

from ..words import Words
from .family import HELD
from .family import SINGLE as HELD_SINGLE
from .formulas import (
    AFTER,
    COSINE,
    DECAYING,
    EARLY,
    ENDS,
    FALL,
    HALVING,
    MILESTONES,
    MOMENTUM,
    PHASES,
    RESTARTS,
    RISES,
    SHAPE,
    SINGLE,
    STAYS,
    WAVES,
    WHOLE,
)

Numbers = Mapping[str, float]
Arguments = Mapping[str, Any]
STAIRS = {(FALL, "continuous"): {"staircase": False}, (FALL, "in steps"): {"staircase": True}}


def _share(lr: str) -> dict[str, Any]:
    """``alpha`` is the last lr over the first."""
    return {
        "read": {"end": lambda given: given["alpha"] * given[lr]},
        "write": {"alpha": (("end", "lr"), lambda n, given: n["end"] / n["lr"])},
    }


def _milestones(at: Callable[[Arguments], Sequence[tuple[float, float]]]) -> dict[str, Callable[[Arguments], float]]:
    """Numbers from the milestones in order, with their factors."""

    def entry(i: int, part: int, absent: float) -> Callable[[Arguments], float]:
        def read(given: Arguments) -> float:
            found = sorted(at(given))
            if len(found) > MILESTONES:
                raise SpecError(f"{len(found)} milestones, of which a diagnosis follows {MILESTONES} at most")
            return float(found[i][part]) if i < len(found) else absent

        return read

    return {
        name: entry(i, part, absent)
        for i in range(MILESTONES)
        for name, part, absent in ((f"milestone {i + 1}", 0, np.inf), (f"factor {i + 1}", 1, 1.0))
    }


PLACES = tuple(f"milestone {i}" for i in range(1, MILESTONES + 1))
FACTORS = tuple(f"factor {i}" for i in range(1, MILESTONES + 1))


def _present(n: Numbers) -> list[tuple[int, float]]:
    pairs = [(n[place], n[factor]) for place, factor in zip(PLACES, FACTORS, strict=True)]
    return [(int(place), factor) for place, factor in pairs if np.isfinite(place)]


def _one_factor(n: Numbers, given: Arguments) -> float:
    factors = {factor for _, factor in _present(n)}
    return factors.pop() if len(factors) == 1 else given["gamma"]


def _levels(n: Numbers, given: Arguments) -> list[float]:
    return [float(v) for v in n["lr"] * np.cumprod([1.0, *(factor for _, factor in _present(n))])]


MULTISTEP: dict[str, Any] = {
    "read": _milestones(lambda given: [(m, given["gamma"]) for m in given["milestones"]]),
    "write": {
        "milestones": (PLACES, lambda n, given: [place for place, _ in _present(n)]),
        "gamma": (FACTORS, _one_factor),
    },
}
ONE_CYCLE = {
    "lr": "max_lr",
    "total": "total_steps",
    "pct_start": "pct_start",
    "div": "div_factor",
    "final_div": "final_div_factor",
    "base_momentum": "base_momentum",
    "max_momentum": "max_momentum",
}
ONE_CYCLE_OPTIONS = {
    (SHAPE, "cosine"): {"anneal_strategy": "cos"},
    (SHAPE, "linear"): {"anneal_strategy": "linear"},
    (PHASES, "two"): {"three_phase": False},
    (PHASES, "three, the second as long as the first"): {"three_phase": True},
}
CYCLED = {(MOMENTUM, "cycled"): {"cycle_momentum": True}, (MOMENTUM, "left alone"): {"cycle_momentum": False}}
OPTAX_CYCLE = {
    "lr": "peak_value",
    "total": "transition_steps",
    "pct_start": "pct_start",
    "div": "div_factor",
    "final_div": "final_div_factor",
}
LINE: dict[str, Any] = {
    "read": {
        "lr": lambda given: given["lr"] * given["start_factor"],
        "end": lambda given: given["lr"] * given["end_factor"],
    },
    "write": {
        "start_factor": (("lr",), lambda n, given: n["lr"] / given["lr"]),
        "end_factor": (("end",), lambda n, given: n["end"] / given["lr"]),
    },
}


def _warmed(given: Arguments) -> bool:
    return given["warmup_target"] is not None


def _sgdr(field: str) -> Callable[[Arguments], float]:
    return lambda given: float(given["cosine_kwargs"][0].get(field, 0.0))


def _growth(given: Arguments) -> float:
    first, *rest = given["cosine_kwargs"]
    return rest[0]["decay_steps"] / first["decay_steps"] if rest else 1.0


CYCLIC: dict[str, Any] = {
    "numbers": {"lr": "base_lr", "top": "max_lr", "up": "step_size_up", "gamma": "gamma"}
    | {"base_momentum": "base_momentum", "max_momentum": "max_momentum"},
    "read": {"down": lambda given: given["step_size_down"] or given["step_size_up"]},
    "write": {"step_size_down": (("up", "down"), lambda n, given: n["down"])},
}
MODES = {
    ("waves", WAVES): {"mode": "triangular"},
    ("waves", HALVING): {"mode": "triangular2"},
    ("waves", DECAYING): {"mode": "exp_range"},
}

#: Schedules of ours after a warm-up: what is left of ``total_steps`` falls.
WARMED: dict[str, Any] = {
    "numbers": {"lr": "lr", "warmup": "warmup_steps"},
    "read": {"total": lambda given: given["total_steps"] - given["warmup_steps"]},
    "write": {"total_steps": (("total", "warmup"), lambda n, given: int(n["total"] + n["warmup"]))},
}

SCHEDULES: dict[str, Words] = {
    "linear_with_warmup": Words("polynomial", **WARMED),
    "polynomial_with_warmup": Words(
        "polynomial",
        **WARMED | {"numbers": {**WARMED["numbers"], "end": "lr_end", "power": "power"}},
    ),
    "constant_with_warmup": Words(
        "polynomial", {"lr": "lr", "warmup": "warmup_steps"}, read={"end": lambda given: given["lr"]}
    ),
    "optax.warmup_constant_schedule": Words(
        "polynomial",
        {"start": "init_value", "lr": "peak_value", "warmup": "warmup_steps"},
        read={"end": lambda given: given["peak_value"]},
    ),
    "cosine_with_warmup": Words(
        "cosine",
        {"lr": "lr", "warmup": "warmup_steps"},
        read={
            "T": lambda given: (given["total_steps"] - given["warmup_steps"]) / (2 * given["num_cycles"]),
            "end": lambda given: given["min_ratio"] * given["lr"],
        },
        write={
            "total_steps": (("T", "warmup"), lambda n, given: int(n["T"] * 2 * given["num_cycles"] + n["warmup"])),
            "min_ratio": (("end", "lr"), lambda n, given: n["end"] / n["lr"]),
        },
    ),
    "torch.optim.lr_scheduler.CyclicLR": Words("cyclic", options=MODES | CYCLED, **CYCLIC),
    "cyclic": Words("cyclic", options=MODES, **CYCLIC),
    "torch.optim.lr_scheduler.CosineAnnealingLR": Words("cosine", {"lr": "lr", "T": "T_max", "end": "eta_min"}),
    "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts": Words(
        "cosine", {"lr": "lr", "T": "T_0", "growth": "T_mult", "end": "eta_min"}
    ),
    "torch.optim.lr_scheduler.OneCycleLR": Words("one cycle", ONE_CYCLE, ONE_CYCLE_OPTIONS | CYCLED),
    "torch.optim.lr_scheduler.ExponentialLR": Words("exponential", {"lr": "lr", "gamma": "gamma"}),
    "torch.optim.lr_scheduler.StepLR": Words("exponential", {"lr": "lr", "gamma": "gamma", "steps": "step_size"}),
    "torch.optim.lr_scheduler.MultiStepLR": Words("milestones", {"lr": "lr"}, **MULTISTEP),
    "torch.optim.lr_scheduler.ConstantLR": Words(
        "milestones",
        {},
        read={"lr": lambda given: given["lr"] * given["factor"]}
        | _milestones(lambda given: [(given["total_iters"], 1 / given["factor"])]),
        write={
            "total_iters": (PLACES[:1], lambda n, given: int(n[PLACES[0]])),
            "factor": (FACTORS[:1], lambda n, given: 1 / n[FACTORS[0]]),
            "lr": (("lr", *FACTORS[:1]), lambda n, given: n["lr"] * n[FACTORS[0]]),
        },
    ),
    "torch.optim.lr_scheduler.LinearLR": Words("polynomial", {"total": "total_iters"}, **LINE),
    "torch.optim.lr_scheduler.PolynomialLR": Words(
        "polynomial", {"lr": "lr", "total": "total_iters", "power": "power"}
    ),
    "optax.cosine_decay_schedule": Words(
        "cosine", {"lr": "init_value", "T": "decay_steps", "exponent": "exponent"}, **_share("init_value")
    ),
    "optax.warmup_cosine_decay_schedule": Words(
        "cosine",
        {"start": "init_value", "lr": "peak_value", "warmup": "warmup_steps", "end": "end_value"}
        | {"exponent": "exponent"},
        read={"T": lambda given: given["decay_steps"] - given["warmup_steps"]},
        write={"decay_steps": (("T", "warmup"), lambda n, given: int(n["T"] + n["warmup"]))},
    ),
    "optax.sgdr_schedule": Words(
        "cosine",
        {},
        read={
            "lr": _sgdr("peak_value"),
            "T": _sgdr("decay_steps"),
            "end": _sgdr("end_value"),
            "growth": _growth,
            "cycles": lambda given: float(len(given["cosine_kwargs"])),
        },
    ),
    "optax.cosine_onecycle_schedule": Words("one cycle", OPTAX_CYCLE),
    "optax.linear_onecycle_schedule": Words("one cycle", OPTAX_CYCLE | {"pct_final": "pct_final"}),
    "optax.exponential_decay": Words(
        "exponential",
        {"lr": "init_value", "gamma": "decay_rate", "steps": "transition_steps", "begin": "transition_begin"},
        STAIRS,
        read={"bound": lambda given: given["end_value"] or 0.0},
        write={"end_value": (("bound",), lambda n, given: n["bound"] or None)},
    ),
    "optax.piecewise_constant_schedule": Words(
        "milestones",
        {"lr": "init_value"},
        read=_milestones(lambda given: list((given["boundaries_and_scales"] or {}).items())),
        write={"boundaries_and_scales": ((*PLACES, *FACTORS), lambda n, given: dict(_present(n)))},
    ),
    "optax.linear_schedule": Words(
        "polynomial",
        {"lr": "init_value", "end": "end_value", "total": "transition_steps", "begin": "transition_begin"},
    ),
    "optax.polynomial_schedule": Words(
        "polynomial",
        {"lr": "init_value", "end": "end_value", "total": "transition_steps", "begin": "transition_begin"}
        | {"power": "power"},
    ),
    "keras.optimizers.schedules.CosineDecay": Words(
        "cosine",
        {"T": "decay_steps"},
        read={
            "lr": lambda given: given["warmup_target"] if _warmed(given) else given["initial_learning_rate"],
            "start": lambda given: given["initial_learning_rate"] if _warmed(given) else 0.0,
            "warmup": lambda given: float(given["warmup_steps"] if _warmed(given) else 0),
            "end": lambda given: (
                given["alpha"] * (given["warmup_target"] if _warmed(given) else given["initial_learning_rate"])
            ),
        },
        write={
            "alpha": (("end", "lr"), lambda n, given: n["end"] / n["lr"]),
            "initial_learning_rate": (("lr", "start"), lambda n, given: n["start"] if n["warmup"] else n["lr"]),
            "warmup_target": (("lr", "warmup"), lambda n, given: n["lr"] if n["warmup"] else None),
            "warmup_steps": (("warmup",), lambda n, given: int(n["warmup"])),
        },
    ),
    "keras.optimizers.schedules.CosineDecayRestarts": Words(
        "cosine",
        {"lr": "initial_learning_rate", "T": "first_decay_steps", "growth": "t_mul", "shrinking": "m_mul"},
        **_share("initial_learning_rate"),
    ),
    "keras.optimizers.schedules.ExponentialDecay": Words(
        "exponential", {"lr": "initial_learning_rate", "gamma": "decay_rate", "steps": "decay_steps"}, STAIRS
    ),
    "keras.optimizers.schedules.InverseTimeDecay": Words(
        "inverse time", {"lr": "initial_learning_rate", "rate": "decay_rate", "steps": "decay_steps"}, STAIRS
    ),
    "keras.optimizers.schedules.PiecewiseConstantDecay": Words(
        "milestones",
        {},
        read={"lr": lambda given: given["values"][0]}
        | _milestones(
            lambda given: [
                (place, after / before)
                for place, before, after in zip(given["boundaries"], given["values"], given["values"][1:], strict=False)
            ]
        ),
        write={
            "boundaries": (PLACES, lambda n, given: [place for place, _ in _present(n)]),
            "values": (("lr", *FACTORS), _levels),
        },
    ),
    "keras.optimizers.schedules.PolynomialDecay": Words(
        "polynomial",
        {"lr": "initial_learning_rate", "end": "end_learning_rate", "total": "decay_steps", "power": "power"},
        {(AFTER, STAYS): {"cycle": False}, (AFTER, "is stretched"): {"cycle": True}},
    ),
    "cosine_annealing": Words("cosine", {"lr": "lr", "T": "T_max", "end": "eta_min"}),
    "cosine_annealing_warm_restarts": Words("cosine", {"lr": "lr", "T": "T_0", "growth": "T_mult", "end": "eta_min"}),
    "one_cycle": Words("one cycle", ONE_CYCLE, ONE_CYCLE_OPTIONS),
    "exponential": Words("exponential", {"lr": "lr", "gamma": "gamma"}),
    "step": Words("exponential", {"lr": "lr", "gamma": "gamma", "steps": "step_size"}),
    "multi_step": Words("milestones", {"lr": "lr"}, **MULTISTEP),
    "linear": Words("polynomial", {"total": "total_iters"}, **LINE),
    "polynomial": Words("polynomial", {"lr": "lr", "total": "total_iters", "power": "power"}),
}
for name, words in list(SCHEDULES.items()):
    if name.startswith("torch.") and words.numbers.get("lr") == "lr":
        held: Any = {
            (HELD, HELD_SINGLE): lambda n: {"lr": np.float32(n["lr"])},
            (HELD, "in double"): lambda n: {"lr": n["lr"]},
        }
        SCHEDULES[name] = replace(words, options={**words.options, **held})
PHRASES = {
    ("waves", WAVES): "waves of one height",
    ("waves", HALVING): "waves each half as high as the last",
    ("waves", DECAYING): "waves lower by gamma at each step",
    (AFTER, RISES): "an lr that rises again after the horizon",
    (AFTER, STAYS): "an lr that stays after the horizon",
    (AFTER, RESTARTS): "an lr that starts again after the horizon",
    (AFTER, "is stretched"): "a horizon that is stretched to the next multiple",
    (AFTER, "goes one step past, then an error"): "an error after the horizon",
    (COSINE, SINGLE): "a cosine in float32",
    (COSINE, "in double"): "a cosine in double",
    (ENDS, EARLY): "phases that end one step early",
    (ENDS, WHOLE): "phases that end at whole steps",
    (MOMENTUM, "cycled"): "a cycled momentum",
    (MOMENTUM, "left alone"): "no cycled momentum",
    (SHAPE, "cosine"): "half cosines for phases",
    (SHAPE, "linear"): "lines for phases",
    (PHASES, "two"): "two phases",
    (PHASES, "three, the second as long as the first"): "three phases, the second as long as the first",
    (PHASES, "three, to pct_final"): "three phases, the second up to pct_final",
    (FALL, "continuous"): "a continuous fall",
    (FALL, "in steps"): "a fall in steps",
    (HELD, "in double"): "an lr held in double",
    (HELD, HELD_SINGLE): "an lr held in float32 from step to step",
    ("lr of", "the step after"): "the lr of the step after",
    ("lr of", "the step before"): "the lr of the step before",
    ("lr of", "this step"): "the lr of the step itself",
}
