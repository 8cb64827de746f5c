"""Groups are changed one by one: their runs at another loss and size are the same, and what is around them is one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory import groups, rescale, rules, wrappers

RULE = groups.by_pattern({"matrix": rules.adamw(), "bias": rules.sgd()}, {"matrix": "w", "bias": "b"})
HYPER = RULE.hyper(lr=0.25, weight_decay=0.125, bias={"momentum": 0.5, "lr_scale": 0.5})


def run(rule, hyper, loss: float, size: float, switch=None, steps: int = 8):
    """Parameters over ``size`` along a run, changed in the middle where ``switch`` is given."""
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.standard_normal((3, 2))), "b": jnp.asarray(rng.standard_normal(2))}
    if switch is None:
        params = jax.tree.map(lambda p: p * size, params)
    state, path, now = rule.init(params), [], 1.0 if switch else loss / size
    for t in range(steps):
        if switch is not None and t == steps // 2:
            hyper, state, now = switch.hyper, switch.state(state), loss / size
            params = jax.tree.map(lambda p: p * size, params)
        grads = {n: jnp.asarray(rng.standard_normal(p.shape)) * now for n, p in sorted(params.items())}
        params, state = rule.step(hyper, params, state, grads)
        here = size if switch is None or t >= steps // 2 else 1.0
        path.append({n: np.asarray(p) / here for n, p in params.items()})
    return path


@pytest.mark.parametrize("switched", [False, True])
def test_groups_train_alike_at_another_loss_and_size(switched: bool) -> None:
    found = rescale(RULE, HYPER, loss=8.0, params=2.0)
    assert found.exactness == "bitwise"
    plain = run(RULE, HYPER, 1.0, 1.0)
    other = run(RULE, HYPER if switched else found.hyper, 8.0, 2.0, found if switched else None)
    for one, two in zip(plain, other, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
    assert np.any(run(RULE, HYPER, 8.0, 2.0)[-1]["w"] != plain[-1]["w"])


def test_each_group_is_as_its_rule_alone() -> None:
    found = rescale(RULE, HYPER, batch=4, reduction="sum", length=2)
    adamw, sgd = rules.adamw(), rules.sgd()
    alone = rescale(adamw, adamw.hyper(lr=0.25, weight_decay=0.125), batch=4, reduction="sum", length=2).hyper
    assert found.hyper.matrix[:-1] == pytest.approx(tuple(alone))
    assert found.hyper.bias.lr == pytest.approx(
        rescale(sgd, sgd.hyper(lr=0.25, momentum=0.5, weight_decay=0.125), batch=4, reduction="sum").hyper.lr
    )
    assert found.hyper.bias.lr_scale == 0.5
    assert any(note.startswith("matrix: sde") for note in found.notes)


def test_a_clip_around_all_groups_is_one() -> None:
    clipped = wrappers.clip_by_global_norm(RULE, homogeneous=True)
    hyper = clipped.hyper(lr=0.25, max_norm=1.0)
    found = rescale(clipped, hyper, loss=8.0)
    assert found.hyper.max_norm == 8.0
    plain, other = run(clipped, hyper, 1.0, 1.0), run(clipped, found.hyper, 8.0, 1.0)
    np.testing.assert_array_equal(plain[-1]["w"], other[-1]["w"])
    with pytest.raises(ValueError, match="max_norm is one for all groups"):
        rescale(clipped, hyper, batch=4)
    with pytest.raises(ValueError, match=r"group 'matrix': adam.*is impossible"):
        rescale(RULE, HYPER, batch=400, method="sde")
    with pytest.raises(ValueError, match="for one rule"):
        rescale(RULE, HYPER, params={"w": 2.0})
    with pytest.raises(TypeError, match="takes hyperparameters from"):
        rescale(RULE, rules.sgd().hyper(lr=1.0), loss=2.0)
