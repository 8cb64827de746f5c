"""A ``lambda`` of plain arithmetic in one count of steps, which is computed here and never by Python."""

from __future__ import annotations

import ast
import functools
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .text import SpecError, Unread, is_number, power, short

_OPERATIONS: Mapping[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (abs, min, max, round, int, float)},
    **{f"math.{f.__name__}": f for f in (math.sqrt, math.exp, math.log, math.cos, math.sin, math.floor, math.ceil)},
}
_CONSTANTS = {"math.pi": math.pi, "math.e": math.e}
_MODULES = ("math.", "numpy.", "np.")


@dataclass(frozen=True)
class Formula(Unread):
    """A function of the step, such as ``lambda t: min(1, t / 10) * 0.95 ** t``; it is called as one."""

    def __call__(self, t: float) -> float:
        """Its value at a step."""
        if not is_number(t):
            raise SpecError(f"{short(self.text)} is computed for one step at a time: torch's LambdaLR takes it so")
        function = _looked_up(self.text)
        try:
            value = _value(function.body, function.args.args[0].arg, t)
        except (ArithmeticError, TypeError, ValueError) as error:
            raise SpecError(f"{short(self.text)} at {t}: {error}") from error
        if not is_number(value):
            raise SpecError(f"{short(self.text)} at {t} is {value!r}, no number")
        return value

    @property
    def numbers(self) -> list[float]:
        """All that stand in it: some may be steps at which it changes."""
        found = (node.value for node in ast.walk(_looked_up(self.text)) if isinstance(node, ast.Constant))
        return [value for value in found if isinstance(value, (int, float))]

    def every(self, steps: float) -> Formula:
        """The function that has at each step what this one has ``steps`` times as late."""
        function = _function(self.text)
        name = function.args.args[0].arg
        body = ast.unparse(_Later(name, int(steps) if steps == int(steps) else steps).visit(function.body))
        return Formula(f"lambda {name}: {body}")


class _Later(ast.NodeTransformer):
    """Puts a multiple of a name in its place."""

    def __init__(self, name: str, times: float) -> None:
        self.name, self.times = name, times

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The name, times the number."""
        return ast.BinOp(node, ast.Mult(), ast.Constant(self.times)) if node.id == self.name else node


def formula(value: Any) -> Any:
    """What stands for a ``lambda`` of plain arithmetic; other values as they are.

    Raises
    ------
    SpecError
        For a ``lambda`` of anything else.
    """
    if not isinstance(value, Unread) or not value.text.startswith("lambda"):
        return value
    found = Formula(value.text)
    arguments = _function(value.text).args
    if len(arguments.args) != 1 or arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults:
        raise SpecError.of(value, "a function of the step takes one argument, as in lambda t: 0.95 ** t")
    found(1)  # refused before anything is made with it
    return found


def _function(text: str) -> ast.Lambda:
    node = ast.parse(text, mode="eval").body
    assert isinstance(node, ast.Lambda)
    return node


_looked_up = functools.lru_cache(maxsize=64)(_function)  # it is asked for every step


def _value(node: ast.expr, name: str, t: float) -> Any:
    """The value of an expression in which ``name`` is ``t``."""

    def of(inner: ast.expr) -> Any:
        return _value(inner, name, t)

    match node:
        case ast.Constant(value=value) if is_number(value) or isinstance(value, bool):
            return value
        case ast.Name(id=found) if found == name:
            return t
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](of(operand))
        case ast.BinOp(op=op, left=left, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](of(left), of(right))
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _OPERATIONS for op in ops):
            values = [of(left), *map(of, others)]
            return all(_OPERATIONS[type(op)](a, b) for op, a, b in zip(ops, values, values[1:], strict=False))
        case ast.BoolOp(op=op, values=values):
            return (all if isinstance(op, ast.And) else any)(of(value) for value in values)
        case ast.IfExp(test=test, body=body, orelse=other):
            return of(body) if of(test) else of(other)
        case ast.Attribute(value=ast.Name()) if (known := _plain(node)) in _CONSTANTS:
            return _CONSTANTS[known]
        case ast.Call(func=function, args=args, keywords=[]) if (known := _plain(function)) in _FUNCTIONS:
            return _FUNCTIONS[known](*map(of, args))
    known = ", ".join(sorted({*_FUNCTIONS, *_CONSTANTS}))
    raise SpecError(
        f"{short(ast.unparse(node))} is not evaluated: a function of the step may have numbers, the step, + - * / // % **, "
        f"comparisons, if … else, and, or, not, {known}"
    )


def _plain(node: ast.expr) -> str:
    """``math.cos`` of ``np.cos``."""
    text = ast.unparse(node)
    for module in _MODULES:
        text = f"math.{text.removeprefix(module)}" if text.startswith(module) else text
    return text
