"""Broken optimizers that once passed (R8), each caught in runs of many seeds; and failures that were once lost (A1)."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import optax
import pytest
import torch
from mutants import CONTROLS, SOUND, optimizers

import parity
from parity.conformance import runs, suite
from parity.conformance.execute import WITHOUT_HYPOTHESIS, execute, prepare

NEW = [c for c in CONTROLS if c.caught_by in ("company", "descent", "at-rest", "frozen", "foreach", "first-step")]


@pytest.mark.parametrize("control", NEW, ids=lambda c: f"{c.name}-{c.caught_by}")
def test_a_control_is_caught_in_runs_of_many_seeds(control, monkeypatch) -> None:
    target = prepare(control.target, **control.settings)
    for seed in range(10 if control.kind == "torch" else 3):
        monkeypatch.setattr(runs, "SEED", 100 * seed)
        suite.company.coupled.cache_clear()
        assert execute(suite.get(control.kind, control.caught_by), target, shrinking=0).status == "failed", seed


@pytest.mark.parametrize("target", SOUND)
def test_the_sound_ones_pass_in_runs_of_many_seeds(target, monkeypatch) -> None:
    subject = prepare(target)
    for seed in range(3):
        monkeypatch.setattr(runs, "SEED", 100 * seed)
        suite.company.coupled.cache_clear()
        for id in ("company", "descent", "at-rest", "frozen"):
            result = execute(suite.get(subject.kind, id), subject, shrinking=0)
            assert result.status == "passed", (id, seed, result.cause)


def vectors(params):
    return jax.tree.map(lambda x: jnp.ndim(x) <= 1, params)


def freezes_before(learning_rate=1e-1):
    return optax.chain(optax.masked(optax.set_to_zero(), vectors), optax.adamw(learning_rate, weight_decay=0.1))


def freezes_after(learning_rate=1e-1):
    return optax.chain(optax.adamw(learning_rate, weight_decay=0.1), optax.masked(optax.set_to_zero(), vectors))


def freezes_by_label(learning_rate=1e-1):
    labels = lambda params: jax.tree.map(lambda x: "frozen" if jnp.ndim(x) <= 1 else "trained", params)  # noqa: E731
    return optax.multi_transform({"trained": optax.adamw(learning_rate), "frozen": optax.set_to_zero()}, labels)


def masks_alone(learning_rate=1e-1):
    """What is masked out keeps its gradient as its update: a well-known trap."""
    return optax.masked(optax.sgd(learning_rate), lambda params: jax.tree.map(lambda x: jnp.ndim(x) > 1, params))


def forgets_the_minus(learning_rate=1e-3):
    last = optax.scale_by_schedule(learning_rate) if callable(learning_rate) else optax.scale(learning_rate)
    return optax.chain(optax.scale_by_adam(), last)


@pytest.mark.parametrize(
    ("factory", "fails"),
    [
        (freezes_before, ["frozen"]),
        (freezes_after, []),
        (freezes_by_label, []),
        (masks_alone, ["descent"]),
        (forgets_the_minus, ["descent"]),
    ],
)
def test_optax_idioms_that_freeze_mask_or_climb(factory, fails) -> None:
    report = parity.check(factory, only=["frozen", "descent"])
    assert [r.check for r in report.failures] == fails


def test_a_part_of_a_chain_is_told_from_an_optimizer_that_climbs() -> None:
    report = parity.check("optax.scale_by_adam", only=["descent"], own_process=False)
    assert report["descent"].status == "noted"
    assert "leaves the minus to optax.scale_by_learning_rate" in report["descent"].cause


def test_maximize_climbs_and_is_no_failure() -> None:
    parity.check(torch.optim.Adam, arguments={"lr": 0.1, "maximize": True}, only=["descent"]).require()
    parity.check("sgd(lr=0.1, maximize=True)", only=["descent"], own_process=False).require()


@pytest.mark.parametrize("broken", [optimizers.EpsBeforeCorrection, optimizers.OneCountForAll])
def test_a_failure_that_was_found_is_reported_without_hypothesis(broken, monkeypatch) -> None:
    reference = {"lr": 0.1 if broken is optimizers.EpsBeforeCorrection else 1e-3}
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    report = parity.check(broken, reference=f"adam(lr={reference['lr']})", only=["reference"])
    assert report["reference"].status == "failed"
    assert "rerun(" in report["reference"].example
    with pytest.raises(AssertionError, match="reference"):
        report.require()


def test_without_hypothesis_as_many_runs_are_drawn(monkeypatch) -> None:
    """GradientKept is equal for gradients that are added up at once, and differs in the standard run."""
    sound = parity.check(optimizers.HeavyBall, only=["deterministic", "lr-zero"])
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    report = parity.check(optimizers.HeavyBall, only=["deterministic", "lr-zero"])
    report.require()
    assert report.notes == (WITHOUT_HYPOTHESIS,)
    assert report["deterministic"].compared == sound["deterministic"].compared
