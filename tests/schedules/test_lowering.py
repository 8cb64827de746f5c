"""Every schedule lowers for every platform, on a machine that has none of them."""

from __future__ import annotations

import jax
import jax.export
import numpy as np
import pytest

from lrtheory import schedules

from .cases import CASES, Case

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def _exported_platforms(function, *arguments) -> tuple[str, ...]:
    exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)
    assert len(exported.mlir_module_serialized) > 0
    return exported.platforms


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_schedule_lowers_for_every_platform(case: Case):
    def at(schedule, t):
        return (schedule(t), schedule.momentum(t)) if case.momentum else schedule(t)

    assert _exported_platforms(at, case.schedule(), np.arange(8, dtype=np.int32)) == PLATFORMS


def test_plateau_lowers_for_every_platform():
    plateau = schedules.plateau()
    hyper = plateau.hyper(lr=0.1)
    assert _exported_platforms(plateau.update, hyper, plateau.init(hyper), np.float32(1.0)) == PLATFORMS
