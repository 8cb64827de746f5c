"""One text, one reading: what one command takes, all take (R5)."""

from __future__ import annotations

import pytest

import parity
from lrtheory.cli.app import run
from lrtheory.explaining import explain
from lrtheory.rescaling import Change
from parity.diagnosis import diagnose

TEXTS = [
    "optax.inject_hyperparams(optax.adamw)(1e-3)",
    "optax.chain(optax.clip_by_global_norm(0.2), optax.adamw(1e-3))",
    "optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(1e-3))",
    "optax.adam(optax.exponential_decay(0.01, 1000, 0.99))",
    "optax.adam(optax.join_schedules([optax.linear_schedule(0.0, 1e-3, 10), optax.cosine_decay_schedule(1e-3, 100)], [10]))",
    "optax.chain(optax.zero_nans(), optax.contrib.schedule_free_sgd(1e-3))",
    "optax.MultiSteps(optax.adam(1e-3), 2, use_grad_mean=True)",
    "optax.apply_if_finite(optax.sgd(0.1), 3)",
    "optax.lookahead(optax.sgd(0.1), 5, 0.5)",
    "torch.optim.SGD(model.parameters(), lr=0.1)",
    "torch.optim.AdamW(lr=1/1024, betas=[0.9, 0.95])",
    "lion_pytorch.Lion(model.parameters(), 1e-3)",
]


@pytest.mark.usefixtures("checked_here")
@pytest.mark.parametrize("text", TEXTS)
def test_every_command_takes_it(text: str, capsys) -> None:
    for command in (["explain", text], ["dims", text], ["diagnose", text, text]):
        assert run(command) == 0, capsys.readouterr().err
    assert parity.check(text, only=["finite"])["finite"].status == "passed"


@pytest.mark.usefixtures("checked_here")
@pytest.mark.parametrize("text", ["adamw(lr=1e-3)", "optax.chain(optax.clip(1), optax.adam(1e-3))"])
def test_every_command_takes_what_explain_prints(text: str, capsys) -> None:
    test_every_command_takes_it(explain(text, Change(loss=8)).code, capsys)


def test_parts_of_an_alias_are_the_alias() -> None:
    by_hand = "optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(optax.cosine_decay_schedule(1e-3, 9)), optax.scale(-1))"
    assert explain(by_hand).title == explain("optax.adam(optax.cosine_decay_schedule(1e-3, 9))").title == "adam()"
    assert (
        diagnose("optax.chain(optax.scale_by_adam(), optax.scale(-0.1))", "torch.optim.Adam(lr=0.1)").outcome == "same"
    )
    assert diagnose("optax.chain(optax.trace(0.9), optax.scale(-0.1))", "optax.sgd(0.1, 0.8)").sentence.endswith(
        "momentum=0.8"
    )
    assert diagnose("optax.chain(optax.clip(0.1), optax.sgd(0.1))", "optax.sgd(0.1)").sentence.endswith(
        "without optax.clip(0.1)"
    )


SLIPS = [
    ("torch.optim.AdamW(lr=1e-3, weight_decy=0.1)", "did you mean 'weight_decay'"),
    ("optax.adamw(1e-3, beta1=0.9)", "has no argument 'beta1'"),
    ("lion_pytorch.Lion(lr=1e-3, beta=0.9)", "has no argument 'beta'"),
    ("optax.chain(optax.clip_by_global_nrm(1.0), optax.sgd(0.1))", "did you mean 'clip_by_global_norm'"),
    ("optax.chain(optax.clip(1.0), optax.sgd(0.1, momentm=0.9))", "did you mean 'momentum'"),
    ("optax.sgd(optax.cosine_decay_schedule(0.1, decay_step=9))", "did you mean 'decay_steps'"),
    ("optax.masked(optax.sgd(0.1))", "give mask"),
    ("optax.adamw(schedule)", "schedule is not evaluated"),
    ("torch.optim.SGD([{'params': p, 'lr': 0.1}], lr=0.1)", "groups of parameters"),
    ("torch.optim.Sgd(lr=0.1)", "did you mean 'SGD'"),
]


@pytest.mark.usefixtures("checked_here")
@pytest.mark.parametrize(("text", "words"), SLIPS)
@pytest.mark.parametrize("command", ["explain", "dims", "check", "diagnose"])
def test_a_slip_is_one_line_in_every_command(command: str, text: str, words: str, capsys) -> None:
    if words == "groups of parameters" and command == "diagnose":
        pytest.skip("groups are diagnosed")
    assert run([command, text, *([text] if command == "diagnose" else [])]) == 2
    err = capsys.readouterr().err.strip()
    assert words in err
    quoted = err.removeprefix("lrtheory: ").partition(": ")[0].partition(" needs")[0]
    assert quoted in text
    assert len(quoted) > 8
    assert "\n" not in err
