"""SPECs of Keras: read as the rule that Keras runs, or refused by what keeps it from being one (R5)."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lrtheory.compiling import quickly_compiled
from lrtheory.explaining import explain
from lrtheory.explaining.beside import run
from lrtheory.names.keras import NAMES
from lrtheory.rescaling import Change
from lrtheory.spec import read

os.environ.setdefault("KERAS_BACKEND", "jax")
pytest.importorskip("keras")
SAME = [
    "SGD(0.1, momentum=0.9, nesterov=True)", "SGD(0.1, clipvalue=0.1)", "SGD(clipnorm=0.1)", "Adam(epsilon=1e-30)",
    "AdamW(epsilon=1e-30)", "Adam(weight_decay=0.1, amsgrad=True, epsilon=1e-30, global_clipnorm=0.1)", "Nadam()",
    "RMSprop(epsilon=0.0, momentum=0.9, centered=True)", "Adagrad(epsilon=0.0)", "Adadelta()", "Adamax(epsilon=1e-30)",
    "Lion(weight_decay=0.1)", "Lamb(epsilon=0.1)", "ScheduleFreeAdamW(epsilon=1e-3)", "Adafactor(relative_step=False, epsilon_1=0.0)",
]  # fmt: skip


def names(text: str) -> str:
    return f"keras.optimizers.{text}"


def test_every_class_is_run_below() -> None:
    assert {name.optimizer for name in NAMES.values()} <= {text.partition("(")[0] for text in SAME}


@pytest.mark.parametrize("text", SAME)
def test_a_spec_is_the_rule_that_keras_runs(text: str) -> None:
    reading, shapes = read(names(text)), {"matrix": (4, 3), "vector": (5,)}
    theirs = run(names(text), shapes)
    start = {n: p[0] for n, p in theirs.items()}
    rng = np.random.default_rng(0)  # the stream of run
    for shape in shapes.values():
        rng.standard_normal(shape)
    sizes = {n: 10.0 ** rng.uniform(-8, 1, s) for n, s in shapes.items()}
    near = 1e-7 if "Adafactor" in text else 1e-12  # Keras takes the root mean square of the parameters in float32
    with jax.enable_x64(True):
        step = quickly_compiled()(lambda p, s, g: reading.rule.step(reading.hyper, p, s, g))
        params = {n: jnp.asarray(p) for n, p in start.items()}
        state = reading.rule.init(params)
        for t in range(1, len(theirs["vector"])):
            grads = {
                n: jnp.asarray(rng.standard_normal(s) * sizes[n] * 10.0 ** rng.uniform(-1, 1))
                for n, s in shapes.items()
            }
            params, state = step(params, state, grads)
            for n, p in params.items():
                np.testing.assert_allclose(p, theirs[n][t], rtol=near, atol=near * np.abs(theirs[n] - start[n]).max())


@pytest.mark.parametrize(
    "text", [*SAME, "Adam(keras.optimizers.schedules.CosineDecay(0.1, 10, warmup_target=0.2, warmup_steps=3))"]
)
def test_the_code_for_another_loss_was_run_in_keras(text: str) -> None:
    found = explain(names(text), Change(loss=8.0, params=2.0))
    assert found.exactness == "bitwise"
    assert any("the same bit for bit" in note for note in found.notes)
    assert read(found.code).text == found.code


def test_where_keras_adds_eps_is_seen_in_the_effective_lr_of_the_first_step() -> None:
    for g, row in zip((1.0, 1e-3, 1e-6), explain(names("Adam(0.1, epsilon=1e-4)")).effective, strict=True):
        root = np.sqrt(0.001) * g  # of v after one step
        assert row.first == pytest.approx(0.1 * np.sqrt(0.001) / (root + 1e-4), rel=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("RMSprop()", "inside the root"),
        ("Adafactor(relative_step=False)", "epsilon_1 to the squares"),
        ("Adafactor(epsilon_1=0.0)", "relative_step=True"),
        ("Ftrl()", "none of our rules"),
        ("SGD(weight_decay=0.1)", "apart from the gradient"),
        ("Adam(use_ema=True)", "use_ema=True"),
        ("Adam(gradient_accumulation_steps=4)", "gradient_accumulation_steps=4"),
        ("Adam(clipnorm=1.0, clipvalue=0.5)", "Keras refuses it: Only one of"),
        ("Adam(weight_decy=0.1)", "did you mean 'weight_decay'"),
    ],
)
def test_what_is_another_rule_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        explain(names(text))
    assert names(text) in str(error.value)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({}, "jax"), pytest.param({"KERAS_BACKEND": "torch"}, "torch", marks=pytest.mark.deep)],
)
def test_the_environment_is_as_it_was_and_a_chosen_backend_is_kept(chosen, expected, tmp_path) -> None:
    """In a process of its own: a SPEC of Keras is no choice of a backend for whoever starts another process."""
    code = """
import os, jax
before = dict(os.environ)
import lrtheory
text = "keras.optimizers.Adam(keras.optimizers.schedules.PolynomialDecay(0.1, 20, end_learning_rate=0.01))"
print(round(lrtheory.explain(text).schedule[2].lr, 9))
changed = {name for name, _ in set(os.environ.items()) ^ set(before.items())}
assert changed <= {"TF_CPP_MIN_LOG_LEVEL"}, changed  # jax's own
import keras
print(keras.backend.backend())
"""
    plain = {n: v for n, v in os.environ.items() if not n.startswith(("KERAS", "TF_"))} | {"KERAS_HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=plain | chosen)
    assert run.stdout.split() == ["0.01", expected], run.stderr
