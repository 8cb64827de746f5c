"""What is global is looked at before a target is first made, and put back (A5)."""

from __future__ import annotations

import gc
import os
import random
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import torch
from mutants.optimizers import HeavyBall

import parity
from parity.conformance import settings

CHANGES: dict[str, Callable[[], Any]] = {
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "the number of torch's threads": lambda: torch.set_num_threads(3),
    "numpy's error handling": lambda: np.seterr(all="raise"),
    "jax_enable_x64": lambda: jax.config.update("jax_enable_x64", True),
    "jax_default_matmul_precision": lambda: jax.config.update("jax_default_matmul_precision", "highest"),
    "whether torch's algorithms are deterministic": lambda: torch.use_deterministic_algorithms(True),
    "whether torch records gradients": lambda: torch.set_grad_enabled(False),
    "torch's precision of matrix products": lambda: torch.set_float32_matmul_precision("medium"),
    "torch's detection of anomalies": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "whether tiny numbers are flushed to 0": lambda: torch.set_flush_denormal(True),
    "torch's random state": lambda: torch.manual_seed(0),
    "the state of numpy.random": lambda: np.random.seed(0),  # noqa: NPY002
    "the state of random": lambda: random.seed(0),
    "Python's recursion limit": lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1),
    "whether garbage is collected": gc.disable,
    "the working directory": lambda: os.chdir(os.path.dirname(os.getcwd())),
}


def changing(what: str, *, once: bool, at: str) -> type:
    done: list[None] = []

    def act() -> None:
        if not (once and done):
            done.append(None)
            CHANGES[what]()

    class Changing(HeavyBall):
        def __init__(self, params: Any, lr: float = 0.1) -> None:
            super().__init__(params, lr)
            if at == "making":
                act()

        def step(self, closure: Any = None) -> Any:
            if at == "stepping":
                act()
            return super().step(closure)

    return Changing


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("at", ["making", "stepping"])
@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_caught_and_put_back(what: str, at: str) -> None:
    """Also one that only the first of all optimizers makes."""
    before = settings.read()
    report = parity.check(changing(what, once=True, at=at), only=["global-state", "deterministic"])
    assert report["global-state"].status == "failed", report
    assert f"changes {what}" in report["global-state"].cause
    assert settings.changed(before) == []


def test_what_changes_nothing_passes() -> None:
    before = settings.read()
    parity.check(HeavyBall, only=["global-state"]).require()
    assert settings.changed(before) == []


def test_a_setting_does_not_leak_into_other_checks() -> None:
    """Float64 would let the state of a float32 parameter pass that is made in the default dtype."""
    parity.check(changing("torch's default dtype", once=False, at="stepping"), only=["tree", "quiet"])
    assert torch.get_default_dtype() == torch.float32
