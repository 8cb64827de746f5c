"""A wrapped and scheduled optimizer is shown as what it is, and an answer is called what it was seen to be."""

from __future__ import annotations

import io
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rich.console import Console

from lrtheory.cli.explain import tell
from lrtheory.explaining import beside, explain
from lrtheory.rescaling import Change


def moved(code: str, gradient: float, steps: int) -> float:
    """How far optax moves a parameter of one entry in its last step, over the gradient."""
    made = eval(code, {"optax": optax})
    with jax.enable_x64(True):
        params: Any = {"w": jnp.ones(1)}
        state, g, before = made.init(params), {"w": jnp.full(1, gradient)}, params
        update = jax.jit(made.update)
        for _ in range(steps):
            updates, state = update(g, state, params)
            before, params = params, optax.apply_updates(params, updates)
        return float((before["w"] - params["w"])[0]) / gradient


WRAPPED = [  # R1, A3
    "optax.chain(optax.clip_by_global_norm(0.2), optax.sgd(1e-4))",
    "optax.chain(optax.clip(0.2), optax.sgd(1e-4))",
    "optax.chain(optax.clip_by_global_norm(0.1), optax.sgd(1.0))",
    "optax.chain(optax.clip(0.01), optax.sgd(0.5, momentum=0.9))",
    "optax.chain(optax.clip_by_global_norm(0.0), optax.sgd(0.1))",
    "optax.chain(optax.clip_by_global_norm(5e-4), optax.scale_by_adam(), optax.scale(-0.1))",
    "optax.sgd(optax.linear_schedule(0.1, 1.0, 10))",
    "optax.sgd(optax.cosine_decay_schedule(0.1, 10))",
    "optax.adam(optax.warmup_cosine_decay_schedule(0.0, 3e-4, 10, 100))",
    "optax.sgd(optax.piecewise_constant_schedule(0.1, {10: 10.0, 60: 0.01}), momentum=0.5)",
]


@pytest.mark.parametrize("text", WRAPPED)
def test_effective_lr_is_what_optax_moves_by(text: str) -> None:
    found = explain(text)
    for row in found.effective[:2]:
        assert row.first == pytest.approx(moved(text, row.gradient, 1), rel=1e-6, abs=1e-15)
        last = row.last if found.schedule else row.steady
        assert last == pytest.approx(moved(text, row.gradient, 400), rel=1e-6, abs=1e-15)


def test_a_clip_bounds_the_step_of_a_linear_rule() -> None:
    facts = {f.name: f.value for f in explain(WRAPPED[0]).facts}
    assert facts["largest step of a coordinate"] == pytest.approx(2e-5)
    assert {f.name: f.value for f in explain(WRAPPED[3]).facts}["largest step of a coordinate"] == pytest.approx(0.05)
    coupled = explain("optax.chain(optax.clip(0.2), optax.add_decayed_weights(0.1), optax.sgd(1e-4))")
    assert {f.name: f.value for f in coupled.facts}["largest step of a coordinate"] is None


def test_figures_hold_at_the_peak_of_a_schedule() -> None:
    found = explain("optax.sgd(optax.piecewise_constant_schedule(0.1, {100: 10.0, 1000: 0.01}))")
    assert [(level.t, level.lr) for level in found.schedule] == [(0, 0.1), (100, 1.0), (1000, pytest.approx(0.01))]
    assert {f.name: f.value for f in found.facts}["largest stable curvature"] == pytest.approx(2)


def test_accumulation_and_masks_are_said() -> None:
    assert any("every 4 calls" in note for note in explain("optax.MultiSteps(optax.sgd(0.1), 4)").notes)
    off = explain("optax.chain(optax.add_decayed_weights(5e-4, mask=False), optax.sgd(0.1, momentum=0.9))")
    assert any("nothing decays" in note for note in off.notes)
    assert {f.name: f.said for f in off.facts}["time scale of weight decay"].startswith("none")
    on = explain("optax.adamw(1e-3, weight_decay=0.1, mask=decay_mask)", Change(params=2))
    assert any("its mask picks: decay_mask" in note for note in on.notes)
    assert on.code == "optax.adamw(learning_rate=0.002, weight_decay=0.05, mask=decay_mask, eps=5e-09)"


@pytest.mark.parametrize(
    ("text", "change", "code"),
    [
        ("torch.optim.Adam(lr=1e-4, betas=(0.0, 0.9))", Change(loss=8), "torch.optim.Adam(params, lr=0.0001, betas=(0.0, 0.9), eps=8e-08)"),  # B2
        ("optax.chain(optax.clip_by_global_norm(1), optax.scale_by_adam(), optax.scale(-1))", Change(params=2),
         "optax.chain(optax.clip_by_global_norm(max_norm=0.5), optax.scale_by_adam(eps=5e-09), optax.scale(step_size=-2.0))"),  # A7
        ("optax.chain(optax.clip(1), optax.adam(1, eps_root=1e-3))", Change(loss=8),
         "optax.chain(optax.clip(max_delta=8.0), optax.adam(learning_rate=1, eps_root=0.064, eps=8e-08))"),  # A7
        ("lion_pytorch.Lion(0.5)", Change(params=4), "lion_pytorch.Lion(params, lr=2.0)"),  # R4
    ],
)  # fmt: skip
def test_code_of_an_answer(text: str, change: Change, code: str) -> None:
    pytest.importorskip(text.partition(".")[0])  # without it "bitwise" is not said: it was not seen
    found = explain(text, change)
    assert found.code == code
    assert found.exactness == "bitwise"
    assert any("the same bit for bit" in note for note in found.notes)
    assert explain(code).code  # what is printed is read again


def test_bitwise_is_said_of_what_was_seen_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert explain("adam(lr=1e-3)", Change(loss=8)).exactness == "bitwise"
    assert explain("optax.adamw(1e-3, mask=decay_mask)", Change(loss=8)).exactness == "exact"  # it cannot be run
    plain = beside.run
    monkeypatch.setattr(
        beside,
        "run",
        lambda text, *a, **k: {n: p * (1 + 1e-15 * ("8e" in text)) for n, p in plain(text, *a, **k).items()},
    )
    assert explain("adam(lr=1e-3)", Change(loss=8)).exactness == "exact"
    monkeypatch.setattr(
        beside,
        "run",
        lambda text, *a, **k: {n: p * (1 + 1e-3 * ("8e" in text)) for n, p in plain(text, *a, **k).items()},
    )
    with pytest.raises(ValueError, match="no answer"):
        explain("adam(lr=1e-3)", Change(loss=8))


@pytest.mark.parametrize(
    ("text", "change", "words"),
    [  # C5, C7
        ("adagrad(initial_accumulator_value=0.1)", Change(loss=1e200), "beyond floating-point"),
        ("adam(lr=0.1)", Change(loss=1e-320), "eps"),
        ("adam(beta2=0.9999999999999999)", Change(batch=4), "outside"),
        ("lars()", Change(params=1e-300), "beyond floating-point"),
        ("optax.cosine_decay_schedule(0.1, 100)", Change(loss=2), "is a schedule"),
        ("keras.optimizers.Ftrl(1e-3)", Change(), "none of our rules; of Keras"),
    ],
)  # fmt: skip
def test_extremes_are_refused_in_words(text: str, change: Change, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        explain(text, change)
    assert text.partition("(")[0] in str(error.value)


def test_odd_numbers_do_not_break_the_page() -> None:
    assert {f.name: f.said for f in explain("adam(lr=0, beta2=0)").facts}[
        "largest step of a coordinate"
    ] == "not known for these numbers"
    assert explain("rmsprop(eps=1e300, momentum=0.9999999999999999)", Change(batch=4)).facts_after


@pytest.mark.parametrize("width", [40, 60, 72, 80, 95, 120])
def test_nothing_vanishes_on_a_narrow_page(width: int) -> None:
    """A4: every figure of the page of 200 columns, to six digits, is on a narrow one."""
    found = explain("torch.optim.AdamW(lr=3e-4, weight_decay=0.1)", Change(batch=8))

    def words(width: int) -> str:
        written = io.StringIO()
        tell(Console(width=width, file=written), found)
        return "".join(written.getvalue().split())

    narrow = words(width)
    assert "…" not in narrow
    for number in found.numbers:
        assert f"{number.value:.6g}" in narrow
        assert f"{number.becomes:.6g}" in narrow
    for fact in found.facts:
        assert "".join(fact.said.split())[:30] in narrow
        assert "".join(fact.law.split()) in narrow
    for row in found.effective:
        assert f"{row.steady:.6g}" in narrow
        assert np.isfinite(row.first)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("torch.optim.Adam(params, foreach=True, fused=True)", "cannot be `True` together"),
        ("torch.optim.Adadelta(params, fused=True)", "no argument 'fused'"),
        ("optax.inject_hyperparams(optax.lion)(0.1, mu_dtype=jax.numpy.float64)", "cannot be run: unhashable type"),
        ("torch.optim.lr_scheduler.ReduceLROnPlateau(torch.optim.Adam(params))", "follows a metric"),
        (
            "torch.optim.lr_scheduler.LambdaLR(torch.optim.Adam(params), lr_lambda=f)",
            "lr_lambda=f): f is not evaluated",
        ),
    ],
)
def test_what_its_own_framework_refuses_is_refused_in_its_words(text: str, words: str) -> None:
    pytest.importorskip(text.partition(".")[0])
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        explain(text, Change(loss=8.0))
    assert str(error.value).startswith(text)


def test_what_is_not_installed_is_read_all_the_same(monkeypatch) -> None:
    """Only the run beside the old is missing, and the answer says so."""
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it raises ModuleNotFoundError
    said = str(explain("torch.optim.Adam(lr=1e-4)", Change(loss=8.0)).as_json())
    assert "eps=8e-08" in said
    assert "torch is not installed" in said


def test_a_differentiable_step_is_run_too() -> None:
    pytest.importorskip("torch")
    found = explain("torch.optim.AdamW(params, lr=0.2, differentiable=True)", Change(loss=8.0))
    assert any("the same bit for bit" in note for note in found.notes)
