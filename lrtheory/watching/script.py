"""A script run as it is, with every torch optimizer that takes a step in it watched."""

from __future__ import annotations

import contextlib
import gc
import runpy
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .in_torch import TorchWatch
from .torch_recorder import left_to_python

FAILED, INTERRUPTED = 1, 130


@contextlib.contextmanager
def watching_all(watch: TorchWatch) -> Iterator[TorchWatch]:
    """Within the block, optimizers are added to the watch at their first step, by torch's hooks for all of them."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    known: dict[int, Any] = {}

    def meet(optimizer: Any) -> None:
        # Hooks of the optimizer itself are called after those for all, in the very same step.
        known[id(optimizer)] = optimizer
        for model in [] if watch.knows(optimizer) else models_of(optimizer):
            watch.know(model)
        watch.add(optimizer)

    greet = torch.compiler.disable(meet)

    def look(optimizer: Any, args: Any, kwargs: Any) -> None:
        if id(optimizer) not in known:
            greet(optimizer)

    handle = register_optimizer_step_pre_hook(left_to_python(look))
    try:
        yield watch
    finally:
        handle.remove()
        watch.cover()
        watch.close()


def models_of(optimizer: Any) -> list[Any]:
    """The modules among all objects that hold its parameters and are part of no other module."""
    import torch

    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    modules = [o for o in gc.get_objects() if issubclass(type(o), torch.nn.Module) and "_parameters" in vars(o)]
    inner = {id(child) for module in modules for child in module.children()}
    roots = [module for module in modules if id(module) not in inner]
    return [module for module in roots if any(id(p) in own for p in module.parameters())]


def run(script: Path, arguments: Sequence[str]) -> int:
    """Run a script as ``python SCRIPT ARGUMENTS`` does; gives the exit status that it would have had."""
    before = sys.argv, sys.path[:]
    sys.argv, sys.path[0] = [str(script), *arguments], str(script.resolve().parent)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as asked:
        return _status(asked.code)
    except KeyboardInterrupt:
        _print(script)
        return INTERRUPTED
    except BaseException:
        _print(script)
        return FAILED
    finally:
        sys.argv, sys.path[:] = before[0], before[1]
    return 0


def _status(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return FAILED


def _print(script: Path) -> None:
    """The traceback from the script on, as Python shows it."""
    kind, error, at = sys.exc_info()
    start = at
    while start is not None and start.tb_frame.f_code.co_filename != str(script):
        start = start.tb_next
    traceback.print_exception(kind, error, start)  # without any where the script has not begun
