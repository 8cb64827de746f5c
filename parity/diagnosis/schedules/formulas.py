"""The formulas of schedules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .family import LONGEST, schedule, single

AFTER = "after the horizon"
RISES, STAYS, RESTARTS = "rises again", "stays", "starts again"
COSINE, SINGLE = "cosine", "in float32"
FALL = "fall"
ENDS = "phases end"
EARLY, WHOLE = "one step early", "at whole steps"
PHASES, MOMENTUM, SHAPE = "phases", "momentum", "shape"
#: How many milestones a schedule may have.
MILESTONES = 6


def half_cosine(share: Any) -> Any:
    """From 1 to 0 as a share goes from 0 to 1."""
    return (1 + np.cos(np.pi * share)) / 2


def _cycles(n: Any, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of restarts so far, and the share of the cycle that is done."""
    done = t / n.T
    ends, length = [], n.T
    while length > 0 and (not ends or ends[-1] <= t[-1]) and len(ends) <= len(t):
        ends.append((ends[-1] if ends else 0.0) + length)
        length = length * n.growth
    count = np.searchsorted(ends, t, side="right").astype(np.float64)
    start = count if n.growth == 1 else (1 - n.growth**count) / (1 - n.growth)
    return count, (done - start) / n.growth**count


def _horizon_of_cosine(n: Any) -> float:
    """Two restarts more where cycles grow, and all of them where they are counted."""
    cycles = n.cycles if np.isfinite(n.cycles) else (1.0 if n.growth == 1 else 2.0)
    return n.warmup + n.T * sum(n.growth**i for i in range(int(cycles)))


@schedule(
    "cosine",
    {"T": 50.0, "end": 0.0, "exponent": 1.0, "growth": 1.0, "shrinking": 1.0, "cycles": np.inf}
    | {"warmup": 0.0, "start": 0.0},
    {AFTER: (RISES, STAYS, RESTARTS), COSINE: ("in double", SINGLE)},
    _horizon_of_cosine,
    # An argument of π rounded to float32 is off by 4e-8, and so is its cosine, to which its own rounding and two more come.
    tolerance=lambda switches: 4e-7 if switches[COSINE] == SINGLE else 1e-9,
)
def cosine(n: Any, k: Mapping[str, str], t: np.ndarray) -> np.ndarray:
    """Cosine annealing after a linear warm-up, with or without restarts."""
    rising = n.start + (n.lr - n.start) * t / n.warmup if n.warmup else t
    u = np.maximum(t - n.warmup, 0)
    size = 1.0
    if k[AFTER] == RESTARTS:
        count, share = _cycles(n, u)
        over = count >= n.cycles
        share = np.where(over, 1.0, share)
        size = n.shrinking ** np.where(over, n.cycles - 1, count)
    else:
        share = u / n.T
        share = np.minimum(share, 1) if k[AFTER] == STAYS else share
    narrow = k[COSINE] == SINGLE
    half = (1 + single(np.cos(single(np.pi * share)))) / 2 if narrow else half_cosine(share)
    lr = np.where(t < n.warmup, rising, n.end + (n.lr - n.end) * size * half**n.exponent)
    return single(lr) if narrow else lr


@schedule(
    "one cycle",
    {"total": 50.0, "pct_start": 0.3, "pct_final": 0.85, "div": 25.0, "final_div": 1e4}
    | {"base_momentum": 0.85, "max_momentum": 0.95},
    {
        SHAPE: ("cosine", "linear"),
        PHASES: ("two", "three, the second as long as the first", "three, to pct_final"),
        ENDS: (EARLY, WHOLE),
        AFTER: ("goes one step past, then an error", STAYS),
        MOMENTUM: ("cycled", "left alone"),
    },
    lambda n: n.total,
)
def one_cycle(n: Any, k: Mapping[str, str], t: np.ndarray) -> tuple[Any, Any]:
    """One cycle of lr and momentum."""
    first, last = n.pct_start * n.total, n.total
    second = n.pct_final * n.total if "pct_final" in k[PHASES] else 2 * first
    ends = [first, last] if k[PHASES] == "two" else [first, second, last]
    if k[ENDS] == EARLY:
        ends = [end - 1 for end in ends]
        if len(ends) == 3:
            ends[1] = ends[1] - 1 if "pct_final" not in k[PHASES] else ends[1]
    else:
        ends = [np.floor(end) for end in ends]
    low = n.lr / n.div
    levels = [low, n.lr, *([low] if len(ends) == 3 else []), low / n.final_div]
    high, base = n.max_momentum, n.base_momentum
    momenta = [high, base, *([high] if len(ends) == 3 else []), high]
    momentum = np.nan if k[MOMENTUM] == "left alone" else _through(momenta, ends, t, k)
    return _through(levels, ends, t, k), momentum


def _through(levels: list[Any], ends: list[Any], t: np.ndarray, k: Mapping[str, str]) -> np.ndarray:
    """From level to level over the phases."""
    starts = [0.0, *ends[:-1]]
    value = np.full(t.shape, np.nan)
    for start, end, low, high in reversed(list(zip(starts, ends, levels[:-1], levels[1:], strict=True))):
        share = (t - start) / (end - start)
        if k[AFTER] == STAYS:
            share = np.minimum(share, 1)
        share = 1 - half_cosine(share) if k[SHAPE] == "cosine" else share
        value = np.where(t <= (end if end != ends[-1] else np.inf), low + (high - low) * share, value)
    if k[AFTER] != STAYS:
        value = np.where(t > ends[-1] + 1, np.nan, value)
    return value


def _horizon_of_exponential(n: Any) -> float:
    """Some falls, and on to the bound where a run can reach it."""
    falls = 8.0
    if n.bound > 0 and n.lr > 0 and n.gamma > 0 and n.gamma != 1:
        falls = max(falls, float(np.log(n.bound / n.lr) / np.log(n.gamma)))
    return n.begin + (falls if n.begin + falls * n.steps < LONGEST / 3 else 8.0) * n.steps


@schedule(
    "exponential",
    {"gamma": 0.9, "steps": 1.0, "begin": 0.0, "bound": 0.0},
    {FALL: ("continuous", "in steps")},
    _horizon_of_exponential,
)
def exponential(n: Any, k: Mapping[str, str], t: np.ndarray) -> np.ndarray:
    """A factor at every step, or at some; ``bound`` is the least lr, or the greatest where it grows."""
    u = np.maximum(t - n.begin, 0) / n.steps
    value = n.lr * n.gamma ** (np.floor(u) if k[FALL] == "in steps" else u)
    return np.maximum(value, n.bound) if n.gamma < 1 else np.minimum(value, n.bound or np.inf)


@schedule("inverse time", {"rate": 1.0, "steps": 1.0}, {FALL: ("continuous", "in steps")}, lambda n: 8 * n.steps)
def inverse_time(n: Any, k: Mapping[str, str], t: np.ndarray) -> np.ndarray:
    """Keras's ``InverseTimeDecay``."""
    u = t / n.steps
    return n.lr / (1 + n.rate * (np.floor(u) if k[FALL] == "in steps" else u))


@schedule(
    "milestones",
    {f"milestone {i}": np.inf for i in range(1, MILESTONES + 1)}
    | {f"factor {i}": 1.0 for i in range(1, MILESTONES + 1)},
    {},
    lambda n: max([20.0, *(m for name, m in vars(n).items() if name.startswith("milestone") and np.isfinite(m))]),
)
def milestones(n: Any, k: Mapping[str, str], t: np.ndarray) -> np.ndarray:
    """A factor at each milestone."""
    value = np.full(t.shape, n.lr)
    for i in range(1, MILESTONES + 1):
        value = np.where(t >= getattr(n, f"milestone {i}"), value * getattr(n, f"factor {i}"), value)
    return value


@schedule(
    "polynomial",
    {"end": 0.0, "power": 1.0, "total": 50.0, "begin": 0.0, "start": 0.0, "warmup": 0.0},
    {AFTER: (STAYS, "is stretched")},
    lambda n: n.begin + n.warmup + n.total,
)
def polynomial(n: Any, k: Mapping[str, str], t: np.ndarray) -> np.ndarray:
    """A power of the share of steps left, or a line; after a linear warm-up where there is one."""
    rising = n.start + (n.lr - n.start) * t / n.warmup if n.warmup else t
    u = np.maximum(t - n.begin - n.warmup, 0)
    total = n.total * (np.maximum(np.ceil(u / n.total), 1) if k[AFTER] == "is stretched" else 1.0)
    return np.where(t < n.warmup, rising, n.end + (n.lr - n.end) * (1 - np.minimum(u / total, 1)) ** n.power)


WAVES, HALVING, DECAYING = "of one height", "each half as high as the last", "lower by gamma at each step"


@schedule(
    "cyclic",
    {"top": 1.0, "up": 2000.0, "down": 2000.0, "gamma": 1.0, "base_momentum": 0.8, "max_momentum": 0.9},
    {"waves": (WAVES, HALVING, DECAYING), MOMENTUM: ("cycled", "left alone")},
    lambda n: n.up + n.down,
)
def cyclic(n: Any, k: Mapping[str, str], t: np.ndarray) -> tuple[Any, Any]:
    """Waves between two levels: ``CyclicLR``."""
    total = n.up + n.down
    count = np.floor(1 + t / total)
    x = 1 + t / total - count
    ratio = n.up / total
    height = np.where(x <= ratio, x / ratio, (x - 1) / (ratio - 1))
    height = height * {WAVES: 1.0, HALVING: 0.5 ** (count - 1), DECAYING: n.gamma**t}[k["waves"]]
    momentum = n.max_momentum - (n.max_momentum - n.base_momentum) * height
    return n.lr + (n.top - n.lr) * height, np.nan if k[MOMENTUM] == "left alone" else momentum


FORMULAS = (cyclic, cosine, one_cycle, exponential, inverse_time, milestones, polynomial)
