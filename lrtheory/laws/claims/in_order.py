"""Eighteen claims people make, decided: in the order of the questions they answer."""

from ..law import Law
from . import batch, divergence, effective_lr, largest_step, learning_rate, loss_scale, scale_free

LAWS: tuple[Law, ...] = (
    loss_scale.GRADIENT_SCALES,
    loss_scale.SMALL_SLOWS,
    loss_scale.LR_COMPENSATES,
    loss_scale.CROSS_ENTROPY,
    divergence.DESTABILISES_ADAM,
    batch.PER_EXAMPLE,
    batch.BACKWARD_CALLS,
    effective_lr.ADAM_LR_HIDDEN,
    effective_lr.SMALL_GRADIENTS,
    learning_rate.INITIAL_LR,
    learning_rate.STEP_LR,
    divergence.LARGE_DIVERGES,
    largest_step.LARGEST_STEP,
    scale_free.NO_EFFECT_ON_ADAM,
    learning_rate.DECAY_FREE_OF_LR,
    largest_step.CENTERED_BOUNDED,
    scale_free.ADAFACTOR_FREE,
    effective_lr.MEAN_EFFECTIVE_LR,
)
