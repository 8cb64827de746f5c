"""Laws of batch size."""

from ...theory.batch import sde_rule

PARTS = ("reduction", "exchange", "noisy_quadratic", "one_step", "sde")

__all__ = ["PARTS", "sde_rule"]
