"""What people change together: micro-batches, processes, tokens and length, each against runs that know nothing of the rules."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from lrtheory import rescale, rescale_schedule, rules, schedules, wrappers
from lrtheory.explaining import explain
from lrtheory.rescaling import Change
from lrtheory.theory.batch import mean_of_means
from lrtheory.theory.momentum import decay_time_scale

ADAMW = rules.adamw()


def trained(code: str, pieces: list[list[torch.Tensor]], how: str, dtype: torch.dtype = torch.float64) -> np.ndarray:
    """A linear network under the printed optimizer: each step's pieces are means, brought together by ``how``."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.nn.Parameter(torch.randn(4, generator=generator, dtype=dtype))
    optimizer = eval(code, {"torch": torch, "params": [weight]})
    path = []
    for step in pieces:
        optimizer.zero_grad()
        for rows in step:
            loss = (rows[:, :4] @ weight - rows[:, 4]).square().mean()
            (loss / len(step) if how == "mean" else loss).backward()
        optimizer.step()
        path.append(weight.detach().numpy().copy())
    return np.stack(path)


def data(steps: int) -> torch.Tensor:
    return torch.randn(steps, 16, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    "spec",
    [
        "torch.optim.SGD(lr=0.02, momentum=0.9, weight_decay=0.1)",
        "torch.optim.AdamW(lr=1e-2)",
        "torch.optim.Adam(lr=1e-2)",
    ],
)
def test_a_quarter_of_the_batch_four_times_is_the_same_run(spec: str) -> None:
    """Micro-batches that backward() adds up: the printed code trains in torch as the old one did on the whole batch."""
    found = explain(spec, batch=0.25, accumulation=4, accumulation_reduction="sum")
    assert found.exactness == "bitwise"
    whole = trained(explain(spec).code, [[x] for x in data(20)], "mean")
    np.testing.assert_allclose(trained(found.code, [list(x.split(4)) for x in data(20)], "sum"), whole, rtol=1e-11)
    unchanged = trained(explain(spec).code, [list(x.split(4)) for x in data(20)], "sum")
    assert np.max(np.abs(unchanged - whole)) > 1e-9
    kept = explain(spec, batch=0.25, accumulation=4, accumulation_reduction="mean")
    np.testing.assert_allclose(trained(kept.code, [list(x.split(4)) for x in data(20)], "mean"), whole, rtol=1e-11)
    assert kept.code == explain(spec).code


@pytest.mark.parametrize("rule", [rules.sgd(), rules.adam(), rules.adamw(), rules.lion()], ids=repr)
def test_parts_compose(rule) -> None:
    """Three ways to have eight times the examples are one, and each sum is a loss scale on top of it."""
    hyper = rule.hyper(lr=1e-3, weight_decay=0.1)
    for reduced in ("mean", "sum"):
        whole = rescale(rule, hyper, batch=8, reduction=reduced)
        for parts in ({"accumulation": 8}, {"world_size": 8}, {"batch": 2, "accumulation": 2, "world_size": 2}):
            found = rescale(rule, hyper, **parts, reduction=reduced)
            assert found.hyper == pytest.approx(whole.hyper, rel=1e-14)
            assert (found.exactness, found.method) == (whole.exactness, whole.method)
    mixed = rescale(rule, hyper, loss=3, batch=2, reduction="sum", world_size=4, world_reduction="mean")
    assert mixed.hyper == pytest.approx(rescale(rule, hyper, loss=6, batch=8, reduction="mean").hyper, rel=1e-14)
    assert any("world_reduction" in n for n in rescale(rule, hyper, world_size=4).notes), "what is assumed is said"


@pytest.mark.parametrize(("length", "batch"), [(4.0, 1.0), (0.5, 1.0), (1.0, 8.0), (3.0, 5.0)])
@pytest.mark.parametrize("method", ["sde", "sqrt", "linear", "half-life"])
@pytest.mark.filterwarnings("ignore::lrtheory.rescaling.BatchRuleWarning")
def test_decay_is_held_over_the_run(length: float, batch: float, method: str) -> None:
    """What decay alone leaves of a weight at the end of the run, step by step."""
    hyper = ADAMW.hyper(lr=1e-3, weight_decay=0.3)
    how = {"batch": batch, "method": method} if batch != 1 else {}
    new = rescale(ADAMW, hyper, **how, length=length, hold="decay").hyper

    def left(hyper, steps: float) -> float:
        w, state = jnp.ones(()), ADAMW.init(jnp.ones(()))
        moved = ADAMW.step(hyper, w, state, jnp.zeros(()))[0]
        return steps * math.log1p(float(moved) - 1)

    assert left(new, 1000 * length / batch) == pytest.approx(left(hyper, 1000), rel=2e-3)
    assert new.lr * new.weight_decay == pytest.approx(hyper.lr * hyper.weight_decay * batch / length, rel=1e-12)


def test_coupled_decay_of_sgd_is_held_with_its_momentum() -> None:
    """Memory and lr change with the batch; the slowest root of the recursion is what counts."""
    rule = rules.sgd()
    hyper = rule.hyper(lr=1e-6, momentum=0.99, weight_decay=0.05)
    new = rescale(rule, hyper, batch=4, method="sde", length=3, hold="decay").hyper
    assert decay_time_scale(rule, new) == pytest.approx(decay_time_scale(rule, hyper) * 3 / 4, rel=2e-3)
    assert new.momentum == pytest.approx(0.96)


@pytest.mark.parametrize(("rule", "method"), [(rules.sgd(), "sqrt"), (rules.sgd(), "linear"), (ADAMW, "sde")], ids=repr)
@pytest.mark.filterwarnings("ignore::lrtheory.rescaling.BatchRuleWarning")
@pytest.mark.parametrize(("batch", "length"), [(4.0, 2.0), (1.0, 3.0)])
def test_the_share_that_decay_drifts_to_is_that_of_the_run(rule, method: str, batch: float, length: float) -> None:
    """It was 1/length whatever the batch made of lr."""
    hyper = rule.hyper(lr=1e-4, weight_decay=0.1)
    found = rescale(rule, hyper, batch=batch, method=method if batch != 1 else None, length=length, reduction="mean")
    share = decay_time_scale(rule, found.hyper) / (length / batch) / decay_time_scale(rule, hyper)
    said = [note for note in found.notes if "share of the run" in note]
    if abs(share - 1) < 0.01:
        assert said == []
    else:
        (note,) = said
        assert float(re.search(r"([\d.]+) times the share", note)[1]) == pytest.approx(share, rel=0.01)  # type: ignore[index]
        assert ("keeps its time scale" in note) == (batch == 1)


def test_schedule_and_decay_of_a_run_three_times_as_long_in_a_batch_six_times_as_large() -> None:
    spec = "optax.adamw(optax.cosine_decay_schedule(1e-3, 1000), weight_decay=0.1)"
    found = explain(spec, length=3, batch=6, hold="decay")
    assert [level.t for level in found.schedule_after] == [0, 0, 500]
    numbers = {n.name: n.becomes for n in found.numbers}
    assert numbers["lr"] == pytest.approx(1e-3 * 6**0.5)
    assert numbers["lr"] * numbers["weight_decay"] == pytest.approx(1e-4 * 6 / 3)
    assert "decay_steps=500" in found.code
    longer = explain(spec, length=3)
    assert "decay_steps=3000" in longer.code
    assert any("hold='decay'" in note for note in longer.notes)


def test_length_alone_moves_what_counts_the_steps_of_the_run() -> None:
    """The lr of a longer run at the same share of it, by the rule's own effective lr."""
    for rule, given in ((rules.adagrad(), {"lr_decay": 0.25}), (rules.adam(), {})):
        hyper = rule.hyper(lr=0.5, **given)
        longer = rescale(rule, hyper, length=4)
        assert longer.hyper.lr == hyper.lr
        assert longer.exactness == "heuristic"
        assert getattr(longer.hyper, "lr_decay", 0) == given.get("lr_decay", 0) / 4
    asgd = rules.asgd()
    assert rescale(asgd, asgd.hyper(t0=100.0), length=4).hyper.t0 == 400
    annealed = schedules.cosine_annealing(lr=0.1, T_max=100)
    assert float(rescale_schedule(annealed, length=2)(100)) == pytest.approx(float(annealed(50)))


@pytest.mark.parametrize("tokens", [(512, 1024, 256), (7, 7), (1, 1000), (3, 5, 9, 11, 2)])
def test_mean_of_means_against_the_mean_over_all(tokens: tuple[int, ...]) -> None:
    """In fractions, and the noise by drawing tokens."""
    factors, noise = mean_of_means(tokens)
    total, count = sum(tokens), len(tokens)
    shares = [Fraction(1, count * n) / Fraction(1, total) for n in tokens]
    assert factors == pytest.approx([float(share) for share in shares], rel=1e-15)
    variance = sum(n * Fraction(1, count * n) ** 2 for n in tokens) / (total * Fraction(1, total) ** 2)
    assert noise == pytest.approx(float(variance), rel=1e-14)
    rng = np.random.default_rng(0)
    means = [rng.standard_normal(n) for n in tokens]
    repaired = np.mean([part.mean() / factor for part, factor in zip(means, factors, strict=True)])
    assert repaired == pytest.approx(np.concatenate(means).mean(), rel=1e-12)


@pytest.mark.parametrize("made", [tuple, list, np.array, jnp.array])
def test_tokens_are_told_and_change_nothing_else(made) -> None:
    found = explain("adamw(lr=1e-3)", tokens=made([512, 1024, 256]))
    assert found.as_json()["change"]["tokens"] == (512, 1024, 256)
    assert {n.becomes == n.value for n in found.numbers} == {True}
    said = " ".join(found.notes)
    assert "512: 1.167, 1024: 0.5833, 256: 2.333" in said
    assert "1.361 times the variance" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reduction": "sum"}, "reduction='sum' is about another batch"),
        ({"reduction": "sum", "loss": 8, "world_size": 2, "world_reduction": "mean"}, "reduction='sum' is about"),
        ({"accumulation_reduction": "sum"}, "accumulation_reduction='sum'"),
        ({"world_reduction": "mean", "batch": 2}, "world_reduction='mean'"),
        ({"world_size": 2, "world_reduction": "max"}, "world_reduction='max'"),
        ({"world_size": 0}, "world_size=0"),
        ({"length": -1}, "length=-1"),
        ({"hold": "lr", "length": 2}, "hold='lr'"),
        ({"hold": "decay"}, "another batch or length"),
        ({"method": "sde"}, "method='sde'"),
        ({"method": "sde", "batch": 2, "world_size": 0.5}, "method='sde'"),
        ({"tokens": (512,)}, "tokens=(512,)"),
        ({"tokens": (512, 0)}, "0 is no number of tokens"),
        ({"length": 2, "hold": "decay"}, "no weight decay to hold"),
    ],
)
def test_what_would_do_nothing_is_refused_by_name(change: dict, said: str) -> None:
    rule = rules.adam()
    with pytest.raises(ValueError, match=re.escape(said)):
        rescale(rule, rule.hyper(), **change)


def test_decay_without_a_time_scale_and_two_accumulations_are_refused() -> None:
    coupled = rules.adam()
    with pytest.raises(ValueError, match=r"hold='decay'.*divided by the gradient's size"):
        rescale(coupled, coupled.hyper(weight_decay=0.1), length=2, hold="decay")
    twice = wrappers.accumulate(rules.adam(), every=4)
    with pytest.raises(ValueError, match="accumulates by itself, over 4 calls"):
        rescale(twice, twice.hyper(), accumulation=2)
    with pytest.raises(ValueError, match="accumulation=2: it accumulates by itself"):
        explain("optax.MultiSteps(optax.adam(1e-3), every_k_schedule=4)", accumulation=2)
    with pytest.raises(TypeError, match="no argument 'word_size'"):
        explain("adam()", word_size=2)
    with pytest.raises(TypeError, match="given"):
        explain("adam()", Change(), world_size=2)
    with pytest.raises(ValueError, match="no rule for another length"):
        explain("optax.yogi(1e-3)", length=2)
    for change in ({"tokens": (1, 2)}, {"batch": 2, "reduction": "sum"}, {"batch": 2, "method": "sde"}):
        with pytest.raises(ValueError, match="is a schedule"):
            explain("optax.cosine_decay_schedule(0.1, 100)", **change)
    with pytest.raises(ValueError, match="method='sde' is about another batch"):
        explain("optax.yogi(1e-3)", method="sde")
    assert "decay_steps=50" in explain("optax.cosine_decay_schedule(0.1, 100)", length=2, world_size=4).code


def test_decay_is_held_under_a_schedule_whatever_its_peak() -> None:
    found = explain("optax.adamw(optax.cosine_decay_schedule(1e-4, 100), weight_decay=1.0)", length=2, hold="decay")
    assert "weight_decay=0.5" in found.code


def test_tensors_with_factors_take_the_rest_of_the_change_too() -> None:
    hyper = ADAMW.hyper(lr=1e-3, weight_decay=0.1)
    found = rescale(ADAMW, hyper, params={"B": 4.0}, world_size=4, length=2, hold="decay", world_reduction="mean")
    whole = rescale(ADAMW, hyper, params=4.0, batch=4, length=2, hold="decay", reduction="mean")
    assert found.hyper["B"] == pytest.approx(whole.hyper)
