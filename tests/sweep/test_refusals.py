"""What makes no sense is refused before anything runs, with the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from lrtheory import rules, sweep

from .regression import AXES, DATA, init, loss


def forbidden(params, batch):
    raise AssertionError("a refused sweep must not reach its loss")


@pytest.mark.parametrize(
    ("axes", "error", "words"),
    [
        ({"lr": [0.1], "momentum": [0.9]}, TypeError, "'momentum' is no hyperparameter of adam.*beta1.*loss_scale"),
        ({"lr": [0.1, -1.0]}, ValueError, "outside"),
        ({"lr": [0.1], "loss_scale": [1, 0]}, ValueError, "loss_scale=0 must be above 0"),
        ({"lr": [0.1], "batch_size": [4, 13]}, ValueError, "batch_size=13 is more than the 12 rows"),
        ({"lr": [0.1], "batch_size": [2.5]}, ValueError, "integers of 1 or more"),
        ({"lr": [0.1], "batch_size": 4, "seed": [-1]}, ValueError, "integers of 0 or more"),
        ({"lr": [0.1], "seed": [1, 2]}, ValueError, "seed changes nothing"),
    ],
)
def test_axes_that_mean_nothing(axes, error, words):
    with pytest.raises(error, match=words):
        sweep.run(forbidden, init(0), DATA, sweep.grid(rule=rules.adam(), **axes), steps=3)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: sweep.grid(rule=rules.adam(), lr=[]), ValueError, "'lr' has no values"),
        (lambda: sweep.grid(rule=rules.adam(), lr=["a"]), TypeError, "'lr' must be a number"),
        (lambda: sweep.grid(rule=[], lr=[1]), ValueError, "'rule' has no values"),
        (lambda: sweep.grid(rule="adam", lr=[1]), TypeError, "make one with lrtheory.rules"),
        (lambda: sweep.points(rule=rules.adam(), lr=[1, 2], beta1=[0.1]), ValueError, "lr has 2, beta1 has 1"),
        (lambda: sweep.points(rule=rules.adam(), lr=1.0), ValueError, "no column is a sequence"),
    ],
)
def test_axes_that_cannot_be_made(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps=0"),
        ({"record": [0]}, r"record=\[0\]"),
        ({"record": [3, 2]}, "rising"),
        ({"record": [4]}, "from 1 to steps=3"),
        ({"explode": 0.5}, "explode=0.5"),
        ({"width": 0}, "width=0"),
        ({"batches": lambda *_: np.zeros((3, 2), int)}, r"shape \(3, 2\)"),
        ({"batches": lambda *_: np.full((3, 4), 12)}, "row numbers 12 to 12"),
    ],
)
def test_options_that_make_no_sense(options, words):
    axes = sweep.grid(rule=rules.sgd(), lr=[0.1, 0.2], batch_size=4)
    with pytest.raises(ValueError, match=words):
        sweep.run(loss, init(0), DATA, axes, **{"steps": 3, **options})


def test_a_loss_that_is_no_number():
    axes = sweep.grid(rule=rules.sgd(), lr=[0.1])
    with pytest.raises(TypeError, match=r"loss gives float32 of shape \(12,\)"):
        sweep.run(lambda p, b: b["x"] @ p["w"], init(0), DATA, axes, steps=3)


def test_results_that_do_not_fit():
    """Refused by the size of their results alone, before a program is compiled."""
    lr = np.linspace(0.01, 0.1, 1000)
    axes = sweep.grid(rule=rules.adam(), lr=lr, loss_scale=np.arange(1, 21))
    with pytest.raises(sweep.DoesNotFit, match=r"20000 runs \(1000 lr x 20 loss_scale\) take 560 kB.*budget is 100 kB"):
        sweep.run(loss, init(0), DATA, axes, steps=9, record=range(1, 6), memory_budget=100_000)


def test_a_tile_that_does_not_fit_is_narrowed_or_refused():
    """The width falls until the program fits; one that was asked for is refused."""
    budget = 10_000
    with pytest.raises(sweep.DoesNotFit, match=r"a tile of 512 runs needs .* kB of a device, and the budget is 10 kB"):
        sweep.run(loss, init, DATA, _wide(), steps=3, width=512, memory_budget=budget)
    narrowed = sweep.run(loss, init, DATA, _wide(), steps=3, memory_budget=budget)
    (plan,) = narrowed.plan.values()
    width = int(plan.split("tiles of ")[1].split(",")[0])
    assert width < 64
    with pytest.raises(sweep.DoesNotFit, match=r"a tile of 1 run needs .*give a larger memory_budget"):
        sweep.run(_large, np.zeros(3000, np.float32), None, sweep.grid(rule=rules.sgd(), lr=[1.0]), steps=1,
                  memory_budget=budget)  # fmt: skip


def _wide():
    return sweep.grid(rule=rules.adam(), lr=np.linspace(0.01, 0.1, 1024))


def _large(params, batch):
    return (params**2).sum()


def test_the_regression_used_here_runs():
    """What is refused above is refused for its own reason."""
    assert AXES.size == 64
