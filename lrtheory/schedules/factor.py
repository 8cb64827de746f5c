"""Schedules that are a factor times the lr they start from."""

from __future__ import annotations

from typing import Any

from jax import Array

from .schedule import Schedule, as_float


class Factor(Schedule):
    """``lr·factor(t)``: what torch steps by multiplying the lr in force, and what can be chained."""

    lr: Any

    def require_factor(self) -> None:
        """Pass."""

    def lr_at(self, t: Array) -> Array:
        """The factor times the lr."""
        return as_float(self.lr) * self.factor_at(t)
