"""Differences that a narrow dtype or a missing gradient makes, planted and measured without the diagnosis."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from lrtheory.spec.text import SpecError
from parity import diagnose
from parity.diagnosis import FAMILIES, Family, fit, implementation
from parity.diagnosis.narrow import ARRAYS, HYPER, KEPT, LR, POWERS, SINGLE, narrowed
from parity.diagnosis.probe import Path, Probe

jnp = pytest.importorskip("jax.numpy")
optax = pytest.importorskip("optax")


def first_update(optimizer: Any, dtype: str) -> Any:
    params = jnp.ones(3, dtype)
    return optimizer.update(jnp.full_like(params, 0.3), optimizer.init(params), params)[0]


@pytest.mark.parametrize("make", [optax.sgd, optax.adam])
def test_the_dtype_of_optax_lr_is_that_of_its_update_in_bfloat16(make: Any) -> None:
    """google-deepmind/optax#1405, measured as it is."""
    assert first_update(make(0.1), "bfloat16").dtype == "bfloat16"
    assert (
        first_update(make(jnp.asarray(0.1)), "bfloat16").dtype == "bfloat16"
    )  # made of a Python number, it stays weak
    for lr in (np.float32(0.1), np.float64(0.1), jnp.float32(0.1)):
        assert first_update(make(lr), "bfloat16").dtype == "float32"
        np.testing.assert_array_equal(first_update(make(lr), "float32"), first_update(make(0.1), "float32"))


def test_injected_hyperparameters_make_adam_nan_in_bfloat16() -> None:
    """google-deepmind/optax#1532, measured as it is: b2 = 0.999 is 1 in bfloat16."""
    injected = optax.inject_hyperparams(optax.adam)
    assert np.isnan(np.asarray(first_update(injected(0.1), "bfloat16"), np.float64)).all()
    assert np.isfinite(np.asarray(first_update(injected(0.1, b2=0.99), "bfloat16"), np.float64)).all()
    plain, shifted = (np.float64(first_update(one(0.1), "float32")[0]) for one in (optax.adam, injected))
    assert abs(shifted / plain - 1) == pytest.approx(6.85e-6, rel=0.02)  # half of what rounding 1 − 0.999 is off
    assert abs(shifted / -0.1 - 1) < 2e-7 < abs(plain / -0.1 - 1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["sgd", "adam"])
def test_turned_switches_of_a_narrow_dtype_are_found(family: str, dtype: str) -> None:
    member = narrowed(FAMILIES[family], dtype)
    numbers = {"lr": 0.1, "momentum": 0.9} if family == "sgd" else {"lr": 0.1}
    planted = [{HYPER: ARRAYS}]
    if family == "adam" and dtype == "float32":
        planted += [{POWERS: SINGLE}]
    if family == "sgd" and dtype == "bfloat16":
        planted = [{LR: KEPT}]
    probe = member.probe()
    for switches in planted:
        now = fit(member, member.run(numbers, member.base | switches, probe), probe, numbers, member.base)
        assert now.exact
        assert {k: v for k, v in now.switches.items() if v != member.base[k]} in (switches, {})
        assert now.switches != member.base or dtype == "float32"


@pytest.mark.parametrize(
    ("name", "way", "bitwise"),
    [
        ("SGD", "foreach", True),
        ("Adam", "foreach", True),
        ("Adam", "fused", False),
        ("NAdam", "foreach", False),
        ("RAdam", "foreach", False),
    ],
)
def test_which_of_torch_implementations_are_the_loop_bit_by_bit(name: str, way: str, bitwise: bool) -> None:
    now = diagnose(
        f"torch.optim.{name}(lr=0.1, {way}=True)", f"torch.optim.{name}(lr=0.1, foreach=False)", dtype="float32"
    )
    assert now.outcome == "same"
    assert now.size == 0 or not bitwise  # the others may be on some processors: a fused kernel contracts where it can
    assert now.size <= 4 * 2.0**-23
    assert now.sentence.startswith("no difference beyond " if now.size else "no difference: ")


def skipping(sound: Family, numbers: dict[str, float]) -> Any:
    """A run that begins at each tensor's first gradient that is there, one tensor at a time."""

    def run(given: Any, probe: Probe) -> Path:
        path = {}
        for name, gradients in probe.gradients.items():
            gone = probe.absent.get(name, 0)
            alone = Probe({name: probe.start[name]}, {name: gradients[gone:]}, probe.factors[gone:])
            moved = sound.run(numbers, sound.base, alone)[name]
            path[name] = np.concatenate([moved[:1]] * gone + [moved])
        return path

    return run


@pytest.mark.parametrize(
    "text", ["sgd(lr=0.1, momentum=0.9, dampening=0.4)", "sgd(lr=0.1, weight_decay=0.1)", "adam(lr=0.1)"]
)
def test_a_tensor_that_waits_for_its_gradient_is_told(text: str) -> None:
    sound = implementation(text)
    broken = replace(sound, text="the lazy one", follow=skipping(FAMILIES[sound.words.family], sound.numbers()))
    now = diagnose(sound, broken, missing=True)
    assert {change.setting: change.b for change in now.changes} == {"missing gradient": "is skipped"}
    assert now.sentence == (
        f"{text} equals the lazy one with a tensor left alone until its first gradient, which {sound.name} has no option for"
    )
    assert diagnose(sound, broken).outcome == "same"  # which is why it has to be asked for


def test_an_injected_optimizer_is_read_from_its_text() -> None:
    one = implementation("optax.inject_hyperparams( optax.adamw )(0.1, weight_decay=0.2)")
    assert (one.name, one.words.family) == ("optax.inject_hyperparams(optax.adamw)", "adam")
    assert one.numbers()["weight_decay"] == 0.2


@pytest.mark.parametrize(
    ("a", "b", "asked", "message"),
    [
        ("rmsprop(lr=0.1)", "optax.rmsprop(0.1)", {"dtype": "float32"}, "all others in float64 alone"),
        ("adam(lr=0.1)", "optax.adam(0.1)", {"dtype": "float8"}, "there are float64, float32, bfloat16"),
        ("keras.optimizers.Adam(0.1)", "adam(lr=0.1)", {"dtype": "float32"}, "Keras is diagnosed in float64 alone"),
        (
            "step(lr=0.1, step_size=3)",
            "step(lr=0.1, step_size=3)",
            {"missing": True},
            "no gradient that could be missing",
        ),
        ("optax.adam(numpy.pi)", "adam(lr=0.1)", {}, "numpy.pi is not evaluated"),
        ("optax.adam(numpy.float32(numpy.pi))", "adam(lr=0.1)", {}, "is not evaluated"),
        ("optax.adam(os.getpid(1))", "adam(lr=0.1)", {}, "is not evaluated"),
    ],
)
def test_what_cannot_be_asked_is_refused(a: str, b: str, asked: dict[str, Any], message: str) -> None:
    if "keras" in a and find_spec("keras") is None:
        pytest.skip("Keras is not installed")
    with pytest.raises(SpecError, match=message):
        diagnose(a, b, **asked)
