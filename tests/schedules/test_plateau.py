"""ReduceLROnPlateau as a state machine, against torch's: the same decisions at every metric, bit by bit."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lrtheory import schedules
from lrtheory.schedules.plateau import Plateau, PlateauState

from .stepping import optimizer_of

STEPS = 300


def _streams() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    t = np.arange(STEPS)
    falling = 3 * np.exp(-t / 40) + 0.3 * rng.standard_normal(STEPS)
    broken = falling.copy()
    broken[[5, 6, 90, 91, 92, 200]] = np.nan
    broken[[40, 120]] = np.inf
    broken[[41, 250]] = -np.inf
    return {
        "falling": falling,
        "rising": -falling,
        "steps": np.repeat(rng.standard_normal(STEPS // 10), 10),
        "just-at-the-threshold": 2.0 * np.cumprod(np.full(STEPS, 1 - 1e-4)),
        "not-a-number-first": np.concatenate([[np.nan], falling[1:]]),
        "nan-and-inf": broken,
        "constant": np.full(STEPS, 1.0),
    }


STREAMS = _streams()
NUMBERS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "impatient": {"patience": 0, "factor": 0.7, "eps": 0.0},
    "cooling": {"patience": 2, "cooldown": 5, "factor": 0.5},
    "floor": {"patience": 1, "min_lr": 0.01, "factor": 0.3},
    "eps": {"patience": 1, "eps": 1e-3, "factor": 0.5},
    "wide-threshold": {"patience": 3, "threshold": 0.3, "cooldown": 1},
    "no-threshold": {"patience": 2, "threshold": 0.0, "cooldown": 3},
}
OPTIONS = list(itertools.product(("min", "max"), ("rel", "abs")))


def torch_states(stream: np.ndarray, mode: str, threshold_mode: str, numbers: dict[str, Any]) -> np.ndarray:
    optimizer = optimizer_of(0.3)
    scheduler = ReduceLROnPlateau(optimizer, mode=mode, threshold_mode=threshold_mode, **numbers)
    states = []
    for metric in stream:
        scheduler.step(metric)
        lr = optimizer.param_groups[0]["lr"]
        states.append((lr, scheduler.best, scheduler.num_bad_epochs, scheduler.cooldown_counter))
    return np.asarray(states, np.float64)


_RUNS: dict[Any, Any] = {}


def states_of(plateau: Plateau, stream: np.ndarray, numbers: dict[str, Any]) -> np.ndarray:
    """The states after each metric, from one compiled scan for each set of options."""
    if plateau not in _RUNS:

        def run(hyper, metrics):
            def step(state, metric):
                state = plateau.update(hyper, state, metric)
                return state, jnp.stack([x.astype(float) for x in state])

            return jax.lax.scan(step, plateau.init(hyper), metrics)[1]

        _RUNS[plateau] = jax.jit(run)
    with jax.enable_x64(True):
        return np.asarray(_RUNS[plateau](plateau.hyper(lr=0.3, **numbers), stream))


def assert_decides_alike(got: np.ndarray, want: np.ndarray) -> None:
    assert np.any(want[:, 2] != want[0, 2]), "a stream in which nothing happens says nothing"
    differs = np.flatnonzero(np.any(got != want, axis=1))
    assert not differs.size, f"first differs after metric {differs[0]}: {got[differs[0]]} for {want[differs[0]]}"


@pytest.mark.parametrize(("mode", "threshold_mode"), OPTIONS, ids=["-".join(option) for option in OPTIONS])
def test_plateau_has_torchs_lr_best_and_counters_at_every_metric(mode: str, threshold_mode: str):
    plateau = schedules.plateau(mode=mode, threshold_mode=threshold_mode)
    reductions = 0
    for stream, numbers in itertools.product(STREAMS.values(), NUMBERS.values()):
        want = torch_states(stream, mode, threshold_mode, numbers)
        if np.ptp(want[:, 2]):
            assert_decides_alike(states_of(plateau, stream, numbers), want)
            reductions += np.count_nonzero(np.diff(want[:, 0]))
    assert reductions > 100


class _LessPatient(Plateau):
    def update(self, hyper, state, metric):
        return super().update(hyper._replace(patience=hyper.patience - 1), state, metric)


class _NeverCooling(Plateau):
    def update(self, hyper, state, metric):
        return super().update(hyper._replace(cooldown=0), state, metric)


class _OtherThreshold(Plateau):
    def _improves(self, metric, best, threshold):
        return metric < best - threshold


class _TiesImprove(Plateau):
    def _improves(self, metric, best, threshold):
        return metric <= best * (1 - threshold)


class _NanImproves(Plateau):
    def _improves(self, metric, best, threshold):
        return ~(metric >= best * (1 - threshold))


class _WithoutEps(Plateau):
    def update(self, hyper, state, metric):
        return super().update(hyper._replace(eps=0.0), state, metric)


class _ForgetsTheBest(Plateau):
    def update(self, hyper, state, metric):
        new = super().update(hyper, state, metric)
        return PlateauState(new.lr, jnp.asarray(metric, new.best.dtype), new.num_bad, new.cooldown_left)


@pytest.mark.parametrize(
    "mutant",
    [_LessPatient, _NeverCooling, _OtherThreshold, _TiesImprove, _NanImproves, _WithoutEps, _ForgetsTheBest],
    ids=lambda mutant: mutant.__name__.strip("_"),
)
def test_comparison_catches_a_wrong_plateau(mutant: type[Plateau]):
    caught = 0
    for stream, numbers in itertools.product(STREAMS.values(), NUMBERS.values()):
        want = torch_states(stream, "min", "rel", numbers)
        if np.ptp(want[:, 2]):
            try:
                assert_decides_alike(states_of(mutant("min", "rel"), stream, numbers), want)
            except AssertionError:
                caught += 1
    assert caught


def test_plateau_compiles_once_and_vmaps_over_every_number():
    traces = 0
    plateau = schedules.plateau()

    def last_lr(hyper, metrics):
        nonlocal traces
        traces += 1
        return jax.lax.scan(lambda s, m: (plateau.update(hyper, s, m), None), plateau.init(hyper), metrics)[0].lr

    rows = [{"lr": 0.3, "patience": 2, **change} for change in (
        {}, {"lr": 0.1}, {"factor": 0.5}, {"patience": 3}, {"threshold": 0.2}, {"cooldown": 4}, {"min_lr": 1e-3},
        {"eps": 0.05})]  # fmt: skip
    with jax.enable_x64(True):
        hypers = [plateau.hyper(**row) for row in rows]
        stacked = jax.tree.map(lambda *x: jnp.stack([jnp.asarray(v) for v in x]), *hypers)
        got = np.asarray(jax.jit(jax.vmap(last_lr, in_axes=(0, None)))(stacked, STREAMS["falling"][:60]))
    assert traces == 1
    for row, lr in zip(rows, got, strict=True):
        numbers = {name: value for name, value in row.items() if name != "lr"}
        optimizer = optimizer_of(row["lr"])
        scheduler = ReduceLROnPlateau(optimizer, **numbers)
        for metric in STREAMS["falling"][:60]:
            scheduler.step(metric)
        assert lr == optimizer.param_groups[0]["lr"], row
    assert len({float(lr) for lr in got}) >= 6


def test_plateau_takes_the_lr_of_a_rule():
    """Any numbers with an lr start it: one schedule serves every rule."""
    plateau = schedules.plateau()
    hyper = plateau.hyper(lr=np.float32(0.25))
    state = plateau.init(hyper)
    assert (float(state.lr), float(state.best)) == (0.25, np.inf)
    assert jax.tree.structure(plateau.update(hyper, state, 1.0)) == jax.tree.structure(state)
    after = plateau.update(hyper, state, 1.0)
    assert [x.dtype for x in after] == [x.dtype for x in state]
