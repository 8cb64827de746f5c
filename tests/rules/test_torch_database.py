"""Torch's own optimizer database: its configurations replay within the gate, its error cases are refused."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax.numpy as jnp
import pytest
import torch

import parity
from lrtheory import rules
from parity import table

from .torch_database import RULE_OF, Configuration, configurations, database, errors, translated

# What torch refuses about things that are not there: our rules have pytrees in place of lists and groups of tensors,
# and one implementation in place of several.
NOT_APPLICABLE = {
    "invalid param type": "params are a pytree: one array is one",
    "a param group cannot have duplicate parameters": "a pytree has no groups, and an array is a value, not an object",
    "duplicate parameters should not occur across param groups either": "a pytree has no groups",
    "all optimizer params should be with/without names": "every leaf of a pytree has its path",
    "all optimizer param groups should be with/without names.": "every leaf of a pytree has its path",
    "dense params required in param_groups": "a pytree has no groups",
    "lr as Tensor doesn't work with foreach & not capturable": "no foreach or capturable implementation to choose",
    "betas must be either both floats or both Tensors": "every number may be a float or an array by itself",
    r"betas\[0\] as a Tensor is not supported for capturable=False and foreach=True": "no foreach to choose",
}


@contextlib.contextmanager
def entry_named(description: str) -> Iterator[None]:
    """Which entry of an optimizer it was that failed."""
    try:
        yield
    except BaseException as failure:
        failure.add_note(f"entry {description!r} of the database")
        raise


@pytest.mark.parametrize("steps", [60, pytest.param(200, marks=pytest.mark.deep)])
@pytest.mark.parametrize("optimizer", sorted(RULE_OF))
def test_configurations_replay_within_the_gate(optimizer: str, steps: int) -> None:
    entries = [entry for entry in configurations()[0] if entry.optimizer == optimizer]
    assert entries
    # Some entries differ in how a number is given alone.
    for entry in {(str(entry.options), str(entry.numbers)): entry for entry in entries}.values():
        with entry_named(entry.description):
            # RAdam's first steps err by 1.1e-10/t² (below): little beside the reach of a long run alone.
            check_configuration(entry, 200 if optimizer == "RAdam" else steps)


def check_configuration(entry: Configuration, steps: int) -> None:
    """At a moving lr, which the database leaves out.

    RAdam's parameters with decay may be off by 2e-12 of the largest lr besides. Torch's 1 − beta2^t is off by half an ulp of 1, 1.1e-16, and its ρ_t by
    (2/(1 − beta2))²·1.1e-16/(2t) = 2.2e-10/t at beta2 = 0.999, which moves the rectifier √(t/2000) by 1.1e-10/t²
    relative: over all t ≥ 6 at most 2e-12 of a step of lr. Decay feeds it back, so that it is seen where a coordinate
    travels less than one such step, and in the averages as the penalty's share. Ours is exact to a few ulp (test_radam).
    """
    case = parity.Case(entry.rule, entry.options, entry.numbers, schedule=parity.LrSchedule("moving"), steps=steps)
    theirs = parity.replay(case, "torch")
    comparison = parity.compare(parity.replay(case, "lrtheory"), theirs)
    if entry.rule == "radam" and "weight_decay" in entry.numbers:
        of_parameter = 2e-12 * theirs.lrs.max()
        of_gradient = 0 if entry.options.get("decoupled") else entry.numbers["weight_decay"] * of_parameter
        for name, gradients in case.gradients().items():
            slack = {"": of_parameter, ".m": of_gradient, ".v": 2 * of_gradient * abs(gradients).max(axis=0)}
            for field, allowed in slack.items():
                ours, torchs = comparison.values[name + field]
                rounding = parity.GATES["float64"] * abs(ours).max(axis=0)
                assert (abs(ours - torchs) <= rounding + allowed).all(), name + field
                del comparison.relative[name + field]
    comparison.require(table.row(entry.rule).gate)


def test_every_optimizer_of_torch_is_here_or_left_out_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    found, left_out = configurations()
    here = {entry.optimizer for entry in found}
    assert {name for name, _, _ in left_out} == {"LBFGS"}
    in_torch = {
        name
        for name, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, torch.optim.Optimizer) and name != "Optimizer"
    }
    assert in_torch == here | {"LBFGS"}
    with capsys.disabled():
        print(f"\n{len(found)} configurations of {len(here)} torch optimizers replayed; left out:")
        for name, description, reason in left_out:
            print(f"  {name} ({description}): {reason}")


def test_translation_refuses_what_a_rule_does_not_have() -> None:
    with pytest.raises(KeyError, match="neither an option nor a number 'capturable'"):
        translated("Adam", {"capturable": True})


@pytest.mark.parametrize("optimizer", sorted(RULE_OF))
def test_what_torch_refuses_is_refused(optimizer: str) -> None:
    """The same arguments, with an error that names what was given; or a reason why there is nothing to refuse."""
    entries = [error.optimizer_error_input for name, error in errors() if name == optimizer]
    assert entries
    for entry in entries:
        with entry_named(entry.desc):
            if entry.desc not in NOT_APPLICABLE:
                check_refusal(optimizer, entry)


def check_refusal(optimizer: str, entry) -> None:  # type: ignore[no-untyped-def]
    if entry.desc in ("does not support complex parameters", "complex not supported"):
        rule = rules.get(RULE_OF[optimizer][0])()
        with pytest.raises(TypeError, match="complex"):
            rule.init({"w": jnp.ones((2, 2), jnp.complex64)})
        return
    if entry.desc == "dense params required":
        with pytest.raises(TypeError, match="indices has dtype int32; only real floating-point params"):
            rules.sparse_adam().init({"w": rules.SparseGradient.from_dense(jnp.ones(3))})
        return
    if entry.desc == "only support 2D parameters":
        with pytest.raises(ValueError, match=r"only takes matrices, but one parameter has shape \(2, 3, 4\)"):
            rules.muon().init({"w": jnp.ones((2, 3, 4))})
        return
    given = dict(entry.kwargs)
    with pytest.raises((ValueError, TypeError)) as refusal:
        stepped(optimizer, given)
    said = str(refusal.value)
    names = {*given, *translated(optimizer, given)[2]}
    assert any(name in said for name in names), f"the error names no argument: {said}"


def stepped(optimizer: str, arguments: dict) -> None:
    """One step of the rule with torch's arguments."""
    name, options, numbers = translated(optimizer, arguments)
    rule = rules.get(name)(**options)
    params = jnp.ones((2, 2))
    grads = rules.SparseGradient.from_dense(params) if rule.array_rule.sparse else params
    rule.step(rule.hyper(**numbers), params, rule.init(params), grads)


def test_good_arguments_are_not_refused() -> None:
    for optimizer in RULE_OF:
        stepped(optimizer, {})


def test_every_error_case_is_run_or_left_out_by_name() -> None:
    descriptions = {error.optimizer_error_input.desc for name, error in errors() if name in RULE_OF}
    assert set(NOT_APPLICABLE) <= descriptions, "a reason for a case that torch no longer has"
    assert len(descriptions - set(NOT_APPLICABLE)) >= 15
    assert {error.error_on for _, error in errors()} == {
        database().OptimizerErrorEnum.CONSTRUCTION_ERROR,
        database().OptimizerErrorEnum.STEP_ERROR,
    }
