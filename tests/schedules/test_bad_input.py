"""What torch's constructors refuse is refused here, with the value quoted; and what only makes sense to refuse here."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch.optim.lr_scheduler as torch_schedulers
from torch.optim.swa_utils import SWALR

from lrtheory import schedules

from .stepping import optimizer_of

OTHER = {
    "cosine_annealing_warm_restarts": "CosineAnnealingWarmRestarts",
    "one_cycle": "OneCycleLR",
    "cyclic": "CyclicLR",
    "constant": "ConstantLR",
    "linear": "LinearLR",
    "plateau": "ReduceLROnPlateau",
    "swalr": "SWALR",
}
LR_OF_ITS_OWN = {"one_cycle", "cyclic", "plateau"}

# schedule, numbers and options that both refuse, and what our message quotes
REFUSED_BY_BOTH = [
    ("constant", {"factor": 1.5, "total_iters": 3}, r"constant: factor=1\.5 is outside \[0, 1\]"),
    ("constant", {"factor": -0.1, "total_iters": 3}, r"factor=-0\.1 is outside \[0, 1\]"),
    ("linear", {"start_factor": 0.0}, r"linear: start_factor=0\.0 is outside \(0, 1\]"),
    ("linear", {"start_factor": 1.1}, r"start_factor=1\.1 is outside"),
    ("linear", {"end_factor": -0.5}, r"end_factor=-0\.5 is outside \[0, 1\]"),
    ("linear", {"end_factor": 1.5}, r"end_factor=1\.5 is outside"),
    ("cosine_annealing_warm_restarts", {"T_0": 0}, r"T_0=0 is outside \(0, inf\)"),
    ("cosine_annealing_warm_restarts", {"T_0": -3}, r"T_0=-3"),
    ("cosine_annealing_warm_restarts", {"T_0": 1.5}, r"T_0=1\.5 must be an integer"),
    ("cosine_annealing_warm_restarts", {"T_0": 3, "T_mult": 0}, r"T_mult=0 is outside \[1, inf\)"),
    ("cosine_annealing_warm_restarts", {"T_0": 3, "T_mult": 1.5}, r"T_mult=1\.5 must be an integer"),
    ("cosine_annealing_warm_restarts", {"T_0": 3, "eta_min": "low"}, r"eta_min='low' is not a real number"),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 0}, r"one_cycle: total_steps=0 is outside"),
    ("one_cycle", {"max_lr": 0.1, "total_steps": -2}, r"total_steps=-2"),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 10.5}, r"total_steps=10\.5 must be an integer"),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 9, "pct_start": 1.2}, r"pct_start=1\.2 is outside \[0, 1\]"),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 9, "pct_start": -0.2}, r"pct_start=-0\.2"),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 9, "anneal_strategy": "cosine"}, r"anneal_strategy='cosine' must be"),
    ("cyclic", {"base_lr": 0.1, "max_lr": 0.2, "mode": "square"}, r"mode='square' must be one of 'triangular'"),
    ("swalr", {"swa_lr": 0.1, "anneal_strategy": "step"}, r"anneal_strategy='step' must be one of 'cos', 'linear'"),
    ("swalr", {"swa_lr": 0.1, "anneal_epochs": -1}, r"anneal_epochs=-1 is outside \[0, inf\)"),
    ("swalr", {"swa_lr": 0.1, "anneal_epochs": 1.5}, r"anneal_epochs=1\.5 must be an integer"),
    ("plateau", {"factor": 1.0}, r"plateau: factor=1\.0 is outside \[0, 1\)"),
    ("plateau", {"mode": "least"}, r"mode='least' must be one of 'min', 'max'"),
    ("plateau", {"threshold_mode": "ratio"}, r"threshold_mode='ratio' must be one of 'rel', 'abs'"),
]


def names_of(rows: list) -> list[str]:
    """The schedule and the value that is refused: the last one given."""
    return [f"{name}-{key}-{value!r:.12}" for name, given, _ in rows for key, value in [list(given.items())[-1]]]


def make_ours(name: str, given: dict):
    if name == "plateau":
        options = {key: value for key, value in given.items() if key in ("mode", "threshold_mode")}
        numbers = {key: value for key, value in given.items() if key not in options}
        return schedules.plateau(**options).hyper(lr=0.1, **numbers)
    return schedules.get(name)(**given, **({} if name in LR_OF_ITS_OWN else {"lr": 0.1}))


@pytest.mark.parametrize(("name", "given", "quoted"), REFUSED_BY_BOTH, ids=names_of(REFUSED_BY_BOTH))
def test_schedule_refuses_what_torch_refuses(name: str, given: dict, quoted: str):
    kind = SWALR if name == "swalr" else getattr(torch_schedulers, OTHER[name])
    with pytest.raises((ValueError, TypeError)):
        kind(optimizer_of(0.1), **given)
    with pytest.raises((ValueError, TypeError), match=quoted):
        make_ours(name, given)


def test_compositions_refuse_what_torch_refuses():
    optimizer = optimizer_of(0.1)
    exponential = torch_schedulers.ExponentialLR(optimizer, gamma=0.9)
    plateau = torch_schedulers.ReduceLROnPlateau(optimizer)
    ours = schedules.exponential(lr=0.1, gamma=0.9)
    for make in (
        lambda: torch_schedulers.SequentialLR(optimizer, [], []),
        lambda: schedules.sequential(schedules=[], milestones=[]),
        lambda: torch_schedulers.ChainedScheduler([]),
        lambda: schedules.chained(schedules=[]),
        lambda: torch_schedulers.SequentialLR(optimizer, [exponential, exponential], milestones=[3, 5]),
    ):
        with pytest.raises(ValueError, match=r"at least one|number of"):
            make()
    with pytest.raises(ValueError, match=r"2 schedules need 1 milestones, but milestones=\[3 5\] are 2"):
        schedules.sequential(schedules=[ours, ours], milestones=[3, 5])
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        torch_schedulers.SequentialLR(optimizer, [exponential, plateau], milestones=[3])
    with pytest.raises(TypeError, match=r"schedules\[1\] is Plateau.*plateau needs a metric"):
        schedules.sequential(schedules=[ours, schedules.plateau()], milestones=[3])
    with pytest.raises(TypeError, match="should be a function"):
        torch_schedulers.MultiplicativeLR(optimizer, 0.9)
    with pytest.raises(TypeError, match=r"function=0\.9 must be a function"):
        schedules.multiplicative(lr=0.1, function=0.9, total_steps=3)


REFUSED_HERE = [
    ("constant", {"lr": -1.0}, r"constant: lr=-1\.0 is outside \[0, inf\)"),
    ("constant", {"lr": math.nan}, r"lr=nan is outside"),
    ("constant", {"lr": "0.1"}, r"lr='0\.1' is not a real number"),
    ("constant", {"lr": None}, r"lr=None is not a real number"),
    ("constant", {"lr": True}, r"lr=True is not a real number"),
    ("constant", {"lr": 1j}, r"lr"),
    ("step", {"lr": 0.1, "step_size": 0}, r"step: step_size=0 is outside \(0, inf\)"),
    ("step", {"lr": 0.1, "step_size": 5, "gamma": -0.5}, r"gamma=-0\.5"),
    ("multi_step", {"lr": 0.1, "milestones": 5}, r"milestones=5 must be a sequence of step counts"),
    ("multi_step", {"lr": 0.1, "milestones": [[5]]}, r"milestones=\[\[5\]\] must be a 1-D sequence"),
    ("multi_step", {"lr": 0.1, "milestones": [3, -5]}, r"milestones=\[ 3 -5\] is outside"),
    ("multi_step", {"lr": 0.1, "milestones": "35"}, r"milestones='35' must be a sequence"),
    ("linear", {"lr": 0.1, "total_iters": 0}, r"total_iters=0 is outside"),
    ("polynomial", {"lr": 0.1, "power": -1.0}, r"power=-1\.0"),
    ("cosine_annealing", {"lr": 0.1, "T_max": 0}, r"T_max=0 is outside"),
    ("one_cycle", {"max_lr": 0.1, "total_steps": 9, "three_phase": 1}, r"three_phase=1 must be True or False"),
    ("cyclic", {"base_lr": 0.1, "max_lr": 0.2, "scale_mode": "epoch"}, r"scale_mode='epoch' must be one of"),
    ("cyclic", {"base_lr": 0.1, "max_lr": 0.2, "scale_fn": 2}, r"scale_fn=2 must be a function"),
    ("lambda_lr", {"lr": 0.1, "function": 0.5}, r"function=0\.5 must be a function"),
    ("multiplicative", {"lr": 0.1, "function": lambda k: "x", "total_steps": 2}, r"function\(1\)='x' is not a real"),
    ("multiplicative", {"lr": 0.1, "function": lambda k: 1.0, "total_steps": 2.5}, r"total_steps=2\.5 must be an int"),
    ("polynomial_with_warmup", {"lr": 1e-8, "warmup_steps": 1, "total_steps": 5}, r"lr_end=1e-07 must be smaller than"),
    ("warmup_stable_decay", {"lr": 0.1, "warmup_steps": 1, "stable_steps": 1, "decay_steps": 1,
                             "decay_shape": "cos"}, r"decay_shape='cos' must be one of 'linear', 'cosine', '1-sqrt'"),
    ("sequential", {"schedules": [0.1], "milestones": []}, r"schedules\[0\] is 0\.1, not a schedule"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "given", "quoted"), REFUSED_HERE, ids=names_of(REFUSED_HERE))
def test_schedule_refuses_what_makes_no_sense(name: str, given: dict, quoted: str):
    with pytest.raises((ValueError, TypeError), match=quoted):
        schedules.get(name)(**given)


def test_sequential_refuses_milestones_out_of_order():
    parts = [schedules.constant(lr=0.1)] * 3
    with pytest.raises(ValueError, match=r"milestones=\[5 3\] must be in rising order"):
        schedules.sequential(schedules=parts, milestones=[5, 3])


def test_chained_refuses_schedules_that_are_no_factor():
    exponential = schedules.exponential(lr=0.1, gamma=0.9)
    with pytest.raises(TypeError, match="OneCycle does not multiply the lr in force"):
        schedules.chained(schedules=[exponential, schedules.one_cycle(max_lr=0.1, total_steps=9)])
    with pytest.raises(ValueError, match=r"cosine_annealing\(eta_min=0\.01\) is no factor"):
        schedules.chained(schedules=[exponential, schedules.cosine_annealing(lr=0.1, T_max=9, eta_min=0.01)])
    with pytest.raises(ValueError, match=r"different lrs, \[0\.1, 0\.2\]"):
        schedules.chained(schedules=[exponential, schedules.constant(lr=0.2)])


def test_plateau_refuses_numbers_it_does_not_have():
    with pytest.raises(TypeError, match="no hyperparameter 'gamma': there are lr, factor"):
        schedules.plateau().hyper(lr=0.1, gamma=0.5)
    with pytest.raises(TypeError, match="needs a value for lr"):
        schedules.plateau().hyper(factor=0.5)


@pytest.mark.parametrize(
    ("t", "quoted"),
    [(-1, "t=-1 has steps below 0"), ([3, -2], "steps below 0"), (math.nan, "nan"), (True, "dtype bool"),
     (1j, "dtype complex"), (np.array([0.5, -0.5]), "steps below 0")],
    ids=str,
)  # fmt: skip
def test_schedule_refuses_step_counts_that_are_none(t, quoted: str):
    with pytest.raises((ValueError, TypeError), match=quoted):
        schedules.constant(lr=0.1)(t)
    with pytest.raises((ValueError, TypeError), match=quoted):
        schedules.one_cycle(max_lr=0.1, total_steps=9).momentum(t)
