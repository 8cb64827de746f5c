"""``capturable=True`` of torch on a CPU: refused by every optimizer that has it, but by those that are fused."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch

import parity
from parity import table
from parity.drivers.in_torch import takes_capturable

PAGE = (Path(__file__).parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
OPTIMIZERS = {
    name: kind
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
}


def has(name: str, argument: str) -> bool:
    return argument in inspect.signature(OPTIMIZERS[name]).parameters


CAPTURABLE = sorted(name for name in OPTIMIZERS if has(name, "capturable"))


def stepped(name: str, **arguments: bool) -> torch.Tensor:
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    optimizer = OPTIMIZERS[name]([p], lr=0.1, **arguments)
    for size in (1.0, -0.3):
        p.grad = size * torch.tensor([1.0, 0.5, -2.0])
        optimizer.step()
    return p.detach()


def test_which_have_the_argument() -> None:
    assert CAPTURABLE == ["ASGD", "Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop"]


@pytest.mark.parametrize("foreach", [False, True], ids=["loop", "foreach"])
@pytest.mark.parametrize("name", CAPTURABLE)
def test_a_step_on_a_cpu_is_refused(name: str, foreach: bool) -> None:
    """When this fails, torch takes it on a CPU: then the matrix compares it, and docs/rules.md must say so."""
    with pytest.raises(
        AssertionError, match=r"If capturable=True, params.* must be on supported devices: \["
    ) as refused:
        stepped(name, foreach=foreach, capturable=True)
    assert "'cpu'" not in str(refused.value)


@pytest.mark.parametrize("name", [name for name in CAPTURABLE if has(name, "fused")])
def test_a_fused_step_takes_it_and_is_the_same(name: str) -> None:
    """Nothing is checked there, and nothing changes."""
    assert torch.equal(stepped(name, fused=True, capturable=True), stepped(name, fused=True))


def test_the_page_has_torchs_own_message() -> None:
    with pytest.raises(AssertionError) as refused:
        stepped("Adam", capturable=True)
    assert str(refused.value) in " ".join(PAGE.split())


def test_every_rule_that_has_it_is_refused_in_the_matrix() -> None:
    rules = [rule for rule in table.known_rules() if takes_capturable(rule)]
    assert len(rules) == len(CAPTURABLE) - 1  # Adam and AdamW are one rule
    for rule in rules:
        with pytest.raises(parity.Refused, match="If capturable=True"):
            parity.replay(parity.Case(rule, steps=8), "torch-capturable")
