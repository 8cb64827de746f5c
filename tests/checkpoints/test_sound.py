"""Checkpoints as people save them: sound ones of every optimizer, schedule and habit pass, and what is unknown is said to be."""

from __future__ import annotations

import argparse
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import lion_pytorch
import numpy as np
import pytest
import schedulefree
import torch

from lrtheory.checkpoints import Judgement, judge, read
from lrtheory.checkpoints._tree import checkpoint, is_part_of_optax

from .saved_runs import model, two_groups

Lr = torch.optim.lr_scheduler


def trained(
    make: Callable[[Any], torch.optim.Optimizer],
    schedule: Callable[[Any], Any] | None = None,
    steps: int = 40,
    *,
    epoch: int = 0,
    every: int = 1,
    net: torch.nn.Module | None = None,
    dtype: torch.dtype = torch.float32,
    autocast: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """A run; with ``epoch`` its schedule is stepped so often, and with ``every`` its optimizer each so many micro-batches."""
    torch.manual_seed(seed)
    net = (net or model()).to(dtype)
    optimizer = make(net)
    scheduler = schedule(optimizer) if schedule else None
    getattr(optimizer, "train", lambda: None)()
    x, y = torch.randn(64, 12, dtype=dtype), torch.randint(5, (64,))
    for i in range(steps):
        rows = torch.randint(64, (16,))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows])
        loss.backward()
        if (i + 1) % every == 0:
            optimizer.step()
            optimizer.zero_grad()
        if scheduler and (i + 1) % (epoch or every) == 0:
            scheduler.step(loss.detach()) if isinstance(scheduler, Lr.ReduceLROnPlateau) else scheduler.step()
    saved = {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": steps // (epoch or 8)}
    return saved | ({"scheduler": scheduler.state_dict()} if scheduler else {})


def judged(saved: Any, spec: str | None = None) -> Judgement:
    return judge(checkpoint(saved, "checkpoint.pt", "torch"), spec)


def sound(found: Judgement) -> Judgement:
    assert found.sound, [str(f) for f in found.faults]
    return found


O = torch.optim  # noqa: E741
OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "SGD": lambda n: O.SGD(n.parameters(), lr=0.1),
    "SGD with momentum": lambda n: O.SGD(n.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda n: O.Adam(n.parameters(), lr=1e-3, amsgrad=True),
    "Adam with decay": lambda n: O.Adam(n.parameters(), lr=1e-2, weight_decay=0.1),
    "Adam, slow first": lambda n: O.Adam(n.parameters(), lr=1e-3, betas=(0.5, 0.9)),
    "AdamW, capturable": lambda n: O.AdamW(n.parameters(), lr=torch.tensor(1e-3), foreach=False),
    "fused": lambda n: O.AdamW(n.parameters(), lr=1e-3, fused=True),
    "Adamax": lambda n: O.Adamax(n.parameters(), lr=1e-3),
    "NAdam": lambda n: O.NAdam(n.parameters(), lr=1e-3),
    "RAdam": lambda n: O.RAdam(n.parameters(), lr=1e-3),
    "RMSprop": lambda n: O.RMSprop(n.parameters(), lr=1e-3, centered=True, momentum=0.9),
    "Adagrad": lambda n: O.Adagrad(n.parameters(), lr=1e-2, initial_accumulator_value=0.1),
    "Adadelta": lambda n: O.Adadelta(n.parameters()),
    "Rprop": lambda n: O.Rprop(n.parameters(), lr=1e-3),
    "ASGD": lambda n: O.ASGD(n.parameters(), lr=1e-2),
    "Adafactor": lambda n: O.Adafactor(n.parameters(), lr=1e-2),
    "Muon": lambda n: O.Muon([p for p in n.parameters() if p.ndim == 2], lr=1e-2),
    "groups": lambda n: O.AdamW(two_groups(n), lr=1e-3),
}
SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "cosine": lambda o: Lr.CosineAnnealingLR(o, 100, eta_min=1e-5),
    "step": lambda o: Lr.StepLR(o, 10, gamma=0.5),
    "multi-step": lambda o: Lr.MultiStepLR(o, [10, 30], gamma=0.5),
    "exponential": lambda o: Lr.ExponentialLR(o, 0.99),
    "linear": lambda o: Lr.LinearLR(o, 0.1, total_iters=20),
    "polynomial": lambda o: Lr.PolynomialLR(o, 100, power=2.0),
    "restarts": lambda o: Lr.CosineAnnealingWarmRestarts(o, 15),
    "lambda": lambda o: Lr.LambdaLR(o, lambda t: min(1.0, t / 10)),
    "one cycle": lambda o: Lr.OneCycleLR(o, max_lr=1e-2, total_steps=100),
    "cyclic": lambda o: Lr.CyclicLR(o, 1e-4, 1e-2, step_size_up=7, cycle_momentum=False),
    "plateau": lambda o: Lr.ReduceLROnPlateau(o, patience=2),
    "sequential": lambda o: Lr.SequentialLR(
        o, [Lr.LinearLR(o, 0.1, total_iters=5), Lr.CosineAnnealingLR(o, 95)], milestones=[5]
    ),
    "chained": lambda o: Lr.ChainedScheduler([Lr.ExponentialLR(o, 0.99), Lr.StepLR(o, 10)]),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_sound_checkpoint_of_an_optimizer_passes(name):
    for steps in (1, 40):
        found = sound(judged(trained(OPTIMIZERS[name], steps=steps)))
        kind = type(OPTIMIZERS[name](model())).__name__
        assert kind in found.optimizers[0]["kind"] or name == "SGD", found.optimizers


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("name", SCHEDULES)
def test_sound_checkpoint_of_a_schedule_passes(name, tmp_path):
    for steps in (1, 40):
        torch.save(trained(OPTIMIZERS["groups"], SCHEDULES[name], steps), tmp_path / "saved.pt")
        found = sound(judge(read(tmp_path / "saved.pt")))
        if name in ("cosine", "step", "multi-step", "exponential", "linear", "polynomial", "restarts", "sequential"):
            assert "lr on the curve of scheduler" in found.looked_at
        elif name not in ("plateau", "chained"):
            assert any("formula is not in the checkpoint" in said for said in found.not_judged)


HABITS: dict[str, Callable[[], dict[str, Any]]] = {
    "a schedule by epochs": lambda: trained(OPTIMIZERS["Adam"], lambda o: Lr.StepLR(o, 2), epoch=8),
    "a schedule of many epochs": lambda: trained(OPTIMIZERS["Adam"], lambda o: Lr.CosineAnnealingLR(o, 90), epoch=8),
    "accumulation": lambda: {**trained(OPTIMIZERS["Adam"], steps=64, every=4), "iteration": 64},
    "accumulation, scheduled": lambda: {
        **trained(OPTIMIZERS["Adam"], SCHEDULES["cosine"], 64, every=4),
        "iteration": 64,
    },
    "float64": lambda: trained(OPTIMIZERS["Adam"], dtype=torch.float64),
    "bfloat16": lambda: trained(OPTIMIZERS["Adam"], dtype=torch.bfloat16),
    "autocast": lambda: trained(OPTIMIZERS["SGD with momentum"], autocast=True),
    "autocast, one step": lambda: trained(OPTIMIZERS["Adam"], steps=1, autocast=True),
    "wrapped": lambda: _wrapped(trained(OPTIMIZERS["groups"])),
    "options and more": lambda: {
        **trained(OPTIMIZERS["Adam"]),
        "args": argparse.Namespace(lr=0.1, layers=[1, 2]),
        "best": np.float64(0.3),
        "history": np.arange(4.0),
        "rng": torch.get_rng_state(),
        "scaler": torch.amp.GradScaler("cpu", enabled=True).state_dict(),
        "metrics": OrderedDict(loss=[1.0, 2.0]),
    },
    "an average beside": lambda: _averaged(trained(OPTIMIZERS["Adam"])),
    "optimizer alone": lambda: trained(OPTIMIZERS["Adam"])["optimizer"],
    "other names": lambda: {f"{key}_state_dict": value for key, value in trained(OPTIMIZERS["Adam"]).items()},
    "no state to keep": lambda: {**trained(OPTIMIZERS["SGD"]), "step": 40},
    "before the first step": lambda: trained(OPTIMIZERS["Adam"], steps=0),
}


def _wrapped(saved: dict[str, Any]) -> dict[str, Any]:
    return saved | {"model": {f"module._orig_mod.{name}": value for name, value in saved["model"].items()}}


def _averaged(saved: dict[str, Any]) -> dict[str, Any]:
    ema = torch.optim.swa_utils.AveragedModel(model())
    return saved | {"ema": ema.state_dict()}


@pytest.mark.parametrize("name", HABITS)
def test_sound_checkpoint_of_a_habit_passes_from_its_file(name, tmp_path):
    torch.save(HABITS[name](), tmp_path / "saved.pt")
    sound(judge(read(tmp_path / "saved.pt")))


class Partly(torch.nn.Module):
    """A layer that is frozen and one that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.pooler, self.head = torch.nn.Linear(12, 12), torch.nn.Linear(12, 3), torch.nn.Linear(12, 5)
        self.frozen.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.frozen(x))


def test_layers_without_a_gradient_are_said_not_to_be_judged():
    net = Partly()
    found = sound(judged(trained(lambda n: O.AdamW(n.named_parameters(), lr=1e-3), net=net)))
    (said,) = [line for line in found.not_judged if "never had a gradient" in line]
    assert "frozen.weight, frozen.bias, pooler.weight" in said


def test_optimizer_of_others_is_opaque_and_judged_by_what_all_have():
    saved = trained(lambda n: lion_pytorch.Lion(n.parameters(), lr=1e-4))
    found = sound(judged(saved))
    assert found.optimizers[0]["kind"] == "none of our rules"
    assert "exp_avg" in found.optimizers[0]["reason"]
    saved["optimizer"]["state"][2]["exp_avg"][0] = torch.inf
    assert [fault.id for fault in judged(saved).faults] == ["not-finite"]
    sound(judged(trained(lambda n: schedulefree.AdamWScheduleFree(n.parameters(), lr=1e-3))))


def test_eight_bit_state_is_opaque():
    saved = trained(OPTIMIZERS["Adam"])
    for key, kept in saved["optimizer"]["state"].items():
        shape = kept["exp_avg"].shape
        saved["optimizer"]["state"][key] = {
            "step": 40, "state1": torch.randint(255, shape, dtype=torch.uint8), "qmap1": torch.linspace(-1, 1, 256),
            "state2": torch.randint(255, shape, dtype=torch.uint8), "absmax1": torch.rand(1), "absmax2": torch.rand(1),
        }  # fmt: skip
    found = sound(judged(saved))
    assert "qmap1" in found.optimizers[0]["reason"]
    assert any("moments fit their count" in said for said in found.not_judged)


def test_two_optimizers_are_judged_each_with_its_schedule():
    a, b = trained(OPTIMIZERS["Adam"], SCHEDULES["cosine"]), trained(OPTIMIZERS["SGD with momentum"], SCHEDULES["step"])
    saved = {"optimizers": [a["optimizer"], b["optimizer"]], "lr_schedulers": [a["scheduler"], b["scheduler"]]}
    sound(judged(saved))
    for kept in saved["optimizers"][0]["state"].values():
        kept["step"] = torch.tensor(1.0)
    found = judged(saved)
    assert {fault.optimizer for fault in found.faults} == {"optimizers.0"}


def test_names_with_a_prefix_on_one_side_are_mapped_and_said():
    saved = trained(OPTIMIZERS["groups"])
    saved["model"] = {f"net.{name}": value for name, value in saved["model"].items()}
    found = sound(judged(saved))
    assert any("all begin with 'net'" in said for said in found.not_judged)


@pytest.mark.parametrize("name", ["NAdam", "RAdam", "Adamax", "Adam, slow first", "fused"])
def test_count_reset_is_proven_of_every_rule_with_two_averages(name):
    for to in (0, 1):
        saved = trained(OPTIMIZERS[name])
        for kept in saved["optimizer"]["state"].values():
            kept["step"] = torch.tensor(float(to))
        (fault,) = judged(saved).faults
        assert (fault.id, fault.level) == ("count-does-not-fit-moments", "proven")


def test_checkpoint_of_an_older_torch_is_read():
    saved = trained(OPTIMIZERS["AdamW, capturable"])
    for group in saved["optimizer"]["param_groups"]:
        for name in ("decoupled_weight_decay", "maximize", "foreach", "capturable", "differentiable", "fused"):
            del group[name]
    for kept in saved["optimizer"]["state"].values():
        kept["step"] = int(kept["step"])
    assert sound(judged(saved)).optimizers[0]["kind"] == "torch.optim.Adam or torch.optim.AdamW"
    sound(judged(saved, "torch.optim.AdamW(lr=1e-3)"))


@pytest.mark.parametrize("where", ["ema", "mu", "averages.ema", "ema.shadow"])
def test_average_called_as_a_part_of_optax_hides_no_optimizer(where):
    """People save ``{"net": …, "ema": …, "opt": …}``, and optax has a part with a field of that name."""
    saved = trained(OPTIMIZERS["Adam"])
    average: Any = dict(saved["model"])
    for name in reversed(where.split(".")[1:]):
        average = {name: average}
    saved = {"net": saved["model"], where.partition(".")[0]: average, "opt": saved["optimizer"]}
    (found,) = sound(judged(saved)).optimizers
    assert found["kind"] == "torch.optim.Adam"
    assert not is_part_of_optax({"params": saved["net"], "ema": average, "opt_state": {"count": np.zeros(())}})
    for kept in saved["opt"]["state"].values():
        kept["step"] = torch.tensor(1.0)
    assert "count-does-not-fit-moments" in [fault.id for fault in judged(saved).faults]


def test_length_of_a_step_is_no_count_of_steps():
    """LBFGS keeps a ``t``, by which others count."""
    optimizer = torch.optim.LBFGS([torch.nn.Parameter(torch.ones(3))], lr=0.5, max_iter=2)
    (p,) = optimizer.param_groups[0]["params"]

    def loss():
        optimizer.zero_grad()
        (found := (p - torch.arange(3.0)).square().sum()).backward()
        return found

    optimizer.step(loss)
    assert 0 < optimizer.state[p]["t"] < 1
    sound(judged({"model": {"p": p.detach()}, "optimizer": optimizer.state_dict(), "step": 6}))


@pytest.mark.parametrize("name", ["scale_by_amsgrad", "scale_by_factored_rms", "scale_by_adam"])
def test_part_of_optax_may_keep_more_trees_than_ours(name):
    """The largest squares of AMSGrad, and rows and columns of Adafactor."""
    optax = pytest.importorskip("optax")
    kept = getattr(optax, name)().init({"w": np.ones((3, 2), np.float32), "b": {"c": np.ones(2, np.float32)}})
    assert is_part_of_optax(kept._asdict())
    assert not is_part_of_optax({"model": kept[1], "mu": kept[1], "opt_state": [kept._asdict()], "count": kept.count})
