"""A SPEC: an optimizer in text, such as ``adam(lr=1e-3)`` or ``torch.optim.RMSprop(lr=1e-3, momentum=0.9)``.

The text is parsed, never evaluated: a name, and arguments that are plain literals or, where they are wanted, SPECs again,
as in ``optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))``.
"""

from __future__ import annotations

import ast
import importlib
from dataclasses import dataclass, field
from typing import Any


class SpecError(ValueError):
    """A text that is no SPEC, or names nothing; the message says what was expected."""


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
    args, kwargs : arguments: literals, and SPECs if they were asked for
    called : bool
        Whether it had parentheses.
    """

    text: str
    name: str
    module: str | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    called: bool = False

    @property
    def is_rule(self) -> bool:
        """Whether it names one of the rules of this package: a single name without a module."""
        return self.module is None and "." not in self.name


EXPECTED = (
    "a rule such as adam(lr=1e-3), a dotted name such as optax.adamw(1e-3) or torch.optim.SGD, or module:callable"
)


def parse(text: str, *, nested: bool = False) -> Spec:
    """Read a SPEC.

    Parameters
    ----------
    text : str
    nested : bool
        Whether arguments may be names and calls; they become SPECs.

    Raises
    ------
    SpecError
        For anything but a name with literal arguments.
    """
    stripped = text.strip()
    before, colon, after = stripped.partition(":")
    module = None
    if colon and "(" not in before:
        module, stripped = before, after
        if not all(part.isidentifier() for part in module.split(".")):
            raise SpecError(f"cannot read {text!r}: {module!r} is not the name of a module; expected {EXPECTED}")
    try:
        node = ast.parse(stripped, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise SpecError(f"cannot read {text!r}: expected {EXPECTED}") from None
    return _read(text, node, module, text.strip(), nested)


def _read(text: str, node: ast.expr, module: str | None, own_text: str, nested: bool) -> Spec:
    """The SPEC of a node of the tree; ``text`` is the whole, for errors."""
    call = node if isinstance(node, ast.Call) else None
    name = _dotted(call.func if call else node)
    if name is None:
        raise SpecError(f"cannot read {text!r}: expected {EXPECTED}")

    def value(argument: ast.expr) -> Any:
        if nested and isinstance(argument, (ast.Call, ast.Name, ast.Attribute)):
            return _read(text, argument, None, _source(text, argument), nested)
        return _literal(text, argument)

    args = tuple(value(argument) for argument in call.args) if call else ()
    kwargs: dict[str, Any] = {}
    for keyword in call.keywords if call else ():
        if keyword.arg is None:
            raise SpecError(f"cannot read {text!r}: write its arguments out, ** is not evaluated")
        if keyword.arg in kwargs:
            raise SpecError(f"cannot read {text!r}: {keyword.arg} is given twice")
        kwargs[keyword.arg] = value(keyword.value)
    return Spec(own_text, name, module, args, kwargs, called=call is not None)


def _source(text: str, node: ast.expr) -> str:
    """A node as it was written."""
    return ast.get_source_segment(text.strip(), node) or ast.unparse(node)


def resolve(spec: Spec) -> Any:
    """The object that the name stands for; for a rule, its factory.

    Raises
    ------
    SpecError
        For a name that does not exist or a module that cannot be imported.
    """
    if spec.is_rule:
        from .. import rules

        if spec.name not in rules.names():
            raise SpecError(
                f"no rule named {spec.name!r}: there are {', '.join(rules.names())}; expected one of them, {EXPECTED}"
            )
        return rules.get(spec.name)
    if spec.module is not None:
        return _attribute(spec, _imported(spec, spec.module), spec.name.split("."))
    parts = spec.name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            module = _imported(spec, ".".join(parts[:length]))
        except SpecError as error:
            if length == 1 or not isinstance(error.__cause__, ModuleNotFoundError):
                raise
            continue
        return _attribute(spec, module, parts[length:])
    raise SpecError(f"cannot read {spec.text!r}: expected {EXPECTED}")


def _imported(spec: Spec, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise SpecError(f"{spec.text}: cannot import {module}: {type(error).__name__}: {error}") from error


def _attribute(spec: Spec, owner: Any, names: list[str]) -> Any:
    for name in names:
        if not hasattr(owner, name):
            raise SpecError(f"{spec.text}: {getattr(owner, '__name__', owner)} has no {name!r}")
        owner = getattr(owner, name)
    return owner


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _dotted(node.value)
        return None if owner is None else f"{owner}.{node.attr}"
    return None


def _literal(text: str, node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise SpecError(
            f"cannot read {text!r}: {ast.unparse(node)} is not a literal; arguments are numbers, strings, True, False, "
            "None, and tuples of them, and are never evaluated"
        ) from None
