"""What each implementation calls the numbers and switches of a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lrtheory.names.torch import SCHEDULERS
from lrtheory.spec.text import SpecError

from ..words import Words
from . import formulas as of
from . import plateau
from .family import HELD
from .family import SINGLE as HELD_SINGLE

Numbers = Mapping[str, float]
Arguments = Mapping[str, Any]
STAIRS = {(of.FALL, "continuous"): {"staircase": False}, (of.FALL, "in steps"): {"staircase": True}}


def _named(*same: str, **other: str) -> dict[str, str]:
    """Numbers by their arguments, those of the same name first."""
    return {**{name: name for name in same}, **other}


def _share(lr: str) -> dict[str, Any]:
    """``alpha`` is the last lr over the first."""
    return {
        "read": {"end": lambda given: given["alpha"] * given[lr]},
        "write": {"alpha": (("end", "lr"), lambda n, given: n["end"] / n["lr"])},
    }


PLACES = tuple(f"milestone {i}" for i in range(1, of.MILESTONES + 1))
FACTORS = tuple(f"factor {i}" for i in range(1, of.MILESTONES + 1))


def _milestones(at: Callable[[Arguments], Sequence[tuple[float, float]]]) -> dict[str, Callable[[Arguments], float]]:
    """Numbers from the milestones in order, with their factors."""

    def entry(i: int, part: int) -> Callable[[Arguments], float]:
        def read(given: Arguments) -> float:
            found = sorted(at(given))
            if len(found) > of.MILESTONES:
                raise SpecError(f"{len(found)} milestones, of which a diagnosis follows {of.MILESTONES} at most")
            return float(found[i][part]) if i < len(found) else (np.inf, 1.0)[part]

        return read

    return {name: entry(i, part) for i in range(of.MILESTONES) for part, name in enumerate((PLACES[i], FACTORS[i]))}


def _present(n: Numbers) -> list[tuple[int, float]]:
    pairs = [(n[place], n[factor]) for place, factor in zip(PLACES, FACTORS, strict=True)]
    return [(int(place), factor) for place, factor in pairs if np.isfinite(place)]


def _places(n: Numbers, given: Arguments) -> list[int]:
    return [place for place, _ in _present(n)]


def _one_factor(n: Numbers, given: Arguments) -> float:
    factors = {factor for _, factor in _present(n)}
    return factors.pop() if len(factors) == 1 else given["gamma"]


def _levels(n: Numbers, given: Arguments) -> list[float]:
    return [float(v) for v in n["lr"] * np.cumprod([1.0, *(factor for _, factor in _present(n))])]


CYCLED = {(of.MOMENTUM, "cycled"): {"cycle_momentum": True}, (of.MOMENTUM, "left alone"): {"cycle_momentum": False}}

_TORCH: Mapping[str, Words] = {
    "CyclicLR": Words(
        "cyclic",
        _named("gamma", "base_momentum", "max_momentum", lr="base_lr", top="max_lr", up="step_size_up"),
        {
            ("waves", of.WAVES): {"mode": "triangular"},
            ("waves", of.HALVING): {"mode": "triangular2"},
            ("waves", of.DECAYING): {"mode": "exp_range"},
            **CYCLED,
        },
        read={"down": lambda given: given["step_size_down"] or given["step_size_up"]},
        write={"step_size_down": (("up", "down"), lambda n, given: n["down"])},
    ),
    "CosineAnnealingLR": Words("cosine", _named("lr", T="T_max", end="eta_min")),
    "CosineAnnealingWarmRestarts": Words("cosine", _named("lr", T="T_0", growth="T_mult", end="eta_min")),
    "OneCycleLR": Words(
        "one cycle",
        _named("pct_start", "base_momentum", "max_momentum", lr="max_lr", total="total_steps")
        | {"div": "div_factor", "final_div": "final_div_factor"},
        {
            (of.SHAPE, "cosine"): {"anneal_strategy": "cos"},
            (of.SHAPE, "linear"): {"anneal_strategy": "linear"},
            (of.PHASES, "two"): {"three_phase": False},
            (of.PHASES, "three, the second as long as the first"): {"three_phase": True},
            **CYCLED,
        },
    ),
    "ExponentialLR": Words("exponential", _named("lr", "gamma")),
    "StepLR": Words("exponential", _named("lr", "gamma", steps="step_size")),
    "MultiStepLR": Words(
        "milestones",
        _named("lr"),
        read=_milestones(lambda given: [(m, given["gamma"]) for m in given["milestones"]]),
        write={"milestones": (PLACES, _places), "gamma": (FACTORS, _one_factor)},
    ),
    "ConstantLR": Words(
        "milestones",
        read={"lr": lambda given: given["lr"] * given["factor"]}
        | _milestones(lambda given: [(given["total_iters"], 1 / given["factor"])]),
        write={
            "total_iters": (PLACES[:1], lambda n, given: int(n[PLACES[0]])),
            "factor": (FACTORS[:1], lambda n, given: 1 / n[FACTORS[0]]),
            "lr": (("lr", *FACTORS[:1]), lambda n, given: n["lr"] * n[FACTORS[0]]),
        },
    ),
    "LinearLR": Words(
        "polynomial",
        _named(total="total_iters"),
        read={
            "lr": lambda given: given["lr"] * given["start_factor"],
            "end": lambda given: given["lr"] * given["end_factor"],
        },
        write={
            "start_factor": (("lr",), lambda n, given: n["lr"] / given["lr"]),
            "end_factor": (("end",), lambda n, given: n["end"] / given["lr"]),
        },
    ),
    "PolynomialLR": Words("polynomial", _named("lr", "power", total="total_iters")),
}

_WARMED = _named("lr", warmup="warmup_steps")
#: Schedules of ours after a warm-up: what is left of ``total_steps`` falls.
_REST: dict[str, Any] = {
    "read": {"total": lambda given: given["total_steps"] - given["warmup_steps"]},
    "write": {"total_steps": (("total", "warmup"), lambda n, given: int(n["total"] + n["warmup"]))},
}
_OURS: Mapping[str, Words] = {
    "linear_with_warmup": Words("polynomial", _WARMED, **_REST),
    "polynomial_with_warmup": Words("polynomial", {**_WARMED, "end": "lr_end", "power": "power"}, **_REST),
    "constant_with_warmup": Words("polynomial", _WARMED, read={"end": lambda given: given["lr"]}),
    "cosine_with_warmup": Words(
        "cosine",
        _WARMED,
        read={
            "T": lambda given: (given["total_steps"] - given["warmup_steps"]) / (2 * given["num_cycles"]),
            "end": lambda given: given["min_ratio"] * given["lr"],
        },
        write={
            "total_steps": (("T", "warmup"), lambda n, given: int(n["T"] * 2 * given["num_cycles"] + n["warmup"])),
            "min_ratio": (("end", "lr"), lambda n, given: n["end"] / n["lr"]),
        },
    ),
    # The others have the arguments of torch's, and no momentum that could be left alone.
    **{
        ours: replace(words, options={k: v for k, v in words.options.items() if k not in CYCLED})
        for ours, torch in SCHEDULERS.items()
        if (words := _TORCH[torch])
    },
}


def _sgdr(field: str) -> Callable[[Arguments], float]:
    return lambda given: float(given["cosine_kwargs"][0].get(field, 0.0))


def _growth(given: Arguments) -> float:
    first, *rest = given["cosine_kwargs"]
    return rest[0]["decay_steps"] / first["decay_steps"] if rest else 1.0


_WARM = _named(start="init_value", lr="peak_value", warmup="warmup_steps")
_CYCLE = _named("pct_start", lr="peak_value", total="transition_steps", div="div_factor", final_div="final_div_factor")
_LINE = _named(lr="init_value", end="end_value", total="transition_steps", begin="transition_begin")
_OPTAX: Mapping[str, Words] = {
    "warmup_constant_schedule": Words("polynomial", _WARM, read={"end": lambda given: given["peak_value"]}),
    "cosine_decay_schedule": Words(
        "cosine", _named("exponent", lr="init_value", T="decay_steps"), **_share("init_value")
    ),
    "warmup_cosine_decay_schedule": Words(
        "cosine",
        _WARM | _named("exponent", end="end_value"),
        read={"T": lambda given: given["decay_steps"] - given["warmup_steps"]},
        write={"decay_steps": (("T", "warmup"), lambda n, given: int(n["T"] + n["warmup"]))},
    ),
    "sgdr_schedule": Words(
        "cosine",
        read={
            **{n: _sgdr(field) for n, field in _named(lr="peak_value", T="decay_steps", end="end_value").items()},
            "growth": _growth,
            "cycles": lambda given: float(len(given["cosine_kwargs"])),
        },
    ),
    "cosine_onecycle_schedule": Words("one cycle", _CYCLE),
    "linear_onecycle_schedule": Words("one cycle", _CYCLE | _named("pct_final")),
    "exponential_decay": Words(
        "exponential",
        _named(lr="init_value", gamma="decay_rate", steps="transition_steps", begin="transition_begin"),
        STAIRS,
        read={"bound": lambda given: given["end_value"] or 0.0},
        write={"end_value": (("bound",), lambda n, given: n["bound"] or None)},
    ),
    "piecewise_constant_schedule": Words(
        "milestones",
        _named(lr="init_value"),
        read=_milestones(lambda given: list((given["boundaries_and_scales"] or {}).items())),
        write={"boundaries_and_scales": ((*PLACES, *FACTORS), lambda n, given: dict(_present(n)))},
    ),
    "linear_schedule": Words("polynomial", _LINE),
    "polynomial_schedule": Words("polynomial", _LINE | _named("power")),
}


def _warmed(given: Arguments) -> bool:
    return given["warmup_target"] is not None


def _top(given: Arguments) -> float:
    return given["warmup_target" if _warmed(given) else "initial_learning_rate"]


_FIRST = _named(lr="initial_learning_rate")
_KERAS: Mapping[str, Words] = {
    "CosineDecay": Words(
        "cosine",
        _named(T="decay_steps"),
        read={
            "lr": _top,
            "start": lambda given: given["initial_learning_rate"] if _warmed(given) else 0.0,
            "warmup": lambda given: float(given["warmup_steps"] if _warmed(given) else 0),
            "end": lambda given: given["alpha"] * _top(given),
        },
        write={
            "alpha": (("end", "lr"), lambda n, given: n["end"] / n["lr"]),
            "initial_learning_rate": (("lr", "start"), lambda n, given: n["start"] if n["warmup"] else n["lr"]),
            "warmup_target": (("lr", "warmup"), lambda n, given: n["lr"] if n["warmup"] else None),
            "warmup_steps": (("warmup",), lambda n, given: int(n["warmup"])),
        },
    ),
    "CosineDecayRestarts": Words(
        "cosine",
        _FIRST | _named(T="first_decay_steps", growth="t_mul", shrinking="m_mul"),
        **_share("initial_learning_rate"),
    ),
    "ExponentialDecay": Words("exponential", _FIRST | _named(gamma="decay_rate", steps="decay_steps"), STAIRS),
    "InverseTimeDecay": Words("inverse time", _FIRST | _named(rate="decay_rate", steps="decay_steps"), STAIRS),
    "PiecewiseConstantDecay": Words(
        "milestones",
        read={"lr": lambda given: given["values"][0]}
        | _milestones(
            lambda given: [
                (place, after / before)
                for place, before, after in zip(given["boundaries"], given["values"], given["values"][1:], strict=False)
            ]
        ),
        write={"boundaries": (PLACES, _places), "values": (("lr", *FACTORS), _levels)},
    ),
    "PolynomialDecay": Words(
        "polynomial",
        _FIRST | _named("power", end="end_learning_rate", total="decay_steps"),
        {(of.AFTER, of.STAYS): {"cycle": False}, (of.AFTER, "is stretched"): {"cycle": True}},
    ),
}


def _with_dtypes(words: Words) -> Words:
    """An lr of torch may be held in float32."""
    if words.numbers.get("lr") != "lr":
        return words
    held: Any = {
        (HELD, HELD_SINGLE): lambda n: {"lr": np.float32(n["lr"])},
        (HELD, "in double"): lambda n: {"lr": n["lr"]},
    }
    return replace(words, options={**words.options, **held})


SCHEDULES: dict[str, Words] = {
    **plateau.WORDS,
    **_OURS,
    **{f"torch.optim.lr_scheduler.{name}": _with_dtypes(words) for name, words in _TORCH.items()},
    **{f"optax.{name}": words for name, words in _OPTAX.items()},
    **{f"keras.optimizers.schedules.{name}": words for name, words in _KERAS.items()},
}


def after_warmup(schedulers: Mapping[str, str], shown: Callable[[str, str], str]) -> Words | None:
    """Of ``SequentialLR`` where a line up to the optimizer's lr comes before a fall: a fall after a warm-up.

    ``schedulers`` are places and names in order; ``shown(place, argument)`` is what an argument is called.
    """
    if [*schedulers.values()] not in (["LinearLR", "CosineAnnealingLR"], ["LinearLR", "PolynomialLR"]):
        return None
    (warmed, _), (at, name) = schedulers.items()
    words, start = _TORCH[name], shown(warmed, "start_factor")
    numbers = {n: a if a == "lr" else shown(at, str(a)) for n, a in words.numbers.items()}
    return Words(
        words.family,
        numbers,
        read={
            "warmup": lambda given: float(given["milestones"][0]),
            "start": lambda given: given["lr"] * given[start],
        },
        write={
            "milestones": (("warmup",), lambda n, given: [int(n["warmup"])]),
            shown(warmed, "total_iters"): (("warmup",), lambda n, given: int(n["warmup"])),
            start: (("start", "lr"), lambda n, given: n["start"] / n["lr"]),
        },
    )


PHRASES = {
    **plateau.PHRASES,
    ("waves", of.WAVES): "waves of one height",
    ("waves", of.HALVING): "waves each half as high as the last",
    ("waves", of.DECAYING): "waves lower by gamma at each step",
    (of.AFTER, of.RISES): "an lr that rises again after the horizon",
    (of.AFTER, of.STAYS): "an lr that stays after the horizon",
    (of.AFTER, of.RESTARTS): "an lr that starts again after the horizon",
    (of.AFTER, "is stretched"): "a horizon that is stretched to the next multiple",
    (of.AFTER, "goes one step past, then an error"): "an error after the horizon",
    (of.COSINE, of.SINGLE): "a cosine in float32",
    (of.COSINE, "in double"): "a cosine in double",
    (of.ENDS, of.EARLY): "phases that end one step early",
    (of.ENDS, of.WHOLE): "phases that end at whole steps",
    (of.MOMENTUM, "cycled"): "a cycled momentum",
    (of.MOMENTUM, "left alone"): "no cycled momentum",
    (of.SHAPE, "cosine"): "half cosines for phases",
    (of.SHAPE, "linear"): "lines for phases",
    (of.PHASES, "two"): "two phases",
    (of.PHASES, "three, the second as long as the first"): "three phases, the second as long as the first",
    (of.PHASES, "three, to pct_final"): "three phases, the second up to pct_final",
    (of.FALL, "continuous"): "a continuous fall",
    (of.FALL, "in steps"): "a fall in steps",
    (HELD, "in double"): "an lr held in double",
    (HELD, HELD_SINGLE): "an lr held in float32 from step to step",
    ("lr of", "the step after"): "the lr of the step after",
    ("lr of", "the step before"): "the lr of the step before",
    ("lr of", "this step"): "the lr of the step itself",
}
