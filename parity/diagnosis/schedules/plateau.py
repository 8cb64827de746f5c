"""Schedules that follow a metric: black boxes that are told metrics, and the state machine that they are told apart by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lrtheory import schedules
from lrtheory.schedules import PlateauHyper

from ..probe import Path, Probe
from ..words import Words
from .family import ScheduleFamily, as_path

TORCH, OURS, OPTAX = "torch.optim.lr_scheduler.ReduceLROnPlateau", "plateau", "optax.contrib.reduce_on_plateau"
MODE, IMPROVES, COOLDOWN = "mode", "a metric improves on", "in the cooldown"
NOT_COUNTED = "no metric is counted"

PHRASES = {
    (MODE, "min"): "metrics that should fall",
    (MODE, "max"): "metrics that should rise",
    (IMPROVES, "the best so far"): "metrics that improve on the best so far",
    (IMPROVES, "the one before"): "metrics that improve on the one before",
    (COOLDOWN, NOT_COUNTED): "a cooldown in which no metric is counted",
    (COOLDOWN, "all are counted"): "a cooldown in which metrics are counted",
}
#: How many times as long as a fall takes a run is.
FALLS = 12


@dataclass(frozen=True)
class _PlateauFamily(ScheduleFamily):
    """The state machine in float64, along the metrics of a probe."""

    def probe(self, *numbers: Mapping[str, float], missing: bool = False) -> Probe:
        """Metrics that stand still for longer than any patience, and improve by less and by more than each threshold."""
        members = [SimpleNamespace(**{**self.numbers, **some}) for some in numbers]
        still = int(max(n.every * (n.patience + n.cooldown + 3) for n in members))
        probe = super().probe({"patience": FALLS * still / 2.5}, missing=missing)
        return replace(probe, metrics=_metrics(probe.steps, still, [(n.rtol, n.atol) for n in members]))

    def admits(self, switches: Mapping[str, str], path: Path) -> bool:
        return True

    def run(self, numbers: Mapping[str, float], switches: Mapping[str, str], probe: Probe) -> Path:
        n = SimpleNamespace(**{**self.numbers, **numbers})
        falls = switches[MODE] == "min"
        lr, best, before, bad, cooling, lrs = n.lr, np.inf if falls else -np.inf, None, 0, 0, []
        counted, mean = 0, 0.0
        for metric in metrics(probe):
            lrs.append(lr)
            counted, mean = counted + 1, (counted * mean + metric) / (counted + 1)
            if counted < n.every:
                continue
            counted, metric, mean = 0, mean, 0.0
            over = best if switches[IMPROVES] == "the best so far" or before is None else before
            with np.errstate(invalid="ignore"):
                better = metric < over * (1 - n.rtol) - n.atol if falls else metric > over * (1 + n.rtol) + n.atol
            best, before, bad = (metric if better else best), metric, 0 if better else bad + 1
            if cooling > 0:
                cooling, bad = cooling - 1, 0 if switches[COOLDOWN] == NOT_COUNTED else bad
            if bad > n.patience:
                lower = max(lr * n.factor, n.min_lr)
                lr = lower if lr - lower > n.eps else lr
                bad, cooling = 0, int(n.cooldown)
        return as_path(np.array(lrs))


def metrics(probe: Probe) -> np.ndarray:
    """Those of a probe; one that stands still where it has none."""
    return np.ones(probe.steps) if probe.metrics is None else probe.metrics


def _metrics(steps: int, still: int, thresholds: list[tuple[float, float]]) -> np.ndarray:
    rng = np.random.default_rng(1)
    low, high, seen = 1.0, 1.0, []
    while len(seen) < steps:
        rtol, atol = thresholds[rng.integers(len(thresholds))]
        move = (rtol * max(abs(low), abs(high)) + atol) * rng.choice([0.5, 0.9, 1.1, 2.0]) + rng.choice([0.0, 0.1])
        new = low - move if rng.random() < 0.5 else high + move
        low, high = min(low, new), max(high, new)
        # Between the extremes nothing improves, in whichever direction it should go.
        stands = rng.uniform(low, high, rng.integers(0, still)) if rng.random() < 0.7 else []
        seen += [new, *stands]
    return np.array(seen[:steps])


plateau = _PlateauFamily(
    "plateau",
    lambda *_: None,
    {"lr": 1.0, "factor": 0.1, "patience": 10.0, "rtol": 0.0, "atol": 0.0, "cooldown": 0.0, "min_lr": 0.0, "eps": 0.0}
    | {"every": 1.0},
    {
        MODE: ("min", "max"),
        IMPROVES: ("the best so far", "the one before"),
        COOLDOWN: (NOT_COUNTED, "all are counted"),
    },
    horizon=lambda n: n.patience,
    sizes=(),
)


def _threshold(mode: str) -> Callable[[Mapping[str, Any]], float]:
    return lambda given: float(given["threshold"]) if given["threshold_mode"] == mode else 0.0


_TORCH = Words(
    "plateau",
    {n: n for n in ("lr", "factor", "patience", "cooldown", "min_lr", "eps")},
    {(MODE, "min"): {"mode": "min"}, (MODE, "max"): {"mode": "max"}},
    read={"rtol": _threshold("rel"), "atol": _threshold("abs")},
    write={
        "threshold": (("rtol", "atol"), lambda n, given: n["rtol"] or n["atol"]),
        "threshold_mode": (("rtol", "atol"), lambda n, given: "abs" if n["atol"] else "rel"),
    },
)
WORDS: Mapping[str, Words] = {
    TORCH: _TORCH,
    OURS: _TORCH,
    OPTAX: Words(
        "plateau",
        {"lr": "lr", "factor": "factor", "rtol": "rtol", "atol": "atol", "cooldown": "cooldown"}
        | {"every": "accumulation_size"},
        read={
            "patience": lambda given: float(given["patience"]) - 1,
            "min_lr": lambda given: given["min_scale"] * given["lr"],
        },
        write={
            "patience": (("patience",), lambda n, given: int(n["patience"]) + 1),
            "min_scale": (("min_lr", "lr"), lambda n, given: n["min_lr"] / n["lr"]),
        },
    ),
}
#: Our own has options and hyperparameters.
DEFAULTS: Mapping[str, Any] = {"mode": "min", "threshold_mode": "rel", **PlateauHyper._field_defaults}


def made(arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """The schedule of this package and its hyperparameters."""
    options = {name: arguments[name] for name in ("mode", "threshold_mode")}
    schedule = schedules.plateau(**options)
    return schedule, schedule.hyper(**{n: v for n, v in arguments.items() if n not in options})


def in_torch(make: Callable[[Any], Any], lr: float, probe: Probe) -> Path:
    """``make(optimizer)``, told one metric after the other."""
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, lrs = make(optimizer), []
    optimizer.step()
    for metric in metrics(probe):
        lrs.append(float(optimizer.param_groups[0]["lr"]))
        scheduler.step(float(metric))
    return as_path(np.array(lrs))


def ours(arguments: Mapping[str, Any], probe: Probe) -> Path:
    """The state machine of this package."""
    with jax.enable_x64(True):
        schedule, hyper = made(arguments)

        def step(state: Any, metric: Any) -> tuple[Any, Any]:
            return schedule.update(hyper, state, metric), state.lr

        lrs = jax.jit(lambda found: jax.lax.scan(step, schedule.init(hyper), found)[1])(metrics(probe))
    return as_path(np.asarray(lrs))


def in_optax(make: Callable[[], Any], lr: float, probe: Probe) -> Path:
    """The factor by which ``make()`` changes an update, times the lr."""
    with jax.enable_x64(True):
        made, one = make(), jnp.ones(())

        def step(state: Any, metric: Any) -> tuple[Any, Any]:
            return made.update(one, state, one, value=metric)[1], state.scale

        scales = jax.jit(lambda found: jax.lax.scan(step, made.init(one), found)[1])(jnp.asarray(metrics(probe)))
    return as_path(lr * np.asarray(scales))
