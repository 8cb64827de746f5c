"""SparseAdam and its gradient: rows named by indices, repeated, missing, empty."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from lrtheory import rules
from lrtheory.compiling import quickly_compiled
from lrtheory.rules import SparseGradient

ROWS, WIDTH, STEPS, PLACES = 9, 3, 60, 5


def drawn(seed: int = 0) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """First parameters, and per step the rows (some twice, some never) and values over 12 decades."""
    rng = np.random.default_rng(seed)
    size = 10.0 ** rng.uniform(-6, 6, (ROWS, WIDTH))
    rows = [rng.integers(0, ROWS - 1, PLACES) for _ in range(STEPS)]  # the last row is never named
    return rng.standard_normal((ROWS, WIDTH)), rows, [rng.standard_normal((PLACES, WIDTH)) * size[r] for r in rows]


@pytest.mark.parametrize("maximize", [False, True])
def test_rows_named_by_indices_move_as_in_torch(maximize: bool) -> None:
    """Coalescing sums repeated rows in another order than torch: one rounding of the gradient, 1e-13 of the travel."""
    first, rows, values = drawn()
    p = torch.nn.Parameter(torch.tensor(first))
    optimizer = torch.optim.SparseAdam([p], lr=0.1, maximize=maximize)
    rule = rules.sparse_adam(maximize=maximize)
    with jax.enable_x64(True):
        ours = jnp.asarray(first)
        state = rule.init(ours)
        step, effective_lr, direction = (quickly_compiled()(f) for f in (rule.step, rule.effective_lr, rule.direction))
        for t, (r, v) in enumerate(zip(rows, values, strict=True)):
            lr = 0.1 * (1 + t % 3)
            optimizer.param_groups[0]["lr"] = lr
            p.grad = torch.sparse_coo_tensor(torch.tensor(r)[None], torch.tensor(v), p.shape, check_invariants=True)
            optimizer.step()
            grads = SparseGradient(jnp.asarray(r)[None], jnp.asarray(v), first.shape)
            before = ours
            ours, state = step(rule.hyper(lr=lr), ours, state, grads)
            kept = optimizer.state[p]
            for mine, theirs in ((ours, p.detach()), (state.m, kept["exp_avg"]), (state.v, kept["exp_avg_sq"])):
                np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-13, atol=1e-13 * np.abs(theirs.numpy()).max())
            hyper = rule.hyper(lr=lr)
            e, d = effective_lr(hyper, state), direction(hyper, before, state, grads)
            np.testing.assert_allclose(before - e * d, ours, rtol=1e-14, atol=1e-14)
            unnamed = np.setdiff1d(np.arange(ROWS), r)
            assert (np.asarray(d)[unnamed] == 0).all()
    assert (np.asarray(ours)[-1] == first[-1]).all()
    assert int(state.t) == STEPS


def test_direction_of_a_rarely_named_row_is_its_mean_gradient() -> None:
    """A row named at steps 1 and 5 with the same gradient has that gradient for direction, whatever t."""
    rule = rules.sparse_adam()
    params = jnp.zeros((2, 1))
    state, step = rule.init(params), quickly_compiled()(rule.step)
    for row in (0, 1, 1, 1, 0):
        grads = SparseGradient(jnp.array([[row]]), jnp.array([[0.25 + row]]), (2, 1))
        before = params
        params, state = step(rule.hyper(), params, state, grads)
    np.testing.assert_allclose(
        quickly_compiled()(rule.direction)(rule.hyper(), before, state, grads), [[0.25], [0.0]], rtol=1e-6
    )


def test_gradient_without_any_place_counts_a_step_and_moves_nothing() -> None:
    p = torch.nn.Parameter(torch.ones(4, 2))
    optimizer = torch.optim.SparseAdam([p])
    p.grad = torch.sparse_coo_tensor(
        torch.zeros(1, 0, dtype=torch.long), torch.zeros(0, 2), (4, 2), check_invariants=True
    )
    optimizer.step()
    rule = rules.sparse_adam()
    params = jnp.ones((4, 2))
    empty = SparseGradient(jnp.zeros((1, 0), jnp.int32), jnp.zeros((0, 2)), (4, 2))
    moved, state = rule.step(rule.hyper(), params, rule.init(params), empty)
    assert (moved == params).all()
    assert (p.detach() == 1).all()
    assert int(state.t) == optimizer.state[p]["step"] == 1


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_sparse_gradient_is_torchs_coordinate_format(k: int) -> None:
    rng = np.random.default_rng(k)
    shape = (3, 2, 4)
    indices = np.stack([rng.integers(0, n, 6) for n in shape[:k]]) if k else np.zeros((0, 6), int)
    values = rng.standard_normal((6, *shape[k:])).astype(np.float32)
    theirs = torch.sparse_coo_tensor(torch.tensor(indices), torch.tensor(values), shape, check_invariants=True)
    ours = SparseGradient(jnp.asarray(indices), jnp.asarray(values), shape)
    assert ours.problem() is None
    np.testing.assert_allclose(jax.jit(SparseGradient.todense)(ours), theirs.to_dense().numpy(), rtol=1e-6)
    dense = jnp.asarray(theirs.to_dense().numpy())
    there_and_back = quickly_compiled()(lambda dense: SparseGradient.from_dense(dense).todense())
    np.testing.assert_array_equal(there_and_back(dense), dense)


def test_places_out_of_range_are_left_out() -> None:
    g = SparseGradient(jnp.array([[0, 7, -1, 2]]), jnp.array([1.0, 2.0, 3.0, 4.0]), (3,))
    assert g.todense().tolist() == [1.0, 0.0, 4.0]


@pytest.mark.parametrize(
    ("grads", "error", "message"),
    [
        (jnp.ones((2, 2)), TypeError, r"takes sparse gradients, but grads is \w+: give SparseGradient.from_dense"),
        (
            SparseGradient(jnp.array([[0.5]]), jnp.ones((1, 2)), (2, 2)),
            ValueError,
            r"dtype float32 and shape \(1, 1\): integers of shape \(k, n\)",
        ),
        (
            SparseGradient(jnp.array([[0, 1]]), jnp.ones((1, 2)), (2, 2)),
            ValueError,
            r"its values have shape \(1, 2\), but .* need \(2, 2\)",
        ),
        (SparseGradient(jnp.array([[0]]), jnp.ones((1, 3)), (2, 3)), ValueError, r"grads has shape \(2, 3\)"),
    ],
)
def test_what_is_no_sparse_gradient_is_refused(grads, error, message) -> None:  # type: ignore[no-untyped-def]
    rule = rules.sparse_adam()
    with pytest.raises(error, match=message):
        rule.step(rule.hyper(), jnp.ones((2, 2)), rule.init(jnp.ones((2, 2))), grads)


def test_other_rules_refuse_a_sparse_gradient() -> None:
    rule = rules.adam()
    params = {"w": jnp.ones((2, 2))}
    with pytest.raises(TypeError, match=r"takes dense gradients, but grads\['w'\] is sparse: give its .todense"):
        rule.step(rule.hyper(), params, rule.init(params), {"w": SparseGradient.from_dense(params["w"])})


def test_effective_lr_of_a_slice_not_named_again_moves_with_the_corrections() -> None:
    """Truth 9: it does not stay that of its last step."""
    rule = rules.sparse_adam()
    with jax.enable_x64(True):
        hyper, params = rule.hyper(eps=1e-30), jnp.ones((2, 1))
        state, found = rule.init(params), []
        for t in range(1, 101):
            g = SparseGradient(jnp.array([[0 if t == 1 else 1]]), jnp.array([[0.5]]), (2, 1))
            params, state = rule.step(hyper, params, state, g)
            found.append(float(rule.effective_lr(hyper, state)[0, 0]))
    assert [found[t - 1] / found[0] for t in (1, 10, 100)] == pytest.approx([1, 0.484, 0.976], abs=5e-4)
