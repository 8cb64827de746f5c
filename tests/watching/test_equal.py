"""What is watched in torch is what ``effective.measure`` says of the same run."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from drawn import as_gradients, at, each_rule, measured, numbers_for, shapes_for
from watched_runs import run_of

import lrtheory
from lrtheory.compiling import quickly_compiled
from lrtheory.names.torch import NAMES
from lrtheory.rules import Rule
from parity.drivers.in_torch import default_dtype, to_numpy, to_torch

STEPS = 7
RULES = [rule for rule in each_rule() if rule.name in NAMES]


def gradients(rule: Rule, seed: int) -> dict[str, np.ndarray]:
    """A stream that changes sign and size."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-2, 2, (STEPS, 1))
    return {
        name: rng.standard_normal((STEPS, *shape)) * sizes.reshape(STEPS, *[1] * len(shape))
        for name, shape in shapes_for(rule).items()
    }


def optimizer_of(rule: Rule, hyper: Any, named: dict[str, Any]) -> Any:
    names = NAMES[rule.name]
    kind = getattr(torch.optim, names.class_name(rule.options))
    return kind(named.items(), **names.arguments(rule.options, hyper))


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_watched_figures_are_those_of_measure(rule: Rule, tmp_path: Any) -> None:
    """In float64, to 1e-12, for every figure; our state follows torch's parameters step by step."""
    hyper = rule.hyper(**numbers_for(rule)[-1])
    rng, stream = np.random.default_rng(0), gradients(rule, 1)
    named = {name: torch.nn.Parameter(to_torch(rng.standard_normal(shape))) for name, shape in shapes_for(rule).items()}
    step, measure = quickly_compiled()(rule.step), measured(rule)
    with default_dtype("float64"), jax.enable_x64(True):
        optimizer = optimizer_of(rule, hyper, named)
        watch = lrtheory.watch(optimizer, every=1, out=tmp_path / "run")
        before = {name: jnp.asarray(to_numpy(p)) for name, p in named.items()}
        state, expected = rule.init(before), []
        for t in range(STEPS):
            for name, p in named.items():
                p.grad = to_torch(stream[name][t])
                if rule.array_rule.sparse:
                    p.grad = p.grad.to_sparse()
            optimizer.step()
            grads = as_gradients(rule, {name: jnp.asarray(g) for name, g in at(stream, t).items()})
            after = {name: jnp.asarray(to_numpy(p)) for name, p in named.items()}
            _, state = step(hyper, before, state, grads)
            expected.append(measure(hyper, state, grads, before, after))
            before = after
        watch.close()
        (found,) = run_of(watch).optimizers
    assert [tensor["rule"] for tensor in found.tensors] == [repr(rule)] * len(named)
    assert [tensor["name"] for tensor in found.tensors] == list(named)
    for t in range(STEPS):
        for i, name in enumerate(named):
            for figure in expected[t][name]._fields:
                np.testing.assert_allclose(
                    found.figures[figure][t, i], getattr(expected[t][name], figure), rtol=1e-12, atol=1e-14,
                    err_msg=f"{figure} of {name} in step {t}",
                )  # fmt: skip
