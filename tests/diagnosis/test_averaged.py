"""Rules that average their parameters: what was found is measured without the diagnosis, and planted differences are told."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from lrtheory.spec.text import SpecError
from parity import diagnose
from parity.diagnosis import implementation
from parity.diagnosis.probe import Path, Probe

AVERAGE = "vector (average)"
ASGD = {"lr": 0.1, "lambd": 0.01, "t0": 5.0}


def averaged_sgd(probe: Probe, *, lag: int, late: int) -> Path:
    """Bottou's averaged SGD: its lr comes ``lag`` steps behind, its averaging begins ``late`` steps after t0; torch has 1 and 1."""
    w = a = probe.start["vector"]
    path, averages = [w], [a]
    for t, g in enumerate(probe.gradients["vector"]):
        lr = ASGD["lr"] * probe.factors[max(t - lag, 0)]
        eta = lr * (1 + ASGD["lambd"] * lr * t) ** -0.75
        w = w - eta * (ASGD["lambd"] * w + g)
        mu = 1 / max(1.0, t + 1 - late - ASGD["t0"])
        a = mu * w + (1 - mu) * a
        path.append(w)
        averages.append(a)
    return {"vector": np.stack(path), AVERAGE: np.stack(averages)}


@pytest.mark.parametrize("name", ["torch.optim.ASGD", "asgd"])
@pytest.mark.parametrize(
    ("lag", "late", "told"),
    [
        (1, 1, {}),
        (0, 1, {"lr of": "this step"}),
        (1, 0, {"average": "starts at t0"}),
        (0, 0, {"lr of": "this step", "average": "starts at t0"}),
    ],
)
def test_asgd_obeys_a_new_lr_one_step_late(name: str, lag: int, late: int, told: dict[str, str]) -> None:
    one = implementation(f"{name}(lr=0.1, lambd=0.01, t0=5)")
    book = replace(one, text="the textbook", follow=lambda given, probe: averaged_sgd(probe, lag=lag, late=late))
    now = diagnose(one, book)
    assert {change.setting: change.b for change in now.changes} == told
    assert now.outcome == ("settings" if told else "same")


def test_plain_sgd_is_read_as_asgd_without_decay_and_sgd_with_momentum_is_not() -> None:
    now = diagnose("sgd(lr=0.1, maximize=True)", "asgd(lr=0.1, lambd=0)")
    assert {c.setting: c.arguments for c in now.changes} == {"lr of": None, "sign": {"maximize": False}}
    other = diagnose("sgd(lr=0.1, momentum=0.9)", "asgd(lr=0.1, lambd=0)")
    assert (other.outcome, other.changes) == ("unknown", ())
    assert "one is of the family of sgd, the other of asgd" in other.sentence


def torch_asgd(start: np.ndarray, gradients: np.ndarray, **given: Any) -> np.ndarray:
    torch = pytest.importorskip("torch")
    p = torch.nn.Parameter(torch.tensor(start))
    optimizer, path = torch.optim.ASGD([p], lr=0.1, **given), [start]
    for g in gradients:
        p.grad = torch.tensor(g)
        optimizer.step()
        path.append(p.detach().numpy().copy())
    return np.stack(path).astype(np.float64)


def test_torch_asgd_foreach_parts_from_the_loop_by_where_lambd_decays() -> None:
    """In float32, measured as it is: by ulp of the parameter, which may be many of how far it has come; without lambd by none."""
    rng = np.random.default_rng(0)
    start, gradients = rng.standard_normal(1000), rng.standard_normal((200, 1000))
    start, gradients = start.astype(np.float32), gradients.astype(np.float32)

    def apart(lambd: float) -> tuple[np.ndarray, np.ndarray]:
        loop, foreach = (torch_asgd(start, gradients, lambd=lambd, foreach=way) for way in (False, True))
        return np.abs(loop - foreach) * 2.0**23, loop

    assert np.all(apart(0.0)[0] == 0)
    gap, loop = apart(1e-4)
    steps = np.arange(len(loop))[:, None]
    largest = np.maximum.accumulate(np.abs(loop))
    assert np.all(
        gap <= 4 * steps * largest
    )  # eight half ulp a step: the loop rounds thrice, foreach twice, and eta is rounded
    travel = np.abs(loop - start).max(0)
    assert (gap / travel).max() > 30
    now = diagnose(
        "torch.optim.ASGD(lambd=0, foreach=True)", "torch.optim.ASGD(lambd=0, foreach=False)", dtype="float32"
    )
    assert [change.setting for change in now.changes] == ["moving the average"]


def test_optax_weighs_an_iterate_with_the_lr_of_the_next_step() -> None:
    """Measured as it is: the state says so after one step."""
    jnp, optax = pytest.importorskip("jax.numpy"), pytest.importorskip("optax")
    for make in (optax.contrib.schedule_free_sgd, optax.contrib.schedule_free_adamw):
        optimizer = make(lambda count: jnp.asarray([1.0, 3.0])[count])
        params = jnp.ones(1)
        state = optimizer.init(params)
        _, state = optimizer.update(jnp.ones(1), state, params)
        assert float(state.weight_sum) == 9.0
        assert float(state.z[0]) == pytest.approx(0.0, abs=1e-5)  # one step of lr 1


def test_keras_weighs_iterates_evenly_and_keeps_no_average() -> None:
    if find_spec("keras") is None:
        pytest.skip("keras is not installed")
    from parity.drivers.in_keras import load_keras

    keras = load_keras()
    optimizer = keras.optimizers.ScheduleFreeAdamW(1.0, beta_1=0.5, beta_2=0.0, epsilon=0.0)
    variable = keras.Variable(np.ones(1, np.float32))
    optimizer.build([variable])
    for lr in (1.0, 3.0):
        optimizer.learning_rate = lr
        optimizer.apply([np.full(1, 2.0, np.float32)], [variable])
    z1, z2 = 0.0, -3.0  # from 1, by lr against the sign
    assert [float(v.value[0]) for v in optimizer.variables if v.name.endswith("momentum")] == [z2]
    assert float(variable.value[0]) == (z2 + (z1 + z2) / 2) / 2  # by squares of lr: (z2 + (z1 + 9·z2)/10)/2
    assert {v.name.rsplit("_", 1)[-1] for v in optimizer.variables} == {"iteration", "rate", "momentum", "velocity"}


@pytest.mark.parametrize("text", ["schedule_free_sgd(lr=0.1)", "schedulefree.AdamWScheduleFree(lr=0.1)"])
def test_evaluation_at_the_parameters_is_told(text: str) -> None:
    if text.startswith("schedulefree"):
        pytest.importorskip("schedulefree")
    sound = implementation(text)

    def at_the_parameters(given: Any, probe: Probe) -> Path:
        return {name: values for name, values in sound.follow(given, probe).items() if name != AVERAGE}

    told = diagnose(sound, replace(sound, text="the plain one", follow=at_the_parameters))
    assert {change.setting: change.b for change in told.changes} == {"evaluation": "at the parameters"}
    assert told.first is not None
    assert told.first.tensor == AVERAGE


def test_parameters_that_agree_do_not_hide_another_average() -> None:
    sound = implementation("asgd(lr=0.1)")

    def wrong(given: Any, probe: Probe) -> Path:
        path = sound.follow(given, probe)
        return path | {AVERAGE: path[AVERAGE] * (1 + 1e-3)}

    told = diagnose(sound, replace(sound, text="the wrong one", follow=wrong))
    assert told.outcome == "unknown"
    assert told.first is not None
    assert told.first.tensor == AVERAGE


@pytest.mark.parametrize(
    ("a", "b", "arguments"),
    [
        ("schedulefree.SGDScheduleFree(lr=0.1)", "schedulefree.SGDScheduleFree(lr=0.1, r=1, warmup_steps=4)", None),
        (
            "schedule_free_adamw(lr=0.1)",
            "schedulefree.AdamWScheduleFree(lr=0.1, betas=(0.8, 0.99), weight_lr_power=1.5)",
            {"beta1": 0.8, "beta2": 0.99, "weight_lr_power": 1.5},
        ),
    ],
)
def test_arguments_that_differ_are_told(a: str, b: str, arguments: dict[str, Any] | None) -> None:
    pytest.importorskip("schedulefree")
    now = diagnose(a, b)
    assert (now.outcome, now.verified) == ("settings", "run")
    told = {name: value for change in now.changes for name, value in (change.arguments or {}).items()}
    assert told == (arguments or {"r": 1, "warmup_steps": 4})


def test_warm_up_that_makes_a_schedule_is_refused() -> None:
    pytest.importorskip("optax")
    with pytest.raises(SpecError, match="warmup_steps=… is diagnosed as 0 alone"):
        diagnose("optax.contrib.schedule_free_sgd(0.1, warmup_steps=3)", "schedule_free_sgd(lr=0.1)")
