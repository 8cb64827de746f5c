"""Nothing is called equal of which a part was not seen to act (R2), any class is diagnosed (R9, B7), and advice is new and least."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from parity import diagnose
from parity.diagnosis import Diagnosis

TORCH = "torch.optim.lr_scheduler."
OWN = "tests.diagnosis.own:"
MUON = "optax.contrib.muon(0.02{})"


def advice(now: Diagnosis) -> dict[str, object]:
    assert now.outcome == "settings", now.sentence
    assert (now.verified, now.residual) == ("run", pytest.approx(0, abs=1e-9))
    return {name: value for change in now.changes for name, value in (change.arguments or {}).items()}


@pytest.mark.parametrize(
    ("a", "b", "arguments"),
    [
        # R2: an end that is reached after 56,406 steps
        (
            "optax.exponential_decay(0.1, 1000, 0.96, end_value=0.01)",
            "optax.exponential_decay(0.1, 1000, 0.96)",
            {"end_value": None},
        ),
        (
            "optax.exponential_decay(0.1, 500, 1.01)",
            "optax.exponential_decay(0.1, 500, 1.01, end_value=0.5)",
            {"end_value": 0.5},
        ),
        # R2: what acts on tensors that are no matrices
        (MUON.format(", adam_learning_rate=1e-3"), MUON.format(""), {"adam_learning_rate": None}),
        # R9: what is advised is not there already
        (
            "optax.lamb(0.01, weight_decay=0.1, mask=False)",
            "optax.lamb(0.01, weight_decay=0.1)",
            {"mask": None},
        ),
        # R9: one change where one suffices
        (f"{TORCH}ConstantLR(lr=0.1)", f"{TORCH}ConstantLR(lr=0.1, factor=1.0)", {"factor": 1.0}),
        # what acts once in twenty steps
        (f"{OWN}Tenth(lazy=True)", f"{OWN}Tenth()", {"lazy": False}),
        # numbers of one's own class, and of a composition
        (f"{OWN}EpsInside(lr=0.1)", f"{OWN}EpsInside(lr=0.1, eps=1e-4)", {"eps": 1e-4}),
        (
            "optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))",
            "optax.chain(optax.clip_by_global_norm(2.0), optax.sgd(0.1))",
            {"max_norm": 2.0},
        ),
    ],
)
def test_an_argument_that_differs_is_told_by_its_name(a: str, b: str, arguments: dict[str, object]) -> None:
    assert advice(diagnose(a, b)) == arguments


def test_the_average_that_keras_puts_in_place_is_compared() -> None:
    """R2: after finalize_variable_values the weights are the average."""
    if find_spec("keras") is None:
        pytest.skip("Keras is not installed")
    plain = "keras.optimizers.Adam(0.1)"
    now = diagnose("keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.9)", plain)
    assert advice(now) == {"use_ema": False}
    assert now.first is not None
    assert now.first.tensor.endswith("(average)")
    assert diagnose(plain, plain).outcome == "same"
    beside = diagnose("keras.optimizers.SGD(0.1, use_ema=True)", "torch.optim.SGD(lr=0.1)")
    assert beside.outcome != "same"


@pytest.mark.parametrize(
    ("a", "b", "unseen"),
    [
        ("torch.optim.SGD(lr=0.1, dampening=0.3)", "torch.optim.SGD(lr=0.1)", "dampening=0.3"),
        ("torch.optim.SGD(lr=0.1, dampening=0.3)", "optax.sgd(0.1)", "dampening (0.3 and 0)"),
        (f"{OWN}Tenth(label='b')", f"{OWN}Tenth()", "label='b'"),
        ("optax.adamw(0.1, mask=False)", "torch.optim.Adam(lr=0.1)", "weight_decay"),
        ("optax.chain(optax.clip(1e9), optax.sgd(0.1))", "optax.chain(optax.clip(1e8), optax.sgd(0.1))", "max_delta"),
        (
            "optax.exponential_decay(0.1, 10000, 0.99, end_value=1e-9)",
            "optax.exponential_decay(0.1, 10000, 0.99)",
            "end_value",
        ),
    ],
)
def test_what_was_not_seen_to_act_is_named_and_nothing_is_called_equal(a: str, b: str, unseen: str) -> None:
    now = diagnose(a, b)
    assert now.outcome == "unseen", now.sentence
    assert any(unseen in name for name in now.unseen)
    assert "not seen to act" in now.sentence
    assert now.as_json()["unseen"] == list(now.unseen)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("torch.optim.Adam(lr=0.1, foreach=True)", "torch.optim.Adam(lr=0.1)"),
        ("torch.optim.SGD(lr=0.1, momentum=0.9)", f"{OWN}heavy(0.1)"),
        (f"{OWN}fixed()", "optax.adam(0.1)"),
        ("optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(1e-3))", "optax.adam(1e-3)"),
        ("constant_with_warmup(lr=0.1, warmup_steps=10)", "optax.warmup_constant_schedule(0.0, 0.1, 10)"),
        (
            f"{TORCH}CyclicLR(base_lr=0.1, max_lr=1.0, step_size_up=9, mode='triangular2')",
            "cyclic(base_lr=0.1, max_lr=1.0, step_size_up=9, mode='triangular2')",
        ),
    ],
)
def test_what_runs_alike_is_the_same(a: str, b: str) -> None:
    now = diagnose(a, b)
    assert (now.outcome, now.unseen) == ("same", ()), now.sentence


def test_an_lr_that_the_framework_refuses_is_not_that_of_the_other() -> None:
    """Only a scheduler of torch goes without one."""
    with pytest.raises(ValueError, match="Adam\\(lr=None\\) does not run"):
        diagnose("torch.optim.Adam(lr=None)", "torch.optim.Adam(lr=0.01)")


def test_a_class_of_ones_own_is_told_in_the_words_of_the_family_beside_it() -> None:
    """B7: `myopt:EpsInside(lr=0.1)` beside torch's Adam."""
    now = diagnose(f"{OWN}EpsInside(lr=0.1)", "torch.optim.Adam(lr=0.1)")
    assert now.sentence == (
        f"{OWN}EpsInside(lr=0.1) equals torch.optim.Adam(lr=0.1) with eps outside the root, which {OWN}EpsInside has no "
        "option for"
    )
    back = diagnose("torch.optim.Adam(lr=0.1)", f"{OWN}EpsInside(lr=0.1)")
    assert [(c.setting, c.a, c.b) for c in back.changes] == [("eps", "outside the root", "inside the root")]


def test_a_part_that_one_has_alone_is_named() -> None:
    clipped = "optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))"
    assert diagnose(clipped, "torch.optim.SGD(lr=0.1)").sentence == (
        f"{clipped} equals torch.optim.SGD(lr=0.1) without optax.clip_by_global_norm(1.0)"
    )
    assert diagnose("torch.optim.SGD(lr=0.1)", clipped).sentence == (
        f"torch.optim.SGD(lr=0.1) equals {clipped} with optax.clip_by_global_norm(1.0), which torch.optim.SGD has no option for"
    )
    accumulated = diagnose("optax.MultiSteps(optax.sgd(0.1), 2)", "optax.sgd(0.1)")
    assert accumulated.sentence.endswith("without optax.MultiSteps")


def test_a_scheduler_that_is_resumed_starts_elsewhere() -> None:
    now = diagnose(
        f"{TORCH}CosineAnnealingLR(T_max=50, last_epoch=5, lr=0.1)", f"{TORCH}CosineAnnealingLR(T_max=50, lr=0.1)"
    )
    assert advice(now) == {"last_epoch": -1}
    # A factor at each step goes on from the lr that is there, wherever it starts to count.
    still = diagnose(
        f"{TORCH}ExponentialLR(gamma=0.5, last_epoch=3, lr=0.1)", f"{TORCH}ExponentialLR(gamma=0.5, lr=0.1)"
    )
    assert (still.outcome, still.unseen) == ("unseen", ("last_epoch=3",))
