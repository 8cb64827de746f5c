"""Clipping against torch.nn.utils and optax, accumulation against one large batch, averaging against torch's."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lrtheory import rules, wrappers

SHAPES = {"w": (4, 3), "b": (3,), "s": ()}
STEPS = 40


def streams(seed: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-3, 3, STEPS)
    params = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    grads = {
        name: rng.standard_normal((STEPS, *shape)) * sizes.reshape(-1, *[1] * len(shape))
        for name, shape in SHAPES.items()
    }
    return params, grads


def ours(rule, numbers, params, grads):  # type: ignore[no-untyped-def]
    with jax.enable_x64(True):
        hyper = rule.hyper(**numbers)
        params = {name: jnp.asarray(p) for name, p in params.items()}

        def step(carry, now):  # type: ignore[no-untyped-def]
            params, state = carry
            params, state = rule.step(hyper, params, state, now)
            return (params, state), (params, getattr(state, "average", None))

        return jax.tree.map(np.asarray, jax.jit(lambda g: jax.lax.scan(step, (params, rule.init(params)), g)[1])(grads))


def in_torch(clip, params, grads):  # type: ignore[no-untyped-def]
    tensors = {name: torch.nn.Parameter(torch.tensor(p)) for name, p in params.items()}
    optimizer = torch.optim.SGD(list(tensors.values()), lr=0.1, momentum=0.9)
    path = []
    for step in range(STEPS):
        for name, p in tensors.items():
            p.grad = torch.tensor(grads[name][step])
        clip(list(tensors.values()))
        optimizer.step()
        path.append({name: p.detach().numpy().copy() for name, p in tensors.items()})
    return {name: np.stack([at[name] for at in path]) for name in params}


def assert_same_path(a, b) -> None:  # type: ignore[no-untyped-def]
    """Within 1e-13 of the distance travelled: the gate of the rules themselves."""
    for name in SHAPES:
        reach = np.abs(b[name] - b[name][0]).max()
        assert reach > 0.01
        assert np.abs(a[name] - b[name]).max() <= 1e-13 * reach, name


def per_tensor(max_norm: float, norm_type: float):  # type: ignore[no-untyped-def]
    return lambda ps: [torch.nn.utils.clip_grad_norm_([p], max_norm, norm_type) for p in ps]


@pytest.mark.parametrize(
    ("rule", "numbers", "clip"),
    [
        pytest.param(
            wrappers.clip_by_value(rules.sgd()),
            {"clip_value": 0.3},
            lambda ps: torch.nn.utils.clip_grad_value_(ps, 0.3),
            id="value",
        ),
        *(
            pytest.param(
                wrappers.clip_by_global_norm(rules.sgd(), norm_type=order),
                {"max_norm": 1.7},
                lambda ps, order=order: torch.nn.utils.clip_grad_norm_(ps, 1.7, order),
                id=f"global-{order}",
            )
            for order in (1.0, 2.0, 3.0, math.inf)
        ),
        pytest.param(
            wrappers.clip_by_norm(rules.sgd()), {"max_norm": 0.7}, per_tensor(0.7, 2.0), id="each"
        ),
        pytest.param(
            wrappers.clip_by_norm(rules.sgd(), norm_type=math.inf), {"max_norm": 0.7}, per_tensor(0.7, math.inf),
            id="each-inf",
        ),
    ],
)  # fmt: skip
def test_clipped_run_is_torchs(rule, numbers, clip) -> None:  # type: ignore[no-untyped-def]
    params, grads = streams()
    path, _ = ours(rule, {"lr": 0.1, "momentum": 0.9, **numbers}, params, grads)
    assert_same_path(path, in_torch(clip, params, grads))


def test_torchs_constant_is_seen_by_the_same_measure() -> None:
    """Without the 1e-6 in the norm the runs part: the comparison can tell them."""
    params, grads = streams()
    rule = wrappers.clip_by_global_norm(rules.sgd(), homogeneous=True)
    path, _ = ours(rule, {"lr": 0.1, "momentum": 0.9, "max_norm": 1.7}, params, grads)
    theirs = in_torch(lambda ps: torch.nn.utils.clip_grad_norm_(ps, 1.7), params, grads)
    with pytest.raises(AssertionError):
        assert_same_path(path, theirs)


@pytest.mark.parametrize("entry", [np.inf, np.nan])
def test_non_finite_gradient_propagates_as_in_torch(entry: float) -> None:
    params, grads = streams()
    grads["w"][5, 0, 0] = entry
    for wrap in (wrappers.clip_by_global_norm, wrappers.clip_by_norm):
        path, _ = ours(wrap(rules.sgd()), {"lr": 0.1, "momentum": 0.9, "max_norm": 1.7}, params, grads)
        clip = per_tensor(1.7, 2.0) if wrap is wrappers.clip_by_norm else None
        theirs = in_torch(clip or (lambda ps: torch.nn.utils.clip_grad_norm_(ps, 1.7)), params, grads)
        for name in SHAPES:
            np.testing.assert_array_equal(np.isnan(path[name]), np.isnan(theirs[name]))
            np.testing.assert_allclose(path[name], theirs[name], rtol=1e-13)
        assert np.isnan(theirs["w"]).any()


def test_homogeneous_clip_is_optax() -> None:
    params, grads = streams()
    path, _ = ours(
        wrappers.clip_by_global_norm(rules.adam(), homogeneous=True), {"lr": 0.1, "max_norm": 1.7}, params, grads
    )
    with jax.enable_x64(True):
        optimizer = optax.chain(optax.clip_by_global_norm(1.7), optax.adam(0.1))
        at = {name: jnp.asarray(p) for name, p in params.items()}
        state, theirs = optimizer.init(at), []
        for step in range(STEPS):
            updates, state = optimizer.update({name: jnp.asarray(g[step]) for name, g in grads.items()}, state, at)
            at = optax.apply_updates(at, updates)
            theirs.append(at)
        assert_same_path(path, {name: np.stack([np.asarray(t[name]) for t in theirs]) for name in SHAPES})


def test_homogeneous_clip_scales_with_the_loss_and_torchs_does_not() -> None:
    """Loss ×16: max_norm·16 and SGD's lr/16 give the same run bit for bit, unless 1e-6 is added to the norm."""
    params, grads = streams()
    scaled = {name: 16 * g for name, g in grads.items()}
    for homogeneous in (True, False):
        rule = wrappers.clip_by_norm(rules.sgd(), homogeneous=homogeneous)
        path, _ = ours(rule, {"lr": 0.1, "momentum": 0.9, "max_norm": 0.7}, params, grads)
        other, _ = ours(rule, {"lr": 0.1 / 16, "momentum": 0.9, "max_norm": 0.7 * 16}, params, scaled)
        assert all((path[name] == other[name]).all() for name in SHAPES) is homogeneous


def test_accumulated_run_is_that_of_the_whole_batches() -> None:
    """Micro-batches of unequal size against their mean over all examples."""
    params, grads = streams()
    examples = np.random.default_rng(1).integers(1, 9, STEPS).astype(float)
    every = 4
    weights = examples.reshape(-1, every) / examples.reshape(-1, every).sum(axis=1, keepdims=True)
    means = {
        name: np.einsum("sm,sm...->s...", weights, g.reshape(-1, every, *g.shape[1:])) for name, g in grads.items()
    }
    whole, _ = ours(rules.adam(), {"lr": 0.1}, params, means)
    rule = wrappers.accumulate(rules.adam(), every=every)
    with jax.enable_x64(True):
        at = {name: jnp.asarray(p) for name, p in params.items()}
        state = rule.init(at)
        step_once = jax.jit(rule.step)
        for step in range(STEPS):
            hyper = rule.hyper(lr=0.1, examples=examples[step])
            before = at
            at, state = step_once(hyper, at, state, {name: jnp.asarray(g[step]) for name, g in grads.items()})
            if (step + 1) % every:
                assert all((at[name] == before[name]).all() for name in SHAPES)
                assert all((e == 0).all() for e in rule.effective_lr(hyper, state).values())
            else:
                for name in SHAPES:
                    np.testing.assert_allclose(at[name], whole[name][step // every], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
def test_averaged_weights_are_torchs(decay: float) -> None:
    params, grads = streams()
    rule = wrappers.average_weights(rules.sgd())
    _, average = ours(rule, {"lr": 0.1, "momentum": 0.9, "ema_decay": decay}, params, grads)
    model = torch.nn.ParameterDict({name: torch.nn.Parameter(torch.tensor(p)) for name, p in params.items()})
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(STEPS):
        for name, p in model.items():
            p.grad = torch.tensor(grads[name][step])
        optimizer.step()
        averaged.update_parameters(model)
        for name, p in averaged.module.items():
            np.testing.assert_allclose(average[name][step], p.detach().numpy(), rtol=1e-13, atol=1e-12)


@pytest.mark.parametrize("inside", [rules.sgd(), rules.adam(), wrappers.clip_by_norm(rules.sgd())], ids=repr)
@pytest.mark.parametrize("between", [lambda rule: rule, wrappers.clip_by_value], ids=["directly", "through a clip"])
def test_average_moves_once_a_step_and_not_with_each_micro_batch(inside, between) -> None:  # type: ignore[no-untyped-def]
    """Averaging an accumulating rule is accumulating an averaging one (R11): the average is of the steps' parameters."""
    outside = wrappers.average_weights(between(wrappers.accumulate(inside, every=3)))
    within = wrappers.accumulate(wrappers.average_weights(between(inside)), every=3)
    given = {"clip_value": 100.0, "max_norm": 1.0, "lr": 0.1, "ema_decay": 0.5}
    rng, averages = np.random.default_rng(0), []
    grads = rng.standard_normal((7, 2))
    for rule in (outside, within):
        hyper = rule.hyper(**{name: value for name, value in given.items() if name in rule.Hyper._fields})
        params = {"w": jnp.ones(2)}
        state = rule.init(params)
        for g in grads:
            params, state = rule.step(hyper, params, state, {"w": jnp.asarray(g)})
        averaged: Any = state if rule is outside else state.rule
        averages.append(averaged.average["w"])
        assert int(averaged.count) == 2
    np.testing.assert_array_equal(*averages)


def test_average_over_micro_batches_is_the_number_seen() -> None:
    rule = wrappers.average_weights(wrappers.accumulate(rules.sgd(), every=2))
    params = {"w": jnp.array([1.0])}
    hyper, state = rule.hyper(lr=1.0, ema_decay=0.5), rule.init(params)
    seen = []
    for _ in range(4):
        params, state = rule.step(hyper, params, state, {"w": jnp.array([1.0])})
        seen.append((params["w"].item(), state.average["w"].item()))
    assert seen == [(1.0, 1.0), (0.0, 0.0), (0.0, 0.0), (-1.0, -0.5)]


@pytest.mark.parametrize("homogeneous", [False, True])
@pytest.mark.parametrize("wrap", [wrappers.clip_by_global_norm, wrappers.clip_by_norm])
@pytest.mark.parametrize("bound", [0.0, 1e-30, 1.0])
def test_zero_gradients_are_clipped_to_zero(wrap, homogeneous: bool, bound: float) -> None:  # type: ignore[no-untyped-def]
    """At a bound of 0 too, where the homogeneous factor is 0/0 (R11); a gradient that is not 0 is then clipped to 0."""
    rule = wrap(rules.sgd(), homogeneous=homogeneous)
    params = {"w": jnp.ones(2)}
    hyper = rule.hyper(lr=1.0, max_norm=bound)
    for size in (0.0, 3.0):
        moved, state = rule.step(hyper, params, rule.init(params), {"w": jnp.full(2, size)})
        assert jnp.isfinite(rule.effective_lr(hyper, state)["w"]).all()
        if size == 0 or bound == 0:
            np.testing.assert_array_equal(moved["w"], params["w"])
