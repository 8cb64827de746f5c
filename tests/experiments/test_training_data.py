"""What both frameworks are given: data, batches, first parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrtheory.sweep import shuffled
from parity.experiments.digits_training import scale_invariant
from parity.training import NORMALISED, PLAIN, Mlp, largest_curvature, linear_problem, load_digits
from parity.training.mlp import NORM_EPS


def test_digits_are_split_by_seed_without_loss():
    one, other = load_digits(0), load_digits(1)
    assert len(one.train_y) + len(one.test_y) == 1797
    assert not np.array_equal(one.train_y, other.train_y)
    assert sorted([*one.train_y, *one.test_y]) == sorted([*other.train_y, *other.test_y])


def test_digits_are_standardised_by_the_training_images():
    digits = load_digits(0)
    np.testing.assert_allclose(digits.train_x.mean(axis=0), 0, atol=1e-12)
    deviations = digits.train_x.std(axis=0)
    assert np.all((np.abs(deviations - 1) < 1e-12) | (deviations == 0))
    assert 0 < np.sum(deviations == 0) < 10  # corner pixels never change


def test_batches_use_every_row_once_an_epoch():
    drawn = shuffled(rows=100, batch_size=10, steps=25, seed=3)
    assert drawn.shape == (25, 10)
    for epoch in (drawn[:10], drawn[10:20]):
        assert sorted(epoch.ravel()) == list(range(100))
    assert not np.array_equal(drawn[:10], drawn[10:20])
    np.testing.assert_array_equal(drawn, shuffled(rows=100, batch_size=10, steps=25, seed=3))


@pytest.mark.parametrize("size", [0, 101])
def test_batches_refuse_sizes_that_do_not_exist(size):
    with pytest.raises(ValueError, match=f"batch_size={size}"):
        shuffled(rows=100, batch_size=size, steps=1, seed=0)


@pytest.mark.parametrize("model", [PLAIN, NORMALISED], ids=lambda m: m.name)
def test_mlp_parameters_are_those_of_the_torch_module(model: Mlp):
    shapes = {name: value.shape for name, value in model.initial(0).items()}
    assert shapes == {name: tuple(value.shape) for name, value in model.module().state_dict().items()}


def test_normalised_weights_are_scale_invariant_up_to_the_norms_eps():
    digits = load_digits(0)
    params = NORMALISED.initial(0)
    scaled = params | {"hidden1.weight": 2 * params["hidden1.weight"]}
    ours, theirs = (np.asarray(NORMALISED.logits(p, digits.test_x)) for p in (params, scaled))
    np.testing.assert_allclose(ours, theirs, atol=100 * NORM_EPS)
    plain = PLAIN.initial(0)
    moved = PLAIN.logits(plain | {"hidden1.weight": 2 * plain["hidden1.weight"]}, digits.test_x)
    assert np.max(np.abs(np.asarray(PLAIN.logits(plain, digits.test_x)) - np.asarray(moved))) > 0.1


def test_scale_invariant_tensors_are_found_in_the_program() -> None:
    digits = load_digits(0)
    assert scale_invariant(PLAIN) == ()
    found = scale_invariant(NORMALISED)
    assert found == ("hidden1.weight", "hidden2.weight")
    params = NORMALISED.initial(0)
    for name in params:
        other = NORMALISED.loss(
            params | {name: 2 * params[name] + (name.endswith("bias"))}, digits.test_x, digits.test_y
        )
        moved = abs(float(other - NORMALISED.loss(params, digits.test_x, digits.test_y)))
        assert (moved < 100 * NORM_EPS) == (name in found), name


def test_largest_curvature_is_that_of_the_hessian_of_torch():
    problem = linear_problem(64, seed=0)
    x, y = torch.from_numpy(problem.x), torch.from_numpy(problem.y)

    def loss(theta: torch.Tensor) -> torch.Tensor:
        return ((x @ theta[:-1] + theta[-1] - y) ** 2).mean()

    hessian = torch.autograd.functional.hessian(loss, torch.zeros(problem.x.shape[1] + 1, dtype=torch.float64))
    assert largest_curvature(problem) == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item(), rel=1e-12)
