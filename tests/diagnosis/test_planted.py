"""Planted differences are recovered, and what is no difference of settings is not called one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutants import MUTANTS, Mutant

from lrtheory.spec.text import SpecError
from parity import diagnose
from parity.diagnosis import FAMILIES, WORDS, Family, fit, implementation
from parity.diagnosis.probe import distance
from parity.diagnosis.schedules import ScheduleFamily

#: What each of the mutants has otherwise than the sound rule.
PLANTED: dict[str, dict[str, float | str]] = {
    "adam: eps inside the root": {"eps": "inside the root"},
    "adam: no bias correction of m": {"bias correction of the first moment": "no"},
    "adam: no bias correction of v": {"bias correction of the second moment": "no"},
    "adam: bias correction one step behind": {
        "bias correction of the first moment": "one step behind",
        "bias correction of the second moment": "one step behind",
    },
    "adam: betas swapped": {"betas": "swapped"},
    "adam: beta of v slightly off": {"beta2": 0.99 + 1e-6},
    "adamw: coupled decay": {"weight decay": "added to the gradient"},
    "adamw: decay without lr": {"weight decay": "beside the update, without lr"},
    "adamw: no decay": {"weight_decay": 0.0},
    "adam: sign of maximize": {"sign": "down"},
    "adam: amsgrad forgets the maximum": {"largest second moment": "none"},
    "sgd: first gradient damped": {"first gradient": "enters damped"},
    "sgd: no dampening": {"dampening": 0.0},
    "sgd: look-ahead where none was asked": {"look-ahead": "Nesterov's"},
    "sgd: sign of maximize": {"sign": "down"},
    "rmsprop: eps inside the root": {"eps": "inside the root"},
    "rmsprop: lr inside the buffer": {"lr": "inside the buffer"},
    "rmsprop: not centred": {"centred": "no"},
    "rmsprop: sign of maximize": {"sign": "down"},
}


@pytest.mark.parametrize("mutant", [m for m in MUTANTS if m.name in PLANTED], ids=lambda m: m.name)
def test_a_broken_rule_is_told_by_what_is_broken(mutant: Mutant) -> None:
    from lrtheory import rules

    sound = implementation(rules.get(mutant.case.rule)(**mutant.case.options), **mutant.case.numbers)
    broken = implementation(mutant.rule(), **mutant.case.numbers)
    now = diagnose(sound, replace(broken, text="the broken rule"))
    assert now.outcome == "settings", now.sentence
    told = {change.setting: change.b for change in now.changes}
    expected = PLANTED[mutant.name]
    assert set(told) == set(expected)
    for setting, value in expected.items():
        assert told[setting] == (pytest.approx(value) if isinstance(value, float) else value)


def test_every_mutant_of_these_rules_is_planted() -> None:
    assert {m.name for m in MUTANTS if m.case.rule in ("sgd", "adam", "rmsprop")} == set(PLANTED)


ELEMENTWISE = [
    name
    for name, family in sorted(FAMILIES.items())
    if not isinstance(family, ScheduleFamily) and name not in ("muon", "adafactor")
]


@st.composite
def members(draw: st.DrawFn) -> tuple[Family, dict[str, float], dict[str, str], dict[str, str]]:
    family = FAMILIES[draw(st.sampled_from(ELEMENTWISE))]
    numbers = {
        "lr": draw(st.sampled_from([0.3, 0.01])),
        "weight_decay": 0.03,
        "momentum": 0.7,
        "eps": draw(st.sampled_from([1e-8, 1e-3])),
    }
    numbers = {k: v for k, v in numbers.items() if k in family.numbers}
    start = {name: draw(st.sampled_from(values)) for name, values in family.switches.items() if name != "sign"}
    end = dict(start)
    for name in draw(st.lists(st.sampled_from(sorted(start)), min_size=1, max_size=2, unique=True)):
        end[name] = draw(st.sampled_from([v for v in family.switches[name] if v != start[name]]))
    sign = {"sign": "down"} if "sign" in family.switches else {}
    return family, numbers, start | sign, end | sign


@given(members())
def test_turned_switches_are_found_from_the_path_alone(member: Any) -> None:
    """At most two turned: the member that is found runs along the path and is no farther from the start than planted."""
    family, numbers, start, end = member
    probe = family.probe()
    path = family.run(numbers, end, probe)
    now = fit(family, path, probe, numbers, start)
    if not all(np.isfinite(p).all() for p in path.values()):
        return
    assert now.exact
    turned = [name for name in family.switches if now.switches[name] != start[name]]
    assert len(turned) <= sum(end[name] != start[name] for name in end)
    assert distance(family.run(now.numbers, now.switches, probe), path) <= 1e-9


@pytest.mark.parametrize(
    ("family", "number", "value"),
    [
        ("adam", "beta2", 0.9987),
        ("adam", "weight_decay", 0.02),
        ("rmsprop", "initial", 0.37),
        ("adagrad", "lr_decay", 0.123),
    ],
)
def test_a_number_that_nobody_states_is_solved_for(family: str, number: str, value: float) -> None:
    member = FAMILIES[family]
    probe = member.probe()
    path = member.run({"lr": 0.1, number: value}, member.base, probe)
    now = fit(member, path, probe, {"lr": 0.1}, member.base)
    assert now.exact
    assert now.numbers[number] == pytest.approx(value, rel=1e-6)


def test_what_no_setting_explains_is_said_so() -> None:
    sound = implementation("adam(lr=0.1)")

    def cubed(given: Any, probe: Any) -> Any:
        return {name: np.cbrt(values) for name, values in sound.follow(given, probe).items()}

    now = diagnose(sound, replace(sound, text="something else", follow=cubed))
    assert now.outcome == "unknown"
    assert not now.changes
    assert now.first is not None
    assert "no setting makes adam(lr=0.1) and something else agree" in now.sentence
    assert "Nearest is its family with" in now.sentence
    other = diagnose("adam(lr=0.1)", "rmsprop(lr=0.1)")
    assert other.outcome == "unknown"
    assert "one is of the family of adam, the other of rmsprop" in other.sentence


def test_a_setting_that_does_not_do_what_its_name_says_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's word is not enough where the first implementation can be given the setting: it is run with it."""
    sound = WORDS["optax.rmsprop"]
    options = {**sound.options} | {("eps", "outside the root"): {"eps_in_sqrt": True}}
    monkeypatch.setitem(WORDS, "optax.rmsprop", replace(sound, options=options))
    now = diagnose("optax.rmsprop(0.01)", "torch.optim.RMSprop(lr=0.01)")
    assert (now.outcome, now.verified) == ("unknown", "run")
    assert now.residual > 1e-3
    assert "says the model, but so it is" in now.sentence


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optax.adam(foo=1)", "has no argument 'foo'; it has learning_rate"),
        ("torch.optim.Adam(lr=-1.0)", "does not run: ValueError: Invalid learning rate: -1.0"),
        ("adam(0.1)", "takes arguments by name"),
        ("adam(lr=-0.1)", "outside"),
        ("sparse_adam(lr=1.0)", "takes sparse gradients"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("(", r"\(").replace(")", r"\)")):
        diagnose(text, "adam(lr=0.1)")
