"""What a SPEC names, looked up without calling it, and its arguments by name: the tree that can be made with other numbers.

A SPEC is no way to run code. Called are, and nothing else:

* rules, wrappers and schedules of this package;
* classes of ``torch.optim`` that are optimizers, and of ``torch.optim.lr_scheduler`` that are schedulers;
* functions of ``optax`` that return a transformation or a schedule, reached through optax's own public modules;
* classes of ``keras.optimizers``, and of ``keras.optimizers.schedules``;
* subclasses of ``torch.optim.Optimizer`` in other *installed* packages, by their dotted name: the package is imported;
* what ``module:callable`` names, if that module (not one of Python's own) defines it: to write it is to ask for its code.

All this is seen before anything is called, and names that begin with an underscore lead nowhere.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import FunctionType, ModuleType
from typing import Any

from ._formula import Formula, formula
from ._keras_backend import load_keras
from .text import EXPECTED, Spec, SpecError, Unread, call, inside, is_number, nearest, short, written

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
_MAKERS = ("optax._src.factorized", "optax.contrib.", "optax.schedules.")


def resolve(spec: Spec) -> Any:
    """The object that the name stands for, which may be called; for a rule, wrapper or schedule of ours, its factory.

    Raises
    ------
    SpecError
        For a name that does not exist, a module that cannot be imported, or what is no optimizer or schedule.
    """
    hidden = [part for part in f"{spec.module or ''}.{spec.name}".split(".") if part.startswith("_")]
    if hidden:
        raise SpecError(f"{short(spec.text)}: {hidden[0]} is private, and not looked at; expected {EXPECTED}")
    if spec.is_rule:
        return _ours(spec)
    if spec.module is not None:
        return _of_module(spec)
    top = spec.name.partition(".")[0]
    look = {"torch": _of_torch, "optax": _of_optax, "keras": _of_keras}.get(top, _of_package)
    return look(spec)


def _ours(spec: Spec) -> Any:
    from .. import rules, schedules, wrappers

    room, _, name = spec.name.removeprefix("lrtheory.").rpartition(".")
    rooms = {"rules": rules.names(), "wrappers": WRAPPERS, "schedules": [*schedules.names(), "plateau"]}
    if name in rooms["rules"] and room in ("", "rules"):
        return rules.get(name)
    if name in rooms["wrappers"] and room in ("", "wrappers"):
        return getattr(wrappers, name)
    if name in rooms["schedules"] and room in ("", "schedules"):
        return schedules.get(name) if name in schedules.names() else schedules.plateau
    absent = rules.ABSENT.get(name.lower())
    close = nearest(name, [n for names in rooms.values() for n in names])
    reason = (
        absent
        or f"there are {', '.join([*rules.names(), *WRAPPERS])}, and the schedules {', '.join(rooms['schedules'])}{close}; expected one of them, {EXPECTED}"
    )
    raise SpecError(f"{short(spec.text)}: no rule named {name!r}: {reason}")


WRAPPERS = ("accumulate", "average_weights", "clip_by_global_norm", "clip_by_norm", "clip_by_value")


def _of_torch(spec: Spec) -> Any:
    found = _walked(spec, "torch")
    if is_torch(found) or is_scheduler(found):
        return found
    raise SpecError(
        f"{short(spec.text)}: {spec.name} is no optimizer of torch.optim and no scheduler; expected {EXPECTED}"
    )


def _of_optax(spec: Spec) -> Any:
    found = _walked(spec, "optax")
    made = found.func if isinstance(found, functools.partial) else found
    makes = getattr(made, "__module__", "").startswith(_MAKERS) or "Transformation" in str(
        getattr(made, "__annotations__", {}).get("return", "")
    )
    if isinstance(made, FunctionType) and (makes or not spec.called):
        return found
    if inspect.isclass(found) and hasattr(found, "init") and hasattr(found, "update"):
        return found  # MultiSteps
    raise SpecError(f"{short(spec.text)}: {spec.name} makes no transformation and no schedule; expected {EXPECTED}")


def _of_keras(spec: Spec) -> Any:
    try:
        load_keras()
    except (Exception, SystemExit) as error:
        raise SpecError(
            f"{short(spec.text)}: keras cannot be imported here ({error}); KERAS_BACKEND=jax chooses the backend that is there"
        ) from error
    found = _walked(spec, "keras")
    if inspect.isclass(found) and found.__module__.startswith("keras.src.optimizers"):
        return found
    raise SpecError(f"{short(spec.text)}: {spec.name} is no optimizer and no schedule of keras.optimizers")


def _of_package(spec: Spec) -> Any:
    """A class of an installed package, whose import is its own code run."""
    top = spec.name.partition(".")[0]
    if top in sys.stdlib_module_names or top not in _installed():
        what = "is one of Python's own modules" if top in sys.stdlib_module_names else "is no installed package"
        raise SpecError(
            f"{short(spec.text)}: cannot import {top}: it {what}; an optimizer of your own is written as module:callable"
        )
    found = _walked(spec, top)
    if is_torch(found):
        return found
    raise SpecError(
        f"{short(spec.text)}: {spec.name} is no subclass of torch.optim.Optimizer, and nothing else of another package is "
        "called; a factory of your own is written as module:callable"
    )


@functools.cache
def _installed() -> frozenset[str]:
    from importlib.metadata import packages_distributions

    return frozenset(packages_distributions())


def _of_module(spec: Spec) -> Any:
    """``module:callable``, which is to be called if the module defines it."""
    assert spec.module is not None
    if spec.module.partition(".")[0] in sys.stdlib_module_names:
        raise SpecError(f"{short(spec.text)}: {spec.module} is one of Python's own modules, which have no optimizer")
    found: Any = _imported(spec, spec.module)
    for name in spec.name.split("."):
        if not hasattr(found, name):
            raise SpecError(f"{short(spec.text)}: {getattr(found, '__name__', found)} has no {name!r}")
        found = getattr(found, name)
    home = getattr(inspect.unwrap(found) if callable(found) else found, "__module__", None) or spec.module
    if home.partition(".")[0] in sys.stdlib_module_names and home.partition(".")[0] != "functools":
        raise SpecError(f"{short(spec.text)}: {spec.name} comes from {home}, one of Python's own modules")
    return found


def _walked(spec: Spec, top: str) -> Any:
    """Along public names, through modules of the package alone, to what is not a module."""
    found: Any = _imported(spec, top)
    seen = top
    for name in spec.name.split(".")[1:]:
        inner = getattr(found, name, None) if isinstance(found, ModuleType) else None
        if inner is None and isinstance(found, ModuleType) and hasattr(found, "__path__"):
            try:
                inner = importlib.import_module(f"{seen}.{name}")
            except ModuleNotFoundError:
                inner = None
            except (Exception, SystemExit) as error:
                raise SpecError(f"{short(spec.text)}: cannot import {seen}.{name}: {error}") from error
        made = inner.func if isinstance(inner, functools.partial) else inner  # optax.nadam, on some versions of Python
        home = getattr(made, "__name__" if isinstance(inner, ModuleType) else "__module__", None) or ""
        if inner is None or not f"{home}.".startswith(f"{top}."):
            known = [n for n in dir(found) if not n.startswith("_")] if isinstance(found, ModuleType) else []
            raise SpecError(f"{short(spec.text)}: {seen} has no {name!r}{nearest(name, known)}")
        found, seen = inner, f"{seen}.{name}"
    return found


def _imported(spec: Spec, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name in ("torch", "optax"):
            raise
        raise SpecError(f"{short(spec.text)}: cannot import {module}: {type(error).__name__}: {error}") from error


def is_torch(found: Any) -> bool:
    """Whether it is a class of torch optimizers; torch is not imported for one that cannot be."""
    return isinstance(found, type) and any(base.__module__ == "torch.optim.optimizer" for base in found.__mro__)


def is_scheduler(found: Any) -> bool:
    """Whether it makes schedulers of torch: a class of them, or a function that is given an optimizer first."""
    if isinstance(found, type):
        return any(base.__module__ == "torch.optim.lr_scheduler" for base in found.__mro__)
    if not isinstance(found, FunctionType) or found.__module__.startswith("optax."):
        return False
    return next(iter(inspect.signature(found).parameters), "") == "optimizer"


def is_schedule(spec: Any) -> bool:
    """Whether it is a SPEC of a schedule, of any framework."""
    if not isinstance(spec, Spec):
        return False
    if spec.module is not None:
        try:
            return is_scheduler(resolve(spec))
        except SpecError:
            return False
    if spec.is_rule:
        from .. import schedules

        return spec.name.rpartition(".")[2] in schedules.names() and not spec.name.startswith("lrtheory.rules.")
    if spec.name.startswith("optax."):
        try:
            return getattr(resolve(spec), "__module__", "").startswith("optax.schedules.") and "inject" not in spec.name
        except SpecError:
            return False
    return spec.name.startswith(("torch.optim.lr_scheduler.", "keras.optimizers.schedules."))


# --- the tree ---


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
                n: inside(v, lambda entry: entry if isinstance(entry, Part) else plain(entry))
                for n, v in self.given.items()
            }
        except SpecError as error:
            raise SpecError(
                str(error) if self.spec.text in str(error) else f"{short(self.spec.text)}: {error}"
            ) from error

    def make(self, new: Mapping[str, Any] | None = None, first: Any = None) -> Any:
        """Call it; ``new`` has values in the place of given ones, by path and argument, ``first`` is what stands before them."""
        new = new or {}

        def value(given: Any) -> Any:
            return given.make(new, first) if isinstance(given, Part) else plain(given)

        arguments = {**self.given, **self._new(new)}
        args: list[Any] = [] if self.first is None else [first]
        kwargs: dict[str, Any] = {}
        for name, given in arguments.items():
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
    through = part(replace(spec.through, through=None)) if spec.through else None
    if spec.through is not None and not spec.through.name.startswith("optax.inject_"):
        raise SpecError(
            f"{short(spec.text)}: of calls that return what is called again, optax.inject_hyperparams is read"
        )
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
            if groups_of(groups):
                raise SpecError(
                    f"{short(spec.text)}: groups of parameters are not read; write one SPEC for each of them"
                )
    rest = next((n for n, p in parameters.items() if p.kind is p.VAR_POSITIONAL), None)
    names = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(args) > len(names) and rest is None:
        raise SpecError(
            f"{short(spec.text)}: {len(args)} arguments by position, but {spec.name} takes {', '.join(names)}"
        )
    given = dict(zip(names, args, strict=False))
    if rest is not None:
        given[rest] = tuple(args[len(names) :])
    twice = sorted(set(given) & set(kwargs))
    if twice:
        raise SpecError(f"{short(spec.text)}: {', '.join(twice)} given twice")
    named = [n for n, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        for name in kwargs:
            if name not in named:
                raise SpecError(
                    f"{short(spec.text)}: {spec.full_name} has no argument {name!r}{nearest(name, named)}; it has "
                    f"{', '.join(named)}"
                )
    return stands, {**given, **kwargs}


def groups(spec: Spec) -> list[Any]:
    """Groups of parameters with settings of their own, that stand first in a SPEC of torch; none for any other."""
    return groups_of(spec.args[0] if spec.args else spec.kwargs.get("params"))


def groups_of(given: Any) -> list[Any]:
    """The groups that an argument is, if any has settings of its own."""
    found = (
        isinstance(given, list) and all(isinstance(g, dict) for g in given) and any(set(g) - {"params"} for g in given)
    )
    return given if found else []


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


def plain(given: Any) -> Any:
    """The value of a leaf."""
    if isinstance(given, Formula):
        return given
    if isinstance(given, Unread):
        raise SpecError(
            f"{short(given.text)} is not evaluated: write a number, a string, True, False, None, or lists, tuples and dicts of "
            "them, or a call such as optax.cosine_decay_schedule(0.1, 1000)"
        )
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
