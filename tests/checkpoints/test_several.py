"""Several models, optimizers or schedulers in one checkpoint, as GANs and autoencoders save them, and runs under autocast."""

from __future__ import annotations

import json

import pytest
import torch

from lrtheory.checkpoints import judge, read

from .saved_runs import run
from .test_planted import count_reset, judged
from .test_sound import Lr, O, sound, trained


def pair(named: bool = False, **how) -> tuple[dict, dict]:
    """Runs of two models of other shapes whose layers have the same names."""
    make = lambda n: O.Adam(n.named_parameters() if named else n.parameters(), lr=1e-3)  # noqa: E731
    nets = [torch.nn.Sequential(torch.nn.Linear(12, k), torch.nn.Tanh(), torch.nn.Linear(k, 5)) for k in (16, 24)]
    return trained(make, net=nets[0], **how), trained(make, net=nets[1], **how)


def ids(saved) -> list[tuple[str, str]]:
    return [(fault.optimizer, fault.id) for fault in judged(saved).faults]


@pytest.mark.parametrize("named", [False, True])
def test_each_optimizer_is_held_against_its_own_model(named):
    a, b = pair(named)
    saved = {"G": a["model"], "D": b["model"], "opt_G": a["optimizer"], "opt_D": b["optimizer"], "iteration": 40}
    found = sound(judged(saved))
    assert not any("what else" in said for said in found.not_judged)
    b["optimizer"]["state"][0] = b["optimizer"]["state"][2]
    assert ("opt_D", "shapes-do-not-fit") in ids(saved)
    saved["D"]["0.weight"][0, 0] = torch.nan
    assert "weights-not-finite" in [id for _, id in ids({**saved, "opt_D": pair()[1]["optimizer"]})]


def test_optimizer_of_two_models_is_held_against_both():
    encoder, decoder = torch.nn.Linear(12, 7), torch.nn.Linear(7, 5)
    both = trained(lambda n: O.Adam(n.parameters(), lr=1e-3), net=torch.nn.Sequential(decoder, encoder)[::-1])
    saved = {"encoder": encoder.state_dict(), "decoder": decoder.state_dict(), "optimizer": both["optimizer"]}
    sound(judged(saved))
    saved["decoder"]["weight"] = torch.zeros(5, 9)
    assert "shapes-do-not-fit" in [id for _, id in ids(saved)]


@pytest.mark.parametrize(("counter", "n"), [("global_step", 80), ("iteration", 20), ("iteration", 40)])
def test_counter_of_a_run_with_two_optimizers_is_of_all_or_of_each(counter, n):
    a, b = pair()
    saved = {"optimizers": [a["optimizer"], b["optimizer"]], counter: n}
    sound(judged(saved))
    for kept in saved["optimizers"][1]["state"].values():
        kept["step"] = torch.tensor(2.0)
    assert ("optimizers.1", "counts-do-not-fit-the-run") in ids(saved)


def two_schedulers(o, last):
    class Both:
        each = (Lr.ExponentialLR(o, 0.99), last(o))

        def step(self):
            for scheduler in self.each:
                scheduler.step()

        def state_dict(self):
            return [scheduler.state_dict() for scheduler in self.each]

    return Both()


@pytest.mark.parametrize("last", [lambda o: Lr.MultiStepLR(o, [10, 30]), lambda o: Lr.StepLR(o, 7)])
def test_two_schedulers_of_one_optimizer_are_not_held_against_the_lr(last):
    saved = trained(lambda n: O.Adam(n.parameters(), lr=1e-3), lambda o: two_schedulers(o, last))
    found = sound(judged(saved))
    assert any("more than one scheduler moves it" in said for said in found.not_judged)
    for each in saved["scheduler"]:
        each["last_epoch"] = 0
    assert [id for _, id in ids(saved)] == ["schedule-restarted"]


def test_scheduler_of_an_unknown_optimizer_is_said_to_be_there():
    a, b = pair()
    scheduled = trained(lambda n: O.Adam(n.parameters(), lr=1e-3), lambda o: Lr.StepLR(o, 9))
    saved = {"optimizers": [scheduled["optimizer"], b["optimizer"]], "lr_schedulers": [scheduled["scheduler"]]}
    found = sound(judged(saved))
    assert "the schedule of the lr: nothing says of which optimizer lr_schedulers.0 is" in found.not_judged
    assert not any("no scheduler here" in said or "is not in this checkpoint" in said for said in found.not_judged)


def test_folder_of_two_models_is_read_whole(tmp_path):
    for end, one in zip(("", "_1"), pair(), strict=True):
        torch.save(one["optimizer"], tmp_path / f"optimizer{end}.bin")
        torch.save(one["model"], tmp_path / f"pytorch_model{end}.bin")
    (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": 40}))
    found = sound(judge(read(tmp_path)))
    assert [one["path"] for one in found.optimizers] == ["optimizer", "optimizer_1"]
    harmed = {**pair()[1]}
    count_reset(harmed, 1)
    torch.save(harmed["optimizer"], tmp_path / "optimizer_1.bin")
    assert {fault.optimizer for fault in judge(read(tmp_path)).faults} == {"optimizer_1"}


# --- one gradient, as autocast rounds it ---

ROUNDED = {
    "SGD with momentum": lambda n: O.SGD(n.parameters(), lr=0.1, momentum=0.9),
    "Adam of half": lambda n: O.Adam(n.parameters(), lr=1e-3, betas=(0.5, 0.999)),
    "Adam of three quarters": lambda n: O.Adam(n.parameters(), lr=1e-3, betas=(0.75, 0.999)),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_first_gradient_of_autocast_is_not_called_narrowed(name):
    saved = trained(ROUNDED[name], steps=1, autocast=True) | {"step": 1, "epoch": 0}
    assert any("may be one gradient" in said for said in sound(judged(saved)).not_judged)
    late = trained(ROUNDED[name]) | {"step": 40}
    for kept in late["optimizer"]["state"].values():
        for slot, value in kept.items():
            kept[slot] = value.bfloat16().float() if value.ndim else value
    assert [id for _, id in ids(late)] == ["narrowed"] * (2 if "Adam" in name else 1)


# --- switches of --optimizer ---


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("torch.optim.AdamW(lr=1e-3, weight_decay=0.1, amsgrad=True)", "amsgrad is False"),
        ("torch.optim.AdamW(lr=1e-3, weight_decay=0.1, maximize=True)", "maximize is False"),
        ("torch.optim.Adam(lr=1e-3, weight_decay=0.1)", "decoupled_weight_decay is True"),
        ("adam(lr=1e-3, weight_decay=0.1)", "decoupled_weight_decay is True"),
    ],
)
def test_switch_of_another_optimizer_is_named(spec, said):
    (fault,) = judged(run(), spec).faults
    assert fault.id == "other-numbers"
    assert said in fault.text


def test_nesterov_of_another_optimizer_is_named():
    saved = trained(lambda n: O.SGD(n.parameters(), lr=0.1, momentum=0.9))
    sound(judged(saved, "torch.optim.SGD(lr=0.1, momentum=0.9)"))
    assert "nesterov is False" in judged(saved, "torch.optim.SGD(lr=0.1, momentum=0.9, nesterov=True)").faults[0].text
