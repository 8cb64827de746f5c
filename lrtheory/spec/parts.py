"""The tree of a SPEC: calls with their arguments by name, that can be made and written again with other numbers."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ._formula import Formula, formula
from ._names import is_schedule, is_scheduler, is_torch, resolve
from .text import Spec, SpecError, Unread, call, inside, is_number, nearest, short, written

DEFAULT_LR = 1e-3
# Arguments for which dims has a value of its own, where a class of torch optimizers has no default for them.
CHOSEN: Mapping[str, Any] = {
    "base_optimizer": "SGD",
    **dict.fromkeys(("num_iterations", "total_iterations", "num_steps", "total_steps", "max_steps", "num_data"), 1000),
}
RATES = ("learning_rate", "lr", "max_learning_rate")
#: What gives a number a dtype of its own, or names one.
_DTYPES = ("float16", "bfloat16", "float32", "float64")
_NUMERIC = ("numpy", "np", "jax.numpy", "jnp", "torch")


@dataclass(frozen=True)
class Part:
    """A call that can be made again with other numbers.

    Attributes
    ----------
    spec : Spec
    factory : what is called
    parameters : its own signature, by name
    given : mapping
        Arguments by name, with :class:`Part` for those that are calls themselves.
    path : str
        Where it stands among others, such as ``1.`` for the first of a chain.
    first : Unread or None
        What stands for the parameters (or the optimizer) before all arguments, where the factory takes them.
    through : Part or None
        What makes the factory: ``optax.inject_hyperparams(optax.adam)``.
    notes : tuple of str
        What was assumed.
    """

    spec: Spec
    factory: Any
    parameters: Mapping[str, inspect.Parameter]
    given: Mapping[str, Any]
    path: str = ""
    first: Any = None
    through: Part | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its last name: ``adam`` of ``optax.adam``."""
        return self.spec.name.rpartition(".")[2]

    def value(self, argument: str) -> Any:
        """An argument as given, or its default."""
        default = self.parameters[argument].default if argument in self.parameters else None
        return self.given.get(argument, default)

    def inner(self) -> Iterator[Part]:
        """The calls among its arguments."""
        found: list[Part] = []
        inside(dict(self.given), lambda value: found.append(value) if isinstance(value, Part) else None)
        return iter(found)

    def all(self) -> Iterator[Part]:
        """It, and all that is in it."""
        yield self
        for part in self.inner():
            yield from part.all()

    def values(self) -> dict[str, Any]:
        """Arguments as values, calls among them as they are.

        Raises
        ------
        SpecError
            For what is not evaluated.
        """
        try:
            return {
                n: inside(v, lambda entry, n=n: entry if isinstance(entry, Part) else plain(entry, n))
                for n, v in self.given.items()
            }
        except SpecError as error:
            raise SpecError(
                str(error) if self.spec.text in str(error) else f"{short(self.spec.text)}: {error}"
            ) from error

    def make(self, new: Mapping[str, Any] | None = None, first: Any = None) -> Any:
        """Call it; ``new`` has values in the place of given ones, by path and argument, ``first`` is what stands before them."""
        new = new or {}

        arguments = {**self.given, **self._new(new)}
        args: list[Any] = [] if self.first is None else [first]
        kwargs: dict[str, Any] = {}
        for name, given in arguments.items():

            def value(given: Any, name: str = name) -> Any:
                return given.make(new, first) if isinstance(given, Part) else plain(given, name)

            made = given if self.path + name in new else inside(given, value)
            kind = self.parameters[name].kind if name in self.parameters else None
            if kind is inspect.Parameter.VAR_POSITIONAL:
                args += made
            elif kind is inspect.Parameter.POSITIONAL_ONLY:
                args.append(made)
            else:
                kwargs[name] = made
        factory = self.through.make() if self.through else self.factory
        return factory(*args, **kwargs)

    def write(self, new: Mapping[str, Any] | None = None) -> str:
        """Its code, with new values as in :meth:`make`."""
        new = new or {}

        def value(given: Any) -> Any:
            return Unread(given.write(new)) if isinstance(given, Part) else given

        arguments = {name: inside(given, value) for name, given in {**self.given, **self._new(new)}.items()}
        by_position = [] if self.first is None else [self.first]
        for name, parameter in self.parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                by_position += arguments.pop(name, ())
            elif parameter.kind is parameter.POSITIONAL_ONLY and name in arguments:
                by_position.append(arguments.pop(name))
        name = self.through.spec.text if self.through else self.spec.full_name
        return call(name, arguments, *by_position) + self.spec.suffix

    def _new(self, new: Mapping[str, Any]) -> dict[str, Any]:
        return {n: new[self.path + n] for n in (*self.given, *self.parameters) if self.path + n in new}


def part(spec: Spec, path: str = "") -> Part:
    """A SPEC of torch, optax or Keras, or ``module:callable``, with all its arguments by name.

    Raises
    ------
    SpecError
        For arguments that are not in its signature, are given twice or missing, or are names that stand for nothing.
    """
    factory = resolve(spec)
    if not callable(factory):
        raise SpecError(
            f"{short(spec.text)} is {type(factory).__name__}, not an optimizer or a callable that returns one"
        )
    try:
        parameters = dict(inspect.signature(factory).parameters)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{short(spec.text)} has no signature that could be read") from error
    first = next(iter(parameters), "")
    schedules = is_scheduler(factory)
    taken = first if is_torch(factory) or first == "params" or (schedules and first == "optimizer") else ""
    if schedules and not taken:  # ChainedScheduler has that of the schedulers in it
        spec = replace(spec, kwargs={n: v for n, v in spec.kwargs.items() if n != "optimizer"})
        parameters.pop("optimizer", None)
    parameters.pop(taken, None)
    stands, given = by_name(spec, parameters, taken)
    if "lr_lambda" in given:
        given["lr_lambda"] = inside(given["lr_lambda"], formula)
    notes: list[str] = []
    for rate in RATES:
        default = parameters[rate].default if rate in parameters else 0
        nothing = default is inspect.Parameter.empty or (default is None and not spec.called)
        if nothing and rate not in given:
            given = {**given, rate: DEFAULT_LR} if rate != first else {rate: DEFAULT_LR, **given}
            lacking = "is None by default, which is no lr" if default is None else "has no default"
            notes.append(f"{rate} {lacking}: 1e-3")
    left_open = {*CHOSEN, "params"} if is_torch(factory) else set()
    missing = [
        name
        for name, p in parameters.items()
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and name not in given
        and name not in left_open
    ]
    if missing:
        raise SpecError(
            f"{short(spec.text)} needs arguments: give {', '.join(missing)}, as in {spec.full_name}({missing[0]}=...)"
        )
    if spec.name.startswith("optax.inject_") and isinstance(next(iter(given.values()), None), Spec):
        inner = next(iter(given.values()))
        if inner.called and spec.through is None and not isinstance(factory, type):
            raise SpecError.of(spec, f"it takes what makes an optimizer: write {spec.name}({inner.name})(...)")
    through = part(replace(spec.through, through=None)) if spec.through else None
    if spec.through is not None and not spec.through.name.startswith("optax.inject_"):
        raise SpecError.of(spec, "of calls that return what is called again, optax.inject_hyperparams is read")
    return Part(spec, factory, parameters, _parts(spec, given, path), path, stands, through, tuple(notes))


def by_name(spec: Spec, parameters: Mapping[str, inspect.Parameter], taken: str) -> tuple[Any, dict[str, Any]]:
    """What stands for the parameters, and all other arguments by name."""
    args, kwargs = list(spec.args), dict(spec.kwargs)
    stands = Unread(taken) if taken else None
    if taken:
        groups = kwargs.pop(taken, None)
        if args and not (is_number(args[0]) or isinstance(args[0], (str, bool)) or typed(args[0])):
            groups = args.pop(0)
        if groups is not None:
            stands = Unread(written(groups))
            if groups_of(groups) or _makes_groups(groups):
                raise SpecError.of(spec, "groups of parameters are not read; write one SPEC for each of them")
    rest = next((n for n, p in parameters.items() if p.kind is p.VAR_POSITIONAL), None)
    names = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(args) > len(names) and rest is None:
        raise SpecError.of(spec, f"{len(args)} arguments by position, but {spec.name} takes {', '.join(names)}")
    given = dict(zip(names, args, strict=False))
    if rest is not None:
        given[rest] = tuple(args[len(names) :])
    twice = sorted(set(given) & set(kwargs))
    if twice:
        raise SpecError.of(spec, f"{', '.join(twice)} given twice")
    named = [n for n, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in kwargs:
            if name not in named:
                raise SpecError.of(
                    spec, f"{spec.full_name} has no argument {name!r}{nearest(name, named)}; it has {', '.join(named)}"
                )
    return stands, {**given, **kwargs}


def groups(spec: Spec) -> list[Any]:
    """Groups of parameters with settings of their own, that stand first in a SPEC of torch; none for any other."""
    return groups_of(spec.args[0] if spec.args else spec.kwargs.get("params"))


def groups_of(given: Any) -> list[Any]:
    """The groups that an argument is, if any has settings of its own."""
    several = isinstance(given, (list, tuple)) and all(isinstance(g, dict) for g in given)
    return list(given) if several and any(set(g) - {"params"} for g in given) else []


def _makes_groups(given: Any) -> bool:
    """Whether groups with settings of their own are written in what is not evaluated, as in a comprehension or by ``|``."""
    keys: set[Any] = set()
    for node in ast.walk(ast.parse(written(given), mode="eval")):
        if isinstance(node, ast.Dict):
            keys |= {key.value if isinstance(key, ast.Constant) else None for key in node.keys}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "dict":
            keys |= {keyword.arg for keyword in node.keywords}
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.Constant):
            keys.add(node.elts[0].value)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            keys.add(None)
    return "params" in keys and keys != {"params"}


def _parts(spec: Spec, given: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Calls among the arguments as parts, each with its place in its path."""

    def of(value: Any, place: str) -> Any:
        if isinstance(value, dict):
            return {key: of(entry, f"{place}{key}.") for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(of(entry, f"{place}{i}.") for i, entry in enumerate(value, start=1))
        if isinstance(value, Spec):
            return _argument(spec, value, place)
        return value

    return {
        name: of(value, path if name in ("args", "transforms") else f"{path}{name}.") for name, value in given.items()
    }


def _argument(owner: Spec, value: Spec, place: str) -> Any:
    """A name or a call among the arguments."""
    if typed(value):
        return value  # a dtype, or a number of one
    if value.name.startswith(("optax.", "torch.optim.", "keras.optimizers.")):
        if value.called:
            return part(value, place)
        resolve(value)
        return value
    if value.called and is_schedule(value):
        return part(value, place)
    return Unread(value.text)


def typed(value: Any) -> bool:
    """Whether it is a dtype, or a number with one, such as ``numpy.float32(0.1)``."""
    if not isinstance(value, Spec):
        return False
    before, _, last = value.name.rpartition(".")
    number = len(value.args) == 1 and is_number(value.args[0]) and not value.kwargs and before != "torch"
    return before in _NUMERIC and last in _DTYPES and (number or not value.called)


#: What to write in the place of what is not evaluated, by a part of the argument's name.
_WRITE = {
    "mask": "write True or False for each parameter by name, as in {'kernel': True, 'bias': False}",
    "label": "write the label of each parameter by name, as in {'kernel': 'a', 'bias': 'b'}",
    "lr_lambda": "write a function of the step, as in lambda step: min(1, step / 100)",
    "": "write a number, a string, True, False, None, or lists, tuples and dicts of them, or a call such as "
    "optax.cosine_decay_schedule(0.1, 1000)",
}


def plain(given: Any, argument: str = "") -> Any:
    """The value of a leaf of an argument."""
    if isinstance(given, Formula):
        return given
    if isinstance(given, Unread):
        write = next(write for part, write in _WRITE.items() if part in argument)
        raise SpecError(f"{short(given.text)} is not evaluated: {write}")
    if not isinstance(given, Spec):
        return given
    before, _, last = given.name.rpartition(".")
    if typed(given):
        module = {"np": "numpy", "jnp": "jax.numpy"}.get(before, before)
        if module == "numpy" and last == "bfloat16":
            module = "jax.numpy"
        dtype = getattr(importlib.import_module(module), last)
        return dtype(given.args[0]) if given.called else dtype
    return resolve(given)
