"""What a report is made of: the measured data, as plain JSON values.

Experiments measure, the report draws, and these types are all that the two share. Curves are lists over ``step``; a
value that is not finite is stored as ``None`` and drawn as a gap.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from typing import Literal, TypedDict

from lrtheory.pages.figure import Curve
from lrtheory.words import spoken


def curve(values: Iterable[float]) -> Curve:
    """Measured numbers as a curve, to six digits: more than a picture shows, and a tenth of the file."""
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in map(float, values)]


def finite(value: float) -> float | None:
    """A number with all its digits, or ``None`` if it is not finite."""
    return float(value) if math.isfinite(value) else None


FigureId = Literal[
    "training",  # loss curves and accuracies of the closed-loop runs, in both frameworks
    "effective-lr",  # effective lr per layer over the steps of one run
    "heat-map",  # layer × step, log10(effective/nominal)
    "relative-update",
    "angular-lr",  # of the tensors that are scale-invariant
    "loss-scale",  # a run as it is, its loss times alpha uncorrected and corrected
    "threshold",  # the alpha at which SGD diverges
    "batch",
    "schedule",  # StepLR: nominal and effective lr, realised step
    "adam",  # nominal lr and effective lr of single coordinates
    "parity",
    "what-to-change",  # predicted and measured curves for another loss and another batch
    "claims",
    "phase-diagram",  # lr × loss scale: converges, oscillates, diverges
]


class Verdict(TypedDict):
    """One question a practitioner asks, its answer, the evidence and what to do."""

    id: str
    question: str
    outcome: Literal["holds", "fails", "depends"]
    sentence: str
    evidence: str
    advice: str
    figure: FigureId  # the figure that shows it


def as_text(verdict: Verdict, width: int = 100) -> str:
    """A verdict as lines of text, for a notebook or a terminal."""
    parts = (verdict["sentence"], f"Evidence: {verdict['evidence']}", f"Advice: {verdict['advice']}")
    indent = {"initial_indent": "  ", "subsequent_indent": "  ", "break_on_hyphens": False}
    return "\n".join([verdict["question"], *(textwrap.fill(part, width, **indent) for part in parts), ""])


def graded(flags: Iterable[bool]) -> Literal["holds", "fails", "depends"]:
    """The outcome of a question asked of several things: it holds for all, fails for all, or depends."""
    flags = list(flags)
    return "holds" if all(flags) else "depends" if any(flags) else "fails"


class Layer(TypedDict):
    """One parameter of a training run, by name, over the recorded steps."""

    name: str
    scale_invariant: bool  # by lrtheory.symmetries: the loss is the same if it alone is multiplied
    q05: Curve
    q50: Curve
    q95: Curve
    harmonic_mean: Curve
    eps_dominated: Curve
    relative_update: Curve
    decay_share: Curve
    angular_lr: Curve  # lr over the power of the norm that its units name
    rotation: Curve  # angle of a step, in radians


class TrainingRun(TypedDict):
    """A closed-loop run on the digits, each framework computing its own gradients."""

    model: str
    rule: str
    schedule: str
    steps: int
    dtype: str
    step: list[int]  # recorded steps, from 1
    nominal_lr: Curve
    loss_jax: Curve
    loss_torch: Curve
    accuracy_jax: float
    accuracy_torch: float
    largest_difference: float  # of any parameter at any recorded step, over the largest distance travelled
    first_difference_step: int | None  # first step at which any parameter differs by more than 1e-9 of travel
    layers: list[Layer]


def run_label(run: TrainingRun) -> str:
    """A training run in words."""
    return f"{run['model']}, {spoken(run['rule'])}, {run['schedule']} lr"


class LossScaleRun(TypedDict):
    """A run with the loss multiplied by alpha; ``loss`` is divided by alpha again, so that curves compare."""

    problem: str
    rule: str
    variant: str
    framework: str
    alpha: float
    hyper: dict[str, float]
    loss: Curve
    diverged: bool
    distance: float | None  # largest parameter difference from the unscaled run, over its travel; None if diverged


class ChangedRun(TypedDict):
    """A digits run with another loss or batch: as it is, with its numbers kept, and with those of ``lrtheory.rescale``."""

    rule: str
    change: str
    variant: str
    framework: str
    examples: list[int]  # seen up to and with that step
    loss: Curve  # over the loss's factor
    hyper: dict[str, float]  # the numbers that are not 0
    exactness: str  # of the rescaled numbers
    method: str | None  # by which a batch was changed
    notes: list[str]
    distance: float | None  # largest parameter difference from the run as it is, over its travel; None if it diverged
    gap: float | None  # a change of batch: rms of the logarithm of the loss over that of the run as it is
    spread: float | None  # of the run as it is: the same gap that chance leaves in the mean over draws


class Claim(TypedDict):
    """Something people say, decided, with the check that decides it."""

    id: str
    claim: str
    decision: Literal["true", "false", "depends"]
    statement: str  # the law, as plain text
    scope: str
    ran: str
    residual: float
    bound: float
    holds: bool  # whether the check supports the decision


class PhaseDiagram(TypedDict):
    """lr against the scale α of the loss, a run for each pair, on a quadratic of curvature α."""

    rule: str
    numbers: dict[str, float]
    lr: list[float]  # rising, evenly spaced in the logarithm
    alpha: list[float]
    outcome: list[str]  # for each α a letter for each lr: c converges, o oscillates, d diverges
    boundary: float  # α·lr at which theory says that the rule loses stability
    misplaced: int  # runs on the wrong side of it
    steps: int
    seconds: float  # that all runs took, compilation included


class ThresholdBracket(TypedDict):
    """The alpha at which SGD starts to diverge."""

    framework: str
    lr: float
    curvature: float  # largest eigenvalue of the Hessian of the unscaled loss
    predicted: float
    largest_converging: float
    smallest_diverging: float


class BatchRun(TypedDict):
    """First step of SGD on the ten-feature linear model."""

    framework: str
    reduction: str
    batch: int
    gradient_norm: float
    step_norm: float
    step_ratio: float  # over that of the smallest batch
    predicted_ratio: float | None  # what the law says, where it says something exact
    per_example_lr: float


class EffectiveCurves(TypedDict):
    """Effective lr of single coordinates of one run, under a nominal lr."""

    framework: str
    rule: str
    step: list[int]
    nominal_lr: Curve
    coordinates: dict[str, Curve]  # by parameter name and index
    step_norm: Curve


class FirstDifference(TypedDict):
    """Where two runs first differ beyond rounding."""

    step: int
    tensor: str
    coordinate: list[int]
    ours: float
    theirs: float
    truth: float | None  # in high precision, where that was asked for


class ParityRow(TypedDict):
    """One rule with one set of options against one implementation."""

    rule: str
    options: str
    implementation: str
    mode: str
    dtype: str
    schedule: str
    steps: int
    largest_error: float  # over the distance travelled
    error_by_step: Curve  # the largest in each of some forty stretches of equal length
    ulp_median: float
    ulp_99: float
    ulp_largest: float
    first_difference: FirstDifference | None
    gate: float | None  # the bound of the largest error; None below float64, and where it is reported only
    bound_share: float | None  # below float64: the largest error of one of our steps over the bound derived for it
    their_bound_share: float | None  # the same of the other implementation, which is not held to it
    passed: bool | None
    note: str  # why it is expected to differ, if it is
    refused: str  # in the implementation's own words, why it did not run; there are no figures then


class Meta(TypedDict):
    """How the data came about."""

    created: str  # ISO date and time, UTC
    seed: int
    quick: bool
    seconds: float
    versions: dict[str, str]
    device: str


class Measured(TypedDict):
    """Everything on the page."""

    meta: Meta
    verdicts: list[Verdict]
    training: list[TrainingRun]
    loss_scale: list[LossScaleRun]
    thresholds: list[ThresholdBracket]
    batch: list[BatchRun]
    adam_nominal: list[EffectiveCurves]
    step_schedule: list[EffectiveCurves]
    parity: list[ParityRow]
    changes: list[ChangedRun]
    claims: list[Claim]
    phases: list[PhaseDiagram]
