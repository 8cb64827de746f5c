"""What is explained: the answer run in PyTorch, facts against runs, and the page."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch

from lrtheory import port, rules
from lrtheory.cli.app import run
from lrtheory.dims.target import infer_target
from lrtheory.explaining import explain
from lrtheory.explaining.explanation import formula_of
from lrtheory.explaining.facts import facts
from lrtheory.explaining.trained import GRADIENTS, effective_lrs
from lrtheory.rescaling import Change

SPEC = "torch.optim.Adam(lr=1e-3)"


def trained(code: str, loss: float, batch: int, steps: int) -> np.ndarray:
    """A small network under torch with the printed optimizer: weights after each step."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    optimizer = eval(code, {"torch": torch, "params": model.parameters()})
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 6, generator=generator, dtype=torch.float64)
    y = x.prod(dim=1, keepdim=True) + torch.randn(64, 1, generator=generator, dtype=torch.float64)
    path = []
    for step in range(steps):
        rows = torch.arange(step * batch, (step + 1) * batch) % 64
        optimizer.zero_grad()
        (loss * torch.nn.functional.mse_loss(model(x[rows]), y[rows])).backward()
        optimizer.step()
        path.append(torch.cat([p.detach().ravel() for p in model.parameters()]).numpy().copy())
    return np.stack(path)


def test_adam_under_loss_128_and_batch_4_does_in_torch_what_is_claimed() -> None:
    """The loss scale bit for bit, alone and on top of the batch; each is another run without its numbers."""
    alone = explain(SPEC, Change(loss=128))
    assert alone.exactness == "bitwise"
    assert "eps=1.28e-06" in alone.code
    plain = trained(explain(SPEC).code, 1, 4, 30)
    np.testing.assert_array_equal(trained(alone.code, 128, 4, 30), plain)
    assert np.any(trained(explain(SPEC).code, 128, 4, 30) != plain)

    batch, both = explain(SPEC, Change(batch=4)), explain(SPEC, Change(loss=128, batch=4))
    assert both.exactness == "statistical"
    larger = trained(batch.code, 1, 16, 30)
    np.testing.assert_array_equal(trained(both.code, 128, 16, 30), larger)
    assert np.any(trained(batch.code, 128, 16, 30) != larger)
    assert both.code == "torch.optim.Adam(params, lr=0.002, betas=(0.6, 0.996), eps=6.4e-07)"


def test_sgd_on_a_sum_over_a_larger_batch_in_torch() -> None:
    """κ times the batch and a sum: the printed numbers train as the mean with κ times the lr."""
    code = explain("torch.optim.SGD(lr=0.01)", Change(batch=4, reduction="sum")).code
    assert code == "torch.optim.SGD(params, lr=0.01)"
    mean = explain("torch.optim.SGD(lr=0.04)", Change(batch=4)).code
    np.testing.assert_allclose(trained(code, 16, 16, 20), trained(mean, 1, 16, 20), rtol=1e-12)


@pytest.mark.parametrize("name", rules.names())
def test_effective_lr_and_facts_of_every_rule_are_said(name: str) -> None:
    rule = rules.get(name)()
    hyper = rule.hyper(**({"lr": 0.1} if "lr" not in rule.Hyper._field_defaults else {}))
    rows, reason = effective_lrs(rule, hyper)
    assert [row.gradient for row in rows] == list(GRADIENTS)
    assert all(np.isfinite(row.first) for row in rows)
    assert (reason is None) == (rows[0].steady is not None)
    said = {fact.name: fact for fact in facts(rule, hyper)}
    assert {"gain under momentum", "largest step of a coordinate", "largest stable curvature"} <= set(said)
    for fact in said.values():
        assert len(fact.said) > 5
        assert not fact.said.startswith(repr(rule))


def test_first_effective_lr_is_the_measured_step() -> None:
    """By hand: Adam lr/(|g| + eps), RMSprop lr/(√(1−α)|g| + eps), SGD lr."""
    for rule, expected in (
        (rules.adam(), lambda g: 1e-3 / (g + 1e-8)),
        (rules.rmsprop(), lambda g: 1e-3 / (0.1 * g + 1e-8)),
        (rules.sgd(), lambda g: 1e-3),
    ):
        rows, _ = effective_lrs(rule, rule.hyper(lr=1e-3))
        assert [row.first for row in rows] == pytest.approx([expected(g) for g in GRADIENTS], rel=1e-9)


def test_known_figures_are_on_the_page() -> None:
    said = {fact.name: fact for fact in explain("adamw(lr=1e-3, weight_decay=0.1)").facts}
    assert said["largest stable curvature"].value == pytest.approx(19 * (2000 - 0.1))
    assert said["largest step of a coordinate"].value == pytest.approx(7.27e-3, rel=1e-3)
    assert said["time scale of weight decay"].value == pytest.approx(1e4, rel=1e-3)
    assert said["memory of beta2"].value == pytest.approx(1000)
    assert said["eps dominates"].value == 1e-8
    heavy = {fact.name: fact.value for fact in explain("torch.optim.SGD(lr=0.1, momentum=0.9)").facts}
    assert heavy["gain under momentum"] == pytest.approx(10)
    assert heavy["largest stable curvature"] == pytest.approx(38)


def test_facts_follow_the_change() -> None:
    found = explain("torch.optim.SGD(lr=0.1)", Change(loss=2))
    before, after = ({f.name: f.value for f in some} for some in (found.facts, found.facts_after))
    assert after["largest stable curvature"] == 2 * before["largest stable curvature"]


@pytest.mark.parametrize("name", rules.names())
def test_formula_of_every_rule_reads_without_latex(name: str) -> None:
    from lrtheory.explaining.latex import readable

    text = readable(formula_of(rules.get(name)()))
    assert text.count("\n") >= 1
    assert not re.search(
        r"[\\{}&]|frac|cdot|begin|quad", text.replace("{>, <, =}", "").replace("{eta_plus, eta_minus, 1}", "")
    )


def test_what_is_no_rule_has_units_and_the_change_of_loss() -> None:
    found = explain("optax.rmsprop(1e-3, eps=1e-8)", Change(loss=4))
    assert found.code == "optax.rmsprop(learning_rate=0.001, eps=1.6e-07)"
    assert found.exactness == "bitwise"
    assert not found.facts
    assert any("not known" in note for note in found.notes)
    with pytest.raises(ValueError, match="Nearest"):
        explain("optax.rmsprop(1e-3)", Change(batch=2))
    with pytest.raises(ValueError, match=r"_tree_math.py:\d+. Nearest") as error:
        explain("optax.yogi(1e-3)", Change(loss=2))
    assert "site-packages" not in str(error.value)


def test_a_chain_that_is_no_rule_has_units_too() -> None:
    found = explain("optax.chain(optax.clip_by_global_norm(1.0), optax.adagrad(1e-2))", Change(loss=4))
    assert found.code == (
        "optax.chain(optax.clip_by_global_norm(max_norm=4.0), "
        "optax.adagrad(learning_rate=0.01, initial_accumulator_value=1.6, eps=1.6e-06))"
    )
    found = explain(
        "optax.chain(optax.scale_by_adam(eps=1e-8), optax.scale_by_adam(), optax.scale(-0.5))", Change(params=2)
    )
    assert {n.name: n.becomes for n in found.numbers}["1.eps"] == 5e-9
    assert found.code.endswith("optax.scale(step_size=-1.0))")


PAGE = """\
torch.optim.SGD(lr=0.5, momentum=0.5)  is  sgd()

    g ← g + weight_decay · p
    bufferₜ = momentum · bufferₜ₋₁ + (1 - dampening) · g   buffer₁ = g
    weightₜ = momentum · weightₜ₋₁ + (1 - dampening)   weight₁ = 1
    p ← p - lr · bufferₜ   (nesterov: p - lr · (g + momentum · bufferₜ))

effective lr of a parameter of one entry, whose gradient stays the same

    |g|   first step   settled   moves by, settled
 ──────────────────────────────────────────────────
      1          0.5         1                   1
  0.001          0.5         1               0.001
  1e-06          0.5         1               1e-06
"""
ANSWER = """\
loss ×4, params ×2

  hyperparameter  is   units             loss ×α   params ×c     becomes
 ───────────────────────────────────────────────────────────────────────
  lr            0.5   [param]²/[loss]   ÷ α       × c²        unchanged
  momentum      0.5   1                 ·         ·           unchanged
  dampening       0   1                 ·         ·           unchanged
  weight_decay    0   [loss]/[param]²   × α       ÷ c²        unchanged
"""


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_page_in_the_terminal(capsys) -> None:
    assert run(["explain", "torch.optim.SGD(lr=0.5, momentum=0.5)", "--loss-scale", "4", "--param-scale", "2"]) == 0
    out = lines(capsys.readouterr().out)
    assert out[: len(lines(PAGE))] == lines(PAGE)
    start = out.index("loss ×4, params ×2")
    answer = [line for line in out[start : start + len(lines(ANSWER))] if "─" not in line]
    assert [line.split() for line in answer] == [line.split() for line in lines(ANSWER) if "─" not in line]
    assert out[-1] == "torch.optim.SGD(params, lr=0.5, momentum=0.5)"


def test_json_is_all_of_stdout(capsys) -> None:
    assert run(["explain", SPEC, "--loss-scale", "128", "--batch-scale", "4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["code"].endswith("eps=6.4e-07)")
    assert (told["change"]["reduction"], told["change"]["reduction_assumed"]) == ("mean", True)
    assert {n["name"]: n["becomes"] for n in told["numbers"]}["beta1"] == 0.6


def test_wrong_family_warns_on_the_page(capsys) -> None:
    assert run(["explain", SPEC, "--batch-scale", "4", "--method", "linear"]) == 0
    assert "warning: the linear rule is derived" in capsys.readouterr().out


def test_what_torch_refuses_on_a_cpu_alone_is_read() -> None:
    """People who capture a step in a CUDA graph write ``capturable=True``."""
    spec = "torch.optim.AdamW(lr=1e-3, capturable=True)"
    found = explain(spec, loss=8.0)
    assert found.exactness == "bitwise"
    assert "in float64, not capturable: the same bit for bit" in found.notes[-1]
    assert found.code == "torch.optim.AdamW(params, lr=0.001, eps=8e-08, capturable=True)"
    assert infer_target(spec).verdict == "proven"
    assert port.config(spec, to="optax").code.startswith("optax.adamw(")


@pytest.mark.parametrize(
    "spec", ["adam(lr=0)", "adam(lr=float('inf'))", "optax.set_to_zero()", "optax.adamw(optax.constant_schedule(0.0))"]
)
def test_bitwise_is_not_said_of_runs_in_which_nothing_moved(spec: str) -> None:
    """Two runs that stand still, or are nan, are alike whatever the law is; B6 is one of them."""
    found = explain(spec, loss=8.0)
    assert found.exactness == "exact"
    assert "no parameter moved to a finite value" in found.notes[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([SPEC, "--loss-scale", "0"], "loss=0.0"),
        ([SPEC, "--batch-scale", "10"], "Nearest"),
        (["torch.optim.RAdam", "--loss-scale", "2"], "no law with a constant lr"),
        (["clip_by_global_norm(sgd(lr=0.1), max_norm=1.0)", "--loss-scale", "2"], "torch adds 1e-6"),
        (["torch.optim.Adam(fused=True, foreach=True)", "--batch-scale", "2"], "cannot be `True` together"),
        (["nothing(lr=1)"], "no rule named 'nothing'"),
        (["optax.nothing(1e-3)"], "optax has no 'nothing'"),
        (["optax.chain(optax.clip(1.0), optax.yogi(1e-3))", "--loss-scale", "2"], "has no law of scale"),
        (["optax.chain(optax.clip(1.0), optax.sgd(rate))"], "learning_rate=rate is not evaluated"),
    ],
)
def test_refusals_are_one_line_and_exit_2(arguments: list[str], words: str, capsys) -> None:
    assert run(["explain", *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
