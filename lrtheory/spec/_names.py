"""What a SPEC names, looked up without calling it.

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
from types import FunctionType, ModuleType
from typing import Any

from ._keras_backend import load_keras
from .text import EXPECTED, Spec, SpecError, nearest

#: What the names of torch's schedulers begin with.
SCHEDULERS = ("torch.optim.lr_scheduler.", "torch.optim.swa_utils.SWALR")
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
        raise SpecError.of(spec, f"{hidden[0]} is private, and not looked at; expected {EXPECTED}")
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
    rooms = {
        "rules": rules.names(),
        "wrappers": WRAPPERS,
        "schedules": list(dict.fromkeys([*schedules.names(), "plateau"])),
    }
    if name in rooms["rules"] and room in ("", "rules"):
        return rules.get(name)
    if name in rooms["wrappers"] and room in ("", "wrappers"):
        return getattr(wrappers, name)
    if name in rooms["schedules"] and room in ("", "schedules"):
        return schedules.get(name) if name in schedules.names() else schedules.plateau
    absent = rules.ABSENT.get(name.lower())
    close = nearest(name, [n for names in rooms.values() for n in names])
    there = f"there are {', '.join([*rules.names(), *WRAPPERS])}, and the schedules {', '.join(rooms['schedules'])}"
    raise SpecError.of(
        spec,
        f"no rule named {name!r}{'' if absent else close}: {absent or f'{there}; expected one of them, {EXPECTED}'}",
    )


WRAPPERS = ("accumulate", "average_weights", "clip_by_global_norm", "clip_by_norm", "clip_by_value", "flatten")


def _of_torch(spec: Spec) -> Any:
    found = _walked(spec, "torch")
    if is_torch(found) or is_scheduler(found):
        return found
    raise SpecError.of(spec, f"{spec.name} is no optimizer of torch.optim and no scheduler; expected {EXPECTED}")


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
    raise SpecError.of(spec, f"{spec.name} makes no transformation and no schedule; expected {EXPECTED}")


def _of_keras(spec: Spec) -> Any:
    try:
        load_keras()
    except (Exception, SystemExit) as error:
        raise SpecError.of(
            spec, f"keras cannot be imported here ({error}); KERAS_BACKEND=jax chooses the backend that is there"
        ) from error
    found = _walked(spec, "keras")
    if inspect.isclass(found) and found.__module__.startswith("keras.src.optimizers"):
        return found
    raise SpecError.of(spec, f"{spec.name} is no optimizer and no schedule of keras.optimizers")


def _of_package(spec: Spec) -> Any:
    """A class of an installed package, whose import is its own code run."""
    top = spec.name.partition(".")[0]
    if top in sys.stdlib_module_names or top not in _installed():
        what = "is one of Python's own modules" if top in sys.stdlib_module_names else "is no installed package"
        full = next((full + spec.name.removeprefix(brief) for brief, full in _BRIEF if spec.name.startswith(brief)), "")
        write = f"write {full}" if full else "an optimizer of your own is written as module:callable"
        raise SpecError.of(spec, f"cannot import {top}: it {what}; {write}")
    found = _walked(spec, top)
    if is_torch(found):
        return found
    raise SpecError.of(
        spec,
        f"{spec.name} is no subclass of torch.optim.Optimizer, and nothing else of another package is "
        "called; a factory of your own is written as module:callable",
    )


#: What modules are often called where they are imported, and their names.
_BRIEF = (
    ("optim.", "torch.optim."),
    ("lr_scheduler.", "torch.optim.lr_scheduler."),
    ("tf.keras.", "keras."),
    ("tensorflow.keras.", "keras."),
)


@functools.cache
def _installed() -> frozenset[str]:
    from importlib.metadata import packages_distributions

    return frozenset(packages_distributions())


def _of_module(spec: Spec) -> Any:
    """``module:callable``, which is to be called if the module defines it."""
    assert spec.module is not None
    if spec.module.partition(".")[0] in sys.stdlib_module_names:
        raise SpecError.of(spec, f"{spec.module} is one of Python's own modules, which have no optimizer")
    found: Any = _imported(spec, spec.module)
    for name in spec.name.split("."):
        if not hasattr(found, name):
            raise SpecError.of(spec, f"{getattr(found, '__name__', found)} has no {name!r}")
        found = getattr(found, name)
    home = getattr(inspect.unwrap(found) if callable(found) else found, "__module__", None) or spec.module
    if home.partition(".")[0] in sys.stdlib_module_names and home.partition(".")[0] != "functools":
        raise SpecError.of(spec, f"{spec.name} comes from {home}, one of Python's own modules")
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
                raise SpecError.of(spec, f"cannot import {seen}.{name}: {error}") from error
        made = inner.func if isinstance(inner, functools.partial) else inner  # optax.nadam, on some versions of Python
        home = getattr(made, "__name__" if isinstance(inner, ModuleType) else "__module__", None) or ""
        if inner is None or not f"{home}.".startswith(f"{top}."):
            known = [n for n in dir(found) if not n.startswith("_")] if isinstance(found, ModuleType) else []
            raise SpecError.of(spec, f"{seen} has no {name!r}{nearest(name, known)}")
        found, seen = inner, f"{seen}.{name}"
    return found


def _imported(spec: Spec, module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name in ("torch", "optax"):
            raise
        raise SpecError.of(spec, f"cannot import {module}: {type(error).__name__}: {error}") from error


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
    return spec.name.startswith((*SCHEDULERS, "keras.optimizers.schedules."))
