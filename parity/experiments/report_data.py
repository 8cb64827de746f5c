"""One call that runs every experiment and hands back a report's data."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata

import jax

from parity.report.data import Meta, ParityRow, Report

from . import (
    batch_size,
    claims,
    digits_training,
    effective_curves,
    loss_scaling,
    phase_diagram,
    verdicts,
    what_to_change,
)
from .beside import Call, Collect, begun
from .values import plain

Progress = Callable[[str, float], None]

TRAINED_RULES = ("sgd", "adam", "rmsprop")
"""Rules that the experiments train with."""

QUICK_FLOAT64 = ("sgd", "adam")
"""Those whose parity is shown when there is little time; `lrtheory replay` shows all of it."""

QUICK_FLOAT32 = ("adam",)
"""The one rule shown in float32 when there is little time: no gate holds there, and its corrections cancel."""

PACKAGES = ("lrtheory", "jax", "torch", "optax", "numpy", "scikit-learn")


def measure(
    *, quick: bool = False, seed: int = 0, processes: int = 1, progress: Progress = lambda text, done: None
) -> Report:
    """Run the experiments and judge them.

    Parameters
    ----------
    quick : fewer training runs, parity for the rules that are trained with; all of the experiments
    seed : of the data, first parameters and batches; the same seed measures the same
    processes : 2 measures what is no training run in a second process while the first trains
    progress : called with what runs now and the share that is done

    Returns
    -------
    Report
        Plain JSON values; a number that is not finite is ``None``.
    """
    if seed < 0:
        raise ValueError(f"seed={seed} must be 0 or more")
    with begun(_calls(quick, seed), processes=processes) as collect:
        return _measured(quick, seed, collect, progress)


def _calls(quick: bool, seed: int) -> list[Call]:
    """What may be measured beside the training runs; the order is that of ``_measured``."""
    return [
        Call("loss scaling", loss_scaling.measure_regression, (seed,)),
        Call("divergence threshold", loss_scaling.measure_thresholds, (seed,)),
        Call("batch size", batch_size.measure, (seed,)),
        Call("Adam's effective lr", effective_curves.measure_adam, (seed,)),
        Call("StepLR", effective_curves.measure_schedule, (seed,)),
        Call("claims", claims.measure, (seed,)),
        Call("phase diagram", phase_diagram.measure),
        *(Call(f"parity of {rule}, {dtype}", parity_rows, (rule, dtype)) for rule, dtype in parity_parts(quick)),
    ]


def parity_parts(quick: bool) -> list[tuple[str, str]]:
    """Rule and dtype of every part of the parity matrix."""
    from .. import table  # builds on torch and optax; found only where a report is made

    rules = QUICK_FLOAT64 if quick else (*TRAINED_RULES, *(r for r in table.known_rules() if r not in TRAINED_RULES))
    single = QUICK_FLOAT32 if quick else TRAINED_RULES
    return [(rule, "float64") for rule in rules] + [(rule, "float32") for rule in single]


def parity_rows(rule: str, dtype: str) -> list[ParityRow]:
    """The matrix of one rule in one dtype."""
    from .. import matrix

    return matrix.rows([rule], dtype=dtype, quick=True)


def _measured(quick: bool, seed: int, collect: Collect, progress: Progress) -> Report:
    began = time.perf_counter()

    def part(first: float, last: float) -> Progress:
        return lambda text, done: progress(text, first + (last - first) * done)

    progress("training", 0.0)
    trainings = digits_training.measure(seed, quick=quick, progress=part(0.0, 0.4))
    progress("loss scaling on the digits", 0.4)
    digits = loss_scaling.measure_digits(
        (digits_training.SGD_MOMENTUM, digits_training.ADAM),
        digits_training.drawn_batches(seed),
        seed,
        **digits_training.UNOBSERVED,
    )
    progress("another loss and another batch on the digits", 0.45)
    changes = what_to_change.measure(seed, quick=quick)
    regression, thresholds, batch, adam, schedule, decided, phases, *matrices = collect(part(0.6, 1.0))
    rows = [row for part_of_matrix in matrices for row in part_of_matrix]
    judged = verdicts.all_verdicts(
        trainings=trainings,
        regression=regression,
        digits=digits,
        thresholds=thresholds,
        batch=batch,
        adam=adam,
        schedule=schedule,
        rows=rows,
        changes=changes,
        claims=decided,
        phases=phases,
    )
    progress("done", 1.0)
    report = Report(
        meta=_meta(seed, quick, time.perf_counter() - began),
        verdicts=judged,
        training=trainings,
        loss_scale=[*regression, *digits],
        thresholds=thresholds,
        batch=batch.runs,
        adam_nominal=adam.curves,
        step_schedule=schedule.curves,
        parity=rows,
        changes=changes,
        claims=decided,
        phases=phases,
    )
    return plain(report)


def _meta(seed: int, quick: bool, seconds: float) -> Meta:
    return Meta(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        quick=quick,
        seconds=round(seconds, 2),
        versions={"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}},
        device=jax.devices()[0].device_kind,
    )
