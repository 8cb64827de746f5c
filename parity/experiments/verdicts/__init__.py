"""Verdicts: questions that a practitioner asks, answered by nothing but the measured numbers and stated bounds."""

from __future__ import annotations

from parity.report.data import ChangedRun, Claim, LossScaleRun, ParityRow, PhaseDiagram, Threshold, Training, Verdict

from ..batch_size import BatchSize
from ..effective_curves import AdamNominal, StepSchedule
from . import batch_size, effective_curves, loss_scaling, parity, phase_diagram, training, what_to_change
from .words import as_text

__all__ = [
    "all_verdicts",
    "as_text",
    "batch_size",
    "effective_curves",
    "loss_scaling",
    "parity",
    "training",
    "what_to_change",
]


def all_verdicts(
    *,
    trainings: list[Training],
    regression: list[LossScaleRun],
    digits: list[LossScaleRun],
    thresholds: list[Threshold],
    batch: BatchSize,
    adam: AdamNominal,
    schedule: StepSchedule,
    rows: list[ParityRow],
    changes: list[ChangedRun],
    claims: list[Claim],
    phases: list[PhaseDiagram],
) -> list[Verdict]:
    """Every verdict, in the order of the page."""
    both = [*regression, *digits]
    return [
        training.agreement(trainings),
        parity.gate(rows),
        what_to_change.loss(changes),
        what_to_change.batch(changes),
        training.effective_lr(trainings),
        training.hardly_learning(trainings),
        training.eps_dominated(trainings),
        *(loss_scaling.dividing_lr(regression, rule) for rule in ("sgd", "adam", "rmsprop")),
        loss_scaling.noticing(both),
        loss_scaling.correcting(both),
        loss_scaling.divergence(thresholds),
        phase_diagram.boundary(phases),
        batch_size.accumulation(batch),
        batch_size.sgd_step(batch),
        batch_size.adam_step(batch),
        effective_curves.adam_nominal(adam),
        effective_curves.step_schedule(schedule),
        what_to_change.claims(claims),
    ]
