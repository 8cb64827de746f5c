"""Sizes of updates and time scales of decay, against runs in NumPy and torch that know nothing of how they were derived."""

from __future__ import annotations

import json
import math

import mpmath
import numpy as np
import pytest
import torch

from lrtheory import rules, translate
from lrtheory.cli.app import run
from lrtheory.spec import read
from lrtheory.theory import NoLaw
from lrtheory.theory.momentum import decay_time_scale
from lrtheory.theory.updates import update_rms

ADAMW = "adamw(lr=1e-3, weight_decay=0.1)"


def adams(beta1: float) -> float:
    """The rms of an average of unit noise, as a sum of squares."""
    return float(
        mpmath.sqrt(mpmath.nsum(lambda k: ((1 - mpmath.mpf(beta1)) * mpmath.mpf(beta1) ** k) ** 2, [0, mpmath.inf]))
    )


def in_torch(code: str, sigma: float = 1.0, steps: int = 300, shape: tuple[int, ...] = (64, 64)) -> float:
    """Rms of the steps of a torch optimizer on noise, over its second half, without decay."""
    generator = torch.Generator().manual_seed(5)
    p = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
    optimizer = eval(code, {"torch": torch, "params": [p]})
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    squares = []
    for _ in range(steps):
        p.grad = sigma * torch.randn(shape, generator=generator, dtype=torch.float64)
        before = p.detach().clone()
        optimizer.step()
        squares.append(float((p.detach() - before).square().mean()))
    return math.sqrt(np.mean(squares[steps // 2 :]))


def test_updates_of_adam_under_noise_are_0_229_lr() -> None:
    adam = rules.adam()
    assert update_rms(adam, adam.hyper(lr=1.0)) == pytest.approx(adams(0.9), rel=1e-9)
    assert update_rms(adam, adam.hyper(lr=1.0)) == pytest.approx(math.sqrt(0.1 / 1.9), rel=1e-9)
    assert update_rms(adam, adam.hyper(lr=0.5, beta1=0.5, beta2=0.99)) == pytest.approx(0.5 * adams(0.5), rel=1e-9)


@pytest.mark.deep  # some seconds each
def test_updates_of_relatives_of_adam_are_as_large() -> None:
    adam = rules.adam()
    upwards = rules.adam(maximize=True)
    assert update_rms(upwards, upwards.hyper(lr=1.0, beta2=0.99)) == pytest.approx(adams(0.9), rel=1e-9)
    radam = rules.radam()  # whose rectifier is still rising after 4000 steps
    assert update_rms(radam, radam.hyper(lr=1.0)) == pytest.approx(adams(0.9), rel=1e-9)
    assert update_rms(adam, adam.hyper(lr=1.0, beta2=0.99, eps=1.0), gradient=1.0) == pytest.approx(
        adams(0.9) / 2, rel=0.02
    )


@pytest.mark.parametrize(
    ("rule", "code", "gradient"),
    [
        (rules.sgd(), "torch.optim.SGD(params, lr=0.5, momentum=0.8)", 0.25),
        (rules.sgd(nesterov=True), "torch.optim.SGD(params, lr=0.5, momentum=0.8, nesterov=True)", 0.25),
        (rules.rmsprop(), "torch.optim.RMSprop(params, lr=0.5, momentum=0.8, alpha=0.95)", None),
        (rules.adamw(), "torch.optim.AdamW(params, lr=0.5, betas=(0.8, 0.98))", None),
        (rules.adamax(), "torch.optim.Adamax(params, lr=0.5, betas=(0.8, 0.98))", None),
        (
            rules.muon(adjust_lr_fn="match_rms_adamw"),
            "torch.optim.Muon(params, lr=0.5, adjust_lr_fn='match_rms_adamw')",
            None,
        ),
    ],
    ids=lambda given: repr(given) if isinstance(given, rules.Rule) else "",
)
def test_updates_are_as_large_as_torch_takes_them(rule, code: str, gradient: float | None) -> None:
    hyper = read(code).hyper
    given = {} if gradient is None else {"gradient": gradient}
    steps = 60 if "Muon" in code else 300
    assert update_rms(rule, hyper, **given) == pytest.approx(in_torch(code, gradient or 1.0, steps), rel=0.04)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (rules.adagrad(), "does not settle"),
        (rules.nadam(), "does not settle"),
        (rules.lars(), "follows that of the parameters"),
        (rules.rprop(), "not in proportion to lr"),
    ],
    ids=repr,
)
def test_what_has_no_size_says_why(rule, said: str) -> None:
    with pytest.raises(NoLaw, match=said):
        update_rms(rule, rule.hyper(lr=1e-2))


@pytest.mark.parametrize(
    "to", ["lion", "signum", "torch.optim.SGD(momentum=0.9)", "sgd", "rmsprop", "optax.lion", "adam()"]
)
def test_decay_and_size_are_kept(to: str) -> None:
    """Of a target with coupled decay that is divided, only without decay."""
    if to in ("rmsprop", "adam()"):
        with pytest.raises(ValueError, match="no time scale of its decay"):
            translate(ADAMW, to=to)
        found = translate("adamw(lr=1e-3, weight_decay=0.0)", to=to)
        assert found.hyper.weight_decay == 0
        assert found.decay_time_scale == math.inf
    else:
        found = translate(ADAMW, to=to)
        assert decay_time_scale(found.rule, found.hyper) == pytest.approx(1e4, rel=2e-3)
    given = {"gradient": 1.0} if found.rule.facts.divides_by == "nothing" else {}
    assert update_rms(found.rule, found.hyper, **given) == pytest.approx(1e-3 * adams(0.9), rel=1e-6)
    again = read(found.code)
    assert again.hyper == pytest.approx(found.hyper)
    assert "not an equivalence" in found.notes[0]


def test_lion_from_adamw_by_hand() -> None:
    found = translate("torch.optim.AdamW(lr=3e-4, betas=(0.95, 0.98), weight_decay=0.1)", to="lion")
    ratio = math.sqrt(0.05 / 1.95)
    assert found.ratio == pytest.approx(ratio, rel=1e-9)
    assert found.hyper.lr == pytest.approx(3e-4 * ratio, rel=1e-9)
    assert found.hyper.lr * found.hyper.weight_decay == pytest.approx(3e-5, rel=1e-12)
    back = translate(found.code, to="adamw(beta1=0.95, beta2=0.98)")
    assert (back.hyper.lr, back.hyper.weight_decay) == pytest.approx((3e-4, 0.1), rel=1e-9)


def test_momentum_counts_once_in_the_size_and_as_its_gain_in_the_decay() -> None:
    """SGD's updates under noise of rms 0.01 are lr·0.01/√(1−μ²), and its coupled decay is lr/(1−μ)."""
    found = translate(ADAMW, to="sgd(momentum=0.9)", gradient_rms=0.01)
    assert found.hyper.lr == pytest.approx(1e-3 * adams(0.9) / 0.01 * math.sqrt(1 - 0.81), rel=2e-6)
    assert found.hyper.lr / 0.1 * found.hyper.weight_decay == pytest.approx(1e-4, rel=1e-9)
    assumed = translate(ADAMW, to="sgd(momentum=0.9)")
    assert assumed.hyper.lr == pytest.approx(found.hyper.lr * 0.01, rel=2e-6)
    assert any("taken as 1" in note for note in assumed.notes)


def test_muon_has_one_size_with_the_option_that_was_made_for_it() -> None:
    found = translate(ADAMW, to="muon")
    assert found.rule.options["adjust_lr_fn"] == "match_rms_adamw"
    assert 1.0 < found.ratio < 1.5, "0.229 over 0.2 times the mean singular value"
    assert in_torch(f"torch.optim.Muon(params, lr={found.hyper.lr}, adjust_lr_fn='match_rms_adamw')", steps=60) == (
        pytest.approx(1e-3 * adams(0.9), rel=0.04)
    )


@pytest.mark.deep  # a program for each shape
def test_muon_as_it_was_published_needs_the_shape() -> None:
    with pytest.raises(ValueError, match=r"give shape=\(rows"):
        translate(ADAMW, to="muon()")
    shaped = translate(ADAMW, to="muon()", shape=[16, 256])  # type: ignore[arg-type]
    assert shaped.hyper.lr * shaped.hyper.weight_decay == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("spec", "given", "said"),
    [
        (ADAMW, {"to": "lamb"}, "lamb: no size of its updates to match"),
        (ADAMW, {"to": "adamax"}, "no time scale of its decay"),
        ("adam(lr=1e-3, weight_decay=0.1)", {"to": "lion"}, "no time scale of its decay to match"),
        (ADAMW, {"to": "rprop"}, "not in proportion to lr"),
        ("lion(lr=1e-3)", {"to": "signum", "gradient_rms": 0.1}, "gradient_rms=0.1: neither"),
        (ADAMW, {"to": "lion", "shape": (4, 4)}, "neither"),
        (ADAMW, {"to": "lino"}, "no rule named 'lino'"),
        (ADAMW, {"to": "optax.lion(optax.cosine_decay_schedule(1.0, 10))"}, "leave the schedule out"),
        ("clip_by_global_norm(sgd(lr=0.1), max_norm=1.0)", {"to": "adamw"}, "clipped"),
        (ADAMW, {"to": "optax.chain(optax.clip(0.01), optax.sgd(0.1))"}, r"sgd\(0.1\)\): .* is clipped"),
        ("adamw(lr=1e-3, maximize=True)", {"to": "lion"}, "give maximize=True to both"),
        (ADAMW, {"to": "torch.optim.AdamW(maximize=True)"}, "give maximize=True to both"),
        (ADAMW, {"to": "sgd", "gradient_rms": 0.0}, "gradient_rms=0.0: the size of a gradient is above 0"),
        ("adamw(lr=0.0, weight_decay=0.1)", {"to": "lion"}, "at lr=0 there are no updates to match"),
        ("optax.yogi(1e-3)", {"to": "lion"}, "none of our rules"),
    ],
)
def test_what_cannot_be_matched_is_refused(spec: str, given: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        translate(spec, **given)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="expected the text of an optimizer"):
        translate(ADAMW, to=rules.lion())  # type: ignore[arg-type]
    torch_lion = translate("keras.optimizers.Lion(1e-4, weight_decay=1.0)", to="torch.optim.AdamW")
    assert torch_lion.code.startswith("torch.optim.AdamW(params, lr=0.000435")


def test_schedule_and_clip_are_told() -> None:
    text = "optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(1e-3, 100), weight_decay=0.1))"
    said = " ".join(translate(text, to="lion").notes)
    assert "cosine_decay_schedule(init_value=0.00022941" in said
    assert "put the same around the new one" in said


def test_the_command_runs_both_on_the_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["translate", ADAMW, "--to", "lion", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    first, second = found["digits"]
    assert second["lr"] == pytest.approx(found["hyper"]["lr"])
    for one in (first, second):
        assert one["loss"] < 0.8 * one["first_loss"]
    assert 0.2 < second["update_rms"] / first["update_rms"] < 1.2, "gradients of the digits are no pure noise"
    assert run(["translate", ADAMW, "--to", "sgd", "--no-run"]) == 0
    out = capsys.readouterr().out
    assert "not an equivalence" in out
    assert "taken as 1" in out
    assert run(["translate", ADAMW, "--to", "muon", "--shape", "4by4"]) == 2
    assert "expected ROWSxCOLUMNS" in capsys.readouterr().err


def test_a_matrix_that_would_run_for_hours_is_refused():
    with pytest.raises(ValueError, match="too long for 16,777,216 entries; give a matrix of at most 16,384"):
        translate("adamw(lr=1e-3)", to="muon", shape=(4096, 4096))


@pytest.mark.parametrize(
    ("to", "named"),
    [
        ("lion(lr=0.5)", "lr"),
        ("optax.lion(0.5)", "lr"),
        ("sgd(weight_decay=3.0)", "weight_decay"),
        ("torch.optim.SGD(params, 0.1)", "lr"),
        ("optax.chain(optax.lion(learning_rate=0.5))", "learning_rate"),
        ("torch.optim.SGD(params, momentum=0.9)", ""),
    ],
)
def test_an_lr_of_the_other_is_said_to_count_for_nothing(to, named):
    said = [note for note in translate("adamw(lr=1e-3)", to=to).notes if "counts for nothing" in note]
    assert [note.partition(": ")[2].partition(" given")[0] for note in said] == [named] * bool(named)


@pytest.mark.parametrize(
    "to", ["keras.optimizers.Lion", "keras.optimizers.AdamW(1e-3)", "optax.lion", "torch.optim.SGD"]
)
def test_code_has_all_that_was_found(to):
    """An argument that is None by default is written all the same."""
    found = translate("torch.optim.AdamW(lr=1e-3, weight_decay=0.1)", to=to)
    assert found.hyper.weight_decay > 0
    assert read(found.code).hyper == found.hyper


@pytest.mark.parametrize(
    "to",
    [
        "keras.optimizers.SGD(momentum=0.9)",
        "optax.sgd",
        "optax.sign_sgd",
        "optax.chain(optax.clip(1.0), optax.sign_sgd(1.0))",
    ],
)
def test_what_has_no_place_in_the_code_is_refused(to):
    """With a SPEC that has one, which is what was looked for."""
    with pytest.raises(ValueError, match="nothing in it is the weight_decay") as refused:
        translate("torch.optim.AdamW(lr=1e-3, weight_decay=0.1)", to=to)
    nearest = str(refused.value).partition("Nearest: ")[2].removesuffix(" as one of ours")
    found = translate("torch.optim.AdamW(lr=1e-3, weight_decay=0.1)", to=nearest)
    assert read(nearest).hyper == found.hyper
    assert translate("torch.optim.AdamW(lr=1e-3, weight_decay=0.0)", to=to).hyper.weight_decay == 0


def test_a_scheduler_of_torch_is_told_without_the_old_optimizer():
    text = "torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.AdamW(lr=1e-3), T_max=10, eta_min=1e-5)"
    (note,) = (n for n in translate(text, to="lion").notes if "peak of its schedule" in n)
    assert "CosineAnnealingLR(optimizer, T_max=10, eta_min=2.29" in note
