"""Laws of momentum, gains and time scales."""

from ...theory.momentum import *  # noqa: F403

PARTS = ("impulse", "constant_gradient", "bias_correction", "averaging")
