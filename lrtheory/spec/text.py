"""A SPEC: an optimizer in text, such as ``adam(lr=1e-3)`` or ``torch.optim.RMSprop(lr=1e-3, momentum=0.9)``.

The text is parsed, never evaluated: calls by name, whose arguments are literals, plain arithmetic on numbers, or calls
again, as in ``optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))``. The code that ``lrtheory explain`` prints is
a SPEC too. What a name stands for, and whether it may be called, is for :mod:`lrtheory.spec._names` to say.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

LONGEST, DEEPEST = 20_000, 60
EXPECTED = (
    "a rule such as adam(lr=1e-3), a dotted name such as optax.adamw(1e-3) or torch.optim.SGD, or module:callable"
)


class SpecError(ValueError):
    """A text that is no SPEC, or names nothing; the message says what was expected."""

    @classmethod
    def of(cls, spec: Spec | Unread, why: object) -> Self:
        """Said of a SPEC, or of a part of one."""
        return cls(f"{short(spec.text)}: {why}")


@dataclass(frozen=True)
class Unread:
    """An expression that is not evaluated, such as ``lambda p: p.ndim > 1``; it stands for itself in code."""

    text: str


@dataclass(frozen=True)
class Spec:
    """A parsed SPEC.

    Attributes
    ----------
    text : str
        As it was given.
    name : str
        ``adam``, ``optax.adam``, or ``callable`` of ``module:callable``.
    module : str or None
        The module of ``module:callable``.
    args, kwargs : arguments
        Literals, lists, tuples and dicts of them, SPECs for names and calls, and what is :class:`Unread`.
    called : bool
        Whether it had parentheses.
    through : Spec or None
        ``optax.inject_hyperparams(optax.adam)`` of ``optax.inject_hyperparams(optax.adam)(1e-3)``, whose name is ``optax.adam``.
    suffix : str
        A method that stands behind it in code: ``.gradient_transformation()`` of ``optax.MultiSteps``.
    """

    text: str
    name: str
    module: str | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    called: bool = False
    through: Spec | None = None
    suffix: str = ""

    @property
    def is_rule(self) -> bool:
        """Whether it names something of this package: a single name without a module, or ``lrtheory.…``."""
        return self.module is None and ("." not in self.name or self.name.startswith(("lrtheory.", "rules.")))

    @property
    def full_name(self) -> str:
        """The name with its module."""
        return f"{self.module}:{self.name}" if self.module else self.name


def parse(text: str) -> Spec:
    """Read a SPEC.

    Raises
    ------
    SpecError
        For anything but a name with arguments, or the two lines ``rule = …`` and ``hyper = rule.hyper(…)``.
    """
    stripped = text.strip()
    if len(stripped) > LONGEST:
        raise SpecError(
            f"cannot read {short(text)!r}: it is {len(stripped)} characters long, {LONGEST} at most are read"
        )
    before, colon, after = stripped.partition(":")
    module = None
    if colon and all(part.isidentifier() for part in before.split(".")):
        module, stripped = before, after
    elif colon and not set(before) & set("([{'\"=\n"):
        raise SpecError(f"cannot read {short(text)!r}: {before!r} is not the name of a module; expected {EXPECTED}")
    try:
        statements = ast.parse(stripped).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SpecError(f"cannot read {short(text)!r}: expected {EXPECTED}") from None
    for statement in statements:
        _check_depth(text, statement)
    reader = _Reader(stripped)
    match statements:
        case [ast.Expr(value=node)]:
            return replace(reader.spec(node), text=text.strip(), module=module)
        case [
            ast.Assign(targets=[ast.Name(id="rule")], value=rule),
            ast.Assign(
                targets=[ast.Name(id="hyper")], value=ast.Call(func=ast.Attribute(ast.Name("rule"), "hyper")) as hyper
            ),
        ] if module is None:
            return reader.with_numbers(reader.spec(rule), hyper, text.strip())
    raise SpecError(f"cannot read {short(text)!r}: expected {EXPECTED}")


def short(text: Any) -> str:
    """A text for a message."""
    text = str(text).strip()
    return text if len(text) <= 200 else f"{text[:150]}…{text[-45:]}"


def _check_depth(text: str, node: ast.AST) -> None:
    level = [node]
    for _ in range(DEEPEST):
        level = [child for parent in level for child in ast.iter_child_nodes(parent)]
        if not level:
            return
    raise SpecError(f"cannot read {short(text)!r}: it is nested more than {DEEPEST} deep")


_OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class _Reader:
    """From the nodes of Python's own tree."""

    def __init__(self, text: str) -> None:
        self.text = text

    def spec(self, node: ast.expr) -> Spec:
        """A name or a call."""
        own = self.source(node)
        call = node if isinstance(node, ast.Call) else None
        name = _dotted(call.func if call else node)
        if call and name is None and isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Call):
            inner = self.spec(call.func.value)
            if call.func.attr == "hyper":
                return self.with_numbers(inner, call, own)
            if call.func.attr == "gradient_transformation" and not call.args and not call.keywords:
                return replace(inner, text=own, suffix=".gradient_transformation()")
        if call and name is None and isinstance(call.func, ast.Call):
            through = self.spec(call.func)
            first = [*through.args, *through.kwargs.values()][:1]
            if first and isinstance(first[0], Spec) and not first[0].called:
                args, kwargs = self.arguments(call)
                return Spec(own, first[0].name, None, args, kwargs, called=True, through=through)
        if name is None:
            raise SpecError(f"cannot read {short(self.text)!r}: expected {EXPECTED}")
        args, kwargs = self.arguments(call) if call else ((), {})
        return Spec(own, name, None, args, kwargs, called=call is not None)

    def arguments(self, call: ast.Call) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """By position and by name."""
        kwargs: dict[str, Any] = {}
        for keyword in call.keywords:
            if keyword.arg is None:
                raise SpecError(f"cannot read {short(self.text)!r}: write its arguments out, ** is not evaluated")
            if keyword.arg in kwargs:
                raise SpecError(f"cannot read {short(self.text)!r}: {keyword.arg} is given twice")
            kwargs[keyword.arg] = self.value(keyword.value)
        if any(isinstance(argument, ast.Starred) for argument in call.args):
            raise SpecError(f"cannot read {short(self.text)!r}: write its arguments out, * is not evaluated")
        return tuple(self.value(argument) for argument in call.args), kwargs

    def with_numbers(self, rule: Spec, hyper: ast.Call, text: str) -> Spec:
        """A rule and its ``.hyper(…)`` in one."""
        args, kwargs = self.arguments(hyper)
        twice = set(kwargs) & set(rule.kwargs)
        if args or twice:
            raise SpecError(f"cannot read {short(text)!r}: .hyper(...) takes hyperparameters by name, each once")
        return replace(rule, text=text, kwargs={**rule.kwargs, **kwargs})

    def value(self, node: ast.expr) -> Any:
        """An argument."""
        match node:
            case ast.Constant(value=float() as value) if math.isinf(value):
                source = short(self.source(node))
                raise SpecError(
                    f"cannot read {short(self.text)!r}: {source} is more than a float holds; write float('inf') for infinity"
                )
            case ast.Constant(value=value) if value is None or isinstance(value, (bool, int, float, str)):
                return value
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                value = self.value(operand)
                if is_number(value):
                    return -value if isinstance(sign, ast.USub) else value
            case ast.BinOp(left=left, op=op, right=right):
                return self.computed(node, op, self.value(left), self.value(right))
            case ast.Tuple(elts=elements):
                return tuple(self.value(e) for e in elements)
            case ast.List(elts=elements):
                return [self.value(e) for e in elements]
            case ast.Dict(keys=keys, values=values) if None not in keys:
                read = [self.value(key) for key in keys if key is not None]
                if all(isinstance(key, (str, int, float, bool, type(None))) for key in read):
                    return dict(zip(read, map(self.value, values), strict=True))
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=entries) if all(e.arg for e in entries):
                return {entry.arg: self.value(entry.value) for entry in entries}
            case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value="inf" | "-inf" as value)], keywords=[]):
                return float(value)
            case ast.Attribute(value=ast.Name(id="math" | "numpy" | "np"), attr="inf"):
                return math.inf
            case ast.NamedExpr(value=named):
                return self.value(named)
            case ast.Call() | ast.Name() | ast.Attribute():
                try:
                    return self.spec(node)
                except SpecError:
                    return Unread(self.source(node))  # a part of it is not read, such as model.layers[0].parameters()
        return Unread(self.source(node))

    def computed(self, node: ast.expr, op: ast.operator, left: Any, right: Any) -> Any:
        """Plain arithmetic on numbers."""
        if not (is_number(left) and is_number(right)):
            return Unread(self.source(node))
        try:
            if isinstance(op, ast.Pow):
                return power(left, right)
            if type(op) in _OPERATIONS:
                return _OPERATIONS[type(op)](left, right)
        except ArithmeticError as error:
            raise SpecError(f"cannot read {short(self.text)!r}: {short(self.source(node))}: {error}") from error
        return Unread(self.source(node))

    def source(self, node: ast.expr) -> str:
        """A node as it was written."""
        return ast.get_source_segment(self.text, node) or ast.unparse(node)


def _dotted(node: ast.expr) -> str | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else None


def power(left: Any, right: Any) -> Any:
    """A power of two numbers, as whole numbers only while they are small."""
    return float(left) ** float(right) if right < 0 or abs(left) > 1000 or right > 64 else left**right


def is_number(value: Any) -> bool:
    """Whether it is an int or a float, and no bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean …`` for a message, or nothing; ``paged_adamw_8bit`` may mean ``adamw``."""
    lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), list(lower), 1, 0.6) or set(name.lower().split("_")) & set(lower)
    return f"; did you mean {lower[min(close)]!r}" if close else ""


def inside(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value with ``change`` made of every entry of its lists, tuples and dicts."""
    if isinstance(value, dict):
        return {key: inside(entry, change) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(inside(entry, change) for entry in value)
    return change(value)


def written(value: Any) -> str:
    """A value as code: a number in the shortest form that reads back as the same bits, a SPEC as it was written."""
    if isinstance(value, (Spec, Unread)):
        return value.text
    if isinstance(value, tuple):
        return "(" + ", ".join(map(written, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {written(entry)}" for key, entry in value.items()) + "}"
    return f"float('{value}')" if isinstance(value, float) and math.isinf(value) else repr(value)


def call(name: str, arguments: Mapping[str, Any], *first: Any) -> str:
    """A call with arguments by name, after those by position."""
    parts = [*map(written, first), *(f"{key}={written(given)}" for key, given in arguments.items())]
    return f"{name}({', '.join(parts)})"
