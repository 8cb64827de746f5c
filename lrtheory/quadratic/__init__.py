"""Exact dynamics on quadratics: linear maps read from the rules, moments without sampling, noise scale, trade-offs."""

from .closed_forms import equal_variance_lr, heavy_ball_variance, nesterov_variance
from .linear_step import LinearStep, critical_curvature, delayed, linear_step, linear_steps, memory, spectral_radius
from .moments import Moments, NoisyQuadratic, advance, power_law, propagate, stationary
from .noise_scale import GradientEstimate, NoiseScale, estimate_from_norms, noise_scale, optimal_lr
from .trade_off import Tuned, steps_to_target, tune

__all__ = [
    "GradientEstimate", "LinearStep", "Moments", "NoiseScale", "NoisyQuadratic", "Tuned", "advance",
    "critical_curvature", "delayed", "equal_variance_lr", "estimate_from_norms", "heavy_ball_variance",
    "linear_step", "linear_steps", "memory", "nesterov_variance", "noise_scale", "optimal_lr", "power_law",
    "propagate", "spectral_radius", "stationary", "steps_to_target", "tune",
]  # fmt: skip
