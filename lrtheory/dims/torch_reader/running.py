"""How an optimizer is made and run so that its own lines are seen, and runs can be repeated: eagerly, unfused, seeded."""

from __future__ import annotations

import contextlib
import inspect
import random
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.optim import _functional

from ...words import first_line
from .._jaxpr.source import locate
from .arguments import Numbers, argument_of, constructor_arguments
from .numbers import is_optimizer_code
from .problem import Form, needs_closure


class NotAnOptimizerError(TypeError):
    """The class cannot be run as an optimizer."""


def failure(error: Exception, steps: int) -> str:
    """What went wrong and where, after so many steps; -1 where there was nothing to step."""
    words = first_line(error)
    frames = [(f.filename, f.lineno or 0, f.name) for f in traceback.extract_tb(error.__traceback__)]
    at = locate(reversed(frames), keep=is_optimizer_code)
    called = words.partition("(")[0]
    if isinstance(error, TypeError) and hasattr(_functional, called):
        words += f"; torch {torch.__version__} has {called}() with other arguments"
    when = "its constructor" if steps < 0 else f"step {steps + 1}"
    return f"{when} fails: {words}" + (f" at {at}: {at.source}" if at else "")


@dataclass(frozen=True)
class Program:
    """How one verdict was come by, so that it can be tried in numbers."""

    optimizer: Any
    numbers: Numbers
    others: Mapping[str, Any]
    form: Form
    steps: int
    ages: tuple[int, ...] = ()  # steps that it is put forward to after those
    counters: frozenset[Any] = frozenset()  # by the names of these

    def make(self, params: Mapping[str, torch.nn.Parameter], numbers: Mapping[str, Any]) -> Any:
        """The optimizer of parameters by name. Raises NotAnOptimizerError for what is none."""
        of_groups = {n: x for n, x in numbers.items() if argument_of(n) in self.form.groups}
        own = {n: x for n, x in numbers.items() if n not in of_groups}
        instance: Any = self.optimizer(self.form.hand(params), **constructor_arguments(own, self.others))
        for name, group in zip(self.form.groups, instance.param_groups if self.form.groups else [], strict=False):
            entries = {n.removeprefix(f"{name}."): x for n, x in of_groups.items() if n.startswith(f"{name}.")}
            group.update(
                constructor_arguments(entries, {k: v for k, v in group.items() if k in map(argument_of, entries)})
            )
        if not (hasattr(instance, "step") and hasattr(instance, "state")):
            raise NotAnOptimizerError(f"{self.optimizer.__name__}(...) is not a torch.optim.Optimizer")
        return instance

    def takes_closure(self, instance: Any) -> bool:
        """Whether it is stepped with a function that evaluates the loss."""
        return self.form.closure or needs_closure(instance)


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """The same random numbers in every run, and the generators put back after."""
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])  # noqa: NPY002


@contextlib.contextmanager
def as_written(optimizer: Any = object) -> Iterator[list[str]]:
    """What is to be compiled is run as it is written; the list, once the run is over, names what there was."""
    compiled = [name for module in modules_of(optimizer) for name, x in vars(module).items() if _is_compiled(x)]
    compiled += [n for base in getattr(optimizer, "__mro__", ()) for n, x in vars(base).items() if _is_compiled(x)]
    compiles, compile_ = "torch._dynamo" in sys.modules, torch.compile  # the former takes seconds to import

    def compile_and_note(*args: Any, **kwargs: Any) -> Any:
        nonlocal compiles
        compiled.append(getattr(args[0] if args else None, "__name__", "?"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = compile_(*args, **kwargs)
        torch.compiler.set_stance("force_eager")  # it has imported what that takes
        compiles = True
        return made

    if compiles:
        torch.compiler.set_stance("force_eager")
    torch.compile = compile_and_note
    try:
        yield compiled
    finally:
        torch.compile = compile_
        if compiles:
            torch.compiler.set_stance("default")


@contextlib.contextmanager
def unfused() -> Iterator[list[str]]:
    """Torch's loops over single tensors in place of its fused kernels, whose lines cannot be seen; the list names them."""
    used: list[str] = []
    kept: list[tuple[Any, str, Any]] = []
    for module in [m for name, m in sorted(sys.modules.items()) if name.startswith("torch.optim.")]:
        for name, kernel in list(vars(module).items()):
            loop = getattr(module, name.replace("_fused_", "_single_tensor_"), None)
            if name.startswith("_fused_") and inspect.isfunction(kernel) and loop is not None:

                def run(*args: Any, _name: str = name, _loop: Any = loop, **kwargs: Any) -> Any:
                    used.append(_name)
                    return _loop(*args, **kwargs)

                kept.append((module, name, kernel))
                setattr(module, name, run)
    try:
        yield used
    finally:
        for module, name, kernel in kept:
            setattr(module, name, kernel)


def _is_compiled(x: Any) -> bool:
    """Not what is kept from being compiled, as torch's optimizers are once anything was."""
    known = getattr(x, "__dict__", {})
    return "_torchdynamo_orig_callable" in known and not known.get("_torchdynamo_disable")


def train(instance: Any) -> None:
    """Schedule-free optimizers step in this mode alone."""
    with contextlib.suppress(AttributeError):  # those that hand on whatever they are asked for
        instance.train()


def modules_of(optimizer: Any) -> list[Any]:
    """The modules whose code runs: those of the class and its bases, their packages', and torch's optimizers."""
    names = {base.__module__ for base in getattr(optimizer, "__mro__", (optimizer,))}
    packages = {name.partition(".")[0] for name in names} - {"torch", "builtins", "typing", "abc", "lrtheory", "parity"}
    names |= {m for m in sys.modules if m.startswith("torch.optim.") or m.partition(".")[0] in packages}
    names.add("torch.nn.utils.clip_grad")  # asks for plain numbers, which keep their units
    return [sys.modules[name] for name in sorted(names) if name not in ("builtins", "typing") and name in sys.modules]
