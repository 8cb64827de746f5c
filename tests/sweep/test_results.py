"""Every run of a sweep is the run that a plain loop makes, whatever its neighbours do."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from lrtheory import effective, rules, schedules, sweep, wrappers
from lrtheory.sweep.program import _all_finite

from .regression import DATA, ROWS, init, loss, whole

STEPS, RECORD = 9, [1, 4, 9]


def train_torch(make, seed, loss_scale, batch_size=None, lr_at=None):
    """The same run in torch, float64: recorded losses, and the loss after the last step."""
    params = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in init(seed).items()}
    optimizer = make(params.values())
    x, y = (torch.tensor(DATA[name], dtype=torch.float64) for name in ("x", "y"))
    rows = np.tile(np.arange(ROWS), (STEPS, 1)) if batch_size is None else sweep.shuffled(ROWS, batch_size, STEPS, seed)

    def of(at):
        return 0.5 * ((x[at] @ params["w"] + params["b"] - y[at]) ** 2).mean()

    losses = []
    for t in range(STEPS):
        if lr_at is not None:
            optimizer.param_groups[0]["lr"] = lr_at(t)
        optimizer.zero_grad()
        value = of(rows[t])
        (loss_scale * value).backward()
        optimizer.step()
        losses.append(value.item())
    return [losses[t - 1] for t in RECORD], of(rows[-1]).item()


def test_a_grid_is_a_loop_over_its_runs():
    """Loss scale × lr × seed, with batches, against torch."""
    lrs, scales, seeds = [0.01, 0.1], [1.0, 8.0], [0, 5]
    axes = sweep.grid(rule=rules.adam(), lr=lrs, loss_scale=scales, seed=seeds, eps=1e-3, batch_size=4)
    found = sweep.run(loss, init, DATA, axes, steps=STEPS, record=RECORD)
    assert list(found.axes) == ["lr", "loss_scale", "seed"]
    assert found.values["loss"].shape == (2, 2, 2, 3)
    for i, lr in enumerate(lrs):
        for j, scale in enumerate(scales):
            for k, seed in enumerate(seeds):
                make = functools.partial(torch.optim.Adam, lr=lr, eps=1e-3)
                losses, last = train_torch(make, seed, scale, 4)
                np.testing.assert_allclose(found.values["loss"][i, j, k], losses, rtol=2e-5)
                np.testing.assert_allclose(found.values["final_loss"][i, j, k], last, rtol=2e-5)
    assert not found.values["diverged_at"].any()


def test_rules_and_a_schedule_are_axes_too():
    """Two rules by label, a schedule that the lr drives, the whole data as one batch."""
    axes = sweep.grid(rule={"plain": rules.sgd(), "rms": rules.rmsprop()}, lr=[0.02, 0.1], momentum=0.5)
    schedule = functools.partial(_halved_every_third)
    found = sweep.run(loss, init(1), DATA, axes, steps=STEPS, record=RECORD, schedule=schedule)
    makers = {"plain": torch.optim.SGD, "rms": torch.optim.RMSprop}
    assert found.axes["rule"].tolist() == ["plain", "rms"]
    for i, label in enumerate(found.axes["rule"]):
        for j, lr in enumerate(found.axes["lr"]):
            make = functools.partial(makers[label], lr=lr, momentum=0.5)
            losses, last = train_torch(make, 1, 1.0, lr_at=lambda t, lr=lr: lr * 0.5 ** (t // 3))
            np.testing.assert_allclose(found.values["loss"][i, j], losses, rtol=2e-5)
            np.testing.assert_allclose(found.values["final_loss"][i, j], last, rtol=2e-5)


def _halved_every_third(lr):
    return schedules.step(lr=lr, step_size=3, gamma=0.5)


def test_a_diverging_run_is_named_and_harms_no_other():
    """The other runs of its tile are bit for bit what they are beside a run that converges."""
    lrs = np.array([0.1, 0.2, 0.05, 0.01, 0.3, 0.15, 0.02, 0.07])
    wild = np.where(np.arange(8) == 2, 1e30, lrs)
    calm = sweep.run(loss, init(0), DATA, sweep.points(rule=rules.sgd(), lr=lrs), steps=STEPS, record=RECORD)
    found = sweep.run(loss, init(0), DATA, sweep.points(rule=rules.sgd(), lr=wild), steps=STEPS, record=RECORD)
    assert found.diverged()["lr"].tolist() == [1e30]
    assert found.diverged()["diverged_at"].tolist() == [2]  # its second loss is that of parameters near 1e30
    rest = np.arange(8) != 2
    for name in found.values:
        np.testing.assert_array_equal(found.values[name][rest], calm.values[name][rest])


def test_parameters_that_overflow_under_a_finite_loss_have_diverged():
    """The loss is flat beyond 1, so that it never tells."""
    found = sweep.run(
        lambda p, _: 1e38 * jnp.clip(p, -1, 1),
        np.float32(0.0),
        None,
        sweep.points(rule=rules.sgd(), lr=[10.0, 1e-3]),
        steps=3,
        record=[1, 2, 3],
    )
    assert np.isfinite(found.values["loss"]).all()
    assert found.values["diverged_at"].tolist() == [1, 0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_finite_means_every_entry_and_the_largest_number_too(dtype):
    """Of several arrays at once, as in a tile."""
    x = np.ones((5, 7, 3))
    x[1, 3, 1], x[2, 0, 0], x[3], x[4, 6, 2] = np.inf, np.nan, float(jnp.finfo(dtype).max), -np.inf
    found = jax.jit(jax.vmap(_all_finite))(jnp.asarray(x, dtype))
    assert found.tolist() == [True, False, False, True, False]


@pytest.mark.parametrize(("explode", "step"), [(3.9, 2), (20.0, 4), (1000.0, 6)])
def test_an_exploding_loss_is_dated(explode, step):
    """θ ← −2θ quadruples the loss at every step: 1, 4, 16, 64, 256, 1024, …; above explode it has diverged."""
    found = sweep.run(
        lambda p, _: 0.5 * p**2,
        np.float32(1.0),
        None,
        sweep.points(rule=rules.sgd(), lr=[3.0, 1.0]),
        steps=8,
        explode=explode,
    )
    assert found.values["diverged_at"].tolist() == [step, 0]


def test_summaries_and_evaluation():
    """effective.measure at the recorded steps is that of a run step by step."""
    axes = sweep.grid(rule=wrappers.clip_by_value(rules.adam()), lr=[0.01, 0.1], clip_value=0.5)
    found = sweep.run(
        loss,
        init(0),
        DATA,
        axes,
        steps=3,
        record=[2],
        summarise=True,
        evaluate=lambda p: {"norm": jnp.sum(p["w"] ** 2)},
    )
    rule = wrappers.clip_by_value(rules.adam())

    @jax.jit
    def one(hyper, state, params):
        grads = jax.grad(loss)(params, DATA)
        after, state = rule.step(hyper, params, state, grads)
        return after, state, effective.measure(rule, hyper, state, grads, params, after)

    for i, lr in enumerate((0.01, 0.1)):
        params = jax.tree.map(jnp.asarray, init(0))
        hyper, state, wanted = rule.hyper(lr=lr, clip_value=0.5), rule.init(params), None
        for t in (1, 2, 3):
            params, state, seen = one(hyper, state, params)
            wanted = seen if t == 2 else wanted
        for name in ("w", "b"):
            for field in effective.Summary._fields:
                given = getattr(found.summaries[name], field)[i, 0]
                np.testing.assert_allclose(given, getattr(wanted[name], field), rtol=2e-5, atol=1e-6, err_msg=field)
        np.testing.assert_allclose(found.evaluated["norm"][i], jnp.sum(params["w"] ** 2), rtol=1e-5)


def test_many_seeds_share_no_batches_but_agree():
    """Fewer than eight runs a seed: each run reads its own batches, to the same results."""
    axes = sweep.grid(rule=rules.adam(), lr=[0.01, 0.1], seed=range(5), batch_size=4)
    found = sweep.run(loss, init, DATA, axes, steps=STEPS, record=RECORD)
    for k in range(5):
        losses, _ = train_torch(functools.partial(torch.optim.Adam, lr=0.1), k, 1.0, 4)
        np.testing.assert_allclose(found.values["loss"][1, k], losses, rtol=2e-5)


def test_table_has_a_row_for_every_run():
    table = whole().table()
    assert list(table) == ["rule", "lr", "loss_scale", "seed", "batch_size", "final_loss", "diverged_at"]
    assert {len(column) for column in table.values()} == {64}
    last = [column[-1] for column in table.values()][:5]
    assert last == ["adam()", 1e36, 10, 4, 4]
