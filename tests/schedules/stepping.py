"""torch stepping its real scheduler objects, and the comparison with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

if TYPE_CHECKING:
    import torch

U = 2.0**-53  # the rounding unit of float64


def optimizer_of(lr: float, kind: str = "sgd") -> torch.optim.Optimizer:
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1))
    if kind == "adam":
        return torch.optim.Adam([parameter], lr=lr)
    return torch.optim.SGD([parameter], lr=lr, momentum=0.9)


def stepped(
    make: Callable[[torch.optim.Optimizer], Any], lr: float, steps: int, kind: str = "sgd"
) -> dict[str, np.ndarray]:
    """Lr and momentum (Adam's beta1) in force after 0 … ``steps`` scheduler steps."""
    optimizer = optimizer_of(lr, kind)
    scheduler = make(optimizer)
    group = optimizer.param_groups[0]
    lrs, momenta = [], []
    for t in range(steps + 1):
        if t:
            optimizer.step()
            scheduler.step()
        lrs.append(group["lr"])
        momenta.append(group["betas"][0] if kind == "adam" else group["momentum"])
    return {"lr": np.asarray(lrs, np.float64), "momentum": np.asarray(momenta, np.float64)}


def closed_form(make: Callable[[torch.optim.Optimizer], Any], lr: float, steps: int) -> np.ndarray:
    """What torch's own closed form gives at 0 … ``steps``."""
    scheduler = make(optimizer_of(lr))
    values = []
    for t in range(steps + 1):
        scheduler.last_epoch = t
        values.append(scheduler._get_closed_form_lr()[0])
    return np.asarray(values, np.float64)


class TRACES:
    """How many programs were traced for :func:`evaluate`, all tests together."""

    count = 0


@jax.jit  # one for all tests: a formula is compiled once, whatever its numbers
def _at(schedule: Any, t: Any) -> Any:
    TRACES.count += 1
    return schedule(t)


def evaluate(schedule: Any, t: Any, *, x64: bool = True) -> np.ndarray:
    """The schedule under jit, at all ``t`` in one call."""
    with jax.enable_x64(x64):
        return np.asarray(_at(schedule, np.asarray(t)))


def assert_follows(got: np.ndarray, want: np.ndarray, bound: np.ndarray | float) -> None:
    """``got`` is within ``bound`` (absolute, one for each step or one for all) of ``want`` at every step."""
    assert got.shape == want.shape
    assert got.dtype == np.float64
    assert want.size >= 7, "a comparison needs enough steps"
    assert np.all(np.isfinite(want)), "a comparison needs finite values"
    assert np.any(want != want[0]), "a comparison with a constant says nothing about a schedule"
    bound = np.broadcast_to(bound, want.shape)
    assert np.all(np.isfinite(bound) & (bound < 0.01 * np.max(np.abs(want)))), "the bound would hide everything"
    difference = np.abs(got - want)
    bad = np.flatnonzero(~(difference <= bound))
    assert not bad.size, (
        f"first differs at t={bad[0]}: got {got[bad[0]]!r}, want {want[bad[0]]!r}, "
        f"{difference[bad[0]]:.3e} apart where {bound[bad[0]]:.3e} is allowed; {bad.size} of {want.size} steps differ"
    )
