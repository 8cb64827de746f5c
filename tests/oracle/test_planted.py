"""An oracle with one operation wrong is noticed: every operation of every definition, one at a time."""

from __future__ import annotations

import ast
import copy
import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from oracle_cases import CASES, with_another

import parity
from parity import oracle
from parity.oracle import Definition
from parity.oracle.definition import uphill

#: What replaces an operation.
WRONG = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}


def planted(rule: str) -> Iterator[tuple[str, Definition]]:
    """The definition with one operation replaced, and the text of the line it stands in."""
    sound = oracle.definition(rule)
    step = inspect.unwrap(sound.step)
    tree = ast.parse(textwrap.dedent(inspect.getsource(step)))
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.decorator_list = []
    places = [n for n in ast.walk(function) if isinstance(n, ast.BinOp) and type(n.op) in WRONG]
    assert places, f"{rule} has nothing to break"
    for index in range(len(places)):
        changed = copy.deepcopy(tree)
        node = [n for n in ast.walk(changed) if isinstance(n, ast.BinOp) and type(n.op) in WRONG][index]
        before = ast.unparse(node)
        node.op = WRONG[type(node.op)]()
        scope = dict(vars(sys.modules[step.__module__]))
        exec(compile(ast.fix_missing_locations(changed), f"<{rule} with {before} wrong>", "exec"), scope)
        yield before, replace(sound, step=uphill(scope[step.__name__]))


@pytest.mark.parametrize("rule", [rule for rule in oracle.defined() if rule != "muon"])
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_every_wrong_operation_is_noticed(rule: str) -> None:
    cases = [case for case in CASES if case.rule == rule]
    cases.sort(key=lambda c: bool(c.options.get("maximize")))
    missed = []
    for what, definition in planted(rule):
        if not any(notices(case, definition) for case in cases):
            missed.append(what)
    assert not missed


def notices(case: parity.Case, definition: Definition) -> bool:
    try:
        truth = oracle.replay(case, definition_=definition).rounded()
    except (TypeError, ArithmeticError, ValueError, IndexError):
        return True  # it no longer computes anything
    with np.errstate(all="ignore"):
        return parity.compare(truth, with_another(case)).largest_error > 1e-11
