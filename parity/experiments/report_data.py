"""One call that runs every experiment and hands back a report's data."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata

import jax

from lrtheory.outputs import plain

from ..measured import Measured, Meta
from . import (
    batch_size,
    claims,
    digits_training,
    effective_curves,
    loss_scaling,
    parity_matrix,
    phase_diagram,
    what_to_change,
)
from .beside import Collect, Job, begun

Progress = Callable[[str, float], None]

PACKAGES = ("lrtheory", "jax", "torch", "optax", "numpy", "scikit-learn")


def measure(
    *,
    quick: bool = False,  # fewer training runs, parity for fewer rules; all of the experiments
    seed: int = 0,  # of the data, first parameters and batches; the same seed measures the same
    processes: int = 1,  # 2 measures what is no training run in a second process while the first trains
    progress: Progress = lambda text, done: None,  # called with what runs now and the share that is done
) -> Measured:
    """Run the experiments and judge them: plain JSON values, where a number that is not finite is ``None``."""
    if seed < 0:
        raise ValueError(f"seed={seed} must be 0 or more")
    with begun(_calls(quick, seed), processes=processes) as collect:
        return _measured(quick, seed, collect, progress)


def _calls(quick: bool, seed: int) -> list[Job]:
    """What may be measured beside the training runs; the order is that of ``_measured``."""
    return [
        Job("loss scaling", loss_scaling.measure_regression, (seed,)),
        Job("divergence threshold", loss_scaling.measure_thresholds, (seed,)),
        Job("batch size", batch_size.measure, (seed,)),
        Job("Adam's effective lr", effective_curves.measure_adam, (seed,)),
        Job("StepLR", effective_curves.measure_schedule, (seed,)),
        Job("claims", claims.measure, (seed,)),
        Job("phase diagram", phase_diagram.measure),
        *(
            Job(f"parity of {rule}, {dtype}", parity_matrix.measure, (rule, dtype))
            for rule, dtype in parity_matrix.parts(quick)
        ),
    ]


def _measured(quick: bool, seed: int, collect: Collect, progress: Progress) -> Measured:
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
    scaled = [*regression, *digits]
    verdicts = [
        digits_training.agreement(trainings),
        parity_matrix.gate(rows),
        what_to_change.loss_verdict(changes),
        what_to_change.batch_verdict(changes),
        digits_training.effective_lr(trainings),
        digits_training.hardly_learning(trainings),
        digits_training.eps_dominated(trainings),
        *(loss_scaling.dividing_lr(regression, rule) for rule in parity_matrix.TRAINED_RULES),
        loss_scaling.noticing(scaled),
        loss_scaling.correcting(scaled),
        loss_scaling.divergence(thresholds),
        phase_diagram.boundary(phases),
        batch_size.accumulation(batch),
        batch_size.sgd_step(batch),
        batch_size.adam_step(batch),
        effective_curves.adam_nominal(adam),
        effective_curves.step_schedule(schedule),
        claims.borne_out(decided),
    ]
    progress("done", 1.0)
    return plain(
        Measured(
            meta=Meta(
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                seed=seed,
                quick=quick,
                seconds=round(time.perf_counter() - began, 2),
                versions={"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}},
                device=jax.devices()[0].device_kind,
            ),
            verdicts=verdicts,
            training=trainings,
            loss_scale=scaled,
            thresholds=thresholds,
            batch=batch.runs,
            adam_nominal=adam.curves,
            step_schedule=schedule.curves,
            parity=rows,
            changes=changes,
            claims=decided,
            phases=phases,
        )
    )
