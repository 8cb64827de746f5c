"""Sound optimizers raise no false alarm: ours, torch's and optax's run clean, or fail as declared and for that reason."""

from __future__ import annotations

import pytest
from mutants import SOUND

import parity
from lrtheory import rules
from parity.conformance import EXPECTED
from parity.conformance.execute import prepare
from parity.conformance.expected import published_name

TORCH = [
    "ASGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LBFGS",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
    "SparseAdam",
]
OPTAX = [
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "adan",
    "amsgrad",
    "fromage",
    "lamb",
    "lars",
    "lbfgs",
    "lion",
    "nadam",
    "noisy_sgd",
    "novograd",
    "optimistic_adam",
    "radam",
    "rmsprop",
    "rprop",
    "sgd",
    "sign_sgd",
    "sm3",
    "yogi",
    "signum",
    "contrib.dadapt_adamw",
    "contrib.galore",
    "contrib.hutchinson_estimator_diag_hessian",
    "contrib.madgrad",
    "contrib.momo",
    "contrib.momo_adam",
    "contrib.muon",
    "contrib.normalize",
    "contrib.prodigy",
    "contrib.scale_by_galore",
    "contrib.scale_by_madgrad",
    "contrib.scale_by_muon",
    "contrib.schedule_free_adamw",
    "contrib.schedule_free_sgd",
    "contrib.simplified_ademamix",
    "contrib.sophia",
]
THIRD_PARTY = ("schedulefree.AdamWScheduleFree", "lion_pytorch.Lion")

#: One of each kind; a rule of ours that fails as declared; the others are deep.
IN_EVERY_RUN = {
    "torch.optim.NAdam",
    "optax.adam",
    "mutants.optimizers:HeavyBall",
    "mutants.transformations:heavy_ball",
    "asgd",
}

pytestmark = pytest.mark.usefixtures("checked_here")


def every_published():
    names = [*(f"torch.optim.{n}" for n in TORCH), *(f"optax.{n}" for n in OPTAX), *THIRD_PARTY]
    return sampled(names)


def sampled(names):
    return [pytest.param(name, marks=[] if name in IN_EVERY_RUN else pytest.mark.deep) for name in names]


@pytest.mark.parametrize("target", every_published())
def test_published_optimizer_is_clean_but_for_what_is_declared(target):
    report = parity.check(target)
    report.require()
    failing = {result.check for result in report.values() if result.status == "expected failure"}
    assert failing == set(EXPECTED.get(target, {}))


def test_declared_failures_are_of_targets_that_are_run():
    names = {param.values[0] for param in every_published()} | set(rules.names())
    assert set(EXPECTED) <= names


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.deep] * (i % 8 != 3)) for i, n in enumerate(EXPECTED)]
)
def test_declared_failures_are_under_the_name_that_a_target_has(name):
    assert published_name(prepare(name)) == name


@pytest.mark.parametrize("target", sampled(SOUND))
def test_what_controls_are_made_from_is_sound(target):
    parity.check(target, reference=SOUND[target], claims_law=True).require()


@pytest.mark.parametrize("name", sampled(rules.names()))
def test_our_own_rules_are_clean(name):
    report = parity.check(f"{name}({'lr=0.01' if 'lr' in rules.get(name)().Hyper._fields else ''})")
    report.require()
    failing = {result.check for result in report.values() if result.status == "expected failure"}
    assert failing == set(EXPECTED.get(name, {}))


def test_third_party_lion_is_our_lion():
    """With a reference that was named: lion-pytorch 0.2.5, betas (0.9, 0.99), against ours."""
    report = parity.check(
        "lion_pytorch.Lion(lr=0.001)", reference="lion(lr=0.001)", only=["reference", "step-bound", "scaling-law"]
    )
    report.require()
    assert [report[id].status for id in ("reference", "step-bound", "scaling-law")] == ["passed"] * 3
