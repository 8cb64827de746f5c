"""Schedules in a SPEC are built and evaluated (R3, A6, B6)."""

from __future__ import annotations

import numpy as np
import pytest

from lrtheory.explaining import explain
from lrtheory.explaining.explanation import Change
from lrtheory.spec import SpecError, curve, parse, read

KNOWN = [
    ("optax.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 1000)", (0, 0.0), (100, 1e-3), (1000, 0.0), True),
    ("optax.piecewise_constant_schedule(0.1, {100: 10.0, 1000: 0.01})", (0, 0.1), (100, 1.0), (1000, 0.01), True),
    ("optax.linear_schedule(0.1, 1.0, 10)", (0, 0.1), (10, 1.0), (10, 1.0), True),
    ("optax.exponential_decay(0.1, 10, 0.5)", (0, 0.1), (0, 0.1), (10, 0.05), False),
    ("optax.constant_schedule(0.0)", (0, 0.0), (0, 0.0), (0, 0.0), True),
    ("torch.optim.lr_scheduler.StepLR(step_size=3, gamma=0.5)", (0, 1e-3), (0, 1e-3), None, False),
    ("torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=100)", (0, 0.004), (29, 0.1), (99, 4e-7), True),
    ("linear(lr=0.1, start_factor=0.5, total_iters=4)", (0, 0.05), (4, 0.1), (4, 0.1), True),
    ("cosine_with_warmup(lr=0.1, warmup_steps=10, total_steps=100)", (0, 0.0), (10, 0.1), (100, 0.0), False),
    (
        "torch.optim.swa_utils.SWALR(swa_lr=0.01, anneal_epochs=4)",
        (0, 1e-3),
        (4, 0.01),
        (4, 0.01),
        True,
    ),
    (
        "torch.optim.lr_scheduler.SequentialLR(schedulers=[torch.optim.lr_scheduler.LinearLR(optimizer, 0.5, total_iters=4), "
        "torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=16)], milestones=[4])",
        (0, 5e-4),
        (4, 1e-3),
        (20, 0.0),
        False,
    ),
]


@pytest.mark.parametrize(("text", "start", "peak", "end", "rests"), KNOWN)
def test_figures_of_a_schedule(text, start, peak, end, rests) -> None:
    found = curve(parse(text))
    assert tuple(found.start) == pytest.approx(start)
    assert tuple(found.peak) == pytest.approx(peak)
    assert end is None or tuple(found.end) == pytest.approx(end, abs=1e-12)
    assert found.rests is rests


RESCALED = [
    ("optax.piecewise_constant_schedule(0.1, {30: 0.1, 80: 0.1})", "boundaries_and_scales={8: 0.1, 20: 0.1}"),
    ("optax.piecewise_constant_schedule(0.1, {100: 0.1})", "boundaries_and_scales={25: 0.1}"),
    ("optax.piecewise_interpolate_schedule('linear', 0.1, {40: 0.1})", "{10: 0.1}"),
    (
        "optax.join_schedules([optax.linear_schedule(0.0, 0.1, 20), optax.cosine_decay_schedule(0.1, 80)], [20])",
        "boundaries=[5]",
    ),
    ("optax.warmup_exponential_decay_schedule(0.0, 0.1, 12, 100, 0.9, end_value=None)", "transition_steps=25"),
    ("optax.cosine_onecycle_schedule(400, 0.1)", "transition_steps=100"),
    ("torch.optim.lr_scheduler.MultiStepLR(milestones=[8, 20], gamma=0.5)", "milestones=[2, 5]"),
    ("torch.optim.lr_scheduler.ConstantLR(factor=0.5, total_iters=8)", "total_iters=2"),
    ("torch.optim.lr_scheduler.ExponentialLR(gamma=0.9)", "gamma=0.6561"),
    ("cosine_annealing(lr=0.1, T_max=100)", "T_max=25"),
    ("sequential(schedules=[constant(lr=0.1), exponential(lr=0.1, gamma=0.5)], milestones=[40])", "milestones=[10]"),
]


@pytest.mark.parametrize(("text", "words"), RESCALED)
def test_every_count_is_divided_and_levels_multiplied(text: str, words: str) -> None:
    old = curve(parse(text))
    new = old.rescaled(1.0, 4.0)
    assert words in new.text, new.text
    t = np.arange(0, 120, 4) if "OneCycle" not in text else np.arange(0, 96, 4)
    np.testing.assert_allclose(new.at(t // 4), old.at(t), rtol=1e-5, atol=1e-9)
    if not text.startswith("torch"):
        np.testing.assert_allclose(old.rescaled(3.0).at(t), 3 * old.at(t), rtol=1e-9, atol=1e-12)


def test_what_its_arguments_cannot_bring_about_is_refused(monkeypatch) -> None:
    """A table of names that misses a count is caught by comparing the new schedule with the old."""
    from lrtheory.spec import curves

    monkeypatch.setattr(curves, "COUNTS", curves.COUNTS - {"warmup_steps"})
    with pytest.raises(ValueError, match="another schedule"):
        curve(parse("optax.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 1000)")).rescaled(1.0, 4.0)
    monkeypatch.setattr(curves, "LEVELS", curves.LEVELS - {"end_value"})
    with pytest.raises(ValueError, match="another schedule"):
        curve(parse("optax.linear_schedule(0.1, 1.0, 10)")).rescaled(2.0)
    with pytest.raises(ValueError, match="two boundaries"):
        curve(parse("optax.piecewise_constant_schedule(0.1, {1: 0.1, 2: 0.5})")).rescaled(1.0, 8.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optax.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 50)", "decay_steps=-50"),
        ("optax.cosine_decay_schedule(0.1, 0)", "positive decay_steps"),
        ("optax.join_schedules([0.1], [1])", "join_schedules"),
        ("optax.cosine_decay_schedule(0.1, decay_step=9)", "did you mean 'decay_steps'"),
        ("torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=-1)", "total_steps"),
        ("cosine_annealing(lr=-1, T_max=3)", "outside"),
    ],
)
def test_what_its_framework_refuses_is_refused(text: str, words: str) -> None:
    with pytest.raises(SpecError) as error:
        curve(parse(text))
    assert words in str(error.value)


@pytest.mark.parametrize("total", [12, 16, 40, 100])
def test_a_one_cycle_of_torch_has_its_peak_where_it_was(total: int) -> None:
    """Phases end at pct_start·total − 1, which does not scale by itself, and past its end torch has no lr."""
    old = curve(
        parse(f"torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps={total}, anneal_strategy='linear')")
    )
    new = old.rescaled(1.0, 4.0)
    assert f"total_steps={total // 4}" in new.text
    t = np.arange(int(0.3 * total - 1) // 4 + 1)
    np.testing.assert_allclose(new.at(t), old.at(4 * t), rtol=1e-9)
    by_epochs = f"torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, epochs={total // 4}, steps_per_epoch=4)"
    assert "steps_per_epoch=1," in curve(parse(by_epochs)).rescaled(1.0, 4.0).text


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=10)", 4),
        ("torch.optim.lr_scheduler.OneCycleLR(max_lr=0.1, total_steps=5)", 2),
        ("optax.linear_onecycle_schedule(5, 0.1)", 4),
        ("one_cycle(max_lr=0.1, total_steps=12)", 8),
    ],
)
def test_a_cycle_of_so_few_steps_that_its_peak_is_lost_is_refused(text: str, batch: float) -> None:
    with pytest.raises(ValueError, match="of so few steps the largest lr would be"):
        curve(parse(text)).rescaled(1.0, batch)


def test_two_milestones_at_one_step_are_no_answer_and_epochs_are_told_apart_from_steps() -> None:
    spec = "torch.optim.lr_scheduler.MultiStepLR(torch.optim.SGD(lr=0.1), milestones=[30, 60])"
    with pytest.raises(ValueError, match="two of them at one step"):
        explain(spec, batch=64)
    levels = ", ".join(f"optax.constant_schedule({lr})" for lr in (0.1, 0.2, 0.1))
    with pytest.raises(ValueError, match="two of them at one step"):
        explain(f"optax.sgd(optax.join_schedules([{levels}], [3, 5]))", batch=16)
    told = "MultiStepLR is taken to be stepped with the optimizer"
    assert any(told in note for note in explain(spec, batch=4).notes)
    assert not any(told in note for note in explain(spec, loss=4).notes)


@pytest.mark.parametrize(
    "text",
    [
        "torch.optim.lr_scheduler.ExponentialLR(torch.optim.Adam(lr=1e-5), gamma=1.1)",
        "optax.sgd(optax.exponential_decay(1e-5, 10, 1.5))",
    ],
)
def test_a_schedule_that_rises_on_and_on_has_no_peak(text: str) -> None:
    with pytest.raises(ValueError, match="rises on and on"):
        explain(text)


def test_a_function_of_the_step_is_looked_at_in_time_and_comes_earlier() -> None:
    old = curve(parse("torch.optim.lr_scheduler.LambdaLR(lr_lambda=lambda t: 0.999 ** t if t // 30 < 9 else 0.1)"), 0.1)
    new = old.rescaled(1.0, 4.0)
    assert "lr_lambda=lambda t: 0.999 ** (t * 4) if t * 4 // 30 < 9 else 0.1" in new.text
    t = np.arange(0, 300, 4)
    np.testing.assert_allclose(new.at(t // 4), old.at(t), rtol=1e-12)
    with pytest.raises(ValueError, match="lr_lambda is a function of each step"):
        curve(parse("torch.optim.lr_scheduler.MultiplicativeLR(lr_lambda=lambda t: 0.99)")).rescaled(1.0, 4.0)


def test_a_scheduler_of_schedulers_is_read_around_its_optimizer() -> None:
    chained = (
        "torch.optim.lr_scheduler.ChainedScheduler([torch.optim.lr_scheduler.ExponentialLR(gamma=0.9)], optimizer={})"
    )
    code = explain(chained.format("torch.optim.SGD(params, lr=0.1)"), Change(batch=2)).code
    assert "gamma=0.81" in code
    assert "torch.optim.SGD(params, lr=0.2)" in code


IN_TURN = (
    "torch.optim.lr_scheduler.SequentialLR(torch.optim.SGD(params, lr=0.1), [torch.optim.lr_scheduler.LinearLR({first}"
    "start_factor=0.1, total_iters=4), torch.optim.lr_scheduler.ExponentialLR({first}gamma=0.9)], milestones=[4])"
)
AT_ONCE = (
    "torch.optim.lr_scheduler.ChainedScheduler([torch.optim.lr_scheduler.LinearLR({first}start_factor=0.1, total_iters=4), "
    "torch.optim.lr_scheduler.ExponentialLR({first}gamma=0.9)], optimizer=torch.optim.SGD(params, lr=0.1))"
)


@pytest.mark.parametrize("text", [IN_TURN.format(first=""), AT_ONCE.format(first=""), AT_ONCE.format(first="own, ")])
def test_what_is_written_of_schedulers_in_another_can_be_pasted(text: str) -> None:
    """They are given the optimizer that is made in the same line, and what is written is read as it runs."""
    torch = pytest.importorskip("torch")
    code = explain(text, Change(batch=2)).code
    made = eval(code, {"torch": torch, "params": [torch.nn.Parameter(torch.zeros(1))]})
    read, lrs = curve(parse(code), 0.2), []
    for _ in range(12):
        lrs.append(made.optimizer.param_groups[0]["lr"])
        made.optimizer.step()
        made.step()
    np.testing.assert_allclose(read.at(np.arange(12)), lrs, rtol=1e-12)
    assert explain(code).schedule[0].lr == pytest.approx(lrs[0])


def test_a_scheduler_inside_with_an_optimizer_of_its_own_is_refused() -> None:
    with pytest.raises(SpecError, match="write optimizer in them"):
        explain(IN_TURN.format(first="torch.optim.SGD(params, lr=5.0), "), Change(batch=2))


def test_a_function_that_changes_late_is_looked_at_until_then() -> None:
    late = curve(parse("torch.optim.lr_scheduler.LambdaLR(lr_lambda=lambda t: 1.0 if t < 3000 else 0.1)"), 0.1)
    assert (late.peak.lr, late.end.lr) == (0.1, pytest.approx(0.01))
    slow = curve(parse("torch.optim.lr_scheduler.LambdaLR(lr_lambda=lambda t: min(1.0, t / 100000))"), 0.1)
    assert "t * 2 / 100000" in slow.rescaled(1.0, 2.0).text


KIND = "torch.optim.lr_scheduler."
MOVED = {
    f"{KIND}OneCycleLR(torch.optim.SGD(lr=0.1), max_lr=0.1, total_steps=20)": "momentum",
    f"{KIND}OneCycleLR(torch.optim.SGD(lr=0.1, momentum=0.5), max_lr=0.1, total_steps=20, base_momentum=0.7)": "momentum",
    f"{KIND}OneCycleLR(torch.optim.AdamW(lr=0.1, betas=(0.9, 0.95)), max_lr=0.1, total_steps=20)": "beta1",
    f"{KIND}CyclicLR(torch.optim.RMSprop(lr=0.1), base_lr=0.01, max_lr=0.1, step_size_up=9)": "momentum",
}


@pytest.mark.parametrize("text", MOVED)
def test_momentum_that_a_scheduler_moves_is_the_one_in_force(text) -> None:
    """By default the one-cycle policy and the cyclic one move momentum, whatever the optimizer was given."""
    torch = pytest.importorskip("torch")
    name, reading = MOVED[text], read(text)
    made = eval(text.replace("(lr=", "([torch.nn.Parameter(torch.ones(1))], lr="), {"torch": torch})
    (group,) = made.optimizer.param_groups
    made.optimizer.step()
    for _ in range(reading.curve.peak.t):
        made.step()
    assert getattr(reading.hyper, name) == (group["betas"][0] if name == "beta1" else group["momentum"])
    assert any(f"moves {name} between" in note for note in reading.notes)
    left = read(f"{text[:-1]}, cycle_momentum=False)")
    assert getattr(left.hyper, name) == getattr(read(text[text.index("(") + 1 : text.index("), ") + 1]).hyper, name)


def test_momentum_that_a_scheduler_moves_is_not_answered_for_the_optimizer() -> None:
    text = f"{KIND}OneCycleLR(torch.optim.AdamW(lr=1e-3), max_lr=0.01, total_steps=100)"
    with pytest.raises(ValueError, match=r"beta1 would become 0.7, and OneCycleLR moves it"):
        explain(text, Change(batch=2))
    assert "betas=(0.9, 0.998" in explain(text, Change(batch=2, method="half-life")).code
    assert "betas=(0.8, 0.998" in explain(f"{text[:-1]}, cycle_momentum=False)", Change(batch=2)).code
    with pytest.raises(SpecError, match=r"moves momentum, and torch.optim.Adagrad has none; cycle_momentum=False"):
        read(f"{KIND}OneCycleLR(torch.optim.Adagrad(lr=0.1), max_lr=0.1, total_steps=9)")
    read(f"{KIND}OneCycleLR(torch.optim.Adagrad(lr=0.1), max_lr=0.1, total_steps=9, cycle_momentum=False)")


HF = "transformers.optimization:get_cosine_schedule_with_warmup"


def test_a_scheduler_of_another_package_has_the_optimizer_that_it_is_given() -> None:
    pytest.importorskip("transformers")
    reading = read(f"{HF}(torch.optim.AdamW(lr=3e-4, weight_decay=0.1), 10, 100)")
    assert (reading.hyper.lr, reading.hyper.weight_decay, tuple(reading.curve.end)) == (3e-4, 0.1, (100, 0.0))
    code = explain(reading.text, Change(batch=2, method="half-life")).code
    assert code.startswith(f"{HF}(torch.optim.AdamW(params, lr=0.00042426")
    assert code.endswith("num_warmup_steps=5, num_training_steps=50)")


@pytest.mark.parametrize("optimizer", ["lion_pytorch.Lion(lr=3e-4)", "torch.optim.LBFGS(lr=3e-4)"])
def test_the_lr_of_an_optimizer_that_is_none_of_our_rules_is_that_of_its_schedule(optimizer) -> None:
    pytest.importorskip("lion_pytorch")
    found = explain(f"torch.optim.lr_scheduler.CosineAnnealingLR({optimizer}, T_max=10)")
    assert found.schedule[1].lr == 3e-4
    assert f"{optimizer} is none of our rules" in found.notes[0]


def test_a_schedule_of_another_number_is_not_told_as_that_of_lr() -> None:
    text = "optax.inject_hyperparams(optax.adam)(learning_rate=1e-3, b1=optax.linear_schedule(0.9, 0.95, 100))"
    assert explain(text).schedule == ()
    assert explain(text.replace("1e-3", "optax.linear_schedule(0.1, 0.2, 9)")).schedule[1].lr == pytest.approx(0.2)
