"""Sound checkpoints pass, and each fault that is planted in one is named, at ten seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lrtheory.checkpoints import Judgement, judge
from lrtheory.checkpoints._tree import checkpoint

from . import saved_runs
from .saved_runs import Saved, run

SEEDS = range(10)


def judged(saved: Saved, spec: str | None = None) -> Judgement:
    return judge(checkpoint(saved, "checkpoint.pt", "torch"), spec)


def state(saved: Saved) -> list[dict]:
    return list(saved["optimizer"]["state"].values())


def groups(saved: Saved) -> list[dict]:
    return saved["optimizer"]["param_groups"]


# --- what is planted ---


def count_reset(saved: Saved, to: int = 0) -> None:
    for kept in state(saved):
        kept["step"] = torch.tensor(float(to))


def count_of_one_lost(saved: Saved) -> None:
    state(saved)[2]["step"] = torch.tensor(3.0)


def moment_zero(saved: Saved, slot: str = "exp_avg") -> None:
    for kept in state(saved):
        kept[slot].zero_()


def moment_gone(saved: Saved) -> None:
    for kept in state(saved):
        del kept["exp_avg_sq"]


def moment_of_one_gone(saved: Saved) -> None:
    state(saved)[1]["exp_avg"].zero_()


def tensor_gone(saved: Saved) -> None:
    del saved["optimizer"]["state"][3]


def moments_restarted(saved: Saved) -> None:
    """The count of a long run, the moments of its first step."""
    young = run(seed=77, steps=1)
    for kept, other in zip(state(saved), state(young), strict=True):
        kept |= {"exp_avg": other["exp_avg"], "exp_avg_sq": other["exp_avg_sq"]}


def groups_reversed(saved: Saved) -> None:
    groups(saved).reverse()


def numbers_swapped(saved: Saved) -> None:
    a, b = groups(saved)
    for name in ("lr", "initial_lr"):
        a[name], b[name] = b[name], a[name]


def decay_swapped(saved: Saved) -> None:
    a, b = groups(saved)
    a["weight_decay"], b["weight_decay"] = b["weight_decay"], a["weight_decay"]


def schedule_restarted(saved: Saved) -> None:
    scheduler = saved["scheduler"]
    scheduler |= {"last_epoch": 0, "_step_count": 1, "_last_lr": list(scheduler["base_lrs"])}
    for group, lr in zip(groups(saved), scheduler["base_lrs"], strict=True):
        group["lr"] = lr


def lr_restarted(saved: Saved) -> None:
    for group in groups(saved):
        group["lr"] = group["initial_lr"]


def lr_of_no_place(saved: Saved) -> None:
    for at, group in enumerate(groups(saved)):
        group["lr"] = saved["scheduler"]["_last_lr"][at] = group["initial_lr"] * 1.7


def narrowed(saved: Saved, dtype: torch.dtype = torch.bfloat16) -> None:
    for kept in state(saved):
        kept |= {slot: kept[slot].to(dtype).float() for slot in ("exp_avg", "exp_avg_sq")}


def narrowed_and_left_so(saved: Saved) -> None:
    for kept in state(saved):
        kept |= {slot: kept[slot].bfloat16() for slot in ("exp_avg", "exp_avg_sq")}


def weights_narrowed(saved: Saved) -> None:
    saved["model"] = {name: value.bfloat16().float() for name, value in saved["model"].items()}


def names_of_another_model(saved: Saved) -> None:
    for group in groups(saved):
        group["param_names"] = [name.replace("weight", "kernel") for name in group["param_names"]]


def names_turned(saved: Saved) -> None:
    for group in groups(saved):
        group["param_names"] = [*group["param_names"][1:], group["param_names"][0]]


def states_exchanged(saved: Saved) -> None:
    kept = saved["optimizer"]["state"]
    kept[0], kept[1] = kept[1], kept[0]


def not_a_number(saved: Saved) -> None:
    state(saved)[0]["exp_avg"].view(-1)[3] = float("nan")


PLANTED: dict[str, tuple[Callable[[Saved], None], str]] = {
    "count reset to 0": (count_reset, "count-does-not-fit-moments"),
    "count reset to 1": (lambda s: count_reset(s, 1), "count-does-not-fit-moments"),
    "count reset to 2": (lambda s: count_reset(s, 2), "count-does-not-fit-moments"),
    "count reset to 5": (lambda s: count_reset(s, 5), "counts-do-not-fit-the-run"),
    "count of one tensor": (count_of_one_lost, "counts-differ"),
    "m zero": (moment_zero, "moments-zero"),
    "v zero": (lambda s: moment_zero(s, "exp_avg_sq"), "moments-zero"),
    "v gone": (moment_gone, "state-does-not-fit"),
    "m of one tensor": (moment_of_one_gone, "moments-zero"),
    "state of one tensor": (tensor_gone, "state-missing"),
    "moments restarted": (moments_restarted, "moments-of-one-gradient"),
    "groups reversed": (groups_reversed, "groups-out-of-order"),
    "numbers of groups swapped": (numbers_swapped, "groups-swapped"),
    "decay of groups swapped": (decay_swapped, "groups-swapped"),
    "schedule restarted": (schedule_restarted, "schedule-restarted"),
    "lr restarted": (lr_restarted, "lr-not-the-schedules"),
    "lr of no place": (lr_of_no_place, "lr-off-the-schedule"),
    "narrowed to bfloat16": (narrowed, "narrowed"),
    "narrowed to float16": (lambda s: narrowed(s, torch.float16), "narrowed"),
    "kept in bfloat16": (narrowed_and_left_so, "narrowed"),
    "weights narrowed": (weights_narrowed, "weights-narrowed"),
    "names of another model": (names_of_another_model, "wrong-names"),
    "names turned": (names_turned, "shapes-do-not-fit"),
    "states exchanged": (states_exchanged, "shapes-do-not-fit"),
    "nan": (not_a_number, "not-finite"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_planted_fault_is_named(what):
    plant, id = PLANTED[what]
    for seed in SEEDS:
        saved = run(seed)
        plant(saved)
        found = judged(saved)
        assert id in [fault.id for fault in found.faults], f"seed {seed}: {[str(f) for f in found.faults]}"
        assert not found.sound


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 20, saved_runs.STEPS])
def test_sound_run_passes(steps):
    for seed in SEEDS:
        found = judged(run(seed, steps))
        assert found.sound, f"seed {seed}: {[str(f) for f in found.faults]}"
        assert "m beside v: whether so many steps can leave them" in found.looked_at
        assert "lr on the curve of scheduler" in found.looked_at
        assert f"counts of 8 tensors: {steps} steps" in found.looked_at


def test_sound_run_without_names_passes_and_says_what_is_not_seen():
    found = judged(run(make=saved_runs.unnamed))
    assert found.sound, [str(f) for f in found.faults]
    assert any("each other's state" in said for said in found.not_judged)


def test_states_exchanged_without_names_do_not_fit_the_order():
    saved = run(make=saved_runs.unnamed)
    states_exchanged(saved)
    assert "order-does-not-fit" in [fault.id for fault in judged(saved).faults]


def test_state_that_is_lost_whole_is_named():
    saved = run()
    saved["optimizer"]["state"] = {}
    assert [fault.id for fault in judged(saved).faults] == ["state-lost"]
